use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::copy::{self, Item};

use super::{all, along, both, image, item, run, sbom, signature, tag};
use crate::support::clients::client;
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

#[tokio::test]
async fn an_unchanged_image_without_referrers_costs_one_request_more_and_a_list_of_tags() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    to.memory.hold("b", "t", &image);
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(
        from.requests(),
        [
            "HEAD /v2/a/manifests/t".to_owned(),
            "GET /v2/a/tags/list?n=1000".to_owned(),
            format!("GET /v2/a/referrers/{}", image.root.digest()),
        ]
    );
    assert_eq!(to.requests(), ["HEAD /v2/b/manifests/t"]);
    assert_eq!(outcome.totals.requests, 4);
}

#[tokio::test]
async fn an_unchanged_image_with_referrers_costs_one_request_more_at_the_destination() {
    let (from, to) = both().await;
    let image = image("one");
    for (server, repository) in [(&from, "a"), (&to, "b")] {
        server.memory.hold(repository, "t", &image);
        server.memory.hold_untagged(repository, &sbom(image.root.digest(), "first"));
        server.memory.hold_untagged(repository, &sbom(image.root.digest(), "second"));
    }
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(from.requests().len(), 3, "{:?}", from.requests());
    assert_eq!(
        to.requests(),
        [
            "HEAD /v2/b/manifests/t".to_owned(),
            format!("GET /v2/b/referrers/{}", image.root.digest())
        ]
    );
    assert!(outcome.images[0].referrers.iter().all(|it| !it.changed));
    assert_eq!(outcome.totals.manifests_written, 0);
}

#[tokio::test]
async fn an_unchanged_signature_costs_one_head_on_each_side() {
    let (from, to) = both().await;
    let image = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    let name = tag(image.root.digest(), ".sig");
    for (server, repository) in [(&from, "a"), (&to, "b")] {
        server.memory.hold(repository, "t", &image);
        server.memory.hold(repository, &name, &signature(&["s"]));
    }
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(from.count(Method::HEAD, &name), 1);
    assert_eq!(from.requests().len(), 4, "{:?}", from.requests());
    assert_eq!(to.requests().len(), 2, "{:?}", to.requests());
    assert!(!outcome.images[0].referrers[0].changed);
}

#[tokio::test]
async fn images_of_one_repository_share_its_list_of_tags() {
    let (from, to) = both().await;
    let mut items: Vec<Item> = Vec::new();
    for number in 0..2 {
        let image = image(&format!("image{number}"));
        from.memory.hold("a", &format!("t{number}"), &image);
        to.memory.hold("b", &format!("t{number}"), &image);
        for again in ["", "-again"] {
            to.memory.hold("b", &format!("t{number}{again}"), &image);
            let target = format!("b:t{number}{again}");
            items.push(item(&from.registry(), &format!("a:t{number}"), &to.registry(), &target));
        }
    }
    let client = client(&[&from.registry(), &to.registry()], CredentialStore::empty());
    copy::run(&client, items, &along(), &()).await.unwrap();
    assert_eq!(from.count(Method::GET, "/tags/list"), 1);
    assert_eq!(from.count(Method::GET, "/referrers/"), 2, "once for each digest");
}

#[tokio::test]
async fn a_registry_that_lists_no_referrers_is_asked_once() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let mut items: Vec<Item> = Vec::new();
    for number in 0..20 {
        let (image, name) = (image(&format!("image{number}")), format!("i{number}"));
        from.memory.hold(&name, "t", &image);
        to.memory.hold(&name, "t", &image);
        items.push(item(
            &from.registry(),
            &format!("{name}:t"),
            &to.registry(),
            &format!("{name}:t"),
        ));
    }
    let client = client(&[&from.registry(), &to.registry()], CredentialStore::empty());
    let options = copy::Options { parallel: 1, ..along() };
    let outcome = copy::run(&client, items, &options, &()).await.unwrap();
    assert_eq!(from.count(Method::GET, "/referrers/"), 1);
    // HEAD and a list of tags for each, and the one question.
    assert_eq!((from.requests().len(), to.requests().len()), (20 * 2 + 1, 20));
    assert_eq!(outcome.totals.requests, 61);
}

#[tokio::test]
async fn a_repository_that_is_not_known_yet_says_nothing_about_its_registry() {
    let (from, to) = both().await;
    let (one, two) = (image("one"), image("two"));
    for (name, image) in [("a", &one), ("c", &two)] {
        from.memory.hold(name, "t", image);
        from.memory.hold_untagged(name, &sbom(image.root.digest(), "parts"));
    }
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#;
    from.fault(1, Method::GET, "/referrers/", Fault::Answer(404, vec![], unknown.to_owned()));
    let (source, target) = (from.registry(), to.registry());
    let client = client(&[&source, &target], CredentialStore::empty());
    let items = vec![item(&source, "a:t", &target, "a:t"), item(&source, "c:t", &target, "c:t")];
    let options = copy::Options { parallel: 1, ..along() };
    let outcome = copy::run(&client, items, &options, &()).await.unwrap();
    assert_eq!(outcome.images[1].referrers.len(), 1);
}

#[tokio::test]
async fn platforms_cost_no_question_unless_all_are_wanted() {
    let (from, to) = both().await;
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let index = sample::index(&[("amd64", amd64.clone()), ("arm64", arm64)]);
    from.memory.hold("a", "t", &index);
    from.memory.hold_untagged("a", &sbom(amd64.root.digest(), "parts"));
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(from.count(Method::GET, "/referrers/"), 1);
    assert!(outcome.images[0].referrers.is_empty());
    // Later, when nothing else is to be done.
    from.forget_requests();
    let outcome = run(&from, &to, &all()).await.unwrap();
    assert!(!outcome.images[0].changed);
    assert_eq!(outcome.images[0].referrers.len(), 1);
    // The index, both platforms, and what was found.
    assert_eq!(from.count(Method::GET, "/referrers/"), 4);
}
