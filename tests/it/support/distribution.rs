//! Debian's `docker-registry` (distribution 2.8), a registry nobody here wrote.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zuul_images::oci::Registry;

/// A running registry; killed and forgotten when dropped.
pub struct Distribution {
    pub port: u16,
    process: Child,
    folder: TempDir,
}

impl Distribution {
    /// Open for everybody.
    pub fn start() -> Self {
        Self::start_with("", |_| {})
    }

    /// Telling this URL of each change.
    pub fn start_notifying(url: &str) -> Self {
        let endpoint =
            format!("{{name: audit, url: '{url}', timeout: 1s, threshold: 3, backoff: 1s}}");
        Self::start_with(&format!("notifications: {{endpoints: [{endpoint}]}}\n"), |_| {})
    }

    /// For one user.
    pub fn start_for(user: &str, password: &str) -> Self {
        let hash = bcrypt::hash_with_result(password, 4).unwrap();
        let line = format!("{user}:{}\n", hash.format_for_version(bcrypt::Version::TwoY));
        Self::start_with("auth: {htpasswd: {realm: test, path: FOLDER/htpasswd}}\n", |folder| {
            std::fs::write(folder.join("htpasswd"), line).unwrap()
        })
    }

    fn start_with(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER/data}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{more}"
        );
        let path = folder.path().join("config.yml");
        let text = config.replace("FOLDER", &folder.path().display().to_string());
        std::fs::write(&path, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's `docker-registry` is needed: apt-get install docker-registry");
        let mut started = Self { port, process, folder };
        started.wait();
        started
    }

    pub fn registry(&self) -> Registry {
        Registry::new("127.0.0.1", Some(self.port)).unwrap()
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "docker-registry did not start");
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = &self.folder;
    }
}
