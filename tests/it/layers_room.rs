//! How much a cache holds.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use zuul_images::oci::{Digest, Manifest};
use zuul_images::registry::config::{Period, Size};

use crate::support::http::{Answer, open, receive};
use crate::support::registry::Registry;
use crate::support::sample::{self, Sample};
use crate::support::upstream::{Upstream, fetches, over_with};
use crate::support::wait::wait_until;

fn layer(sample: &Sample) -> (Bytes, String) {
    let bytes = sample.blobs.last().unwrap().clone();
    let path = format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(&bytes));
    (bytes, path)
}

fn get(registry: &Registry, path: &str) -> Answer {
    registry.anonymous("GET", path)
}

#[test]
fn a_cache_holds_no_more_than_it_may_and_forgets_what_nobody_asked_for() {
    let upstream = Upstream::start();
    let images: Vec<_> = ["a", "b", "c"]
        .map(|seed| layer(&upstream.hold("org/img", seed, seed, 400_000)))
        .into_iter()
        .collect();
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(1_000_000));
    });
    let cached = || {
        let kept = registry.folder.path().join("storage/layers/cache/content");
        count(&kept, 400_000)
    };
    for (bytes, path) in &images {
        assert!(get(&registry, path).body == *bytes);
        // A moment is seen by the clock of the disk.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(cached(), 2);
    for (bytes, path) in images.iter().rev() {
        assert!(get(&registry, path).body == *bytes);
    }
    assert_eq!((cached(), upstream.gets("/blobs/")), (2, 4), "the first one went, and came again");
    let (_, large) = layer(&upstream.hold("org/img", "large", "large", 1_000_001));
    let answer = get(&registry, &large);
    assert_eq!((answer.status, answer.code().as_str()), (507, "STORAGE_FULL"));
}

#[test]
fn a_cache_holds_no_more_manifests_than_it_may_and_forgets_those_nobody_asked_for() {
    const LARGE: usize = 300_000;
    let upstream = Upstream::start();
    // Small layers, and much said about them.
    let tags: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let images: Vec<Sample> = tags.iter().map(|tag| annotated(tag, LARGE)).collect();
    for (tag, image) in tags.iter().zip(&images) {
        upstream.faulty.memory.hold("org/img", tag, image);
    }
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(1_000_000));
    });
    let read = |tag: &str| get(&registry, &format!("/v2/quay.io/org/img/manifests/{tag}"));
    let kept = || bytes_below(&registry.folder.path().join("storage/layers/cache/images"));
    for (tag, image) in tags.iter().zip(&images) {
        assert!(read(tag).body == image.root.bytes()[..]);
        assert!(kept() <= 1_000_000, "{} bytes of manifests are kept", kept());
        // A moment is seen by the clock of the disk.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(kept() > LARGE as u64, "{}", kept());
    let fetched = upstream.gets("/manifests/");
    for tag in ["11", "0"] {
        assert_eq!(read(tag).status, 200);
    }
    assert_eq!(upstream.gets("/manifests/"), fetched + 1, "the last was there, the first was gone");
}

#[test]
fn blobs_that_wait_for_their_room_keep_nobody_from_asking_for_something_else() {
    // More than are asked of one registry at once.
    const WAITING: usize = 70;
    let upstream = Upstream::start();
    let images: Vec<Sample> = (0..=WAITING)
        .map(|number| number.to_string())
        .map(|tag| upstream.hold("org/img", &tag, &tag, 40_000))
        .collect();
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(50_000));
        config.cache.idle = Period(Duration::from_secs(20));
    });
    let (first, waiting) = images.split_first().unwrap();
    let (first, path) = layer(first);
    let gate = upstream.pause(&path["/v2/quay.io".len()..], 1000);
    let early = open(registry.address, "GET", &path, &[]);
    wait_until(|| fetches(&registry) == 1);
    let late: Vec<_> = waiting.iter().map(layer).collect();
    let readers: Vec<_> =
        late.iter().map(|(_, path)| open(registry.address, "GET", path, &[])).collect();
    wait_until(|| upstream.gets("/blobs/") >= 60);
    for tag in ["1", "2", "3"] {
        let answer = get(&registry, &format!("/v2/quay.io/org/img/manifests/{tag}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(fetches(&registry), 1, "the first has come already");
    gate.open();
    assert!(receive(early).body == first);
    for ((bytes, _), reader) in late.iter().zip(readers) {
        assert!(receive(reader).body == *bytes);
    }
}

/// An image whose manifest has about so many bytes.
fn annotated(name: &str, size: usize) -> Sample {
    let mut image = sample::image(name, &[]);
    let mut document: Value = serde_json::from_slice(image.root.bytes()).unwrap();
    document["annotations"] = json!({"x": "x".repeat(size)});
    image.root = Manifest::parse(document.to_string().into(), None).unwrap();
    image
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            kind => kind.map_or(0, |kind| kind.len()),
        })
        .sum()
}

fn count(folder: &Path, size: u64) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => count(&entry.path(), size),
            Ok(kind) => usize::from(kind.len() == size),
            Err(_) => 0,
        })
        .sum()
}
