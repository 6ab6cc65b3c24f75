//! `buildset-registry configure-client`, as a program: a host's files below a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::documents::documented;
use crate::support::process::init;
use crate::support::programs::{failure, file, json, program};

#[test]
fn a_host_is_configured_once_and_put_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(&folder.path().join("registry"), &["--host", "192.0.2.7"]);
    documented(&made);
    let connection = file(folder.path(), "connection.json", &made["connection"].to_string());
    let host = folder.path().join("host");
    fs::create_dir_all(host.join("etc/containers")).unwrap();
    let registries = host.join("etc/containers/registries.conf");
    let before = "# ours\nunqualified-search-registries = [\"docker.io\"]\n";
    fs::write(&registries, before).unwrap();
    fs::write(host.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let configure = || {
        program("buildset-registry")
            .args(["configure-client", "--user", "root", "--namespace", "quay.io=https://quay.io"])
            .arg("--connection")
            .arg(&connection)
            .arg("--sysroot")
            .arg(&host)
            .output()
            .unwrap()
    };
    let first = json(&configure());
    documented(&first);
    assert_eq!(
        (&first["changed"], &first["alias"]),
        (&true.into(), &"zuul-jobs.buildset-registry".into())
    );
    let text = fs::read_to_string(&registries).unwrap();
    assert!(
        text.starts_with("# ours") && text.contains("zuul-jobs.buildset-registry:5000/quay.io"),
        "{text}"
    );
    let hosts = fs::read_to_string(host.join("etc/hosts")).unwrap();
    assert!(hosts.lines().any(|line| line == "192.0.2.7\tzuul-jobs.buildset-registry"), "{hosts}");
    assert_eq!(json(&configure())["changed"], false);

    let undone = json(
        &program("buildset-registry")
            .args(["configure-client", "--undo", "--sysroot"])
            .arg(&host)
            .output()
            .unwrap(),
    );
    documented(&undone);
    assert_eq!(fs::read_to_string(&registries).unwrap(), before);
    assert!(!host.join("etc/hosts").exists());
}

#[test]
fn a_file_that_cannot_be_parsed_is_named_with_its_line_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(&folder.path().join("registry"), &["--host", "registry.example"]);
    let connection = file(folder.path(), "connection.json", &made["connection"].to_string());
    let host = folder.path().join("host");
    fs::create_dir_all(host.join("etc/containers")).unwrap();
    fs::write(host.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let registries = host.join("etc/containers/registries.conf");
    fs::write(&registries, "a = 1\nb = [\n").unwrap();
    let output = program("buildset-registry")
        .args(["configure-client", "--user", "root", "--connection"])
        .arg(&connection)
        .arg("--sysroot")
        .arg(&host)
        .output()
        .unwrap();
    let (_, said) = failure(&output, 2);
    assert!(said.contains("registries.conf:2") || said.contains("registries.conf:3"), "{said}");
    assert_eq!(fs::read_to_string(&registries).unwrap(), "a = 1\nb = [\n");
    assert!(!host.join("etc/hosts").exists() && !host.join("etc/docker").exists());
}

#[test]
fn an_edited_file_that_cannot_be_parsed_is_kept_until_a_later_undo() {
    let folder = tempfile::tempdir().unwrap();
    let host = configured(folder.path());
    let undo = || {
        let mut command = program("buildset-registry");
        command.args(["configure-client", "--undo", "--sysroot"]).arg(&host).output().unwrap()
    };
    let config = host.join("root/.docker/config.json");
    let written = fs::read_to_string(&config).unwrap();
    fs::write(&config, "{\n,").unwrap();
    let hosts = fs::read_to_string(host.join("etc/hosts")).unwrap();
    fs::write(host.join("etc/hosts"), hosts + "192.0.2.99\tanother\n").unwrap();

    let (document, said) = failure(&undo(), 1);
    documented(&document);
    assert_eq!(document["error"]["kind"], "undone");
    assert!(said.contains("config.json:2: "), "{said}");
    assert_eq!(fs::read_to_string(host.join("etc/hosts")).unwrap(), "192.0.2.99\tanother\n");

    let other = written.replacen('{', "{\"credsStore\": \"pass\",", 1);
    fs::write(&config, other).unwrap();
    let undone = json(&undo());
    documented(&undone);
    let file = undone["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["path"].as_str().unwrap().ends_with("config.json"));
    assert_eq!(file.unwrap()["action"], "cleaned");
    let left = fs::read_to_string(&config).unwrap();
    assert!(left.contains("credsStore") && !left.contains("auth"), "{left}");
    assert_eq!(json(&undo())["changed"], false);
}

#[test]
fn a_value_that_no_file_can_hold_is_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("host");
    for (arguments, word) in [
        (["--unqualified", "docker.io/library"].as_slice(), "docker.io/library"),
        (&["--namespace", "quay.io=https://quay.io/../x"], "quay.io"),
        (&["--namespace", "quay.io", "--namespace", "quay.io=https://other"], "more than once"),
    ] {
        let output = configure(folder.path(), arguments);
        let (_, said) = failure(&output, 2);
        assert!(said.contains(word), "{said}");
        assert!(!host.join("etc/hosts").exists() && !host.join("var").exists());
    }
}

/// A host below `folder` that has been configured.
fn configured(folder: &Path) -> PathBuf {
    json(&configure(folder, &[]));
    folder.join("host")
}

fn configure(folder: &Path, arguments: &[&str]) -> Output {
    let root = folder.join("registry");
    let connection = folder.join("connection.json");
    if !root.exists() {
        let made = init(&root, &["--host", "192.0.2.7"]);
        fs::write(&connection, made["connection"].to_string()).unwrap();
    }
    let host = folder.join("host");
    fs::create_dir_all(host.join("etc")).unwrap();
    fs::write(host.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    program("buildset-registry")
        .args(["configure-client", "--user", "root", "--connection"])
        .arg(connection)
        .arg("--sysroot")
        .arg(host)
        .args(arguments)
        .output()
        .unwrap()
}
