//! Other registries that mean harm or are broken, and what is broken here: nobody waits for ever, nothing
//! grows without end, and wrong content goes nowhere.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use zuul_images::oci::{Digest, Manifest, media_type};
use zuul_images::registry::config::{Period, Size};

use crate::support::faulty::Fault;
use crate::support::http::{Answer, open, receive};
use crate::support::memory::Access;
use crate::support::registry::{Registry, image};
use crate::support::sample::{self, Sample};
use crate::support::upstream::{Upstream, fetches, file_of_size, over, over_with};
use crate::support::wait::wait_until;

const TAG: &str = "/v2/quay.io/org/img/manifests/1";
const MIB: usize = 1024 * 1024;

fn get(registry: &Registry, path: &str) -> Answer {
    registry.anonymous("GET", path)
}

fn blob_path(bytes: &[u8]) -> String {
    format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(bytes))
}

/// A registry over one that has an image with a layer of this size.
fn start(size: usize) -> (Upstream, Registry, Bytes, String) {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", size);
    let registry = over(upstream.namespace("quay.io"));
    let bytes = sample.blobs.last().unwrap().clone();
    let path = blob_path(&bytes);
    (upstream, registry, bytes, path)
}

#[test]
fn a_fetch_nobody_waits_for_ends_though_bytes_go_on_coming() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 32 * MIB);
    let path = blob_path(sample.blobs.last().unwrap());
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.grace = Period(Duration::from_millis(300));
    });
    let drip = Fault::Drip(MIB / 16, Duration::from_millis(100));
    upstream.faulty.fault(1, Method::GET, "/blobs/", drip);
    let reader = open(registry.address, "GET", &path, &[]);
    wait_until(|| fetches(&registry) == 1);
    drop(reader);
    wait_until(|| fetches(&registry) == 0);
}

#[test]
fn nothing_in_place_of_a_blob_is_not_passed_on() {
    let (upstream, registry, bytes, path) = start(1000);
    upstream.faulty.fault(1, Method::GET, "/blobs/", Fault::Body(Bytes::new()));
    let answer = get(&registry, &path);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(get(&registry, &path).body, bytes);
}

#[test]
fn a_blob_that_is_too_large_for_the_cache_leaves_what_is_in_it() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 400_000);
    let kept = blob_path(sample.blobs.last().unwrap());
    let large = upstream.hold("org/img", "2", "large", 1_000_001);
    let large = blob_path(large.blobs.last().unwrap());
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(1_000_000));
    });
    assert_eq!(get(&registry, &kept).status, 200);
    let refused = get(&registry, &large);
    assert_eq!((refused.status, refused.code().as_str()), (507, "STORAGE_FULL"));
    upstream.stop();
    assert_eq!(get(&registry, &kept).status, 200);
}

#[test]
fn a_reader_reads_on_though_its_blob_has_to_make_room() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 32 * MIB);
    let other = upstream.hold("org/img", "2", "other", 16 * MIB);
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(40 << 20));
    });
    let bytes = sample.blobs.last().unwrap();
    // It takes nothing before its blob is gone again.
    let slow = open(registry.address, "GET", &blob_path(bytes), &[]);
    let cache = registry.folder.path().join("storage/layers/cache/content");
    wait_until(|| file_of_size(&cache, bytes.len() as u64).is_some());
    assert_eq!(get(&registry, &blob_path(other.blobs.last().unwrap())).status, 200);
    assert_eq!(file_of_size(&cache, bytes.len() as u64), None, "it did not have to make room");
    assert!(receive(slow).body == *bytes);
    assert_eq!(upstream.gets("/blobs/"), 2);
}

#[test]
fn a_blob_waits_for_its_room_until_others_have_come() {
    let upstream = Upstream::start();
    let hold = |seed: &str| {
        let sample = upstream.hold("org/img", seed, seed, 400_000);
        sample.blobs.last().unwrap().clone()
    };
    let (first, second) = (hold("first"), hold("second"));
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(500_000));
        config.cache.idle = Period(Duration::from_secs(20));
    });
    let gate = upstream.pause(Digest::sha256(&first).as_str(), 1000);
    let early = open(registry.address, "GET", &blob_path(&first), &[]);
    wait_until(|| fetches(&registry) == 1);
    let mut late = open(registry.address, "GET", &blob_path(&second), &[]);
    late.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let answered = std::io::Read::read(&mut late, &mut [0; 100]);
    assert_eq!(answered.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    late.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    gate.open();
    assert!(receive(early).body == first);
    assert!(receive(late).body == second);
}

/// Changes one byte of the only file of this size in a folder.
fn damage(folder: &Path, size: usize) {
    let file = file_of_size(folder, size as u64).expect("the blob is not there");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[size / 2] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_blob_whose_bytes_changed_in_the_cache_is_fetched_anew() {
    // The large one is hashed while it is given out, so that its first reader is cut off.
    for (size, cut_off) in [(1000, false), (3 * MIB, true)] {
        let (upstream, registry, bytes, path) = start(size);
        assert!(get(&registry, &path).body == bytes);
        damage(&registry.folder.path().join("storage/layers/cache"), size);
        if cut_off {
            let mut stream = open(registry.address, "GET", &path, &[]);
            let mut read = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stream, &mut read);
            assert!(read.len() < size, "the end of wrong content was sent");
        }
        for _ in 0..2 {
            assert!(get(&registry, &path).body == bytes, "{size}");
        }
        assert_eq!(upstream.gets("/blobs/"), 2, "{size}");
    }
}

#[test]
fn a_push_does_not_take_over_bytes_that_changed_in_the_cache() {
    let (upstream, registry, bytes, path) = start(3 * MIB);
    assert!(get(&registry, &path).body == bytes);
    damage(&registry.folder.path().join("storage/layers/cache"), 3 * MIB);
    registry.push_blob("quay.io/org/img", b"config");
    let put = registry.put_manifest("quay.io/org/img", "mine", &image(b"config", &bytes));
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(upstream.gets("/blobs/"), 2);
    upstream.stop();
    assert!(get(&registry, &path).body == bytes);
}

#[test]
fn a_blob_that_changed_here_is_had_from_below_and_can_be_pushed_again() {
    let (upstream, registry, bytes, path) = start(1000);
    registry.push_blob("quay.io/org/img", &bytes);
    registry.push_blob("mine", &bytes);
    damage(&registry.folder.path().join("storage/content"), 1000);
    assert_eq!(get(&registry, &path).body, bytes);
    assert_eq!(upstream.gets("/blobs/"), 1);
    let mine = format!("/v2/mine/blobs/{}", Digest::sha256(&bytes));
    assert_eq!(get(&registry, &mine).status, 500);
    assert_eq!(registry.request("HEAD", &mine, b"").status, 404, "a client would not push it");
    registry.push_blob("mine", &bytes);
    assert_eq!(get(&registry, &mine).body, bytes);
}

#[test]
fn one_request_that_is_not_answered_holds_up_no_other() {
    let upstream = Upstream::start();
    upstream.hold("org/img", "1", "seed", 10);
    upstream.hold("org/img", "2", "seed", 10);
    let patient = |config: &mut zuul_images::registry::Config| {
        config.cache.idle = Period(Duration::from_secs(60));
    };
    // The first that anybody asks of a registry, and the first token for a repository.
    for (access, held) in [
        (Access::Open, "/manifests/1"),
        (Access::Bearer { user: "site".into(), password: "p".into(), expires_in: 300 }, "/token"),
    ] {
        *upstream.faulty.memory.access.lock().unwrap() = access;
        let mut namespace = upstream.namespace("quay.io");
        (namespace.username, namespace.password) = (Some("site".into()), Some("p".into()));
        namespace.public = true;
        let registry = over_with(namespace, patient);
        upstream.faulty.forget_requests();
        let gate = upstream.hold_back(held);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| get(&registry, TAG).status);
            wait_until(|| upstream.gets(held) == 1);
            let second = get(&registry, "/v2/quay.io/org/img/manifests/2");
            assert_eq!((second.status, first.is_finished()), (200, false), "{held}");
            gate.open();
            assert_eq!(first.join().unwrap(), 200);
        });
    }
}

#[test]
fn a_manifest_that_trickles_in_is_stood_in_for() {
    let upstream = Upstream::start();
    upstream.hold("org/img", "1", "seed", 10);
    let mut namespace = upstream.namespace("quay.io");
    namespace.ttl = Period(Duration::ZERO);
    let registry = over_with(namespace, |config| {
        config.cache.idle = Period(Duration::from_secs(1));
    });
    let kept = get(&registry, TAG).body;
    upstream.hold("org/img", "1", "another", 10);
    let trickle = Fault::Drip(1, Duration::from_millis(200));
    upstream.faulty.fault(9, Method::GET, "/manifests/", trickle);
    assert_eq!(get(&registry, TAG).body, kept);
}

#[test]
fn what_was_refused_does_not_come_back_when_the_registry_is_down() {
    for status in [401, 403] {
        let upstream = Upstream::start();
        upstream.hold("org/img", "1", "seed", 10);
        let mut namespace = upstream.namespace("quay.io");
        namespace.ttl = Period(Duration::ZERO);
        let registry = over(namespace);
        assert_eq!(get(&registry, TAG).status, 200);
        let refusal = Fault::Answer(status, vec![], String::new());
        upstream.faulty.fault(1, Method::HEAD, "/manifests/", refusal);
        assert_eq!(get(&registry, TAG).status, 404);
        upstream.stop();
        assert_eq!(get(&registry, TAG).status, 502, "{status}");
    }
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let (upstream, registry, _, _) = start(10);
    upstream.faulty.fault(usize::MAX, Method::GET, "/tags/list", Fault::NextPage(MIB));
    upstream.faulty.fault(usize::MAX, Method::GET, "/referrers/", Fault::NextPage(MIB));
    let tags = get(&registry, "/v2/quay.io/org/img/tags/list");
    assert_eq!(tags.status, 502, "{tags:?}");
    let message = tags.json()["errors"][0]["message"].to_string();
    assert!(message.contains("has no end"), "{message}");
    let path = format!("/v2/quay.io/org/img/referrers/{}", Digest::sha256(b"x"));
    assert_eq!(get(&registry, &path).json()["manifests"], json!([]));
    assert!(upstream.gets("/tags/list") + upstream.gets("/referrers/") < 100);
}

#[test]
fn what_another_registry_sends_is_told_in_few_words_that_can_be_printed() {
    let (upstream, registry, _, _) = start(10);
    let long = "a\n\u{1b}[2J".repeat(MIB / 8);
    let said = json!(long).to_string();
    for (path, body) in [
        ("/v2/quay.io/org/img/manifests/1", format!("{{\"schemaVersion\": {said}}}")),
        (
            "/v2/quay.io/org/img/manifests/1",
            format!("{{\"schemaVersion\": 2, \"config\": {{}}, \"mediaType\": {said}}}"),
        ),
        ("/v2/quay.io/org/img/tags/list", format!("{{\"tags\": {said}}}")),
    ] {
        upstream.faulty.fault(1, Method::GET, "", Fault::Answer(200, vec![], body));
        let answer = get(&registry, path);
        assert_eq!(answer.status, 502, "{path}");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("\\n") && !message.contains(char::is_control), "{message:.999}");
        assert!(message.len() < 2000, "{}", message.len());
    }
    let put = registry.put_manifest("a", "1", format!("{{\"schemaVersion\": {said}}}").as_bytes());
    assert_eq!(put.status, 400);
    assert!(put.body.len() < 2000, "{}", put.body.len());
}

/// An index that names each of these children so many times.
fn repeated(children: &[Manifest], times: usize) -> Manifest {
    let children = children.iter().flat_map(|child| std::iter::repeat_n(child, times));
    let children: Vec<_> = children
        .map(|child| {
            json!({"mediaType": child.media_type(), "digest": child.digest(), "size": child.bytes().len()})
        })
        .collect();
    let text =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": children});
    Manifest::parse(text.to_string().into(), None).unwrap()
}

fn put_index(registry: &Registry, tag: &str, index: &Manifest) -> Answer {
    let kind = [("Content-Type", index.media_type())];
    let path = format!("/v2/quay.io/org/img/manifests/{tag}");
    registry.with("PUT", &path, &kind, index.bytes())
}

#[test]
fn an_index_that_names_the_same_again_and_again_brings_it_once() {
    let upstream = Upstream::start();
    let below = sample::image("seed", &[]);
    let mut nested = vec![repeated(std::slice::from_ref(&below.root), 300)];
    for _ in 0..2 {
        nested.push(repeated(&nested[nested.len() - 1..], 300));
    }
    let top = nested.last().unwrap().clone();
    let held = Sample {
        root: top.clone(),
        below: std::iter::once(below.root.clone()).chain(nested).collect(),
        blobs: below.blobs.clone(),
    };
    upstream.faulty.memory.hold("org/img", "bomb", &held);
    let registry = over(upstream.namespace("quay.io"));
    let put = put_index(&registry, "mine", &repeated(&[top], 300));
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!((upstream.gets("/manifests/"), upstream.gets("/blobs/")), (4, 1));
    upstream.stop();
    let image = format!("/v2/quay.io/org/img/manifests/{}", below.root.digest());
    assert_eq!(get(&registry, &image).body, below.root.bytes()[..]);
}
