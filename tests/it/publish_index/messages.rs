//! Whom a publication is told.

use serde_json::{Value, json};

use super::{Site, built, done, failed};
use crate::support::sample::index;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_names_what_was_published_and_nothing_that_was_refused() {
    let site = Site::with(&["amd64", "arm64"]).await;
    let old = [("s390x", built("old", "s390x", "2025-01-01T00:00:00Z"))];
    site.server.memory.hold("org/img", "latest", &index(&old));
    let file = site.path("messages");
    let command = format!("--notify-command=cat >> {}; echo >> {0}", file.display());
    let options = [&*command, "--compose-id=Fedora-40-1", "--release=40", "--tag=latest"];
    let (document, _) = failed(&site.publish_both(&options).await, 3);
    let message: Value =
        serde_json::from_str(std::fs::read_to_string(&file).unwrap().trim()).unwrap();
    let expected = json!({
        "architectures": ["x86_64", "aarch64"],
        "compose_id": "Fedora-40-1",
        "registries": [site.server.registry().to_string()],
        "release": 40,
        "repository": "org/img",
        "tags": ["40"],
        "digest": document["digest"],
    });
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_sent_is_a_failure_and_sent_by_the_next_run() {
    let site = Site::with(&["amd64"]).await;
    let (document, said) =
        failed(&site.publish_one(&["40"], &["--notify-command=exit 7"]).await, 1);
    assert_eq!(document["error"]["kind"], "notify");
    assert!(said.contains("stays"), "{said}");
    assert!(site.held("40").is_some());
    let file = site.path("message");
    let command = format!("--notify-command=cat > {}", file.display());
    done(&site.publish_one(&["40"], &[&command]).await);
    let message: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(message["tags"], json!(["40"]));
}
