//! How much memory a copy takes.

use std::process::{Child, Stdio};
use std::time::Duration;

use bytes::Bytes;

use crate::support::programs::{RegistryProcess, json, program};
use crate::support::sample;
use crate::support::upstream::Upstream;

const MIB: usize = 1024 * 1024;

/// The most memory the process had at once, in KiB, as Linux counts it; asked until it has ended.
fn peak(child: &mut Child) -> usize {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = size.unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

#[test]
fn eight_large_blobs_at_once_take_less_than_64_mib() {
    let from = Upstream::start();
    let to = RegistryProcess::start();
    let layer = |number| sample::bytes(&format!("layer-{number}"), 24 * MIB);
    let image = sample::image("large", &(0..8).map(layer).collect::<Vec<Bytes>>());
    from.faulty.memory.hold("org/a", "t", &image);
    let source = from.faulty.registry().to_string();
    let mut child = program("intermediate-registry-sync")
        .args(["copy", "--no-ambient-config", "--parallel", "8"])
        .args(["--plain-http", &source, "--ca-file", &to.ca_file(), "--credentials"])
        .arg(to.credentials())
        .args([format!("{source}/org/a:t"), format!("{}/org/a:t", to.address)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let peak = peak(&mut child);
    let document = json(&child.wait_with_output().unwrap());
    assert_eq!(document["totals"]["blobs_moved"], 9);
    assert!(document["totals"]["bytes_moved"].as_u64().unwrap() > 8 * 24 * MIB as u64);
    assert!(peak > 0 && peak < 64 * 1024, "{peak} KiB");
}
