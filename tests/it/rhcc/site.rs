//! Two of our registries, a catalog, and what makes public in the one what was certified in the other.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::{Digest, Manifest};
use zuul_images::registry::{Level, User};

use super::catalog::{Catalog, KEY};
use crate::publish_index;
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::programs::{self, file, program};
use crate::support::registry::Registry;
use crate::support::sample::{Sample, index};

pub const UPLOAD: &str = "isv/p1";
pub const PUBLIC: &str = "vendor/img";
pub const TAGS: [&str; 3] = ["7.6.1-1", "7.6.1-rhcc", "7.6.1"];
pub const REGISTRY_KEY: &str = "the-registry-key";

/// The upload registry, the public registry, the catalog, and `preflight` as it behaves.
pub struct Site {
    pub upload: Arc<Place>,
    pub public: Arc<Place>,
    pub catalog: Arc<Catalog>,
    pub delay: Arc<Delay>,
    pub folder: TempDir,
    publisher: Option<JoinHandle<()>>,
}

/// One of our registries, behind a server that keeps what was asked and does wrong where it is told to.
pub struct Place {
    registry: Registry,
    front: Faulty,
}

/// What lies between the two registries.
pub struct Delay {
    /// Nothing becomes public any more.
    pub is_shut: AtomicBool,
    /// How often customers have to look at a tag until it is.
    pub looks: AtomicUsize,
    is_over: AtomicBool,
}

impl Site {
    /// The source has two architectures; the floating tags hold an older image, which is public.
    pub async fn new() -> Self {
        let (upload, public) = (Arc::new(Place::start().await), Arc::new(Place::start().await));
        upload.hold("internal/img", "7.6.1-4321", &new());
        upload.hold_all(UPLOAD, &TAGS[1..], &old());
        public.hold_all(PUBLIC, &TAGS[1..], &old());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("control")).unwrap();
        let catalog = Arc::new(Catalog::start(folder.path()));
        let delay = Arc::new(Delay {
            is_shut: AtomicBool::new(false),
            looks: AtomicUsize::new(3),
            is_over: AtomicBool::new(false),
        });
        let publisher = Publisher {
            upload: Arc::clone(&upload),
            public: Arc::clone(&public),
            catalog: Arc::clone(&catalog),
            delay: Arc::clone(&delay),
        };
        let publisher = Some(std::thread::spawn(move || publisher.run()));
        let site = Self { upload, public, catalog, delay, folder, publisher };
        site.configure(&json!({
            "products": {"img": {"image_basename": "img", "project_id": "p1", "registry_key": REGISTRY_KEY}},
            "rhcc": {"api_key": KEY}}));
        site
    }

    pub fn configure(&self, config: &Value) {
        file(self.folder.path(), "config.json", &config.to_string());
    }

    /// Says what preflight finds.
    pub fn control(&self, name: &str, text: &str) {
        file(&self.path("control"), name, text);
    }

    pub fn uncontrol(&self, name: &str) {
        std::fs::remove_file(self.path("control").join(name)).unwrap();
    }

    pub fn shut(&self) {
        self.delay.is_shut.store(true, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.delay.is_shut.store(false, Ordering::SeqCst);
    }

    /// A verb with what every one needs that speaks to registries.
    pub fn bare(&self, verb: &str) -> Command {
        let mut command = program("certify-rhcc-image");
        command.arg(verb).args(["--no-ambient-config", "--pyxis-url"]);
        command.arg(self.catalog.url());
        for place in [&self.upload, &self.public] {
            command.args(["--plain-http", &place.registry().to_string()]);
        }
        let trusted =
            format!("{}={}", self.catalog.web.address, self.catalog.certificate.display());
        command.args(["--ca-file", &trusted, "--config"]).arg(self.path("config.json"));
        command.arg(format!("--upload-repository={}/{UPLOAD}", self.upload.registry()));
        command.arg(format!("--public-repository={}/{PUBLIC}", self.public.registry()));
        command
    }

    pub fn running(&self, verb: &str, more: &[&str]) -> Command {
        let preflight = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/preflight");
        let mut command = self.bare(verb);
        for usual in ["--retries=0", "--settle=0s"] {
            let option = usual.split_once('=').map_or(usual, |(option, _)| option);
            command.args((!more.iter().any(|it| it.starts_with(option))).then_some(usual));
        }
        command
            .args(["--poll-interval=0s", "--preflight-env=CONTROL"])
            .env("CONTROL", self.path("control"))
            .env("SSL_CERT_FILE", &self.catalog.certificate)
            .arg("--journal")
            .arg(self.path("journal.json"));
        if !more.iter().any(|it| it.starts_with("--preflight=")) {
            command.arg("--preflight").arg(preflight);
        }
        command.args(more);
        command
    }

    pub fn publication(&self, more: &[&str]) -> Command {
        let mut command = self.running("publish", more);
        command.args(["--base=7.6.1", "--product=img"]);
        if !more.iter().any(|it| it.starts_with("--source=")) {
            command.arg(format!("--source={}/internal/img:7.6.1-4321", self.upload.registry()));
        }
        command
    }

    pub async fn publish(&self, more: &[&str]) -> Output {
        run(self.publication(more)).await
    }

    pub async fn resume(&self, more: &[&str]) -> Output {
        run(self.running("resume", more)).await
    }

    /// `resume` where there is a journal, else once more.
    pub async fn go_on(&self) -> Value {
        let command = match self.path("journal.json").exists() {
            true => self.running("resume", &[]),
            false => self.publication(&[]),
        };
        done(&run(command).await)
    }

    /// A run that nobody waits for.
    pub fn spawn(&self, more: &[&str]) -> Child {
        let mut command = self.publication(more);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn held(&self, tag: &str) -> Option<String> {
        self.upload.tag(UPLOAD, tag)
    }

    pub fn served(&self, tag: &str) -> Option<String> {
        self.public.tag(PUBLIC, tag)
    }

    /// The tags and digests written, in order; what is sent without a login is refused.
    pub fn puts(&self) -> Vec<String> {
        let recorded = self.upload.recorded().into_iter();
        let puts = recorded.filter(|it| {
            let is_put = it.method == Method::PUT && it.path.contains("/manifests/");
            is_put && it.headers.contains_key("authorization")
        });
        puts.map(|it| it.path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    pub fn tag_puts(&self) -> Vec<String> {
        self.puts().into_iter().filter(|it| !it.starts_with("sha256:")).collect()
    }

    /// How preflight was run.
    pub fn runs(&self) -> Vec<String> {
        let runs = std::fs::read_to_string(self.path("control/runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All tags at both registries are what was certified, and the catalog knows each architecture once.
    pub fn assert_done(&self) {
        for tag in TAGS {
            assert_eq!(self.held(tag).unwrap(), new().root.digest().as_str(), "{tag}");
            assert_eq!(self.served(tag).unwrap(), new().root.digest().as_str(), "{tag}");
        }
        let images = self.catalog.images();
        assert_eq!(images.len(), 2, "{images:?}");
        assert!(images.iter().all(|image| image["certified"] == true), "{images:?}");
    }

    /// No floating tag was touched.
    pub fn assert_not_moved(&self) {
        for tag in &TAGS[1..] {
            assert_eq!(self.held(tag).unwrap(), old().root.digest().as_str(), "{tag}");
        }
    }

    /// A floating tag holds what it held, or what is certified and public.
    pub fn assert_safe(&self) {
        let moved = |tag: &&&str| self.held(tag).unwrap() == new().root.digest().as_str();
        if TAGS[1..].iter().filter(moved).count() == 0 {
            return self.assert_not_moved();
        }
        assert!(self.catalog.publishes(&digests(&new().root)));
        assert_eq!(self.served(TAGS[0]).as_deref(), Some(new().root.digest().as_str()));
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.delay.is_over.store(true, Ordering::SeqCst);
        // A test that failed says so itself.
        let _ = self.publisher.take().map(JoinHandle::join);
    }
}

impl Place {
    async fn start() -> Self {
        let registry = Registry::start_with(|config| {
            config.users.push(User {
                name: "redhat-isv-containers+p1-robot".to_owned(),
                password: REGISTRY_KEY.to_owned(),
                access: Level::Write,
                repositories: None,
            });
        });
        let front = Faulty::before(registry.address).await;
        Self { registry, front }
    }

    /// Puts an image there.
    pub fn hold(&self, repository: &str, tag: &str, sample: &Sample) {
        self.hold_all(repository, &[tag], sample);
    }

    pub fn hold_all(&self, repository: &str, tags: &[&str], sample: &Sample) {
        for blob in &sample.blobs {
            self.registry.push_blob(repository, blob);
        }
        for manifest in &sample.below {
            self.put(repository, manifest.digest().as_str(), manifest.bytes());
        }
        for tag in tags {
            self.put(repository, tag, sample.root.bytes());
        }
    }

    fn put(&self, repository: &str, reference: &str, manifest: &[u8]) {
        let answer = self.registry.put_manifest(repository, reference, manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let bytes = self.bytes(repository, &format!("manifests/{tag}"))?;
        Some(Digest::sha256(&bytes).to_string())
    }

    /// `manifests/…` or `blobs/…`
    pub fn bytes(&self, repository: &str, path: &str) -> Option<Vec<u8>> {
        let answer = self.registry.anonymous("GET", &format!("/v2/{repository}/{path}"));
        (answer.status == 200).then_some(answer.body)
    }
}

impl Deref for Place {
    type Target = Faulty;

    fn deref(&self) -> &Faulty {
        &self.front
    }
}

struct Publisher {
    upload: Arc<Place>,
    public: Arc<Place>,
    catalog: Arc<Catalog>,
    delay: Arc<Delay>,
}

impl Publisher {
    fn run(&self) {
        while !self.delay.is_over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            for tag in TAGS.iter().filter(|_| !self.delay.is_shut.load(Ordering::SeqCst)) {
                self.publish(tag);
            }
        }
    }

    fn publish(&self, tag: &str) {
        let path = format!("manifests/{tag}");
        let looks = self.public.count(Method::HEAD, &format!("{PUBLIC}/{path}"));
        let (held, served) = (self.upload.bytes(UPLOAD, &path), self.public.bytes(PUBLIC, &path));
        let Some(held) = held.filter(|_| looks >= self.delay.looks.load(Ordering::SeqCst)) else {
            return;
        };
        let manifest = Manifest::parse(held.clone().into(), None).unwrap();
        let is_old = manifest.digest() == old().root.digest();
        if served.as_ref() == Some(&held)
            || !(is_old || self.catalog.publishes(&digests(&manifest)))
        {
            return;
        }
        for child in manifest.children() {
            let path = format!("manifests/{}", child.digest);
            let child = self.upload.bytes(UPLOAD, &path).unwrap();
            self.carry(&Manifest::parse(child.into(), None).unwrap());
        }
        self.carry(&manifest);
        self.public.put(PUBLIC, tag, &held);
    }

    /// With all its blobs, by digest.
    fn carry(&self, manifest: &Manifest) {
        for blob in manifest.blobs() {
            let bytes = self.upload.bytes(UPLOAD, &format!("blobs/{}", blob.digest)).unwrap();
            self.public.registry.push_blob(PUBLIC, &bytes);
        }
        self.public.put(PUBLIC, manifest.digest().as_str(), manifest.bytes());
    }
}

/// What the catalog knows an image by: its images for single architectures.
fn digests(manifest: &Manifest) -> Vec<String> {
    match manifest.children() {
        [] => vec![manifest.digest().to_string()],
        children => children.iter().map(|child| child.digest.to_string()).collect(),
    }
}

pub fn architectures() -> [(&'static str, Sample); 2] {
    ["amd64", "arm64"].map(|it| (it, publish_index::image("new", it)))
}

pub fn new() -> Sample {
    index(&architectures())
}

pub fn old() -> Sample {
    index(&["amd64", "arm64"].map(|it| (it, publish_index::image("old", it))))
}

/// What another publisher would push.
pub fn third() -> Sample {
    index(&[("amd64", publish_index::image("third", "amd64"))])
}

pub async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub fn done(output: &Output) -> Value {
    let document = programs::json(output);
    documented(&document);
    no_secret_in(output);
    document
}

pub fn failed(output: &Output, code: i32) -> (Value, String) {
    let (document, said) = programs::failure(output, code);
    if code != 2 {
        documented(&document);
    }
    no_secret_in(output);
    (document, said)
}

fn no_secret_in(output: &Output) {
    for secret in [KEY, REGISTRY_KEY] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains(secret), "{said}");
    }
}
