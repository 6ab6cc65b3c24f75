//! Undo, and what a killed run leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tests::{get, host, options, put, snapshot};
use super::*;

const DROP_IN: &str = "etc/containers/registries.conf.d/50-site.conf";
const STATE: &str = "var/lib/zuul-images/configure-client.json";

fn action(report: &Report, path: &str) -> Action {
    report.files.iter().find(|file| file.path == Path::new(path)).unwrap().action
}

/// Everything but the folders that the memory itself needed.
fn assert_as_before(root: &TempDir, before: &BTreeMap<String, (u32, Vec<u8>)>) {
    let mut after = snapshot(root.path());
    after.retain(|path, _| {
        before.contains_key(path) || !["var", "var/lib"].contains(&path.as_str())
    });
    assert_eq!(&after, before);
}

#[test]
fn undo_keeps_and_remembers_a_file_that_is_broken_now_and_finishes_later() {
    let root = host();
    put(&root, "etc/docker/daemon.json", "{\"mtu\": 1400}");
    let before = snapshot(root.path());
    configure(&options(&root)).unwrap();
    let written = get(&root, "etc/docker/daemon.json");
    put(&root, "etc/docker/daemon.json", "{\n,\n");
    for undone in ["12 other", "0 other"] {
        let error = undo(root.path()).unwrap_err().to_string();
        assert!(error.contains("etc/docker/daemon.json:2: ") && error.contains("kept"), "{error}");
        assert!(error.contains(undone), "{error}");
        assert_eq!(get(&root, "etc/docker/daemon.json"), "{\n,\n");
        assert_eq!(get(&root, "etc/hosts"), "127.0.0.1\tlocalhost\n");
        assert!(!root.path().join("home/zuul/.docker").exists(), "the login is gone");
    }
    put(&root, "etc/docker/daemon.json", &written);
    assert_eq!(action(&undo(root.path()).unwrap(), "/etc/docker/daemon.json"), Action::Restored);
    assert_as_before(&root, &before);
}

#[test]
fn undo_follows_no_link_that_a_user_made_since() {
    let root = host();
    configure(&options(&root)).unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::rename(root.path().join("home/zuul/.docker"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.path().join("home/zuul/.docker")).unwrap();
    let error = undo(root.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Unfinished { cause, .. } if matches!(**cause, Error::Symlink(_)))
    );
    assert!(elsewhere.join("config.json").exists());
}

#[test]
fn undo_restores_exactly_what_was_before() {
    let root = host();
    put(&root, "etc/docker/daemon.json", "{ \"mtu\":1400 }");
    put(&root, "home/zuul/.docker/config.json", "{\"auths\": {}}");
    let before = snapshot(root.path());
    configure(&options(&root)).unwrap();
    let mut second = options(&root);
    second.connection.port = 9000;
    configure(&second).unwrap();
    assert!(undo(root.path()).unwrap().changed);
    assert_as_before(&root, &before);
    assert!(!undo(root.path()).unwrap().changed);
}

#[test]
fn undo_takes_our_entries_out_of_files_that_somebody_edited_since() {
    let root = host();
    let conf = "unqualified-search-registries = [\"quay.io\"]\n";
    put(&root, "etc/containers/registries.conf", conf);
    put(&root, "etc/docker/daemon.json", "{\"registry-mirrors\": [\"https://site\"]}");
    configure(&options(&root)).unwrap();
    edit_everything(&root);

    let report = undo(root.path()).unwrap();
    for path in [
        "/etc/hosts",
        "/etc/containers/registries.conf",
        "/etc/docker/daemon.json",
        "/home/zuul/.docker/config.json",
    ] {
        assert_eq!(action(&report, path), Action::Cleaned, "{path}");
    }
    assert_eq!(get(&root, "etc/hosts"), "127.0.0.1\tlocalhost\n192.0.2.99\tanother\n");
    assert_eq!(get(&root, "etc/containers/registries.conf"), format!("{conf}\n# theirs\n"));
    let read = |path| serde_json::from_str::<serde_json::Value>(&get(&root, path)).unwrap();
    let daemon = serde_json::json!({"mtu": 9000, "registry-mirrors": ["https://site"]});
    assert_eq!(read("etc/docker/daemon.json"), daemon);
    let logins = serde_json::json!({"auths": {"quay.io": {"auth": "eDp5"}}});
    assert_eq!(read("home/zuul/.docker/config.json"), logins);
    assert!(!root.path().join(STATE).exists());

    let before = snapshot(root.path());
    assert!(!undo(root.path()).unwrap().changed);
    assert_eq!(snapshot(root.path()), before);
}

/// What other tools do to a host that is configured.
fn edit_everything(root: &TempDir) {
    put(root, "etc/hosts", &(get(root, "etc/hosts") + "192.0.2.99\tanother\n"));
    let conf = get(root, "etc/containers/registries.conf") + "\n# theirs\n";
    put(root, "etc/containers/registries.conf", &conf);
    let daemon = get(root, "etc/docker/daemon.json").replacen('{', "{\"mtu\": 9000,", 1);
    put(root, "etc/docker/daemon.json", &daemon);
    let login = "\"auths\": {\"quay.io\": {\"auth\": \"eDp5\"},";
    let config = get(root, "home/zuul/.docker/config.json").replacen("\"auths\": {", login, 1);
    put(root, "home/zuul/.docker/config.json", &config);
}

#[test]
fn an_edit_between_two_runs_survives_undo_and_our_entries_do_not() {
    let root = host();
    configure(&options(&root)).unwrap();
    edit_everything(&root);
    let mut second = options(&root);
    second.connection.port = 9000;
    second.connection.host = "192.0.2.9".into();
    configure(&second).unwrap();
    undo(root.path()).unwrap();
    assert_eq!(get(&root, "etc/hosts"), "127.0.0.1\tlocalhost\n192.0.2.99\tanother\n");
    for path in [
        "etc/containers/registries.conf",
        "etc/docker/daemon.json",
        "home/zuul/.docker/config.json",
    ] {
        assert!(!get(&root, path).contains("zuul-jobs"), "{path}: {}", get(&root, path));
    }
    assert!(get(&root, "etc/docker/daemon.json").contains("9000"));
    assert!(get(&root, "home/zuul/.docker/config.json").contains("eDp5"));
    assert!(get(&root, "etc/containers/registries.conf").contains("# theirs"));
}

#[test]
fn undo_leaves_a_login_that_somebody_replaced_and_a_file_that_somebody_removed() {
    let root = host();
    configure(&options(&root)).unwrap();
    let theirs = "{\"auths\": {\"zuul-jobs.buildset-registry:5000\": {\"auth\": \"eDp5\"}}}";
    put(&root, "home/zuul/.docker/config.json", theirs);
    fs::remove_file(root.path().join("etc/containers/registries.conf")).unwrap();
    let report = undo(root.path()).unwrap();
    assert!(get(&root, "home/zuul/.docker/config.json").contains("eDp5"));
    assert_eq!(action(&report, "/home/zuul/.docker/config.json"), Action::Kept);
    assert_eq!(action(&report, "/etc/containers/registries.conf"), Action::Kept);
}

#[test]
fn a_drop_in_that_cannot_be_parsed_is_named_before_anything_is_written() {
    let root = host();
    put(&root, DROP_IN, "a = 1\n[[registry]\n");
    let before = snapshot(root.path());
    let error = configure(&options(&root)).unwrap_err().to_string();
    assert!(error.contains("50-site.conf:2: "), "{error}");
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn a_drop_in_for_a_namespace_of_ours_does_not_win_over_our_mirror() {
    let root = host();
    put(
        &root,
        DROP_IN,
        "# site\n[[registry]]\nlocation = \"quay.io\"\n\n[[registry.mirror]]\nlocation = \"site:1\"\n",
    );
    let other = "etc/containers/registries.conf.d/000-shortnames.conf";
    put(&root, other, "[aliases]\n\"alpine\" = \"docker.io/library/alpine\"\n");
    put(&root, "etc/containers/registries.conf.d/README", "not toml");
    let before = snapshot(root.path());
    let report = configure(&options(&root)).unwrap();
    assert_eq!(action(&report, "/etc/containers/registries.conf.d/50-site.conf"), Action::Updated);
    assert!(!report.files.iter().any(|file| file.path.ends_with("000-shortnames.conf")));
    let text = get(&root, DROP_IN);
    let ours = text.find("zuul-jobs.buildset-registry:5000/quay.io").unwrap();
    assert!(ours < text.find("site:1").unwrap() && !text.contains("gcr.io"), "{text}");
    assert!(!text.contains("unqualified"), "{text}");
    assert!(!configure(&options(&root)).unwrap().changed);

    undo(root.path()).unwrap();
    assert_as_before(&root, &before);
}

#[test]
fn a_drop_in_with_a_search_list_does_not_win_over_ours() {
    let root = host();
    put(&root, DROP_IN, "unqualified-search-registries = [\"site.example\"]\n");
    configure(&options(&root)).unwrap();
    assert_eq!(get(&root, DROP_IN), "unqualified-search-registries = [\"docker.io\"]\n");
    put(&root, DROP_IN, &(get(&root, DROP_IN) + "# theirs\n"));
    undo(root.path()).unwrap();
    let clean = "unqualified-search-registries = [\"site.example\"]\n# theirs\n";
    assert_eq!(get(&root, DROP_IN), clean);
}

#[test]
fn temporary_files_of_a_killed_run_are_swept() {
    let left = ["etc/.zuul-images-aB3xY9", "home/zuul/.docker/.zuul-images-000000"];
    let others = ["etc/.zuul-images-notes", "etc/.zuul-images-", "etc/x.zuul-images-aB3xY9"];
    let root = host();
    let leave = |names: &[&str]| names.iter().for_each(|name| put(&root, name, "s3cret"));
    let exists = |name: &&str| fs::symlink_metadata(root.path().join(name)).is_ok();
    std::os::unix::fs::symlink("/nowhere", root.path().join("etc/.zuul-images-link00")).unwrap();
    leave(&left);
    leave(&others);
    configure(&options(&root)).unwrap();
    assert!(!left.iter().any(exists));
    leave(&left);
    undo(root.path()).unwrap();
    assert!(!left.iter().any(exists));
    assert!(others.iter().all(exists) && exists(&"etc/.zuul-images-link00"));
}

#[test]
fn a_value_that_no_file_can_hold_is_refused_before_anything_is_written() {
    let root = host();
    let before = snapshot(root.path());
    let path = Options { unqualified: vec!["docker.io/library".into()], ..options(&root) };
    assert!(matches!(configure(&path), Err(Error::Unqualified(_))));
    let mut twice = options(&root);
    twice.namespaces.extend(Namespace::defaults());
    assert!(matches!(configure(&twice), Err(Error::Duplicate(_))));
    assert_eq!(snapshot(root.path()), before);
}
