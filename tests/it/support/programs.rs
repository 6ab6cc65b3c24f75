//! The real programs: a registry that is started and ended, and the clients with their JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Served, init};

/// A registry with a login and a certificate, and the files that clients of it need.
pub struct RegistryProcess {
    process: Served,
    folder: TempDir,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl RegistryProcess {
    /// `init`, then `serve`; returns when it answers.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With these lines at the end of its configuration.
    pub fn start_with(more: &str) -> Self {
        Self::start_as(&[], more)
    }

    /// As a site's registry.
    pub fn start_for_site(more: &str) -> Self {
        Self::start_as(&["--site"], more)
    }

    fn start_as(options: &[&str], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let connection = init(&root, &[&["--host", "127.0.0.1"], options].concat());
        let connection = &connection["connection"];
        let config = root.join("config.yaml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text + more).unwrap();
        let process = Served::start(&["--root", root.to_str().unwrap()]);
        let address = process.address.to_string();
        let registry = Self { process, folder, address };
        registry.write("ca.pem", connection["cert"].as_str().unwrap());
        registry.tell(connection);
        registry
    }

    /// Ends it and starts it again, on another port.
    pub fn restart(&mut self) {
        super::process::terminate(self.process.id());
        self.process.wait();
        let connection = std::fs::read(self.root().join("connection.json")).unwrap();
        self.process = Served::start(&["--root", self.root().to_str().unwrap()]);
        self.address = self.process.address.to_string();
        self.tell(&serde_json::from_slice(&connection).unwrap());
    }

    /// Writes the files that clients need.
    fn tell(&self, connection: &Value) {
        let mut connection = connection.clone();
        connection["port"] = self.process.address.port().into();
        self.write("connection.json", &connection.to_string());
        let login = serde_json::json!({ &self.address: {
            "username": connection["username"], "password": connection["password"]}});
        self.write("credentials.json", &login.to_string());
    }

    /// Its authority.
    pub fn ca_pem(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The folder it runs from.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
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
        format!("{}={}", self.address, self.ca_pem().display())
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
