//! Content to push: as long as wanted, different each time, made without work while time is taken.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use zuul_images::oci::{Algorithm, Digest, Digester};

use super::Outcome;

/// What content repeats; nobody here compresses.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(SLICE);
    while block.len() < SLICE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
});

const SLICE: usize = 256 * 1024;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Bytes with their digest.
#[derive(Debug, Clone)]
pub struct Content {
    pub size: u64,
    pub digest: Digest,
    start: Vec<u8>,
}

impl Content {
    /// Content of this size that nobody has seen.
    pub fn new(size: u64) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Copiers compress layers that do not look compressed.
        let mut start = b"\x1f\x8b\x08".to_vec();
        start.extend(format!("-{}-{number}-", std::process::id()).into_bytes());
        Self::starting(start, size)
    }

    /// Exactly these bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        Self::starting(bytes, size)
    }

    fn starting(start: Vec<u8>, size: u64) -> Self {
        let mut content = Self { size, digest: Digest::sha256(b""), start };
        let mut digester = Digester::new(Algorithm::Sha256);
        content.slices().for_each(|slice| digester.update(slice));
        content.digest = digester.finish();
        content
    }

    pub fn write_to(&self, path: &Path) -> Outcome<()> {
        let mut file = File::create(path)?;
        Ok(self.slices().try_for_each(|slice| file.write_all(slice))?)
    }

    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let start = &self.start[..self.start.len().min(self.size as usize)];
        let mut rest = self.size as usize - start.len();
        let repeated = std::iter::from_fn(move || {
            let length = rest.min(SLICE);
            rest -= length;
            (length > 0).then(|| &BLOCK[..length])
        });
        std::iter::once(start).chain(repeated)
    }
}
