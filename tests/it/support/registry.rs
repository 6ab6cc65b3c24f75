//! A registry in this process, on plain HTTP and a free port of 127.0.0.1.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tempfile::TempDir;
use tokio::sync::oneshot;
use zuul_images::oci::Digest;
use zuul_images::registry::config::Period;
use zuul_images::registry::{Config, Level, Service, User};
use zuul_images::serve::Drained;

use super::http::{Answer, open, send};

/// A running registry; ends with its value.
pub struct Registry {
    pub address: SocketAddr,
    pub folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Drained>>,
}

/// The user that may write; its password is `secret`.
pub const WRITER: &str = "zuul";

/// The user that may read; its password is `secret`.
pub const READER: &str = "reader";

impl Registry {
    /// Anybody may pull, `zuul` may push.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With a change to the configuration.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change)
    }

    /// In a folder that another registry left.
    pub fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(folder, change, |service| service)
    }

    /// With a service that drops uploads nobody has touched for so long.
    pub fn start_forgetting(after: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_as(folder, |_| {}, move |service| service.forgetting(after))
    }

    fn start_as(
        folder: TempDir,
        change: impl FnOnce(&mut Config),
        set: impl FnOnce(Service) -> Service + Send + 'static,
    ) -> Self {
        let user = |name: &str, access| User {
            name: name.to_owned(),
            password: "secret".to_owned(),
            access,
            repositories: None,
        };
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "storage: {folder: storage}\ntoken_key: token.key\n").unwrap();
        let mut config = Config::read(&file).unwrap();
        config.users = vec![user(WRITER, Level::Write), user(READER, Level::Read)];
        config.anonymous_pull = Some(true);
        config.body_idle = Period(Duration::from_secs(20));
        change(&mut config);
        let (stop, stopped) = oneshot::channel();
        let (say, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listen = "127.0.0.1:0".parse().unwrap();
                let service = Service::open(&config, &[listen]).await.unwrap();
                let service = set(service.draining(Duration::from_secs(5)));
                say.send(service.addresses()[0]).unwrap();
                let stop = async { drop(stopped.await) };
                service.run(stop).await.unwrap()
            })
        });
        let address = started.recv().unwrap();
        Self { address, folder, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to stop, and does not wait.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops it; running requests end first.
    pub fn end(mut self) -> (TempDir, Drained) {
        self.stop();
        let drained = self.thread.take().unwrap().join().unwrap();
        (std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()), drained)
    }

    /// Sends a request without a login.
    pub fn anonymous(&self, method: &str, path: &str) -> Answer {
        send(self.address, method, path, &[], b"")
    }

    /// Sends a request as the writer.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.with(method, path, &[], body)
    }

    /// Sends a request as the writer, with further headers.
    pub fn with(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let login = basic(WRITER, "secret");
        let mut headers = vec![("Authorization", login.as_str())];
        headers.extend_from_slice(more);
        send(self.address, method, path, &headers, body)
    }

    /// Sends the head of a request as the writer.
    pub fn open(&self, method: &str, path: &str, more: &[(&str, &str)]) -> std::net::TcpStream {
        let login = basic(WRITER, "secret");
        let mut headers = vec![("Authorization", login.as_str())];
        headers.extend_from_slice(more);
        open(self.address, method, path, &headers)
    }

    /// Pushes a blob in one request.
    pub fn push_blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = self.request("POST", &path, content);
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    /// Starts an upload and returns where it goes on.
    pub fn start_upload(&self, repository: &str) -> String {
        let answer = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), b"");
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").to_owned()
    }

    /// Pushes an image of one config and one layer, and returns its manifest.
    pub fn push_image(&self, repository: &str, reference: &str, seed: &str) -> Vec<u8> {
        let (config, layer) = (format!("config {seed}"), format!("layer {seed}"));
        self.push_blob(repository, config.as_bytes());
        self.push_blob(repository, layer.as_bytes());
        let manifest = image(config.as_bytes(), layer.as_bytes());
        let answer = self.put_manifest(repository, reference, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
        manifest
    }

    /// Pushes a manifest.
    pub fn put_manifest(&self, repository: &str, reference: &str, manifest: &[u8]) -> Answer {
        self.request("PUT", &format!("/v2/{repository}/manifests/{reference}"), manifest)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A test that failed says so itself.
            let _ = thread.join();
        }
    }
}

/// `Authorization: Basic`.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// An image manifest over this content, indented in a way no program writes it.
pub fn image(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let (config_size, layer_size) = (config.len(), layer.len());
    let (config, layer) = (Digest::sha256(config), Digest::sha256(layer));
    format!(
        r#"{{ "schemaVersion" :2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "{config}", "size": {config_size}}},
    "layers": [{{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "{layer}", "size": {layer_size}}}] }}
"#
    )
    .into_bytes()
}
