use std::process::Output;

use serde_json::{Value, json};

use super::{ago, elsewhere, run};
use crate::support::distribution::Distribution;
use crate::support::documents::documented;
use crate::support::hub::{Hub, PASSWORD};
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, json as report};
use crate::support::quay::Quay;

fn delete(image: &str, credentials: &Value, more: &[&str]) -> Output {
    run("delete-tag", None, credentials, &[&[image], more].concat())
}

/// Our own registry, with one image under two tags.
async fn ours() -> (RegistryProcess, Value) {
    let ours = RegistryProcess::start();
    for tag in ["latest", "change_1_latest"] {
        push_index(&repository(&ours.login(), "org/a"), tag, "one", &["linux/amd64"]).await;
    }
    let credentials = std::fs::read_to_string(ours.credentials()).unwrap();
    (ours, serde_json::from_str(&credentials).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_not_deleted_by_its_digest_or_by_no_name() {
    let (ours, credentials) = ours().await;
    let held = repository(&ours.login(), "org/a");
    let digest = digest_of(&held, "latest").await.unwrap();
    for image in [format!("@{digest}"), format!(":latest@{digest}"), String::new()] {
        let image = format!("{}/org/a{image}", ours.address);
        let output = delete(&image, &credentials, &["--ca-file", &ours.ca_file()]);
        let (_, said) = failure(&output, 2);
        assert!(said.contains("REPO:TAG"), "{said}");
    }
    assert_eq!(held.tags().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tag_goes_and_the_image_stays() {
    let (ours, credentials) = ours().await;
    let image = format!("{}/org/a:change_1_latest", ours.address);
    let ca = ["--ca-file", &ours.ca_file()];
    let dry = [&ca[..], &["--dry-run"]].concat();
    let document = report(&delete(&image, &credentials, &dry));
    documented(&document);
    assert_eq!(document["result"], "would-delete");
    let held = repository(&ours.login(), "org/a");
    assert_eq!(document["digest"], digest_of(&held, "latest").await.unwrap().as_str());
    let document = report(&delete(&image, &credentials, &ca));
    documented(&document);
    assert_eq!(document["result"], "deleted");
    assert!(digest_of(&held, "latest").await.is_some());
    assert_eq!(digest_of(&held, "change_1_latest").await, None);
    for more in [&ca[..], &dry[..]] {
        assert_eq!(report(&delete(&image, &credentials, more))["result"], "absent");
    }
}

#[test]
fn docker_hubs_api_deletes_what_its_registry_does_not() {
    for old_login in [false, true] {
        let hub = Hub::start(&[("latest", ago(1)), ("change_1_latest", ago(1))]);
        hub.state().old_login = old_login;
        let plain = ["--plain-http", &hub.web.address.to_string()];
        let image = "registry.example/org/a:change_1_latest";
        let credentials = hub.credentials(&elsewhere());
        assert_eq!(report(&delete(image, &credentials, &plain))["result"], "deleted");
        assert_eq!(hub.tags(), ["latest"]);
        assert_eq!(report(&delete(image, &credentials, &plain))["result"], "absent");
    }
}

#[test]
fn a_token_for_docker_hubs_api_stands_in_for_the_password() {
    let hub = Hub::start(&[("change_1_latest", ago(1))]);
    let mut credentials = hub.credentials(&elsewhere());
    credentials["registry.example"]["password"] = json!("only-for-pulling");
    credentials["registry.example"]["api_token"] = json!(PASSWORD);
    let plain = ["--plain-http", &hub.web.address.to_string()];
    let document = report(&delete("registry.example/org/a:change_1_latest", &credentials, &plain));
    assert_eq!(document["result"], "deleted");
}

#[test]
fn quays_api_deletes_with_its_token() {
    let quay = Quay::start(&[("latest", ago(1)), ("change_1_latest", ago(1))]);
    let plain = ["--plain-http", &quay.web.address.to_string()];
    let mut credentials = quay.credentials(&elsewhere());
    // The token says what kind of API it is for.
    credentials["registry.example"].as_object_mut().unwrap().remove("type");
    let document = report(&delete("registry.example/org/a:change_1_latest", &credentials, &plain));
    assert_eq!(document["result"], "deleted");
    assert_eq!(quay.tags(), ["latest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_for_quays_api_its_registry_is_asked() {
    let quay = Quay::start(&[("change_1_latest", ago(1))]);
    let (ours, mut credentials) = ours().await;
    let login = credentials[&ours.address].as_object_mut().unwrap();
    login.insert("type".to_owned(), json!("quay"));
    login.insert("api_url".to_owned(), json!(quay.web.url()));
    let image = format!("{}/org/a:change_1_latest", ours.address);
    let plain = quay.web.address.to_string();
    let more = ["--ca-file", &ours.ca_file(), "--plain-http", &plain];
    assert_eq!(report(&delete(&image, &credentials, &more))["result"], "deleted");
    assert!(quay.web.asked().is_empty());
    assert_eq!(digest_of(&repository(&ours.login(), "org/a"), "change_1_latest").await, None);
}

#[test]
fn a_registry_that_is_not_docker_hub_is_not_docker_hub() {
    let credentials =
        json!({"registry.example": {"username": "u", "password": "p", "type": "docker"}});
    let (_, said) = failure(&delete("registry.example/org/a:x", &credentials, &[]), 2);
    assert!(said.contains("`api_url`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_deletes_no_tags_is_named() {
    let distribution = Distribution::start();
    let registry = distribution.registry();
    let client =
        crate::support::clients::client(&[&registry], zuul_images::auth::CredentialStore::empty());
    let held = client.repository(&registry, &"org/a".parse().unwrap());
    push_index(&held, "change_1_latest", "one", &["linux/amd64"]).await;
    let plain = registry.to_string();
    let credentials = json!({ &plain: {"username": "u", "password": "p"}});
    let image = format!("{plain}/org/a:change_1_latest");
    let (document, said) = failure(&delete(&image, &credentials, &["--plain-http", &plain]), 1);
    assert_eq!(document["error"]["kind"], "unsupported");
    assert!(said.contains("deletes no tags") && said.contains("api_url"), "{said}");
    assert!(digest_of(&held, "change_1_latest").await.is_some());
}
