use http::Method;
use zuul_images::copy::{self, Item, Options};
use zuul_images::oci::Digest;

use super::{image, item, open, run};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

#[tokio::test]
async fn a_missing_image_is_named() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let error = run(&from, &to, vec![item(&from, "a:x", &to, "b:x")]).await.unwrap_err();
    assert_eq!(error.kind(), "not-found");
    assert!(error.to_string().contains(&format!("{}/a:x", from.registry())), "{error}");
    assert_eq!(to.count(Method::PUT, "") + to.count(Method::POST, ""), 0);
}

#[tokio::test]
async fn another_digest_than_expected_is_refused() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "t", &image("one"));
    // Whether the destination has the tag or not.
    for _ in 0..2 {
        let expect = Some(Digest::sha256(b"other"));
        let wanted = Item { expect, ..item(&from, "a:t", &to, "a:t") };
        let error = run(&from, &to, vec![wanted]).await.unwrap_err();
        assert!(error.kind() == "refused", "{error}");
        to.memory.hold("a", "t", &image("one"));
    }
    assert_eq!(to.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn two_images_for_one_tag_are_refused() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "one", &image("one"));
    from.memory.hold("a", "two", &image("two"));
    let items = |second| vec![item(&from, "a:one", &to, "b:t"), item(&from, second, &to, "b:t")];
    let error = run(&from, &to, items("a:two")).await.unwrap_err();
    assert_eq!(error.kind(), "conflict");
    assert_eq!(to.count(Method::PUT, ""), 0);
    let outcome = run(&from, &to, items("a:one")).await.unwrap();
    assert_eq!(outcome.totals.manifests_written, 1);
}

#[tokio::test]
async fn an_index_is_never_rewritten_for_some_platforms() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let children =
        [("amd64", image("amd64")), ("arm64", image("arm64")), ("s390x", image("s390x"))];
    let index = sample::index(&children);
    from.memory.hold("a", "t", &index);
    from.memory.hold("a", "single", &children[0].1);
    let client = open(&[&from.registry(), &to.registry()]);
    let only = async |source: &str, platforms: &[&str]| {
        let platforms = platforms.iter().map(|text| text.parse().unwrap()).collect();
        let options = Options { platforms, ..Options::default() };
        copy::run(&client, vec![item(&from, source, &to, "b:t")], &options, &()).await
    };
    for (source, platforms) in [
        ("a:t", &["linux/amd64", "linux/arm64"][..]),
        ("a:t", &["linux/riscv64"]),
        ("a:single", &["linux/amd64"]),
    ] {
        assert_eq!(only(source, platforms).await.unwrap_err().kind(), "platform");
    }
    let one = only("a:t", &["linux/arm64"]).await.unwrap();
    assert_eq!(&one.images[0].digest, children[1].1.root.digest());
    let all = only("a:t", &["linux/amd64", "linux/arm64", "linux/s390x"]).await.unwrap();
    assert_eq!(&all.images[0].digest, index.root.digest());
}

#[tokio::test]
async fn damaged_content_is_not_committed_and_nothing_is_tagged() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let (good, bad) = (image("good"), image("bad"));
    from.memory.hold("good", "t", &good);
    from.memory.hold("bad", "t", &bad);
    let layer = &bad.blobs[1];
    let mut wrong = layer.to_vec();
    wrong[200_000] ^= 1;
    let path = Digest::sha256(layer).to_string();
    from.fault(9, Method::GET, &path, Fault::Body(wrong.into()));
    let items = vec![item(&from, "good:t", &to, "good:t"), item(&from, "bad:t", &to, "bad:t")];
    let error = run(&from, &to, items).await.unwrap_err();
    assert_eq!(error.kind(), "damaged", "{error}");
    assert!(to.memory.blob("bad", &Digest::sha256(layer)).is_none());
    assert_eq!(to.count(Method::PUT, "/manifests/"), 0);
}

#[tokio::test]
async fn a_registry_that_refuses_a_child_leaves_all_tags_alone() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "t", &image("one"));
    from.memory.hold("b", "t", &sample::index(&[("amd64", image("two"))]));
    let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"I do not like it"}]}"#;
    let refuse = Fault::Answer(400, vec![], body.to_owned());
    to.fault(1, Method::PUT, "/manifests/sha256", refuse);
    let items = vec![item(&from, "a:t", &to, "a:t"), item(&from, "b:t", &to, "b:t")];
    let error = run(&from, &to, items).await.unwrap_err();
    assert!(error.to_string().contains("I do not like it"), "{error}");
    assert!(to.memory.tag("a", "t").is_none() && to.memory.tag("b", "t").is_none());
}
