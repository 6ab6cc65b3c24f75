//! `buildset-registry configure-client`, as a program: a host's files below a folder.

use std::fs;
use std::path::Path;
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
