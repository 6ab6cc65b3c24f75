use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{decisions, reason, run, sweep};
use crate::support::distribution::Distribution;
use crate::support::images::{push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, json as report};
use crate::support::upstream::Upstream;

/// A registry that does not say how old its tags are, and the state of its sweeps.
struct Silent {
    upstream: Upstream,
    folder: TempDir,
}

impl Silent {
    fn start() -> Self {
        let upstream = Upstream::start();
        upstream.hold("org/a", "latest", "promoted", 10);
        upstream.hold("org/a", "change_1_latest", "leaked", 10);
        Self { upstream, folder: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    fn sweep(&self, more: &[&str]) -> std::process::Output {
        let registry = self.upstream.faulty.registry();
        let (plain, state) = (registry.to_string(), self.state().display().to_string());
        let fixed = ["--plain-http", &plain, "--state", &state, "--confirm"];
        let credentials = json!({ &plain: {"username": "u", "password": "p"}});
        sweep(&registry, &credentials, &[&fixed, more].concat())
    }

    /// As if the runs so far had been earlier by so many seconds, or later.
    fn shift(&self, seconds: i64) {
        let mut state: Value =
            serde_json::from_slice(&std::fs::read(self.state()).unwrap()).unwrap();
        for tags in state["seen"].as_object_mut().unwrap().values_mut() {
            for sighting in tags.as_object_mut().unwrap().values_mut() {
                let since: jiff::Timestamp = sighting["since"].as_str().unwrap().parse().unwrap();
                let since = since - jiff::SignedDuration::from_secs(seconds);
                sighting["since"] = json!(since.to_string());
            }
        }
        std::fs::write(self.state(), state.to_string()).unwrap();
    }

    fn leaked(&self) -> Option<String> {
        self.upstream.faulty.memory.tag("org/a", "change_1_latest")
    }
}

const DAY: i64 = 24 * 60 * 60;

#[test]
fn without_a_state_a_tag_whose_age_nobody_tells_stays() {
    let silent = Silent::start();
    let registry = silent.upstream.faulty.registry();
    let plain = registry.to_string();
    let credentials = json!({ &plain: {"username": "u", "password": "p"}});
    let more = ["--plain-http", &plain, "--confirm", "--older-than", "0s"];
    let document = report(&sweep(&registry, &credentials, &more));
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
    assert!(reason(&document, "change_1_latest").contains("--state"));
}

#[test]
fn a_tag_seen_twice_a_day_apart_is_a_day_old() {
    let silent = Silent::start();
    let document = report(&silent.sweep(&[]));
    assert!(reason(&document, "change_1_latest").contains("first time"));
    silent.shift(DAY - 60);
    let document = report(&silent.sweep(&[]));
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
    assert!(silent.leaked().is_some());
    // The first time counts, not the last.
    silent.shift(61);
    let document = report(&silent.sweep(&[]));
    assert_eq!(document["tags"][0]["age_from"], "state");
    assert_eq!(decisions(&document), [("change_1_latest", "deleted")]);
    assert_eq!(silent.leaked(), None);
    assert!(silent.upstream.faulty.memory.tag("org/a", "latest").is_some());
    let state = std::fs::read_to_string(silent.state()).unwrap();
    assert!(!state.contains("change_1_latest"), "{state}");
}

#[test]
fn a_tag_is_not_old_by_one_run_alone() {
    let silent = Silent::start();
    let document = report(&silent.sweep(&["--older-than", "0s"]));
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
}

#[test]
fn a_tag_that_holds_something_else_is_as_if_it_were_new() {
    let silent = Silent::start();
    report(&silent.sweep(&[]));
    silent.shift(2 * DAY);
    silent.upstream.hold("org/a", "change_1_latest", "uploaded again", 10);
    let document = report(&silent.sweep(&[]));
    assert!(reason(&document, "change_1_latest").contains("first time"));
    silent.shift(2 * DAY);
    assert_eq!(decisions(&report(&silent.sweep(&[]))), [("change_1_latest", "deleted")]);
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_older() {
    let silent = Silent::start();
    report(&silent.sweep(&[]));
    silent.shift(-5 * DAY);
    let document = report(&silent.sweep(&["--older-than", "0s"]));
    assert!(reason(&document, "change_1_latest").contains("first time"));
    silent.shift(DAY - 60);
    assert_eq!(decisions(&report(&silent.sweep(&[]))), [("change_1_latest", "kept")]);
}

#[test]
fn what_was_seen_outlasts_a_registry_that_does_not_answer() {
    let silent = Silent::start();
    report(&silent.sweep(&[]));
    silent.shift(2 * DAY);
    let refusal = crate::support::faulty::Fault::Answer(403, Vec::new(), String::new());
    silent.upstream.faulty.fault(1, http::Method::GET, "tags/list", refusal.clone());
    failure(&silent.sweep(&[]), 1);
    silent.upstream.faulty.fault(1, http::Method::HEAD, "change_1_latest", refusal);
    let (document, _) = failure(&silent.sweep(&[]), 1);
    assert_eq!(decisions(&document), [("change_1_latest", "failed")]);
    assert_eq!(decisions(&report(&silent.sweep(&[]))), [("change_1_latest", "deleted")]);
}

#[test]
fn a_state_of_another_format_is_left_alone() {
    let silent = Silent::start();
    let newer = r#"{"format": 2}"#;
    file(silent.folder.path(), "state.json", newer);
    let (_, said) = failure(&silent.sweep(&[]), 2);
    assert!(said.contains("format 2"), "{said}");
    assert_eq!(std::fs::read_to_string(silent.state()).unwrap(), newer);
    assert!(silent.upstream.faulty.requests().is_empty());
}

#[test]
fn a_state_that_cannot_be_kept_is_told_with_what_was_deleted() {
    let silent = Silent::start();
    let state = silent.folder.path().join("missing/state.json").display().to_string();
    let registry = silent.upstream.faulty.registry();
    let plain = registry.to_string();
    let credentials = json!({ &plain: {"username": "u", "password": "p"}});
    let more = ["--plain-http", &plain, "--state", &state];
    let (document, said) = failure(&sweep(&registry, &credentials, &more), 1);
    assert!(said.contains("missing/state.json"), "{said}");
    assert_eq!(document["failures"][0]["item"], state);
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
}

#[test]
fn last_modified_of_another_registry_is_not_believed() {
    let silent = Silent::start();
    let long_ago = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    let fault = crate::support::faulty::Fault::Header("last-modified", long_ago);
    silent.upstream.faulty.fault(usize::MAX, http::Method::HEAD, "", fault);
    let document = report(&silent.sweep(&[]));
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
}

/// As if it had been written so many hours ago.
fn age_tag(root: &Path, tag: &str, hours: u64) {
    fn find(folder: &Path, tag: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => find(&entry.path(), tag, found),
                false if entry.file_name() == tag => found.push(entry.path()),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    find(root, tag, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    std::fs::File::options().write(true).open(&found[0]).unwrap().set_modified(then).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_registry_says_how_old_its_tags_are() {
    let ours = RegistryProcess::start();
    let held = repository(&ours.login(), "org/a");
    for tag in ["latest", "change_1_latest", "change_2_latest", "gate_latest"] {
        push_index(&held, tag, tag, &["linux/amd64", "linux/arm64"]).await;
    }
    for (tag, hours) in [("latest", 100), ("change_1_latest", 25), ("change_2_latest", 23)] {
        age_tag(&ours.root(), tag, hours);
    }
    let credentials = std::fs::read_to_string(ours.credentials()).unwrap();
    let credentials: Value = serde_json::from_str(&credentials).unwrap();
    let registry = ours.address.parse().unwrap();
    let ca = ["--ca-file", &ours.ca_file()];
    let found = [("change_1_latest", "would-delete"), ("change_2_latest", "kept")];
    assert_eq!(decisions(&report(&sweep(&registry, &credentials, &ca))), found);
    let document = report(&sweep(&registry, &credentials, &[&ca[..], &["--confirm"]].concat()));
    assert_eq!(document["tags"][0]["age_from"], "registry");
    let left: Vec<String> = held.tags().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(left, ["change_2_latest", "gate_latest", "latest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_deletes_no_tags_says_so_and_loses_no_image() {
    let distribution = Distribution::start();
    let registry = distribution.registry();
    let client =
        crate::support::clients::client(&[&registry], zuul_images::auth::CredentialStore::empty());
    let held = client.repository(&registry, &"org/a".parse().unwrap());
    for tag in ["latest", "change_1_latest"] {
        push_index(&held, tag, "promoted", &["linux/amd64"]).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (plain, state) = (registry.to_string(), folder.path().join("state").display().to_string());
    let credentials = json!({ &plain: {"username": "u", "password": "p"}});
    let more = ["--plain-http", &plain, "--state", &state, "--older-than", "0s", "--confirm"];
    report(&sweep(&registry, &credentials, &more));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (document, said) = failure(&sweep(&registry, &credentials, &more), 1);
    assert!(reason(&document, "change_1_latest").contains("deletes no tags"), "{document}");
    assert!(said.contains("deletes no tags"), "{said}");
    assert_eq!(held.tags().await.unwrap().len(), 2);
    assert!(held.manifest(&"latest".parse().unwrap()).await.unwrap().is_some());
}

#[test]
fn registries_of_a_list_are_swept_though_one_does_not_answer() {
    let silent = Silent::start();
    let registry = silent.upstream.faulty.registry();
    let plain = registry.to_string();
    let gone = Upstream::start();
    let nobody = gone.faulty.registry().to_string();
    gone.stop();
    let login = json!({"username": "u", "password": "p"});
    let credentials = json!({ &plain: login, &nobody: login });
    let images = json!([{"repository": format!("{nobody}/org/b")}, {"repository": format!("{plain}/org/a")}]);
    let more = ["--plain-http", &plain, "--plain-http", &nobody];
    let (document, _) = failure(&run("sweep", Some(&images), &credentials, &more), 1);
    assert_eq!(document["failures"][0]["item"], format!("{nobody}/org/b"));
    assert_eq!(decisions(&document), [("change_1_latest", "kept")]);
}
