use zuul_images::oci::Digest;

use super::uploads;
use crate::support::registry::{Registry, image};

#[test]
fn two_finish_one_upload_and_one_wins() {
    let registry = Registry::start();
    for _ in 0..10 {
        let location = registry.start_upload("a");
        assert_eq!(registry.request("PATCH", &location, b"content").status, 202);
        let finish = format!("{location}?digest={}", Digest::sha256(b"content"));
        let found: Vec<u16> = std::thread::scope(|scope| {
            let each = || scope.spawn(|| registry.request("PUT", &finish, b"").status);
            let running: Vec<_> = (0..6).map(|_| each()).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(found.iter().filter(|status| **status == 201).count(), 1, "{found:?}");
        assert!(found.iter().all(|status| [201, 404, 409].contains(status)), "{found:?}");
    }
    assert_eq!(uploads(&registry), 0);
}

#[test]
fn one_tag_pushed_by_many_at_once_is_one_of_theirs() {
    let registry = Registry::start();
    let manifests: Vec<Vec<u8>> = (0..8)
        .map(|number| {
            let layer = format!("layer {number}");
            registry.push_blob("a", b"config");
            registry.push_blob("a", layer.as_bytes());
            image(b"config", layer.as_bytes())
        })
        .collect();
    std::thread::scope(|scope| {
        for manifest in &manifests {
            let registry = &registry;
            scope.spawn(move || assert_eq!(registry.put_manifest("a", "t", manifest).status, 201));
        }
    });
    let held = registry.anonymous("GET", "/v2/a/manifests/t").body;
    assert!(manifests.contains(&held));
}
