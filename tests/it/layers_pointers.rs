//! Images that pointers name, each with its own way to it.

use serde_json::json;

use crate::support::registry::Registry;
use crate::support::upstream::Upstream;

#[test]
fn a_pointer_does_not_fail_because_another_leads_nowhere() {
    let upstream = Upstream::start();
    let first = upstream.hold("first", "1", "first", 10);
    let second = upstream.hold("second", "2", "second", 10);
    let registry = Registry::start_with(|config| config.speculative.accept_pointers = true);
    let pointer = |tag: &str, at: &str, digest: &str, size: usize| {
        json!({"name": "quay.io/org/img", "tag": tag, "digest": digest, "size": size,
               "url": format!("http://{}/v2/{at}", upstream.faulty.address), "token": "hush"})
    };
    let pointers = json!({"pointers": [
        pointer("1", "first", first.root.digest().as_str(), first.root.bytes().len()),
        pointer("2", "second", second.root.digest().as_str(), second.root.bytes().len()),
    ]});
    let left = registry.request("PUT", "/zuul/v1/pointers", pointers.to_string().as_bytes());
    assert_eq!(left.status, 200, "{left:?}");
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
