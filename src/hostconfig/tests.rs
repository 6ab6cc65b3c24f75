#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;

pub(super) const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

/// A host with what Debian puts on it.
pub(super) fn host() -> TempDir {
    let root = TempDir::new().unwrap();
    put(
        &root,
        "etc/passwd",
        &format!("zuul:x:{}:{}::/home/zuul:/bin/sh\n", own("uid"), own("gid")),
    );
    put(&root, "etc/hosts", "127.0.0.1\tlocalhost\n");
    put(&root, "etc/containers/registries.conf", "# see containers-registries.conf(5)\n");
    fs::create_dir_all(root.path().join("home/zuul")).unwrap();
    root
}

pub(super) fn own(what: &str) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata("/proc/self").unwrap();
    if what == "uid" { metadata.uid() } else { metadata.gid() }
}

pub(super) fn put(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(super) fn get(root: &TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).unwrap()
}

pub(super) fn options(root: &TempDir) -> Options {
    Options {
        connection: Connection {
            host: "192.0.2.8".into(),
            port: 5000,
            username: "zuul".into(),
            password: "s3cr:et".into(),
            cert: Some(PEM.into()),
        },
        namespaces: Namespace::defaults(),
        unqualified: vec!["docker.io".into()],
        proxied: Vec::new(),
        user: Some("zuul".into()),
        sysroot: root.path().to_owned(),
        targets: Target::ALL.to_vec(),
    }
}

/// Every file and directory with its content and mode.
pub(super) fn snapshot(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
            let content = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            found.insert(path.strip_prefix(root).unwrap().display().to_string(), (mode, content));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn nothing_is_written_when_one_file_cannot_be_parsed() {
    let root = host();
    put(&root, "etc/docker/daemon.json", "{\n\"a\": nonsense\n}");
    let before = snapshot(root.path());
    let error = configure(&options(&root)).unwrap_err().to_string();
    assert!(error.contains("etc/docker/daemon.json:2: "), "{error}");
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn a_host_that_would_break_a_file_is_refused() {
    let root = host();
    for host in ["", "a b", "a\n127.0.0.1 evil", "[::1]"] {
        let mut options = options(&root);
        options.connection.host = host.into();
        assert!(matches!(configure(&options), Err(Error::Host(_))), "{host:?}");
    }
    assert!("kubernetes".parse::<Target>().is_err());
}

#[test]
fn an_unknown_user_is_named() {
    let root = host();
    let options = Options { user: Some("nobody-here".into()), ..options(&root) };
    let error = configure(&options).unwrap_err().to_string();
    assert!(error.contains("\"nobody-here\"") && error.contains("etc/passwd"), "{error}");
}

#[test]
fn a_users_link_is_not_followed() {
    let root = host();
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join("home/zuul/.docker")).unwrap();
    let hosts = get(&root, "etc/hosts");
    let error = configure(&options(&root)).unwrap_err();
    assert!(matches!(error, Error::Symlink(_)), "{error}");
    assert_eq!(get(&root, "etc/hosts"), hosts, "nothing else was written either");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn podman_and_docker_are_configured() {
    let root = host();
    let runtime = format!("run/user/{}", own("uid"));
    fs::create_dir_all(root.path().join(&runtime)).unwrap();
    let report = configure(&options(&root)).unwrap();
    assert!(report.changed);
    assert_eq!(report.alias, "zuul-jobs.buildset-registry");

    assert!(get(&root, "etc/hosts").ends_with("192.0.2.8\tzuul-jobs.buildset-registry\n"));
    for path in [
        "usr/local/share/ca-certificates/zuul-jobs.buildset-registry.crt",
        "etc/containers/certs.d/zuul-jobs.buildset-registry:5000/ca.crt",
        "etc/docker/certs.d/zuul-jobs.buildset-registry:5000/ca.crt",
    ] {
        assert_eq!(get(&root, path), format!("{PEM}\n"), "{path}");
    }
    let registries = get(&root, "etc/containers/registries.conf");
    assert!(registries.contains("location = \"zuul-jobs.buildset-registry:5000/quay.io\""));
    let daemon = get(&root, "etc/docker/daemon.json");
    assert!(daemon.contains("https://zuul-jobs.buildset-registry:5000/"));
    for path in ["home/zuul/.docker/config.json".to_owned(), runtime + "/containers/auth.json"] {
        let file = root.path().join(&path);
        assert!(get(&root, &path).contains("enV1bDpzM2NyOmV0"), "{path}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let directory = fs::metadata(file.parent().unwrap()).unwrap();
        assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_fedora_host_has_another_ca_folder_and_a_named_host_needs_no_alias() {
    let root = host();
    fs::create_dir_all(root.path().join("etc/pki/ca-trust/source/anchors")).unwrap();
    let mut options = options(&root);
    options.connection.host = "node1.example.org".into();
    options.connection.port = 9000;
    let before = get(&root, "etc/hosts");
    assert_eq!(configure(&options).unwrap().alias, "node1.example.org");
    assert_eq!(get(&root, "etc/hosts"), before);
    get(&root, "etc/pki/ca-trust/source/anchors/node1.example.org-9000.crt");
}

#[test]
fn an_empty_certificate_means_none() {
    let root = host();
    let mut options = options(&root);
    options.connection.cert = Some("\n".into());
    let report = configure(&options).unwrap();
    assert!(!report.files.iter().any(|file| file.path.extension().is_some_and(|e| e == "crt")));
}

#[test]
fn a_second_run_changes_nothing() {
    let root = host();
    configure(&options(&root)).unwrap();
    let before = snapshot(root.path());
    let report = configure(&options(&root)).unwrap();
    assert!(!report.changed);
    assert!(report.files.iter().all(|file| file.action == Action::Unchanged));
    assert_eq!(snapshot(root.path()), before);
}

#[test]
fn mode_and_comments_of_an_existing_file_stay() {
    let root = host();
    put(&root, "etc/docker/daemon.json", "{}");
    let daemon = root.path().join("etc/docker/daemon.json");
    fs::set_permissions(&daemon, fs::Permissions::from_mode(0o640)).unwrap();
    configure(&options(&root)).unwrap();
    assert_eq!(fs::metadata(&daemon).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(get(&root, "etc/containers/registries.conf").contains("# see"));
}

#[test]
fn the_memory_is_private() {
    let root = host();
    configure(&options(&root)).unwrap();
    let state = root.path().join("var/lib/zuul-images/configure-client.json");
    assert_eq!(fs::metadata(state).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn debug_shows_no_password() {
    let root = host();
    assert!(!format!("{:?}", options(&root)).contains("s3cr"));
}

#[test]
fn what_a_user_says_of_registries_is_changed_where_it_stands_in_the_place_of_the_systems() {
    let root = host();
    let file = "home/zuul/.config/containers/registries.conf";
    let drop_in = "home/zuul/.config/containers/registries.conf.d/site.conf";
    configure(&options(&root)).unwrap();
    assert!(!root.path().join(file).exists(), "without it the system's counts");
    let theirs = "# mine\nunqualified-search-registries = [\"quay.io\"]\n";
    put(&root, file, theirs);
    put(
        &root,
        drop_in,
        "[[registry]]\nlocation = \"quay.io\"\nmirror = [{location = \"m.example\"}]\n",
    );
    configure(&options(&root)).unwrap();
    let ours = "zuul-jobs.buildset-registry:5000/quay.io";
    for file in [file, drop_in] {
        assert!(get(&root, file).contains(ours), "{}", get(&root, file));
    }
    assert!(!configure(&options(&root)).unwrap().changed);
    undo(root.path()).unwrap();
    assert_eq!(get(&root, file), theirs);
}

#[test]
fn a_kubelet_gets_the_login_where_there_is_one() {
    let root = host();
    let file = "var/lib/kubelet/config.json";
    configure(&options(&root)).unwrap();
    assert!(!root.path().join("var/lib/kubelet").exists());
    put(&root, file, "{\"auths\": {\"site.example\": {\"auth\": \"eA==\"}}}");
    configure(&options(&root)).unwrap();
    let text = get(&root, file);
    assert!(text.contains("site.example") && text.contains("zuul-jobs.buildset-registry:5000"));
    undo(root.path()).unwrap();
    assert!(!get(&root, file).contains("buildset-registry"));
}
