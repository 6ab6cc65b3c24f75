use std::fs;
use std::process::Stdio;

use http::Method;
use tokio::sync::watch;

use super::shown;
use crate::support::faulty::{Fault, Faulty};
use crate::support::layouts::{archive, files};
use crate::support::programs::program;
use crate::support::sample::{self, Sample};
use crate::support::wait::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_passes_through_little_memory() {
    let (image, bytes) = large();
    passes(&image, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_a_compressed_one() {
    let (image, bytes) = large();
    passes(&image, &stored(&bytes)).await;
}

/// An image of which more moves at once than would fit, and its archive.
fn large() -> (Sample, Vec<u8>) {
    const LAYER: usize = 16 << 20;
    let layers: Vec<_> = (0..8).map(|n| sample::bytes(&format!("layer {n}"), LAYER)).collect();
    let image = sample::image("large", &layers);
    let place = tempfile::tempdir().unwrap();
    let path = archive(&place.path().join("a.tar"), &files(&[(None, &image)]));
    (image, fs::read(path).unwrap())
}

async fn passes(image: &Sample, archive: &[u8]) {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("archive");
    fs::write(&source, archive).unwrap();
    let to = Faulty::start().await;
    let (go_on, gate) = watch::channel(false);
    to.fault(1, Method::PUT, "/manifests/t", Fault::Hold(gate));
    let registry = to.registry().to_string();
    let mut copying = program("intermediate-registry-sync")
        .args(["copy", "--no-ambient-config", "--plain-http", &registry])
        .args([shown("oci-archive", &source), format!("{registry}/a:t")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| to.count(Method::PUT, "/manifests/t") == 1);
    let status = fs::read_to_string(format!("/proc/{}/status", copying.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    go_on.send(true).unwrap();
    assert!(copying.wait().unwrap().success());
    assert!(peak < 64 * 1024, "{peak} KiB");
    assert_eq!(to.memory.tag("a", "t").unwrap(), image.root.digest().as_str());
}

/// In the form of gzip, but as it is (RFC 1951, section 3.2.4): packing random bytes takes long.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for block in bytes.chunks(60_000) {
        let length = u16::try_from(block.len()).unwrap();
        packed.push(0);
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    // An empty one is the last; then checksum and length.
    packed.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    packed
}
