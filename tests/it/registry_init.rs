//! The program: making a root, serving it, in the foreground and in the background.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::http::send;
use crate::support::process::{Served, init, registry, serve_in_vain, terminate, tool, try_init};
use crate::support::wait::wait_until;

const HOST: [&str; 2] = ["--host", "192.0.2.7"];

#[test]
fn what_init_cannot_use_is_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    for options in [
        &["--host", "a b"][..],
        &["--host", ""],
        &["--host", "host:5000"],
        &["--host", "a", "--san", "*.b"],
        &["--host", "a", "--user", "x:y"],
        &["--host", "a", "--port", "70000"],
        &["--host", "a", "--port", "0"],
        &[],
    ] {
        let output = try_init(&folder.path().join("root"), options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(output.stdout.is_empty());
    }
    assert!(!folder.path().join("root/connection.json").exists());
}

#[test]
fn serve_without_a_place_names_both_options_that_say_it() {
    for options in [&[][..], &["--config", "a", "--root", "b"]] {
        let output = registry(&["serve"]).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("--config") && said.contains("--root"), "{said}");
    }
}

#[test]
fn a_second_init_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = init(folder.path(), &HOST);
    let second = init(folder.path(), &HOST);
    assert_eq!((&first["changed"], &second["changed"]), (&true.into(), &false.into()));
    assert_eq!((&first["ok"], &second["ok"]), (&true.into(), &true.into()));
    assert_eq!(first["connection"], second["connection"]);
    let connection = &first["connection"];
    assert_eq!((&connection["host"], &connection["port"]), (&"192.0.2.7".into(), &5000.into()));
    assert_eq!(connection["username"], "zuul");
    assert!(connection["password"].as_str().unwrap().len() >= 20);
    let written = fs::read_to_string(folder.path().join("connection.json")).unwrap();
    assert_eq!(*connection, serde_json::from_str::<Value>(&written).unwrap());
}

#[test]
fn another_host_gets_a_certificate_and_keeps_password_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = || fs::read(folder.path().join("tls/ca.key")).unwrap();
    let first = init(folder.path(), &["--host", "a.example", "--san", "b.example"]);
    let key_before = key();
    let narrower = init(folder.path(), &["--host", "b.example"]);
    let other = init(folder.path(), &["--host", "2001:db8::7"]);
    assert_eq!((&narrower["changed"], &other["changed"]), (&true.into(), &true.into()));
    assert_eq!(key_before, key());
    // The authority may vouch for b.example already; for the address it could not.
    assert_eq!(first["connection"]["cert"], narrower["connection"]["cert"]);
    assert_ne!(first["connection"]["cert"], other["connection"]["cert"]);
    assert_eq!(other["connection"]["host"], "2001:db8::7");
    for later in [&narrower, &other] {
        assert_eq!(first["connection"]["password"], later["connection"]["password"]);
    }
}

#[test]
fn an_edited_configuration_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &HOST);
    let file = folder.path().join("config.yaml");
    let edited = fs::read_to_string(&file).unwrap() + "anonymous_pull: false\n";
    fs::write(&file, &edited).unwrap();
    assert_eq!(init(folder.path(), &HOST)["changed"], false);
    let output = try_init(folder.path(), &["--host", "192.0.2.7", "--port", "5001"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("config.yaml was edited"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), edited);
}

#[test]
fn a_root_without_all_its_files_is_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    let first = init(folder.path(), &HOST);
    for file in ["tls/record.json", "tls/server.key", "config.yaml", "token.key"] {
        fs::remove_file(folder.path().join(file)).unwrap();
        let again = init(folder.path(), &HOST);
        assert!(folder.path().join(file).exists(), "{file}");
        assert_eq!(first["connection"]["password"], again["connection"]["password"]);
    }
    Served::start(&["--root", folder.path().to_str().unwrap()]).kill();
}

#[test]
fn nobody_else_can_read_anything() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    init(&root, &HOST);
    Served::start(&["--root", root.to_str().unwrap()]).kill();
    let mut seen = 0;
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                seen += 1;
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    assert!(seen >= 10, "only {seen} files");
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn openssl_accepts_the_certificate_for_its_names_only() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--host", "192.0.2.7", "--san", "registry.example"]);
    let tls = folder.path().join("tls");
    let verify = |option: &str, name: &str| {
        let mut openssl = tool("openssl");
        let openssl = openssl.args(["verify", "-x509_strict", option, name, "-CAfile"]);
        openssl.arg(tls.join("ca.pem")).arg(tls.join("server.pem")).output().unwrap()
    };
    for (option, name, good) in [
        ("-verify_ip", "192.0.2.7", true),
        ("-verify_ip", "127.0.0.1", true),
        ("-verify_ip", "::1", true),
        ("-verify_hostname", "zuul-jobs.buildset-registry", true),
        ("-verify_hostname", "localhost", true),
        ("-verify_hostname", "registry.example", true),
        ("-verify_hostname", "quay.io", false),
        ("-verify_ip", "192.0.2.8", false),
    ] {
        let output = verify(option, name);
        assert_eq!(output.status.success(), good, "{name}: {output:?}");
    }
    let text = tool("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(tls.join("ca.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for line in ["X509v3 Name Constraints: critical", "CA:TRUE, pathlen:0", "IP:192.0.2.7/"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_exit_2_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    for (text, said) in [
        ("storage: {folder: s}\ntoken_key: k\nprot: 5000\n", "line 3"),
        ("storage: {folder: s}\n", "token_key"),
        ("storage: {folder: s}\ntoken_key: k\nusers: [{name: a, pass: hunter2}]\n", "access"),
    ] {
        fs::write(&file, text).unwrap();
        for output in serve_in_vain(&["--config", file.to_str().unwrap()], 2) {
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains("config.yaml") && stderr.contains(said), "{stderr}");
            assert!(!stderr.contains("hunter2"), "{stderr}");
        }
    }
    let output = registry(&["serve", "--root", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_root_is_served_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    init(folder.path(), &HOST);
    let served = Served::start(&["--root", root]);
    for output in serve_in_vain(&["--root", root], 3) {
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["kind"], "refused");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("in use by another process"), "{message}");
    }
    assert_eq!(served.terminate(), (Some(0), String::new()));
    Served::start(&["--root", root]).kill();
    // The lock goes with the process, however it ended.
    Served::start(&["--root", root]).kill();
}

#[test]
fn a_port_that_is_taken_is_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &HOST);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for detach in [&[][..], &["--detach"]] {
        let output = registry(&["serve", "--listen", &address, "--root"])
            .arg(folder.path())
            .args(detach)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(&address), "{stderr}");
    }
}

#[test]
fn in_the_background_it_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, "storage: {folder: s}\ntoken_key: k\n").unwrap();
    let output = registry(&["serve", "--detach", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let ready: Value = serde_json::from_slice(&output.stdout).unwrap();
    let address = ready["listening"][0].as_str().unwrap().parse().unwrap();
    let pid = u32::try_from(ready["pid"].as_u64().unwrap()).unwrap();
    let pid_file = folder.path().join("serve.pid");
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), format!("{pid}\n"));
    assert_eq!(send(address, "GET", "/healthz", &[], b"").body, b"ok\n");
    terminate(pid);
    wait_until(|| !pid_file.exists());
    let log = folder.path().join("serve.log");
    wait_until(|| fs::read_to_string(&log).unwrap().contains("stopped"));
    assert_eq!(mode(&log), 0o600);
}

#[test]
fn a_buildsets_registry_has_an_end_and_a_sites_does_not_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let config = || fs::read_to_string(folder.path().join("config.yaml")).unwrap();
    let has = |line: &str| config().lines().any(|found| found == line);
    init(folder.path(), &HOST);
    assert!(has("max_lifetime: 24h") && has("  durability: process"), "{}", config());
    let site = init(folder.path(), &[HOST[0], HOST[1], "--site"]);
    assert_eq!(site["changed"], true);
    assert!(has("#max_lifetime: 24h") && has("  durability: commit"), "{}", config());
    assert_eq!(init(folder.path(), &[HOST[0], HOST[1], "--site"])["changed"], false);
}

#[test]
fn files_with_secrets_that_everybody_can_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &HOST);
    let said = |file: &str| {
        let output =
            registry(&["serve", "--max-lifetime", "0s", "--listen", "127.0.0.1:0", "--root"])
                .arg(folder.path())
                .output()
                .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().any(|line| line.contains(file) && line.contains("everybody here can read"))
    };
    for file in ["config.yaml", "token.key", "tls/server.key"] {
        assert!(!said(file), "{file}");
        let path = folder.path().join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(file), "{file}");
    }
}

#[test]
fn a_lifetime_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    // The option wins over the configuration.
    for (configured, option) in [("1s", &[][..]), ("24h", &["--max-lifetime", "1s"])] {
        let text = format!("storage: {{folder: s}}\ntoken_key: k\nmax_lifetime: {configured}\n");
        fs::write(&file, text).unwrap();
        let output = registry(&["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .args(option)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), 1);
    }
}
