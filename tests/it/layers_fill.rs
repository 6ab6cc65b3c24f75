//! Fetching blobs from other registries: once however many ask, passed on while they come, kept only
//! when they are what they should be.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use zuul_images::oci::Digest;
use zuul_images::registry::config::{Period, Size};

use crate::support::faulty::Fault;
use crate::support::http::{Answer, open, receive, send};
use crate::support::registry::Registry;
use crate::support::sample::Sample;
use crate::support::upstream::{Upstream, fetches, file_of_size, over, over_with};
use crate::support::wait::wait_until;

const MIB: usize = 1024 * 1024;

fn layer(sample: &Sample) -> (Bytes, String) {
    let bytes = sample.blobs.last().unwrap().clone();
    let path = format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(&bytes));
    (bytes, path)
}

/// A registry over one that has an image with a layer of this size.
fn start(size: usize) -> (Upstream, Registry, Bytes, String) {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", size);
    let registry = over(upstream.namespace("quay.io"));
    let (bytes, path) = layer(&sample);
    (upstream, registry, bytes, path)
}

/// Asks, and reads the head and the first bytes of the body.
fn begin(registry: &Registry, path: &str, headers: &[(&str, &str)]) -> (TcpStream, Vec<u8>) {
    let mut stream = open(registry.address, "GET", path, headers);
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !read.windows(4).any(|four| four == b"\r\n\r\n") || read.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    (stream, read)
}

fn body_of(mut read: Vec<u8>, mut stream: TcpStream) -> Vec<u8> {
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut read);
    let head = read.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    read.split_off(head + 4)
}

/// Asks for something whose answer breaks off; the bytes that came.
fn broken(registry: &Registry, path: &str) -> (usize, Vec<u8>) {
    let (stream, read) = begin(registry, path, &[]);
    let head = String::from_utf8_lossy(&read).to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
    let length = length.parse().unwrap();
    (length, body_of(read, stream))
}

fn get(registry: &Registry, path: &str) -> Answer {
    registry.anonymous("GET", path)
}

#[test]
fn a_hundred_readers_cause_one_get_and_see_the_first_byte_before_the_last_has_come() {
    let (upstream, registry, bytes, path) = start(3 * MIB);
    let gate = upstream.pause("/blobs/", 128 * 1024);
    let readers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> =
            (0..100).map(|_| scope.spawn(|| begin(&registry, &path, &[]))).collect();
        asking.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    // All hundred hold the first bytes, and the other side has not sent the last one yet.
    gate.open();
    for (stream, read) in readers {
        assert!(body_of(read, stream) == bytes);
    }
    assert_eq!(upstream.gets("/blobs/"), 1);
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(upstream.gets("/blobs/"), 1);
}

#[test]
fn slow_and_vanished_readers_delay_and_cancel_nobody() {
    let (upstream, registry, bytes, path) = start(8 * MIB);
    let gate = upstream.pause("/blobs/", 256 * 1024);
    let (slow, slow_read) = begin(&registry, &path, &[]);
    drop(begin(&registry, &path, &[]));
    let (quick, quick_read) = begin(&registry, &path, &[]);
    gate.open();
    // The slow one reads nothing until the quick one has everything.
    assert!(body_of(quick_read, quick) == bytes);
    assert!(get(&registry, &path).body == bytes);
    assert!(body_of(slow_read, slow) == bytes);
    assert_eq!(upstream.gets("/blobs/"), 1);
}

#[test]
fn a_fetch_nobody_waits_for_ends_after_the_time_of_grace() {
    let upstream = Upstream::start();
    let (bytes, path) = layer(&upstream.hold("org/img", "1", "seed", 3 * MIB));
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.idle = Period(Duration::from_secs(60));
        config.cache.grace = Period(Duration::ZERO);
    });
    let gate = upstream.pause("/blobs/", 256 * 1024);
    let reader = begin(&registry, &path, &[]);
    assert_eq!(fetches(&registry), 1);
    drop(reader);
    wait_until(|| fetches(&registry) == 0);
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(upstream.gets("/blobs/"), 2);
    drop(gate);
}

#[test]
fn a_fetch_goes_on_for_a_while_without_its_readers() {
    let (upstream, registry, bytes, path) = start(3 * MIB);
    let gate = upstream.pause("/blobs/", 256 * 1024);
    drop(begin(&registry, &path, &[]));
    gate.open();
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(upstream.gets("/blobs/"), 1);
}

#[test]
fn wrong_content_resets_every_reader_and_is_not_kept() {
    let (upstream, registry, bytes, path) = start(MIB);
    let mut wrong = bytes.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let wrong = Fault::Body(wrong.into());
    upstream.faulty.fault(1, Method::GET, "/blobs/", wrong);
    let (length, body) = broken(&registry, &path);
    assert_eq!(length, MIB);
    assert!(body.len() < length, "the end of wrong content was sent");
    wait_until(|| fetches(&registry) == 0);
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(upstream.gets("/blobs/"), 2);
}

#[test]
fn a_download_that_breaks_is_taken_up_where_it_broke() {
    let (upstream, registry, bytes, path) = start(MIB);
    upstream.faulty.fault(1, Method::GET, "/blobs/", Fault::CutAfter(300_000));
    assert!(get(&registry, &path).body == bytes);
    let recorded = upstream.faulty.recorded();
    let ranges: Vec<_> =
        recorded.iter().filter_map(|request| request.headers.get("range")).collect();
    assert_eq!(ranges, ["bytes=300000-"]);
}

#[test]
fn one_that_never_comes_to_its_end_resets_its_readers() {
    for fault in [Fault::CutAfter(1000), Fault::StallAfter(1000)] {
        let upstream = Upstream::start();
        let (bytes, path) = layer(&upstream.hold("org/img", "1", "seed", MIB));
        let registry = over_with(upstream.namespace("quay.io"), |config| {
            config.cache.idle = Period(Duration::from_secs(1));
        });
        upstream.faulty.fault(50, Method::GET, "/blobs/", fault);
        // The range is not honoured either: the other side stands still for ever.
        let (length, body) = broken(&registry, &path);
        assert!(body.len() < length);
        assert!(upstream.gets("/blobs/") > 1, "it was not tried again");
        wait_until(|| fetches(&registry) == 0);
        upstream.faulty.forget_faults();
        assert!(get(&registry, &path).body == bytes);
    }
}

#[test]
fn a_size_that_is_a_lie_is_found_out() {
    let (upstream, registry, bytes, path) = start(MIB);
    let shorter = Fault::Body(bytes.slice(..MIB / 2));
    upstream.faulty.fault(1, Method::GET, "/blobs/", shorter);
    let (length, body) = broken(&registry, &path);
    assert!(length == MIB / 2 && body.len() < length);
    assert!(get(&registry, &path).body == bytes);
}

#[test]
fn parts_that_are_there_already_are_sent_at_once() {
    let (upstream, registry, bytes, path) = start(3 * MIB);
    let gate = upstream.pause("/blobs/", 512 * 1024);
    let first = begin(&registry, &path, &[]);
    let part = |range: &str| send(registry.address, "GET", &path, &[("Range", range)], b"");
    // Each is answered to its end while the other side holds back the rest.
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1000-200000", 1000..200_001),
        ("bytes=300000-300009", 300_000..300_010),
    ] {
        let answer = part(range);
        assert_eq!((answer.status, answer.body.len()), (206, expected.len()), "{range}");
        assert!(answer.body == bytes[expected.clone()]);
        let shown = format!("bytes {}-{}/{}", expected.start, expected.end - 1, 3 * MIB);
        assert_eq!(answer.header("content-range"), shown);
    }
    let outside = part("bytes=9000000-");
    assert_eq!((outside.status, outside.header("content-range")), (416, "bytes */3145728"));
    let later = open(registry.address, "GET", &path, &[("Range", "bytes=-10")]);
    gate.open();
    assert!(receive(later).body == bytes[3 * MIB - 10..]);
    assert!(body_of(first.1, first.0) == bytes);
    assert_eq!(upstream.gets("/blobs/"), 1);
}

#[test]
fn an_empty_blob_is_fetched_like_any_other() {
    let (upstream, registry, _, _) = start(10);
    upstream.faulty.memory.hold_blob("org/img", &Bytes::new());
    let path = format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(b""));
    for _ in 0..2 {
        let answer = get(&registry, &path);
        assert_eq!((answer.status, answer.header("content-length")), (200, "0"));
    }
    assert_eq!(upstream.gets("/blobs/"), 1);
}

#[test]
fn what_is_larger_than_may_be_kept_is_not_fetched() {
    let upstream = Upstream::start();
    let (_, path) = layer(&upstream.hold("org/img", "1", "seed", MIB));
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.blob_limit = Size(MIB as u64 - 1);
    });
    let answer = get(&registry, &path);
    assert_eq!((answer.status, answer.code().as_str()), (502, "SIZE_INVALID"), "{answer:?}");
    assert_eq!(fetches(&registry), 0);
}

#[test]
fn a_head_tells_of_a_blob_below_without_fetching_it() {
    let (upstream, registry, bytes, path) = start(MIB);
    let head = registry.anonymous("HEAD", &path);
    assert_eq!((head.status, head.header("content-length")), (200, "1048576"));
    assert_eq!(head.header("docker-content-digest"), Digest::sha256(&bytes).as_str());
    let other = format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(b"other"));
    assert_eq!(registry.anonymous("HEAD", &other).status, 404);
    assert_eq!(upstream.gets("/blobs/"), 0);
    assert_eq!(get(&registry, &other).code(), "BLOB_UNKNOWN");
}

#[test]
fn a_blob_of_another_repository_is_not_given_away() {
    let (_upstream, registry, bytes, path) = start(1000);
    assert!(get(&registry, &path).body == bytes);
    let digest = Digest::sha256(&bytes);
    for repository in ["quay.io/org/other", "org/img", "ghcr.io/org/img"] {
        let answer = get(&registry, &format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!(answer.code(), "BLOB_UNKNOWN", "{repository}");
    }
}

#[test]
fn what_was_fetched_is_there_after_a_restart() {
    let (upstream, registry, bytes, path) = start(MIB);
    assert!(get(&registry, &path).body == bytes);
    let tag = "/v2/quay.io/org/img/manifests/1";
    let manifest = get(&registry, tag).body;
    let namespace = upstream.namespace("quay.io");
    upstream.stop();
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |config| config.namespaces.push(namespace));
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(get(&registry, tag).body, manifest);
    let digest = Digest::sha256(&manifest);
    assert_eq!(get(&registry, &format!("/v2/quay.io/org/img/manifests/{digest}")).body, manifest);
}

#[test]
fn a_damaged_blob_of_the_cache_is_fetched_anew() {
    let (upstream, registry, bytes, path) = start(MIB);
    assert!(get(&registry, &path).body == bytes);
    let cache = registry.folder.path().join("storage/layers/cache");
    let data = file_of_size(&cache, MIB as u64).expect("the blob is not in the cache");
    std::fs::OpenOptions::new().write(true).open(data).unwrap().set_len(5).unwrap();
    assert!(get(&registry, &path).body == bytes);
    assert_eq!(upstream.gets("/blobs/"), 2);
}
