//! A registry below the one under test, for tests that block.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use zuul_images::registry::Config;
use zuul_images::registry::config::Period;
use zuul_images::registry::config::namespaces::NamespaceConfig;

use super::faulty::{Fault, Faulty};
use super::registry::Registry;
use super::sample::{Sample, bytes, image};

/// A recording, fault-injecting registry on a runtime of its own.
pub struct Upstream {
    pub faulty: Faulty,
    _runtime: Runtime,
}

/// Holds an answer back until it is opened.
pub struct Gate(watch::Sender<bool>);

impl Upstream {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        Self { faulty: runtime.block_on(Faulty::start()), _runtime: runtime }
    }

    /// Asked as `name`.
    pub fn namespace(&self, name: &str) -> NamespaceConfig {
        namespace(name, self.faulty.address)
    }

    /// An image of one layer of `size` bytes, in `repository` under `tag`.
    pub fn hold(&self, repository: &str, tag: &str, seed: &str, size: usize) -> Sample {
        let sample = image(seed, &[bytes(seed, size)]);
        self.faulty.memory.hold(repository, tag, &sample);
        sample
    }

    /// Lets the next answer to a GET of `path` stop after so many bytes.
    pub fn pause(&self, path: &str, after: usize) -> Gate {
        let (open, gate) = watch::channel(false);
        self.faulty.fault(1, Method::GET, path, Fault::PauseAfter(after, gate));
        Gate(open)
    }

    /// Lets the next GET of `path` wait for its answer.
    pub fn hold_back(&self, path: &str) -> Gate {
        let (open, gate) = watch::channel(false);
        self.faulty.fault(1, Method::GET, path, Fault::Hold(gate));
        Gate(open)
    }

    /// How many GETs of blobs and manifests had `path` in their path.
    pub fn gets(&self, path: &str) -> usize {
        self.faulty.count(Method::GET, path)
    }

    /// How many HEADs of blobs and manifests had `path` in their path.
    pub fn heads(&self, path: &str) -> usize {
        self.faulty.count(Method::HEAD, path)
    }

    /// Nobody listens there any more.
    pub fn stop(self) {}
}

impl Gate {
    pub fn open(self) {
        self.0.send_replace(true);
    }
}

/// The registry at `address`, asked as `name`.
pub fn namespace(name: &str, address: SocketAddr) -> NamespaceConfig {
    NamespaceConfig {
        name: name.to_owned(),
        url: Some(format!("http://{address}")),
        ca: None,
        username: None,
        password: None,
        authfile: None,
        public: false,
        ttl: Period(Duration::from_secs(60)),
    }
}

/// A registry over this namespace, which notices soon when the other side stands still.
pub fn over(namespace: NamespaceConfig) -> Registry {
    over_with(namespace, |_| {})
}

/// With a change to the configuration.
pub fn over_with(namespace: NamespaceConfig, change: impl FnOnce(&mut Config)) -> Registry {
    Registry::start_with(|config| {
        config.namespaces.push(namespace);
        config.cache.idle = Period(Duration::from_secs(2));
        change(config);
    })
}

/// How many blobs are being fetched into the cache.
pub fn fetches(registry: &Registry) -> usize {
    let folder = registry.folder.path().join("storage/layers/cache/uploads");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A file of this size in a folder or below.
pub fn file_of_size(folder: &Path, size: u64) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let kind = entry.metadata().ok()?;
        match kind.is_dir() {
            true => file_of_size(&entry.path(), size),
            false => (kind.len() == size).then(|| entry.path()),
        }
    })
}
