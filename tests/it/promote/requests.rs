//! What a promotion asks for when all goes well.

use http::Method;
use zuul_images::client::Sight;
use zuul_images::promote::{FinalTag, Options, Promotion};

use super::{expecting, image, promote, promote_with, promotion, recording, wait_for, waiting};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

/// What was asked since the last time.
fn asked(server: &Faulty) -> Vec<String> {
    let requests = server.requests();
    server.forget_requests();
    requests.into_iter().map(|request| request.replace("/v2/org/a/manifests/", "")).collect()
}

#[tokio::test]
async fn a_tag_costs_three_requests_and_its_temporary_tag_two() {
    for old in [None, Some(image("old"))] {
        let server = waiting(&["one"]).await;
        if let Some(old) = &old {
            server.memory.hold("org/a", "one", old);
        }
        promote(&server, &["one"]).await.unwrap();
        let expected =
            ["GET change_1_one", "GET one", "PUT one", "HEAD change_1_one", "DELETE change_1_one"];
        assert_eq!(asked(&server), expected);
    }
}

#[tokio::test]
async fn a_tag_costs_three_requests_with_the_uploaded_digest_known_too() {
    for old in [None, Some(image("old"))] {
        let server = waiting(&["one"]).await;
        if let Some(old) = &old {
            server.memory.hold("org/a", "one", old);
        }
        let options = Options { keep_temporary_tags: true, ..Options::default() };
        promote_with(&server, &[expecting(&server, "one", &image("new"))], &options).await.unwrap();
        assert_eq!(asked(&server), ["GET one", "GET change_1_one", "PUT one"]);
    }
}

#[tokio::test]
async fn a_tag_that_is_right_already_costs_one_request() {
    let server = waiting(&["one"]).await;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let right = [expecting(&server, "one", &image("new"))];
    let options = Options { keep_temporary_tags: true, ..recording(&record) };
    promote_with(&server, &right, &options).await.unwrap();
    server.forget_requests();

    promote_with(&server, &right, &options).await.unwrap();
    assert_eq!(asked(&server), ["HEAD one"]);
    let options = Options { keep_temporary_tags: true, ..Options::default() };
    promote_with(&server, &right, &options).await.unwrap();
    assert_eq!(asked(&server), ["GET one"]);
}

#[tokio::test]
async fn a_source_of_many_tags_is_read_once() {
    let server = waiting(&["one"]).await;
    let from = promotion(&server, "one").from;
    let promotions = ["a", "b", "c"].map(|tag| Promotion {
        to: FinalTag::beside(&from, tag.parse().unwrap()),
        ..promotion(&server, "one")
    });
    let options = Options { keep_temporary_tags: true, parallel: 1, ..Options::default() };
    promote_with(&server, &promotions, &options).await.unwrap();
    let expected = ["GET change_1_one", "GET a", "GET b", "GET c", "PUT a", "PUT b", "PUT c"];
    assert_eq!(asked(&server), expected);
}

#[tokio::test]
async fn what_many_images_list_is_asked_for_once() {
    let server = Faulty::start().await;
    let shared = sample::index(&[("amd64", image("shared")), ("arm64", image("shared too"))]);
    for tag in ["one", "two", "three"] {
        let index = sample::index(&[("amd64", shared.clone()), ("s390x", image(tag))]);
        wait_for(&server, &[tag], &index);
    }
    promote(&server, &["one", "two", "three"]).await.unwrap();
    let digest = shared.root.digest().as_str();
    assert_eq!(server.count(Method::GET, digest), 1);
    for child in &shared.below {
        assert_eq!(server.count(Method::HEAD, child.digest().as_str()), 1);
    }
    // Three of its own each, the shared index and its two children.
    assert_eq!(server.count(Method::HEAD, "sha256:"), 3 + 2);
    assert_eq!(server.count(Method::GET, "sha256:"), 1);
    assert_eq!(server.requests().iter().filter(|it| it.contains("/blobs/")).count(), 0);
}

#[tokio::test]
async fn a_tag_that_was_looked_at_long_ago_is_looked_at_again() {
    let server = waiting(&["one"]).await;
    server.fault(1, Method::GET, "change_1_one", Fault::Delay(Sight::GOOD_FOR));
    let options = Options { keep_temporary_tags: true, ..Options::default() };
    promote_with(&server, &[expecting(&server, "one", &image("new"))], &options).await.unwrap();
    assert_eq!(asked(&server), ["GET one", "GET change_1_one", "HEAD one", "PUT one"]);
}

#[tokio::test]
async fn three_hundred_tags_cost_three_requests_each() {
    let names: Vec<String> = (0..300).map(|number| format!("t{number}")).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = waiting(&tags).await;
    let promotions: Vec<Promotion> = tags.iter().map(|tag| promotion(&server, tag)).collect();
    let options = Options { keep_temporary_tags: true, ..Options::default() };
    promote_with(&server, &promotions, &options).await.unwrap();
    let looked_again = server.count(Method::HEAD, "");
    assert_eq!(server.requests().len() - looked_again, 900);
    assert_eq!(server.count(Method::PUT, ""), 300);
}
