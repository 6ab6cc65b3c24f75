use std::process::Stdio;

use http::Method;
use tokio::sync::watch;

use super::shown;
use crate::support::faulty::{Fault, Faulty};
use crate::support::layouts::{archive, files};
use crate::support::programs::program;
use crate::support::sample;
use crate::support::wait::wait_until;

/// More of it moves at once than would fit.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_passes_through_little_memory() {
    const LAYER: usize = 16 << 20;
    let layers: Vec<_> = (0..8).map(|n| sample::bytes(&format!("layer {n}"), LAYER)).collect();
    let image = sample::image("large", &layers);
    let place = tempfile::tempdir().unwrap();
    let source = archive(&place.path().join("a.tar"), &files(&[(None, &image)]));
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
    let status = std::fs::read_to_string(format!("/proc/{}/status", copying.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    go_on.send(true).unwrap();
    assert!(copying.wait().unwrap().success());
    assert!(peak < 64 * 1024, "{peak} KiB");
    assert_eq!(to.memory.tag("a", "t").unwrap(), image.root.digest().as_str());
}
