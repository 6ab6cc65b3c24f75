//! zuul-registry, which sites use as their intermediate registry today, over TLS and with its users.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::init;
use super::programs::file;

/// It needs more than a second, and on a busy machine many.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user that may write; its password is [`PASSWORD`].
pub const WRITER: &str = "writer";

/// The user that may read; its password is [`PASSWORD`].
pub const READER: &str = "reader";

pub const PASSWORD: &str = "zuul-registrys-password";

/// A running zuul-registry; killed and forgotten when dropped.
pub struct ZuulRegistry {
    /// `127.0.0.1:PORT`.
    pub address: String,
    port: u16,
    ca: Value,
    process: Child,
    folder: TempDir,
}

impl ZuulRegistry {
    /// As sites run it: who has no login reads nothing.
    pub fn start() -> Self {
        Self::start_with(&[(WRITER, "write"), (READER, "read")])
    }

    /// Without a user that only reads, which lets everybody read.
    pub fn start_open() -> Self {
        Self::start_with(&[(WRITER, "write")])
    }

    fn start_with(users: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&folder.path().join("root"), &["--host", "127.0.0.1"]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let users: Vec<Value> = users
            .iter()
            .map(|(name, access)| json!({"name": name, "pass": PASSWORD, "access": access}))
            .collect();
        let config = json!({"registry": {"address": "127.0.0.1", "port": port,
            "public-url": format!("https://127.0.0.1:{port}"), "secret": "its-secret",
            "tls-cert": path("root/tls/server.pem"), "tls-key": path("root/tls/server.key"),
            "users": users, "storage": {"driver": "filesystem", "root": path("images")}}});
        let config = file(folder.path(), "registry.yaml", &config.to_string());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("zuul-registry")
            .arg("-c")
            .arg(config)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("`zuul-registry` is needed: tests/install-tools installs it");
        let ca = made["connection"]["cert"].clone();
        let mut started = Self { address: format!("127.0.0.1:{port}"), port, ca, process, folder };
        started.wait();
        started
    }

    /// The CONNECTION file of one of its users.
    pub fn connection(&self, user: &str, password: &str) -> PathBuf {
        let connection = json!({"host": "127.0.0.1", "port": self.port, "username": user,
            "password": password, "cert": self.ca});
        file(self.folder.path(), &format!("{user}.json"), &connection.to_string())
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&self.address).is_err() {
            let ended = self.process.try_wait().unwrap();
            let said = || fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(ended.is_none(), "zuul-registry did not start: {}", said());
            assert!(Instant::now() < deadline, "zuul-registry does not listen: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for ZuulRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
