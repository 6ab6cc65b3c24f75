use bytes::Bytes;
use http::Method;
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::copy::{self, Item, Options};
use zuul_images::oci::Digest;

use super::{image, item, run};
use crate::support::clients::client;
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample;

#[tokio::test]
async fn an_unchanged_image_costs_one_head_on_each_side() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = image("one");
    from.memory.hold("a", "t", &image);
    to.memory.hold("b", "t", &image);
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert!(!outcome.images[0].changed);
    assert_eq!(from.requests(), ["HEAD /v2/a/manifests/t"]);
    assert_eq!(to.requests(), ["HEAD /v2/b/manifests/t"]);
    assert_eq!(outcome.totals.requests, 2);
    // By digest the source need not be asked at all.
    let by_digest = format!("a@{}", image.root.digest());
    from.forget_requests();
    run(&from, &to, vec![item(&from, &by_digest, &to, "b:t")]).await.unwrap();
    assert_eq!(from.requests().len(), 0);
}

#[tokio::test]
async fn a_new_image_costs_no_request_more_than_it_needs() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "t", &image("one"));
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    // The manifest and four blobs; no HEAD, as there is nothing to compare with.
    assert_eq!(from.requests().len(), 5, "{:?}", from.requests());
    assert_eq!(from.count(Method::HEAD, ""), 0);
    // The tag and two large blobs are looked for; four blobs are sent; the manifest is written.
    let heads = to.count(Method::HEAD, "");
    assert_eq!((heads, to.requests().len()), (3, 3 + 4 * 2 + 1), "{:?}", to.requests());
    assert_eq!(to.requests().last().unwrap(), "PUT /v2/b/manifests/t");
    let totals = outcome.totals;
    assert_eq!((totals.blobs_moved, totals.blobs_mounted, totals.blobs_present), (4, 0, 0));
    assert_eq!(totals.requests, 17);
    assert!(totals.bytes_moved > 400_000);
}

#[tokio::test]
async fn a_blob_many_images_share_is_read_once_and_sent_once() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let base: Vec<Bytes> = (0..4).map(|n| sample::bytes(&format!("base{n}"), 200_000)).collect();
    let mut items = Vec::new();
    for number in 0..30 {
        let mut layers = base.clone();
        layers.push(sample::bytes(&format!("own{number}"), 2_000));
        let image = sample::image(&format!("image{number}"), &layers);
        from.memory.hold(&format!("i{number}"), "t", &image);
        let name = format!("i{number}:t");
        items.push(item(&from, &name, &to, &name));
    }
    let outcome = run(&from, &to, items.clone()).await.unwrap();
    for layer in &base {
        let digest = Digest::sha256(layer).to_string();
        assert_eq!(from.count(Method::GET, &digest), 1);
        assert_eq!(to.count(Method::PUT, &digest.replace(':', "%3A")), 1);
    }
    let totals = outcome.totals;
    assert_eq!((totals.blobs_moved, totals.blobs_mounted), (4 + 60, 4 * 29));
    // Each image: HEAD, GET, two own blobs (GET, POST, PUT each), PUT. The base: 4 × (GET, POST, PUT)
    // and 4 × 29 mounts; two requests tell that the first repository is empty.
    assert_eq!(totals.requests, 30 * 9 + 4 * 3 + 4 * 29 + 2);
    let again = run(&from, &to, items).await.unwrap();
    assert_eq!(again.totals.requests, 60);
}

#[tokio::test]
async fn where_mounts_are_declined_blobs_are_looked_for_first() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    *to.memory.declines_mounts.lock().unwrap() = true;
    let shared = sample::bytes("shared", 200_000);
    let mut items = Vec::new();
    for number in 0..4 {
        let image = sample::image(&format!("image{number}"), std::slice::from_ref(&shared));
        from.memory.hold(&format!("i{number}"), "t", &image);
        to.memory.hold_blob(&format!("i{number}"), &shared);
        let name = format!("i{number}:t");
        items.push(item(&from, &name, &to, &name));
    }
    let outcome = run(&from, &to, items).await.unwrap();
    // One is sent in vain, then it is known.
    assert_eq!(outcome.totals.blobs_present, 3);
    assert_eq!(outcome.totals.blobs_moved, 4 + 1);
}

#[tokio::test]
async fn a_retag_moves_one_manifest_and_nothing_else() {
    let server = Faulty::start().await;
    server.memory.hold("a", "change_1_latest", &sample::index(&[("amd64", image("one"))]));
    let items = vec![item(&server, "a:change_1_latest", &server, "a:latest")];
    let outcome = run(&server, &server, items).await.unwrap();
    assert!(outcome.images[0].changed);
    assert_eq!(
        server.requests(),
        [
            "HEAD /v2/a/manifests/latest",
            "GET /v2/a/manifests/change_1_latest",
            "PUT /v2/a/manifests/latest"
        ]
    );
}

#[tokio::test]
async fn one_image_under_many_tags_is_looked_at_once() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "t", &image("one"));
    let items: Vec<Item> =
        (0..5).map(|number| item(&from, "a:t", &to, &format!("b:{number}"))).collect();
    let outcome = run(&from, &to, items).await.unwrap();
    assert_eq!(from.count(Method::GET, "/manifests/"), 1);
    assert_eq!(outcome.totals.manifests_written, 5);
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted_and_no_byte_moves() {
    let server = Faulty::start().await;
    server.memory.hold("a", "t", &image("one"));
    let items = vec![item(&server, "a:t", &server, "b:t")];
    let totals = run(&server, &server, items).await.unwrap().totals;
    assert_eq!((totals.blobs_mounted, totals.bytes_moved, totals.requests), (4, 0, 2 + 4 + 1));
    assert_eq!(server.count(Method::GET, "/blobs/"), 0);
}

#[tokio::test]
async fn a_changed_index_moves_only_what_changed() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let same = image("same");
    let old = sample::index(&[("amd64", same.clone()), ("arm64", image("old"))]);
    let new = sample::index(&[("amd64", same.clone()), ("arm64", image("new"))]);
    from.memory.hold("a", "t", &new);
    to.memory.hold("a", "t", &old);
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "a:t")]).await.unwrap();
    assert_eq!(outcome.totals.blobs_moved, 4);
    assert_eq!(outcome.totals.manifests_written, 2);
    assert_eq!(from.count(Method::GET, same.root.digest().as_str()), 0);
    assert_eq!(to.memory.tag("a", "t").unwrap(), new.root.digest().to_string());
}

#[tokio::test]
async fn a_child_that_tags_share_is_looked_for_once() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let shared = image("shared");
    let mut items = Vec::new();
    for tag in ["one", "two"] {
        let new = sample::index(&[("amd64", shared.clone()), ("arm64", image(tag))]);
        from.memory.hold("a", tag, &new);
        to.memory.hold("b", tag, &sample::index(&[("amd64", shared.clone())]));
        items.push(item(&from, &format!("a:{tag}"), &to, &format!("b:{tag}")));
    }
    run(&from, &to, items).await.unwrap();
    assert_eq!(to.count(Method::HEAD, shared.root.digest().as_str()), 1);
    assert_eq!(to.count(Method::HEAD, "/manifests/"), 2 + 3);
}

#[tokio::test]
async fn a_mount_that_takes_long_keeps_no_other_waiting() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let shared = sample::bytes("shared", 200_000);
    let items: Vec<Item> = (0..4)
        .map(|number| {
            let name = format!("i{number}");
            let image = sample::image("same", std::slice::from_ref(&shared));
            from.memory.hold(&name, "t", &image);
            item(&from, &format!("{name}:t"), &to, &format!("{name}:t"))
        })
        .collect();
    // The first tells whether the registry mounts at all.
    let (open, gate) = tokio::sync::watch::channel(false);
    let mount = format!("mount={}&from", Digest::sha256(&shared)).replace(':', "%3A");
    to.fault(1, Method::POST, &mount, Fault::Delay(std::time::Duration::ZERO));
    to.fault(1, Method::POST, &mount, Fault::Hold(gate));
    let all_asked = async {
        while to.count(Method::POST, &mount) < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        open.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(run(&from, &to, items), all_asked);
    assert_eq!(outcome.unwrap().totals.blobs_mounted, 2 * 3);
}

#[tokio::test]
async fn tokens_are_fetched_once_for_each_scope() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let mut logins = CredentialStore::empty();
    for server in [&from, &to] {
        *server.memory.access.lock().unwrap() =
            Access::Bearer { user: "u".to_owned(), password: "p".to_owned(), expires_in: 300 };
        logins.add(&server.registry(), None, Credentials::new("u", "p"));
    }
    from.memory.hold("a", "t", &image("one"));
    let client = client(&[&from.registry(), &to.registry()], logins);
    let items = vec![item(&from, "a:t", &to, "b:t")];
    let outcome = copy::run(&client, items, &Options::default(), &()).await.unwrap();
    // On each side one refusal and one token more than without a login.
    assert_eq!(outcome.totals.requests, 17 + 4);
    assert_eq!((from.count(Method::GET, "/token"), to.count(Method::GET, "/token")), (1, 1));
}
