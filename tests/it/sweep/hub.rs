use jiff::SignedDuration;
use serde_json::json;
use zuul_images::oci::Digest;

use super::{ago, decisions, elsewhere, reason, run, sweep};
use crate::support::documents::documented;
use crate::support::hub::{Hub, HubTag, PASSWORD};
use crate::support::programs::{failure, json as report};
use crate::support::web::{Web, nothing};

/// What is left in a repository that is in use.
fn in_use() -> Hub {
    Hub::start(&[
        ("latest", ago(100)),
        ("1.1", ago(100)),
        ("change_1_latest", ago(25)),
        ("change_2_1.1", ago(500)),
        ("change_3_latest", ago(1)),
        ("release_latest", ago(100)),
        ("change_4_other", ago(100)),
        ("periodic_latest", ago(100)),
    ])
}

fn swept(hub: &Hub, more: &[&str]) -> std::process::Output {
    let plain = ["--plain-http", &hub.web.address.to_string()];
    sweep(&elsewhere(), &hub.credentials(&elsewhere()), &[&plain, more].concat())
}

fn deletions(hub: &Hub) -> usize {
    hub.web.asked().iter().filter(|asked| asked.starts_with("DELETE")).count()
}

#[test]
fn without_confirmation_leaked_tags_are_only_listed() {
    let hub = in_use();
    let document = report(&swept(&hub, &[]));
    documented(&document);
    assert_eq!(
        decisions(&document),
        [
            ("change_1_latest", "would-delete"),
            ("change_2_1.1", "would-delete"),
            ("change_3_latest", "kept")
        ]
    );
    assert_eq!((deletions(&hub), hub.tags().len()), (0, 8));
    assert_eq!(document["totals"]["would_delete"], 2);
}

#[test]
fn leaked_tags_older_than_a_day_are_deleted_and_nothing_else() {
    let hub = in_use();
    let document = report(&swept(&hub, &["--confirm"]));
    documented(&document);
    assert_eq!(document["totals"]["deleted"], 2);
    assert_eq!(document["tags"][0]["age_from"], "hub");
    assert_eq!(document["tags"][0]["digest"], Digest::sha256(b"change_1_latest").as_str());
    assert_eq!(
        hub.tags(),
        ["latest", "1.1", "change_3_latest", "release_latest", "change_4_other", "periodic_latest"]
    );
    // A login, the list, and for each tag another look and its end.
    assert_eq!(document["totals"]["requests"], 6);
}

#[test]
fn tags_of_a_pipeline_are_leaked_ones_only_where_it_is_named() {
    let hub = in_use();
    report(&swept(&hub, &["--confirm", "--pipeline", "periodic", "--pipeline", "gate"]));
    assert!(!hub.tags().contains(&"periodic_latest".to_owned()));
    assert!(hub.tags().contains(&"release_latest".to_owned()));
}

#[test]
fn a_wider_pattern_never_takes_a_declared_tag() {
    let hub = in_use();
    let document = report(&swept(&hub, &["--confirm", "--match", ".*"]));
    assert_eq!(hub.tags(), ["latest", "1.1", "change_3_latest"]);
    assert!(reason(&document, "latest").contains("declared final tag"));
    assert_eq!(document["totals"]["deleted"], 5);
}

#[test]
fn a_day_is_a_day_by_the_servers_clock() {
    let now = "2020-02-03T12:00:00Z".parse().unwrap();
    let day = SignedDuration::from_hours(24);
    let second = SignedDuration::from_secs(1);
    let hub = Hub::start(&[
        ("change_1_latest", now - day + second),
        ("change_2_latest", now - day),
        ("change_3_latest", now - day - second),
    ]);
    hub.state().clock = Some(now);
    let document = report(&swept(&hub, &["--confirm"]));
    // Of what was pushed in the second a day ago nobody knows whether the day is over.
    assert_eq!(hub.tags(), ["change_1_latest", "change_2_latest"]);
    assert_eq!(document["tags"][2]["age_seconds"], 24 * 60 * 60);
    report(&swept(&hub, &["--confirm", "--older-than", "23h"]));
    assert!(hub.tags().is_empty());
}

#[test]
fn every_page_is_read() {
    let names: Vec<String> = (0..250).map(|number| format!("change_{number}_latest")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), ago(30))).collect();
    let hub = Hub::start(&tags);
    let document = report(&swept(&hub, &[]));
    assert_eq!(document["totals"]["would_delete"], 250);
    assert_eq!(document["totals"]["requests"], 4);
}

#[test]
fn the_next_page_is_not_read_elsewhere_whatever_the_answer_says() {
    let names: Vec<String> = (0..150).map(|number| format!("change_{number}_latest")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), ago(30))).collect();
    let hub = Hub::start(&tags);
    let elsewhere = Web::start(|_| nothing(http::StatusCode::OK));
    hub.state().next_at = Some(elsewhere.url());
    let document = report(&swept(&hub, &[]));
    assert_eq!(document["totals"]["would_delete"], 150);
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let hub = Hub::start(&[("change_1_latest", ago(30))]);
    hub.state().endless = true;
    let (document, said) = failure(&swept(&hub, &["--confirm"]), 1);
    documented(&document);
    assert!(said.contains("has no end"), "{said}");
    assert_eq!(hub.tags().len(), 1);
}

#[test]
fn a_private_repository_is_seen_by_who_logs_in() {
    let hub = in_use();
    hub.state().private = true;
    let mut wrong = hub.credentials(&elsewhere());
    wrong["registry.example"]["password"] = json!("wrong-hunter3");
    let plain = ["--plain-http", &hub.web.address.to_string(), "--confirm"];
    let output = sweep(&elsewhere(), &wrong, &plain);
    let (document, said) = failure(&output, 1);
    assert!(said.contains("logging in to Docker Hub's API as `robot`"), "{said}");
    assert_eq!(document["failures"][0]["item"], "registry.example/org/a");
    let output = swept(&hub, &["--confirm", "-vv"]);
    assert_eq!(report(&output)["totals"]["deleted"], 2);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = said + &String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains(PASSWORD) && !told.contains("token-1"), "{told}");
}

#[test]
fn a_tag_that_is_pushed_again_meanwhile_stays() {
    let hub = in_use();
    hub.state().moves = Some("change_1_latest".to_owned());
    let document = report(&swept(&hub, &["--confirm"]));
    assert!(reason(&document, "change_1_latest").contains("pushed again"));
    assert!(hub.tags().contains(&"change_1_latest".to_owned()));
    assert_eq!(document["totals"]["deleted"], 1);
}

#[test]
fn a_tag_of_which_the_content_or_the_age_is_not_told_stays() {
    let hub = Hub::start(&[("change_1_latest", ago(30))]);
    let pushed = ago(30).to_string();
    hub.state().tags[0].digest = None;
    hub.state().tags.push(HubTag {
        name: "change_2_latest".to_owned(),
        digest: Some(Digest::sha256(b"")),
        pushed: "long ago".to_owned(),
    });
    hub.state().tags.push(HubTag {
        name: "change_3_latest".to_owned(),
        digest: Some(Digest::sha256(b"")),
        pushed,
    });
    report(&swept(&hub, &["--confirm"]));
    assert_eq!(hub.tags(), ["change_1_latest", "change_2_latest"]);
}

#[test]
fn a_deletion_that_fails_is_told_and_the_others_go_on() {
    let hub = in_use();
    hub.state().refused.push(("change_1_latest".to_owned(), 403));
    let (document, said) = failure(&swept(&hub, &["--confirm"]), 1);
    documented(&document);
    assert!(said.contains("registry.example/org/a:change_1_latest"), "{said}");
    assert_eq!(document["ok"], false);
    assert_eq!(
        decisions(&document)[..2],
        [("change_1_latest", "failed"), ("change_2_1.1", "deleted")]
    );
    assert_eq!(
        (&document["totals"]["deleted"], &document["totals"]["failed"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_rate_limit_is_waited_for() {
    let hub = in_use();
    hub.state().limited = 1;
    let document = report(&swept(&hub, &["--confirm"]));
    assert_eq!(document["totals"]["deleted"], 2);
    assert_eq!(document["totals"]["retries"], 1);
}

#[test]
fn a_repository_that_is_not_there_has_no_leaked_tags() {
    let hub = in_use();
    let images = json!([{"repository": "registry.example/org/never-pushed"}]);
    let plain = ["--plain-http", &hub.web.address.to_string()];
    let output = run("sweep", Some(&images), &hub.credentials(&elsewhere()), &plain);
    assert_eq!(report(&output)["tags"], json!([]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("never-pushed: there is no such repository"), "{said}");
}

#[test]
fn a_repository_that_the_login_is_not_for_is_refused_before_anything_is_asked() {
    let hub = in_use();
    let mut credentials = hub.credentials(&elsewhere());
    credentials["registry.example"]["repository"] = json!("^registry.example/other/");
    let plain = ["--plain-http", &hub.web.address.to_string(), "--confirm"];
    failure(&sweep(&elsewhere(), &credentials, &plain), 2);
    assert!(hub.web.asked().is_empty());
}
