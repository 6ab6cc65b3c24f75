//! The real programs: a registry that is started and ended, and the clients with their JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Served, init};

/// A registry with a login and a certificate, and the files that clients of it need.
pub struct RegistryProcess {
    _process: Served,
    folder: TempDir,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl RegistryProcess {
    /// `init`, then `serve`; returns when it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let mut connection = init(&root, &["--host", "127.0.0.1"])["connection"].take();
        let process = Served::start(&["--root", root.to_str().unwrap()]);
        let address = process.address.to_string();
        connection["port"] = process.address.port().into();
        let registry = Self { _process: process, folder, address };
        registry.write("connection.json", &connection.to_string());
        registry.write("ca.pem", connection["cert"].as_str().unwrap());
        let login = serde_json::json!({ &registry.address: {
            "username": connection["username"], "password": connection["password"]}});
        registry.write("credentials.json", &login.to_string());
        registry
    }

    /// The CONNECTION file.
    pub fn connection(&self) -> PathBuf {
        self.folder.path().join("connection.json")
    }

    /// `container_registry_credentials` with its login.
    pub fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials.json")
    }

    /// The value of `--ca-file`.
    pub fn ca_file(&self) -> String {
        format!("{}={}", self.address, self.folder.path().join("ca.pem").display())
    }

    /// What the CONNECTION file holds.
    pub fn login(&self) -> zuul_images::zuul::Connection {
        zuul_images::zuul::Connection::read(&self.connection()).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

/// One of the programs, deaf to the configuration of whoever runs the tests.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin(name));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    command
}

/// The document of a program that must have succeeded.
pub fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    document(output)
}

/// The document of a program that must have ended with `code`, and what it said on stderr.
pub fn failure(output: &Output, code: i32) -> (Value, String) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}\n{said}", text(&output.stdout));
    let document = if code == 2 { Value::Null } else { document(output) };
    (document, said)
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file with `text` in `folder`.
pub fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
