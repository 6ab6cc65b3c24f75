//! Phase one: what is refused, and that nothing is written then.

use http::Method;
use zuul_images::oci::Digest;
use zuul_images::promote::{Error, Options, Promotion};

use super::{
    digest, expecting, held, image, promote, promote_with, promotion, refusal, wait_for, waiting,
};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

#[tokio::test]
async fn every_reason_is_named_at_once() {
    let server = Faulty::start().await;
    let index = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    wait_for(&server, &["replaced", "narrow"], &image("new"));
    wait_for(&server, &["broken"], &index);
    server.memory.hold("org/a", "narrow", &index);
    let missing = index.below[1].digest().to_string();
    server.fault(1, Method::HEAD, &missing, refusal(404));
    let promotions = [
        promotion(&server, "absent"),
        expecting(&server, "replaced", &image("uploaded")),
        promotion(&server, "narrow"),
        promotion(&server, "broken"),
        expecting(&server, "lost", &image("never pushed")),
    ];
    let error = promote_with(&server, &promotions, &Options::default()).await.unwrap_err();
    let Error::Refused(reasons) = &error else { panic!("{error}") };
    for (tag, reason) in [
        ("absent", "there is no `change_1_absent`"),
        ("replaced", "a later upload replaced it"),
        ("narrow", "would lose linux/arm64"),
        ("broken", &missing),
        ("lost", "run the upload again"),
    ] {
        let named = format!("{}/org/a:{tag}: ", server.registry());
        let found = reasons.iter().find(|reason| reason.starts_with(&named));
        assert!(found.is_some_and(|found| found.contains(reason)), "{tag}: {reasons:?}");
    }
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert_eq!(server.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_stops_everything_before_the_first_write() {
    let server = waiting(&["one", "two"]).await;
    server.fault(usize::MAX, Method::GET, "manifests/change_1_two", refusal(403));
    assert!(matches!(promote(&server, &["one", "two"]).await, Err(Error::Client(_))));
    assert_eq!(server.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn an_index_in_an_index_has_to_be_whole_too() {
    let server = Faulty::start().await;
    let inner = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    let outer = sample::index(&[("amd64", inner.clone())]);
    wait_for(&server, &["one"], &outer);
    for (method, missing) in [(Method::HEAD, &inner.below[1]), (Method::GET, &inner.root)] {
        let missing = missing.digest().to_string();
        server.fault(1, method, &missing, refusal(404));
        let error = promote(&server, &["one"]).await.unwrap_err().to_string();
        assert!(error.contains(&missing), "{error}");
        assert_eq!(held(&server, "one"), None);
    }
    promote(&server, &["one"]).await.unwrap();
    assert_eq!(held(&server, "one"), Some(digest(&outer)));
}

#[tokio::test]
async fn a_tag_that_could_not_be_put_back_is_named_beside_all_other_reasons() {
    let server = waiting(&["one", "two"]).await;
    let old = r#"{"schemaVersion":1,"name":"org/a","tag":"one","fsLayers":[],"history":[]}"#;
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned();
    let old = Fault::Answer(200, vec![("content-type", kind)], old.to_owned());
    server.fault(usize::MAX, Method::GET, "manifests/one", old);
    for expected in [None, Some(image("new").root.digest().clone())] {
        let promotions = ["one", "two", "three"]
            .map(|tag| Promotion { expected: expected.clone(), ..promotion(&server, tag) });
        server.memory.forget_tag("org/a", "change_1_two");
        let refused = promote_with(&server, &promotions, &Options::default()).await;
        let Err(Error::Refused(reasons)) = refused else { panic!("{refused:?}") };
        assert!(
            reasons[0].contains("org/a:one: ") && reasons[0].contains("put back"),
            "{reasons:?}"
        );
        assert!(reasons[0].contains("schemaVersion is 1"), "{reasons:?}");
        assert_eq!(reasons.len(), if expected.is_none() { 3 } else { 1 }, "{reasons:?}");
    }
    assert_eq!(server.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn how_much_an_image_may_list_is_not_shared_by_all_of_the_list() {
    let server = Faulty::start().await;
    let tags: Vec<String> = (0..11).map(|number| format!("t{number}")).collect();
    for tag in &tags {
        let children: Vec<_> =
            (0..1000).map(|n| ("amd64", sample::image(&format!("{tag}-{n}"), &[]))).collect();
        wait_for(&server, &[tag], &sample::index(&children));
    }
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let promoted = promote(&server, &tags).await.unwrap();
    assert_eq!(promoted.totals.manifests_written, 11);
}

#[tokio::test]
async fn indexes_nested_without_end_are_refused() {
    let server = Faulty::start().await;
    let nested = (0..10).fold(image("innermost"), |below, _| sample::index(&[("amd64", below)]));
    wait_for(&server, &["one"], &nested);
    let error = promote(&server, &["one"]).await.unwrap_err().to_string();
    assert!(error.contains("nested too deep"), "{error}");
}

/// Whether the tag may go from one image to the other.
async fn may_replace(before: &Sample, after: &Sample) -> Result<(), String> {
    let server = Faulty::start().await;
    server.memory.hold("org/a", "one", before);
    wait_for(&server, &["one"], after);
    let refused = promote(&server, &["one"]).await.err().map(|error| error.to_string());
    let allowed = Options { allow_lost_platforms: true, ..Options::default() };
    if refused.is_some() {
        assert_eq!(held(&server, "one"), Some(digest(before)));
        promote_with(&server, &[promotion(&server, "one")], &allowed).await.unwrap();
    }
    assert_eq!(held(&server, "one"), Some(digest(after)));
    refused.map_or(Ok(()), Err)
}

#[tokio::test]
async fn a_platform_that_the_tag_has_is_not_lost_unless_that_is_allowed() {
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let both = sample::index(&[("amd64", amd64.clone()), ("arm64", arm64.clone())]);
    let only_arm64 = sample::index(&[("arm64", arm64)]);
    let only_amd64 = sample::index(&[("amd64", amd64.clone())]);
    let nested = sample::index(&[("amd64", both.clone())]);
    for (before, after, lost) in [
        (&both, &only_arm64, "lose linux/amd64 "),
        (&nested, &only_arm64, "lose linux/amd64 "),
        // A single image has the platform that its configuration names, here amd64.
        (&both, &amd64, "lose linux/arm64 "),
        (&only_arm64, &amd64, "lose linux/arm64 "),
    ] {
        let refused = may_replace(before, after).await.unwrap_err();
        assert!(refused.contains(lost), "{refused}");
    }
    for (before, after) in [
        (&only_arm64, &both),
        (&both, &nested),
        (&nested, &both),
        (&only_amd64, &amd64),
        (&amd64, &only_arm64),
    ] {
        assert_eq!(may_replace(before, after).await, Ok(()));
    }
}

#[tokio::test]
async fn a_recorded_digest_is_promoted_though_its_temporary_tag_is_gone() {
    let server = waiting(&["one"]).await;
    let image = image("new");
    let gone = [expecting(&server, "three", &image)];
    let promoted = promote_with(&server, &gone, &Options::default()).await.unwrap();
    assert!(promoted.promoted[0].changed);
    assert_eq!(held(&server, "three"), Some(digest(&image)));
    let mut never = promotion(&server, "three");
    never.expected = Some(Digest::sha256(b"never pushed"));
    let refused = promote_with(&server, &[never], &Options::default()).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
}

#[tokio::test]
async fn without_temporary_tag_and_digest_the_final_tag_is_named() {
    let server = Faulty::start().await;
    let error = promote(&server, &["one"]).await.unwrap_err().to_string();
    assert!(error.contains("no `change_1_one`, and no `one` either"), "{error}");
    server.memory.hold("org/a", "one", &image("promoted"));
    let error = promote(&server, &["one"]).await.unwrap_err().to_string();
    assert!(error.contains(&digest(&image("promoted"))) && error.contains("--uploads"), "{error}");
}
