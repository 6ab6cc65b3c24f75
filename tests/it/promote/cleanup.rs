use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::promote::{Options, Removed};
use zuul_images::zuul::RegistryCredentials;

use super::{digest, expecting, held, image, promote, promote_with, promotion, refusal, waiting};
use crate::support::clients::client;
use crate::support::programs::file;
use crate::support::quay::Quay;

#[tokio::test]
async fn a_failing_clean_up_fails_nothing() {
    for (status, expected) in [(405, "unsupported"), (500, "failed")] {
        let server = waiting(&["one"]).await;
        server.fault(usize::MAX, Method::DELETE, "", refusal(status));
        let promoted = promote(&server, &["one"]).await.unwrap();
        let result = serde_json::to_string(&promoted.cleanup[0].result).unwrap();
        assert!(result.contains(expected), "{result}");
        assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
    }
}

#[tokio::test]
async fn clean_up_leaves_a_later_upload_alone() {
    let server = waiting(&["one"]).await;
    server.memory.hold("org/a", "one", &image("new"));
    server.memory.hold("org/a", "change_1_one", &image("later"));
    let done = [expecting(&server, "one", &image("new"))];
    let promoted = promote_with(&server, &done, &Options::default()).await.unwrap();
    assert!(!promoted.promoted[0].changed);
    assert_eq!(promoted.cleanup[0].result, Removed::Absent);
    assert!(held(&server, "change_1_one").is_some());
}

#[tokio::test]
async fn clean_up_deletes_by_tag_only() {
    let server = waiting(&["one", "two"]).await;
    promote(&server, &["one", "two"]).await.unwrap();
    assert_eq!(server.count(Method::DELETE, "manifests/change_1_"), 2);
    assert_eq!(server.count(Method::DELETE, "sha256:"), 0);
    assert_eq!((held(&server, "change_1_one"), held(&server, "change_1_two")), (None, None));
}

#[tokio::test]
async fn clean_up_goes_the_way_that_the_login_says() {
    let server = waiting(&["one"]).await;
    let quay = Quay::start(&[("change_1_one", jiff::Timestamp::now())]);
    let folder = tempfile::tempdir().unwrap();
    let text = quay.credentials(&server.registry()).to_string();
    let credentials = RegistryCredentials::read(&file(folder.path(), "login.json", &text)).unwrap();
    let plain = [&server.registry(), &quay.web.place()];
    let client = client(&plain, CredentialStore::empty());
    let options = Options { credentials: Some(&credentials), ..Options::default() };
    let promotions = [promotion(&server, "one")];
    let promoted = zuul_images::promote::promote(&client, &promotions, &options).await.unwrap();
    assert_eq!(promoted.cleanup[0].result, Removed::Done);
    assert!(quay.tags().is_empty());
    assert_eq!(server.count(Method::DELETE, ""), 0);
    assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
}
