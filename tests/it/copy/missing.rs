//! What a blob costs that the destination may lack, to the request.

use bytes::Bytes;
use http::Method;
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::copy::{self, Options, Outcome};
use zuul_images::oci::Digest;

use super::{item, open, run};
use crate::support::clients::client;
use crate::support::faulty::Faulty;
use crate::support::memory::Access;
use crate::support::sample::{self, Sample};

const LARGE: usize = 100_000;

fn layers(name: &str, count: usize, size: usize) -> Sample {
    let layer = |number| sample::bytes(&format!("{name}-{number}"), size);
    sample::image(name, &(0..count).map(layer).collect::<Vec<Bytes>>())
}

/// Copies `a:t` to `b:t`, one thing at a time.
async fn run_in_turn(from: &Faulty, to: &Faulty) -> Outcome {
    let client = open(&[&from.registry(), &to.registry()]);
    let options = Options { parallel: 1, ..Options::default() };
    copy::run(&client, vec![item(from, "a:t", to, "b:t")], &options, &()).await.unwrap()
}

/// The requests of a registry that name this blob, and the PUTs of uploads.
fn about(server: &Faulty, blob: &Bytes) -> Vec<String> {
    let digest = Digest::sha256(blob).to_string();
    let hex = digest.trim_start_matches("sha256:");
    let all = server.requests().into_iter().filter(|request| request.contains(hex));
    all.map(|request| request.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_missing_blob_costs_a_look_a_post_and_a_put() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = layers("new", 4, LARGE);
    from.memory.hold("a", "t", &image);
    to.memory.hold("b", "t", &layers("old", 1, LARGE));
    run_in_turn(&from, &to).await;
    for layer in &image.blobs[1..] {
        assert_eq!(about(&to, layer), ["HEAD", "POST", "PUT"]);
    }
    assert_eq!(to.count(Method::GET, ""), 0, "{:?}", to.requests());
}

#[tokio::test]
async fn a_small_blob_costs_one_post_where_the_registry_takes_it_so() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    *to.memory.takes_single_posts.lock().unwrap() = true;
    let image = layers("small", 3, 1000);
    from.memory.hold("a", "t", &image);
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    for blob in &image.blobs {
        assert_eq!(about(&to, blob), ["POST"]);
        assert_eq!(to.memory.blob("b", &Digest::sha256(blob)).unwrap(), *blob);
    }
    assert_eq!(to.requests().len(), 1 + 4 + 1, "{:?}", to.requests());
    assert_eq!(outcome.totals.blobs_moved, 4);
}

#[tokio::test]
async fn a_large_blob_is_never_sent_before_the_registry_has_begun_an_upload() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    *to.memory.takes_single_posts.lock().unwrap() = true;
    let image = layers("large", 2, LARGE);
    from.memory.hold("a", "t", &image);
    run_in_turn(&from, &to).await;
    for layer in &image.blobs[1..] {
        assert_eq!(about(&to, layer), ["HEAD", "POST", "PUT"]);
    }
    let posts = to.recorded().into_iter().filter(|it| it.method == Method::POST);
    assert!(posts.map(|it| it.body_bytes).max().unwrap() < LARGE);
}

#[tokio::test]
async fn whether_a_registry_takes_single_posts_is_found_out_at_no_request_more() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = layers("small", 20, 1000);
    from.memory.hold("a", "t", &image);
    run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    for blob in &image.blobs {
        assert_eq!(about(&to, blob), ["POST", "PUT"]);
    }
    let posts = to.recorded().into_iter().filter(|it| it.method == Method::POST);
    assert_eq!(posts.filter(|it| it.body_bytes > 0).count(), 1);
}

#[tokio::test]
async fn nothing_is_looked_for_in_an_empty_repository() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = layers("new", 12, LARGE);
    from.memory.hold("a", "t", &image);
    run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert_eq!(to.count(Method::GET, "/v2/b/tags/list?n=1"), 1);
    // The tag, and one blob in case that an earlier run broke off.
    assert_eq!((to.count(Method::HEAD, "/manifests/"), to.count(Method::HEAD, "/blobs/")), (1, 1));
    assert_eq!(to.requests().len(), 3 + 13 * 2 + 1);
}

#[tokio::test]
async fn what_a_broken_run_left_is_found_where_no_tag_is() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = layers("new", 12, LARGE);
    from.memory.hold("a", "t", &image);
    for layer in &image.blobs[1..] {
        to.memory.hold_blob("b", layer);
    }
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert_eq!((outcome.totals.blobs_moved, outcome.totals.blobs_present), (1, 12));
}

#[tokio::test]
async fn blobs_are_looked_for_where_other_tags_are() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = layers("new", 5, LARGE);
    from.memory.hold("a", "t", &image);
    to.memory.hold("b", "other", &layers("new", 4, LARGE));
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert_eq!((outcome.totals.blobs_moved, outcome.totals.blobs_present), (2, 4));
    assert_eq!(to.count(Method::HEAD, "/blobs/"), 5);
}

#[tokio::test]
async fn where_mounts_work_one_request_looks_and_begins_the_upload() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let shared = sample::bytes("shared", 2 * LARGE);
    let mut items = Vec::new();
    let mut own = Vec::new();
    for number in 0..3 {
        own.push(sample::bytes(&format!("own{number}"), LARGE));
        let name = format!("i{number}");
        let image = sample::image(&name, &[shared.clone(), own[number].clone()]);
        from.memory.hold(&name, "t", &image);
        to.memory.hold(&name, "t", &layers(&format!("old{number}"), 1, 10));
        items.push(item(&from, &format!("{name}:t"), &to, &format!("{name}:t")));
    }
    to.memory.hold_blob("i2", &own[2]);
    let client = open(&[&from.registry(), &to.registry()]);
    let options = Options { parallel: 1, ..Options::default() };
    let totals = copy::run(&client, items, &options, &()).await.unwrap().totals;
    assert_eq!(about(&to, &shared), ["HEAD", "POST", "PUT", "POST", "POST"]);
    assert_eq!(about(&to, &own[0]), ["POST", "PUT"]);
    assert_eq!(about(&to, &own[2]), ["POST"]);
    assert_eq!((totals.blobs_mounted, totals.blobs_present), (2, 1));
    assert_eq!(from.count(Method::GET, Digest::sha256(&own[2]).as_str()), 0);
}

#[tokio::test]
async fn the_session_of_a_declined_mount_is_used() {
    let server = Faulty::start().await;
    *server.memory.declines_mounts.lock().unwrap() = true;
    let image = layers("one", 1, LARGE);
    server.memory.hold("a", "t", &image);
    let outcome = run_in_turn(&server, &server).await;
    // The layer's mount is declined; then nothing is mounted any more, and the config is small.
    let mut requests = about(&server, &image.blobs[1]);
    requests.sort();
    assert_eq!(requests, ["GET", "POST", "PUT"]);
    assert_eq!((server.count(Method::POST, ""), server.count(Method::PUT, "/blobs/")), (2, 2));
    assert_eq!(outcome.totals.blobs_moved, 2);
}

#[tokio::test]
async fn the_token_of_a_mount_is_for_both_repositories_and_used_again() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() =
        Access::Bearer { user: "u".to_owned(), password: "p".to_owned(), expires_in: 300 };
    let registry = server.registry();
    let mut logins = CredentialStore::empty();
    logins.add(&registry, None, Credentials::new("u", "p"));
    server.memory.hold("a", "t", &layers("one", 5, LARGE));
    let client = client(&[&registry], logins);
    let items = vec![item(&server, "a:t", &server, "b:t")];
    let outcome = copy::run(&client, items, &Options::default(), &()).await.unwrap();
    assert_eq!((outcome.totals.blobs_mounted, outcome.totals.blobs_moved), (6, 0));
    let tokens = server.requests().into_iter().filter(|it| it.starts_with("GET /token"));
    let mut scopes: Vec<Vec<String>> = tokens
        .map(|it| {
            let url: url::Url =
                format!("http://x{}", it.trim_start_matches("GET ")).parse().unwrap();
            let scopes = url.query_pairs().filter(|(name, _)| name == "scope");
            scopes.map(|(_, scope)| scope.into_owned()).collect()
        })
        .collect();
    scopes.sort();
    let (read, write) = ("repository:a:pull", "repository:b:pull,push");
    assert_eq!(scopes, [vec![read], vec![read, write], vec![write]]);
}
