use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::copy::{self, Options, Referrers};

use super::{all, along, both, image, item, listed, run, sbom, signature, tag};
use crate::support::clients::client;
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

#[tokio::test]
async fn a_source_that_fails_to_tell_stops_the_copy_before_anything_is_written() {
    let (from, to) = both().await;
    from.memory.hold("a", "t", &image("one"));
    for path in ["/referrers/", "/tags/list"] {
        from.forget_faults();
        from.fault(usize::MAX, Method::GET, path, Fault::Answer(500, vec![], String::new()));
        let error = run(&from, &to, &along()).await.unwrap_err();
        assert_eq!(error.kind(), "server", "{error}");
    }
    assert_eq!(to.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn nothing_is_looked_for_that_is_not_to_travel() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &sbom(image.root.digest(), "parts"));
    let outcome = run(&from, &to, &Options::default()).await.unwrap();
    assert!(outcome.images[0].referrers.is_empty());
    assert_eq!(from.count(Method::GET, "/referrers/") + from.count(Method::GET, "/tags/"), 0);
}

#[tokio::test]
async fn what_is_attached_is_in_place_before_the_tag() {
    let (from, to) = both().await;
    let image = image("one");
    let digest = image.root.digest();
    let parts = sbom(digest, "parts");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &parts);
    from.memory.hold("a", &tag(digest, ".sig"), &signature(&["s"]));
    let outcome = run(&from, &to, &along()).await.unwrap();
    let puts: Vec<String> =
        to.requests().into_iter().filter(|it| it.starts_with("PUT /v2/b/manifests/")).collect();
    let put = |reference: &str| format!("PUT /v2/b/manifests/{reference}");
    assert_eq!(
        puts,
        [
            put(digest.as_str()),
            put(parts.root.digest().as_str()),
            put(&tag(digest, ".sig")),
            put("t")
        ]
    );
    assert_eq!(to.memory.manifest("b", parts.root.digest()).unwrap(), parts.root.bytes());
    assert_eq!(listed(&to, digest).await, 1);
    let along = &outcome.images[0].referrers;
    assert_eq!(along.len(), 2);
    assert_eq!(along[0].reference, parts.root.digest().as_str());
    assert_eq!(along[0].artifact_type.as_deref(), Some(super::SBOM));
    assert_eq!((along[1].reference.clone(), along[1].changed), (tag(digest, ".sig"), true));
}

#[tokio::test]
async fn a_registry_that_wants_the_subject_first_gets_it_first() {
    let (from, to) = both().await;
    *to.memory.demands_subjects.lock().unwrap() = true;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    let parts = sbom(image.root.digest(), "parts");
    from.memory.hold_untagged("a", &parts);
    from.memory.hold_untagged("a", &sbom(parts.root.digest(), "of the parts"));
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(listed(&to, parts.root.digest()).await, 1);
}

#[tokio::test]
async fn a_retag_in_one_repository_moves_none() {
    let (server, _) = both().await;
    let image = image("one");
    server.memory.hold("a", "t", &image);
    server.memory.hold_untagged("a", &sbom(image.root.digest(), "parts"));
    let registry = server.registry();
    let client = client(&[&registry], CredentialStore::empty());
    let items = vec![item(&registry, "a:t", &registry, "a:u")];
    let outcome = copy::run(&client, items, &all(), &()).await.unwrap();
    assert!(outcome.images[0].referrers.is_empty());
    assert_eq!(server.requests().len(), 3, "{:?}", server.requests());
}

#[tokio::test]
async fn another_repository_of_the_same_registry_gets_them_without_moving_a_byte() {
    let (server, _) = both().await;
    let image = image("one");
    server.memory.hold("a", "t", &image);
    server.memory.hold_untagged("a", &sbom(image.root.digest(), "parts"));
    let registry = server.registry();
    let client = client(&[&registry], CredentialStore::empty());
    let items = vec![item(&registry, "a:t", &registry, "b:t")];
    let outcome = copy::run(&client, items, &along(), &()).await.unwrap();
    assert_eq!((outcome.totals.blobs_mounted, outcome.totals.bytes_moved), (4, 0));
    assert_eq!(listed(&server, image.root.digest()).await, 1);
}

#[tokio::test]
async fn blobs_that_referrers_share_are_moved_once() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    for name in ["first", "second", "third"] {
        from.memory.hold_untagged("a", &sbom(image.root.digest(), name));
    }
    let outcome = run(&from, &to, &along()).await.unwrap();
    // The image's two, three documents, and the one empty configuration of all.
    assert_eq!(outcome.totals.blobs_moved, 2 + 3 + 1);
    assert_eq!(outcome.images[0].referrers.len(), 3);
}

#[tokio::test]
async fn one_platform_of_an_index_takes_its_own_along() {
    let (from, to) = both().await;
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let index = sample::index(&[("amd64", amd64.clone()), ("arm64", arm64)]);
    from.memory.hold("a", "t", &index);
    let (of_index, of_child) = (sbom(index.root.digest(), "i"), sbom(amd64.root.digest(), "c"));
    from.memory.hold_untagged("a", &of_index);
    from.memory.hold_untagged("a", &of_child);
    let options = Options { platforms: vec!["linux/amd64".parse().unwrap()], ..along() };
    let outcome = run(&from, &to, &options).await.unwrap();
    let along = &outcome.images[0].referrers;
    assert_eq!(along.len(), 1);
    assert_eq!(along[0].reference, of_child.root.digest().as_str());
}

#[tokio::test]
async fn a_dry_run_says_what_would_travel_and_writes_nothing() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &sbom(image.root.digest(), "parts"));
    from.memory.hold("a", &tag(image.root.digest(), ".att"), &signature(&["s"]));
    let options = Options { dry_run: true, ..along() };
    let outcome = run(&from, &to, &options).await.unwrap();
    assert!(outcome.images[0].referrers.iter().all(|it| it.changed));
    // The image by digest and by tag, and both referrers.
    assert_eq!(outcome.totals.manifests_written, 4);
    assert_eq!(to.count(Method::HEAD, ""), to.requests().len(), "{:?}", to.requests());
}

#[tokio::test]
async fn all_tags_of_a_repository_share_one_list_of_them() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let (one, two) = (image("one"), image("two"));
    from.memory.hold("a", "1", &one);
    from.memory.hold("a", "2", &two);
    from.memory.hold("a", &tag(one.root.digest(), ".sig"), &signature(&["s"]));
    let parts = sbom(two.root.digest(), "parts");
    from.memory.hold("a", &tag(two.root.digest(), ""), &sample::index(&[("amd64", parts.clone())]));
    let (source, target) = (from.registry(), to.registry());
    let client = client(&[&source, &target], CredentialStore::empty());
    let (a, b) = (format!("{source}/a"), format!("{target}/b"));
    let options = Options { referrers: Referrers::Image, ..Options::default() };
    let outcome =
        copy::run_all_tags(&client, &a.parse().unwrap(), &b.parse().unwrap(), &options, &())
            .await
            .unwrap();
    // Two pages of two.
    assert_eq!(from.count(Method::GET, "/tags/list"), 2);
    assert_eq!(outcome.images.len(), 3);
    assert_eq!(listed(&to, two.root.digest()).await, 1);
    let signature = to.memory.tag("b", &tag(one.root.digest(), ".sig"));
    assert!(signature.is_some());
    let requests = to.requests();
    let at = |what: &str| requests.iter().position(|it| it.contains(what)).unwrap();
    assert!(
        at(&format!("PUT /v2/b/manifests/{}", tag(one.root.digest(), ".sig")))
            < at("PUT /v2/b/manifests/1")
    );
}
