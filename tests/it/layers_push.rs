//! Pushing over other registries: what was pushed wins, and what it needs is brought down.

use http::Method;
use zuul_images::oci::Digest;
use zuul_images::registry::Config;
use zuul_images::registry::config::Size;

use crate::support::faulty::Fault;
use crate::support::registry::{Registry, image};
use crate::support::sample::{self, Sample};
use crate::support::upstream::{Upstream, over, over_with};

const NAME: &str = "quay.io/org/img";

fn start() -> (Upstream, Sample, Registry) {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    let registry = over(upstream.namespace("quay.io"));
    (upstream, sample, registry)
}

fn manifest(registry: &Registry, tag: &str) -> Vec<u8> {
    registry.anonymous("GET", &format!("/v2/{NAME}/manifests/{tag}")).body
}

#[test]
fn a_pull_never_changes_what_was_pushed() {
    let (upstream, sample, registry) = start();
    assert_eq!(manifest(&registry, "1"), sample.root.bytes()[..]);
    let pushed = registry.push_image(NAME, "1", "mine");
    assert_eq!(manifest(&registry, "1"), pushed);
    let below =
        registry.anonymous("GET", &format!("/v2/{NAME}/manifests/{}", sample.root.digest()));
    assert_eq!(below.body, sample.root.bytes()[..]);
    upstream.hold("org/img", "1", "newer", 1000);
    assert_eq!(manifest(&registry, "1"), pushed);
    let (folder, _) = registry.end();
    let registry =
        Registry::start_in(folder, |config| config.namespaces.push(upstream.namespace("quay.io")));
    assert_eq!(manifest(&registry, "1"), pushed);
    let gone = registry.request("DELETE", &format!("/v2/{NAME}/manifests/1"), b"");
    assert_eq!(gone.status, 202);
    assert_ne!(manifest(&registry, "1"), pushed, "what lies below shows again");
}

#[test]
fn blobs_a_client_was_told_of_are_brought_down_with_its_manifest() {
    let (upstream, base, registry) = start();
    let layer = base.blobs.last().unwrap();
    let digest = Digest::sha256(layer);
    let path = format!("/v2/{NAME}/blobs/{digest}");
    assert_eq!(registry.request("HEAD", &path, b"").status, 200);
    registry.push_blob(NAME, b"config");
    let mine = image(b"config", layer);
    assert_eq!(registry.put_manifest(NAME, "mine", &mine).status, 201);
    assert_eq!(upstream.gets("/blobs/"), 1);
    upstream.stop();
    let (folder, _) = registry.end();
    // Nothing but what is local: the namespace is gone, and its cache.
    std::fs::remove_dir_all(folder.path().join("storage/layers")).unwrap();
    let registry = Registry::start_in(folder, |_| {});
    assert_eq!(registry.anonymous("GET", &path).body, layer[..]);
    assert_eq!(manifest(&registry, "mine"), mine);
}

#[test]
fn a_manifest_whose_blobs_cannot_be_had_is_refused() {
    let (upstream, base, registry) = start();
    let layer = base.blobs.last().unwrap();
    registry.push_blob(NAME, b"config");
    upstream.faulty.fault(99, Method::GET, "/blobs/", Fault::Answer(500, vec![], String::new()));
    let refused = registry.put_manifest(NAME, "mine", &image(b"config", layer));
    assert_eq!((refused.status, refused.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    let nowhere = registry.put_manifest(NAME, "mine", &image(b"config", b"nowhere"));
    assert_eq!((nowhere.status, nowhere.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    assert_ne!(manifest(&registry, "mine"), image(b"config", layer));
}

#[test]
fn a_blob_that_would_not_be_fetched_is_not_said_to_be_there() {
    let upstream = Upstream::start();
    let base = upstream.hold("org/img", "1", "seed", 100_000);
    let layer = base.blobs.last().unwrap();
    let path = format!("/v2/{NAME}/blobs/{}", Digest::sha256(layer));
    let limits: [fn(&mut Config); 2] = [
        |config| config.cache.blob_limit = Size(99_999),
        |config| config.cache.limit = Some(Size(99_999)),
    ];
    for limit in limits {
        let registry = over_with(upstream.namespace("quay.io"), limit);
        assert_eq!(registry.request("HEAD", &path, b"").status, 404, "nobody would push it");
        registry.push_blob(NAME, b"config");
        registry.push_blob(NAME, layer);
        assert_eq!(registry.put_manifest(NAME, "mine", &image(b"config", layer)).status, 201);
    }
}

#[test]
fn pushes_get_their_blobs_though_the_cache_has_no_room_for_all() {
    let upstream = Upstream::start();
    let layer = |number: usize| sample::bytes(&format!("layer {number}"), 300_000);
    let images: Vec<Sample> = (0..100)
        .map(|number| {
            let name = format!("image {number}");
            let own = sample::bytes(&name, 100_000);
            let image = sample::image(&name, &[layer(number % 6), layer((number + 1) % 6), own]);
            upstream.faulty.memory.hold(&format!("org/{number}"), "1", &image);
            image
        })
        .collect();
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.cache.limit = Some(Size(1_000_000));
    });
    let (images, registry) = (&images, &registry);
    std::thread::scope(|scope| {
        for pusher in 0..10 {
            scope.spawn(move || {
                for number in (pusher..100).step_by(10) {
                    let manifest = &images[number].root;
                    let put = registry.with(
                        "PUT",
                        &format!("/v2/quay.io/org/{number}/manifests/mine"),
                        &[("Content-Type", manifest.media_type())],
                        manifest.bytes(),
                    );
                    assert_eq!(put.status, 201, "{number}: {put:?}");
                }
            });
        }
    });
}

#[test]
fn children_that_only_a_lower_layer_has_are_brought_down_with_their_index() {
    let (upstream, base, registry) = start();
    let missing = sample::image("nowhere", &[]);
    let index = sample::index(&[("amd64", base.clone()), ("arm64", missing.clone())]);
    let put = registry.with(
        "PUT",
        &format!("/v2/{NAME}/manifests/both"),
        &[("Content-Type", index.root.media_type())],
        index.root.bytes(),
    );
    assert_eq!(put.status, 201, "{put:?}");
    upstream.stop();
    let (folder, _) = registry.end();
    std::fs::remove_dir_all(folder.path().join("storage/layers")).unwrap();
    let registry = Registry::start_in(folder, |_| {});
    assert_eq!(manifest(&registry, "both"), index.root.bytes()[..]);
    assert_eq!(manifest(&registry, base.root.digest().as_str()), base.root.bytes()[..]);
    for blob in &base.blobs {
        let path = format!("/v2/{NAME}/blobs/{}", Digest::sha256(blob));
        assert_eq!(registry.anonymous("GET", &path).body, blob[..]);
    }
}

#[test]
fn a_blob_of_a_lower_layer_is_mounted() {
    let (upstream, base, registry) = start();
    let layer = base.blobs.last().unwrap();
    let digest = Digest::sha256(layer);
    let mount = |from: &str| {
        let path = format!("/v2/mine/blobs/uploads/?mount={digest}&from={from}");
        registry.request("POST", &path, b"").status
    };
    assert_eq!(mount("quay.io/org/other"), 202);
    assert_eq!(mount("quay.io/org/img"), 201);
    assert_eq!(upstream.gets("/blobs/"), 2, "the one that is not there, and the one that is");
    assert_eq!(registry.anonymous("GET", &format!("/v2/mine/blobs/{digest}")).body, layer[..]);
}

#[test]
fn a_registry_that_is_down_does_not_stop_a_push() {
    let (upstream, _, registry) = start();
    upstream.stop();
    let path = format!("/v2/{NAME}/blobs/{}", Digest::sha256(b"config mine"));
    assert_eq!(registry.request("HEAD", &path, b"").status, 404);
    let pushed = registry.push_image(NAME, "1", "mine");
    assert_eq!(manifest(&registry, "1"), pushed);
    let sparse = sample::index(&[("amd64", sample::image("nowhere", &[]))]);
    let put = registry.with(
        "PUT",
        &format!("/v2/{NAME}/manifests/sparse"),
        &[("Content-Type", sparse.root.media_type())],
        sparse.root.bytes(),
    );
    assert_eq!(put.status, 201, "{put:?}");
}
