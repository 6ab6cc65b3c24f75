//! The folder a registry runs from, when it is not as `init` left it or several make it at once.

use std::fs;
use std::path::Path;

use serde_json::Value;
use zuul_images::zuul::Connection;

use crate::support::images::{push_image, repository};
use crate::support::process::{Served, init, serve_in_vain, try_init};

const HOST: [&str; 2] = ["--host", "127.0.0.1"];

fn files(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "init.lock").collect();
    names.sort();
    names
}

fn exit_2(root: &Path, options: &[&str]) -> String {
    let output = try_init(root, options);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn init_refuses_a_configuration_that_is_none_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    for text in [&b"x"[..], b"", b"\xff", b"storage: {folder: s}\n"] {
        fs::write(&file, text).unwrap();
        let said = exit_2(folder.path(), &HOST);
        assert!(said.contains("config.yaml") && said.contains("remove it"), "{said}");
        assert_eq!(files(folder.path()), ["config.yaml"]);
        assert_eq!(fs::read(&file).unwrap(), text);
    }
}

#[test]
fn init_refuses_a_configuration_without_the_login_of_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let with = |users: &str| {
        let text = format!("storage: {{folder: s}}\ntoken_key: token.key\nusers: [{users}]\n");
        fs::write(&file, text).unwrap();
    };
    with("{name: other, pass: hunter2, access: write}");
    let said = exit_2(folder.path(), &HOST);
    assert!(said.contains("config.yaml") && said.contains("`zuul` is not in it"), "{said}");
    assert_eq!(files(folder.path()), ["config.yaml"]);

    with("{name: zuul, pass: hunter2, access: write}");
    assert_eq!(init(folder.path(), &HOST)["connection"]["password"], "hunter2");
    with("{name: zuul, pass: hunter3, access: write}");
    let said = exit_2(folder.path(), &HOST);
    assert!(said.contains("connection.json") && said.contains("remove it"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn an_init_that_was_interrupted_before_the_connection_is_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    let first = init(folder.path(), &HOST);
    let connection = folder.path().join("connection.json");
    for options in [&["--host", "127.0.0.1"][..], &["--host", "127.0.0.1", "--port", "5001"]] {
        fs::remove_file(&connection).unwrap();
        let again = init(folder.path(), options);
        assert_eq!(first["connection"]["password"], again["connection"]["password"]);
        let config = fs::read_to_string(folder.path().join("config.yaml")).unwrap();
        assert!(config.contains(&format!("port: {}\n", again["connection"]["port"])), "{config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_inits_at_once_make_one_root_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let made: Vec<Value> = std::thread::scope(|scope| {
        let inits: Vec<_> = (0..8).map(|_| scope.spawn(|| init(&root, &HOST))).collect();
        inits.into_iter().map(|init| init.join().unwrap()).collect()
    });
    for one in &made {
        assert_eq!(one["connection"], made[0]["connection"]);
    }
    assert_eq!(made.iter().filter(|one| one["changed"] == true).count(), 1);
    let served = Served::start(&["--root", root.to_str().unwrap()]);
    let mut connection = Connection::read(&root.join("connection.json")).unwrap();
    assert_eq!(serde_json::to_value(&connection).unwrap(), made[0]["connection"]);
    connection.port = served.address.port();
    push_image(&repository(&connection, "a"), Some("latest"), "seed", "linux/amd64").await;
}

#[test]
fn key_and_certificate_files_that_cannot_be_used_are_exit_2_and_made_anew_by_init() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(folder.path(), &HOST);
    init(other.path(), &HOST);
    let foreign = fs::read(other.path().join("tls/server.key")).unwrap();
    for (name, content) in [
        ("token.key", &b"ten bytes!"[..]),
        ("token.key", &[0; 32]),
        ("tls/server.key", b""),
        ("tls/server.key", &foreign),
        ("tls/server.pem", b""),
        ("tls/server.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
        for output in serve_in_vain(&["--root", folder.path().to_str().unwrap()], 2) {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(name) && said.contains("init` again"), "{said}");
        }
        assert_eq!(init(folder.path(), &HOST)["changed"], true, "{name}");
        Served::start(&["--root", folder.path().to_str().unwrap()]).kill();
    }
}
