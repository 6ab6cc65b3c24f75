//! Images that pointers name, each with its own way to it.

use std::time::Instant;

use http::Method;
use serde_json::{Value, json};
use zuul_images::oci::Digest;

use crate::support::faulty::Fault;
use crate::support::registry::Registry;
use crate::support::sample::{Sample, bytes, image};
use crate::support::upstream::{Upstream, over_with};
use crate::support::wait::wait_until;

/// A pointer to `quay.io/org/img`, at an image in a repository of `source`.
fn pointer(source: &Upstream, at: &str, tag: &str, image: &Sample) -> Value {
    json!({"name": "quay.io/org/img", "tag": tag, "digest": image.root.digest(), "token": "hush",
           "size": image.root.bytes().len(), "url": format!("http://{}/v2/{at}", source.faulty.address)})
}

fn leave(registry: &Registry, pointers: &[Value]) {
    let list = json!({ "pointers": pointers }).to_string();
    let answer = registry.request("PUT", "/zuul/v1/pointers", list.as_bytes()).json();
    for taken in answer["pointers"].as_array().unwrap() {
        assert_eq!(taken.get("refused"), None, "{taken}");
    }
}

#[test]
fn a_pointer_does_not_fail_because_another_leads_nowhere() {
    let upstream = Upstream::start();
    let first = upstream.hold("first", "1", "first", 10);
    let second = upstream.hold("second", "2", "second", 10);
    let registry = Registry::start_with(|config| config.speculative.accept_pointers = true);
    leave(
        &registry,
        &[pointer(&upstream, "first", "1", &first), pointer(&upstream, "second", "2", &second)],
    );
    // The first opens only the first image: by tag and by digest the second is asked for through its own.
    let gate = upstream.hold_back("/v2/first/manifests/");
    for reference in [second.root.digest().to_string(), "2".to_owned()] {
        let path = format!("/v2/quay.io/org/img/manifests/{reference}");
        let answer = registry.anonymous("GET", &path);
        assert_eq!((answer.status, &*answer.body), (200, &second.root.bytes()[..]), "{reference}");
    }
    assert_eq!(upstream.gets("/v2/first/manifests/"), 0);
    gate.open();
}

#[test]
fn a_registry_that_is_down_is_not_waited_for_at_every_read_of_a_repository_with_pointers() {
    const READS: usize = 40;
    let (source, upstream) = (Upstream::start(), Upstream::start());
    let ahead = source.hold("a", "1", "ahead", 10);
    let layers: Vec<_> = (0..READS).map(|number| bytes(&number.to_string(), 10)).collect();
    let published = image("published", &layers);
    upstream.faulty.memory.hold("org/img", "latest", &published);
    let registry = over_with(upstream.namespace("quay.io"), |config| {
        config.speculative.accept_pointers = true;
    });
    leave(&registry, &[pointer(&source, "a", "1", &ahead)]);
    source.faulty.forget_requests();
    for method in [Method::GET, Method::HEAD] {
        source.faulty.fault(usize::MAX, method, "", Fault::LoseReply);
    }
    let start = Instant::now();
    let get = |path: &str| registry.anonymous("GET", &format!("/v2/quay.io/org/img/{path}"));
    // As long as the image behind the pointer is not known, each of these may be a part of it.
    for layer in &layers {
        let digest = Digest::sha256(layer);
        let path = format!("/v2/quay.io/org/img/blobs/{digest}");
        assert_eq!(registry.anonymous("HEAD", &path).status, 200);
        let answer = registry.anonymous("GET", &path);
        assert_eq!((answer.status, &answer.body[..]), (200, &layer[..]));
    }
    // Nobody has it, and who may have it does not answer.
    let strange = Digest::sha256(b"strange");
    for path in ["manifests/1", &format!("blobs/{strange}"), &format!("manifests/{strange}")] {
        let answer = get(path);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 502, "{path} {said}");
        assert!(said.contains(&source.faulty.address.to_string()), "{path} {said}");
    }
    // The first one, perhaps with two more attempts, then one after every pause of a second or more.
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    let asked = source.faulty.requests().len();
    assert!(asked <= 3 + seconds, "{asked} requests in {seconds} s");

    source.faulty.forget_faults();
    wait_until(|| get("manifests/1").status == 200);
    assert_eq!(get("manifests/1").body, ahead.root.bytes()[..]);
}
