//! Where a row is played: two registries with a proxy each, a blob store, and an image.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use zuul_images::oci::Digest;

use super::Side;
use super::standing::Standing;
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

/// One turn of a row.
pub struct Scene {
    /// The proxy before the source.
    pub source: Faulty,
    /// The proxy before the destination.
    pub destination: Faulty,
    /// The registry with the fault under another name, without any.
    pub beside: Faulty,
    /// A blob store that anybody may read, and that holds the image.
    pub store: Faulty,
    /// The destination itself.
    pub to: Standing,
    pub repository: String,
    pub image: Sample,
    pub older: Sample,
    /// Which of the two it is that goes wrong.
    pub side: Side,
}

pub const TAG: &str = "latest";

/// Where the fault does not depend on how often.
pub const ALWAYS: usize = usize::MAX;

/// What stands in the URLs of a blob store and is nobody's business.
pub const SIGNATURE: &str = "X-Amz-Signature=5ignature";

impl Scene {
    pub async fn new(
        side: Side,
        from: Standing,
        to: Standing,
        repository: String,
        size: usize,
    ) -> Self {
        let faulty = if side == Side::Source { from } else { to };
        let proxies = [from, to, faulty].map(|place| Faulty::before(place.0));
        let [source, destination, beside] = join_all(proxies).await.try_into().ok().unwrap();
        let store = Faulty::start().await;
        let image = image(&repository, size);
        store.memory.hold(&repository, TAG, &image);
        let older = sample::image(&format!("older {repository}"), &[]);
        Self { source, destination, beside, store, to, repository, image, older, side }
    }

    /// The proxy of the side that goes wrong.
    pub fn faulty(&self) -> &Faulty {
        if self.side == Side::Source { &self.source } else { &self.destination }
    }

    /// The next request of this method whose path and query hold `path` goes wrong.
    pub fn once(&self, method: Method, path: impl AsRef<str>, fault: Fault) {
        self.times(1, method, path, fault);
    }

    /// All do.
    pub fn always(&self, method: Method, path: impl AsRef<str>, fault: Fault) {
        self.times(ALWAYS, method, path, fault);
    }

    /// The next so many do.
    pub fn times(&self, times: usize, method: Method, path: impl AsRef<str>, fault: Fault) {
        self.faulty().fault(times, method, path.as_ref(), fault);
    }

    /// The next so many transfers of the large layer go wrong: its GET at the source, its PUT at the
    /// destination.
    pub fn transfers(&self, times: usize, fault: Fault) {
        self.times(times, self.transfer(), self.large(), fault);
    }

    pub fn transfer(&self) -> Method {
        if self.side == Side::Source { Method::GET } else { Method::PUT }
    }

    /// How often there were requests of this method whose path and query hold `path`.
    pub fn count(&self, method: Method, path: impl AsRef<str>) -> usize {
        self.faulty().count(method, path.as_ref())
    }

    /// The large layer's digest, without its algorithm, so that it is the same in path and query.
    pub fn large(&self) -> String {
        hex(&self.image.blobs[1])
    }

    pub fn large_bytes(&self) -> Bytes {
        self.image.blobs[1].clone()
    }

    /// The digest of the first child, without its algorithm.
    pub fn child(&self) -> String {
        hex(self.image.below[0].bytes())
    }

    /// Where the store has the large layer.
    pub fn signed_url(&self) -> String {
        let Self { store, repository, .. } = self;
        format!("http://{}{}?{SIGNATURE}", store.address, blob_path(repository, &self.large()))
    }

    /// The `Range` headers that were sent.
    pub fn ranges(&self) -> Vec<String> {
        let recorded = self.faulty().recorded();
        let ranges = recorded.iter().filter_map(|one| one.headers.get("range"));
        ranges.map(|range| range.to_str().unwrap().to_owned()).collect()
    }
}

pub fn blob_path(repository: &str, hex: &str) -> String {
    format!("/v2/{repository}/blobs/sha256:{hex}")
}

/// Two platforms, three layers; the first is the large one.
fn image(seed: &str, size: usize) -> Sample {
    let layer = |name: &str, size| sample::bytes(&format!("{name} {seed}"), size);
    let one = sample::image(&format!("one {seed}"), &[layer("large", size), layer("small", 500)]);
    let other = sample::image(&format!("other {seed}"), &[layer("other", 100_000)]);
    sample::index(&[("amd64", one), ("arm64", other)])
}

fn hex(bytes: &Bytes) -> String {
    Digest::sha256(bytes).as_str().trim_start_matches("sha256:").to_owned()
}
