//! What is refused before anything is written.

use http::Method;
use serde_json::json;

use super::{Site, UPLOAD, done, failed, new, old, run};
use crate::publish_index;
use crate::support::faulty::Fault;
use crate::support::programs::file;

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_is_never_used_again() {
    let site = Site::new().await;
    site.upload.memory.hold(UPLOAD, "7.6.1-1", &old());
    let (_, said) = failed(&site.publish(&["--number=1"]).await, 3);
    assert!(
        said.contains("7.6.1-1 already exists with digest")
            && said.contains(old().root.digest().as_str()),
        "{said}"
    );
    assert!(site.puts().is_empty() && site.runs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_uploaded_under_another_tag_is_refused() {
    let site = Site::new().await;
    site.upload.memory.hold(UPLOAD, "7.6.1-1", &new());
    let (_, said) = failed(&site.publish(&[]).await, 3);
    assert!(said.contains("never uploaded before") && said.contains("--freshen"), "{said}");
    assert!(site.puts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_not_an_empty_one() {
    for status in [401, 403, 503] {
        let site = Site::new().await;
        let fault = Fault::Answer(status, Vec::new(), String::new());
        site.upload.fault(9, Method::HEAD, "isv/p1/manifests/7.6.1-1", fault);
        let (_, said) = failed(&site.publish(&["--number=1"]).await, 1);
        assert!(said.contains("refusing to treat as absent"), "{said}");
        assert!(site.puts().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_of_other_registries_never_come_near_preflight() {
    let site = Site::new().await;
    let config = json!({"auths": {"docker.io": {}, site.upload.registry().to_string(): {}}});
    let config = file(site.folder.path(), "docker.json", &config.to_string());
    let option = format!("--docker-config={}", config.display());
    let (_, said) = failed(&site.publish(&[&option]).await, 3);
    assert!(said.contains("(docker.io)") && said.contains("send them to Red Hat"), "{said}");
    assert!(site.upload.requests().is_empty() && site.runs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_for_the_catalog_is_refused() {
    let site = Site::new().await;
    let (_, said) = failed(&site.publish(&["--arch=s390x", "--arch=amd64"]).await, 3);
    assert!(said.contains("missing s390x"), "{said}");
    let (_, said) = failed(&site.publish(&["--preflight-timeout=x"]).await, 2);
    assert!(said.contains("preflight-timeout"), "{said}");
    let attested = crate::support::sample::index(&[
        ("amd64", publish_index::image("new", "amd64")),
        ("unknown", publish_index::image("x", "amd64")),
    ]);
    let text = String::from_utf8(attested.root.bytes().to_vec()).unwrap();
    let text = text.replace(
        r#""os":"linux","architecture":"unknown""#,
        r#""os":"unknown","architecture":"unknown""#,
    );
    let root = zuul_images::oci::Manifest::parse(text.into(), None).unwrap();
    site.upload.memory.hold(
        "internal/img",
        "7.6.1-4321",
        &crate::support::sample::Sample { root, ..attested },
    );
    let (_, said) = failed(&site.publish(&["--arch=amd64"]).await, 3);
    assert!(said.contains("attestation manifests"), "{said}");
    assert!(site.puts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_every_write_and_makes_none() {
    let site = Site::new().await;
    let document = done(&site.publish(&["--dry-run", "--latest"]).await);
    let writes = document["writes"].as_array().unwrap();
    // Two images, the index, preflight, three floating tags.
    assert_eq!(writes.len(), 7);
    assert!(writes[3].as_str().unwrap().starts_with("preflight check container"));
    assert!(writes[6].as_str().unwrap().ends_with(":latest"));
    assert!(
        site.puts().is_empty() && site.runs().is_empty() && !site.path("journal.json").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_number_is_that_behind_the_last_of_the_same_base() {
    let site = Site::new().await;
    for tag in ["7.6.1-1", "7.6.1-2-arm64", "7.6.10-9", "7.6.0-MP1-4"] {
        site.upload.memory.hold(UPLOAD, tag, &old());
    }
    for (base, number) in [("7.6.1", 3), ("7.6.0-MP1", 5), ("8.0", 1)] {
        let mut command = site.bare("next-number");
        command.args(["--product=img", "--base", base]).args(site.places());
        assert_eq!(done(&run(command).await)["number"], number);
    }
}
