use serde_json::json;

use super::{ago, decisions, elsewhere, run, sweep};
use crate::support::programs::{failure, json as report};
use crate::support::quay::{Quay, TOKEN};
use crate::support::upstream::Upstream;

fn in_use() -> Quay {
    Quay::start(&[
        ("latest", ago(100)),
        ("change_1_latest", ago(25)),
        ("change_2_latest", ago(23)),
        ("gate_latest", ago(100)),
    ])
}

fn swept(quay: &Quay, more: &[&str]) -> std::process::Output {
    let plain = ["--plain-http", &quay.web.address.to_string()];
    sweep(&elsewhere(), &quay.credentials(&elsewhere()), &[&plain, more].concat())
}

#[test]
fn leaked_tags_are_listed_and_with_confirmation_deleted() {
    let quay = in_use();
    let document = report(&swept(&quay, &[]));
    let found = [("change_1_latest", "would-delete"), ("change_2_latest", "kept")];
    assert_eq!(decisions(&document), found);
    assert_eq!(quay.tags().len(), 4);
    let document = report(&swept(&quay, &["--confirm"]));
    assert_eq!(document["tags"][0]["age_from"], "quay");
    assert_eq!(quay.tags(), ["latest", "change_2_latest", "gate_latest"]);
}

#[test]
fn a_private_repository_is_read_with_the_token_and_nothing_else() {
    let quay = in_use();
    quay.state().private = true;
    let mut credentials = quay.credentials(&elsewhere());
    credentials["registry.example"]["api_token"] = json!("wrong-hunter3");
    let plain = ["--plain-http", &quay.web.address.to_string(), "--confirm"];
    let output = sweep(&elsewhere(), &credentials, &plain);
    let (_, said) = failure(&output, 1);
    assert!(said.contains("401") && !said.contains("hunter3"), "{said}");
    let output = swept(&quay, &["--confirm", "-vv"]);
    assert_eq!(report(&output)["totals"]["deleted"], 1);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn without_a_token_a_private_repository_is_read_in_its_registry() {
    let quay = in_use();
    quay.state().private = true;
    let upstream = Upstream::start();
    upstream.hold("org/a", "change_7_latest", "leaked", 10);
    let registry = upstream.faulty.registry();
    let mut credentials = quay.credentials(&registry);
    credentials[registry.to_string()].as_object_mut().unwrap().remove("api_token");
    let more =
        ["--plain-http", &registry.to_string(), "--plain-http", &quay.web.address.to_string()];
    let document = report(&sweep(&registry, &credentials, &more));
    assert_eq!(decisions(&document), [("change_7_latest", "kept")]);
}

#[test]
fn every_page_is_read() {
    let names: Vec<String> = (0..201).map(|number| format!("change_{number}_latest")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), ago(30))).collect();
    let quay = Quay::start(&tags);
    let document = report(&swept(&quay, &[]));
    assert_eq!(document["totals"]["would_delete"], 201);
    assert_eq!(document["totals"]["requests"], 3);
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let quay = in_use();
    quay.state().endless = true;
    let (_, said) = failure(&swept(&quay, &["--confirm"]), 1);
    assert!(said.contains("has no end"), "{said}");
}

#[test]
fn a_token_is_not_sent_where_a_job_says() {
    let quay = in_use();
    let credentials = json!({"quay.io": {"username": "u", "password": "p", "api_token": TOKEN}});
    let images = json!([{"repository": "quay.io/org/a"}]);
    let url = quay.web.url();
    let more = ["--plain-http", &quay.web.address.to_string(), "--api-url", &url];
    let (_, said) = failure(&run("sweep", Some(&images), &credentials, &more), 3);
    assert!(said.contains("api_url"), "{said}");
    assert!(quay.web.asked().is_empty());
}

#[test]
fn an_api_without_tls_is_spoken_to_only_where_that_was_said() {
    let quay = in_use();
    let output = sweep(&elsewhere(), &quay.credentials(&elsewhere()), &[]);
    let (_, said) = failure(&output, 2);
    assert!(said.contains("--plain-http"), "{said}");
    assert!(quay.web.asked().is_empty());
}

#[test]
fn an_unknown_kind_of_api_is_refused() {
    let credentials =
        json!({"registry.example": {"username": "u", "password": "p", "type": "harbor"}});
    let (_, said) = failure(&sweep(&elsewhere(), &credentials, &[]), 2);
    assert!(said.contains("credentials.json"), "{said}");
}
