//! Somebody else moves the tags meanwhile.

use std::time::Duration;

use http::Method;
use zuul_images::client::Sight;
use zuul_images::promote::Current;

use super::{digest, expecting, held, image, promote, promote_with, refusal, waiting};
use crate::support::faulty::Fault;
use crate::support::wait::until;

#[tokio::test]
async fn undo_leaves_a_tag_that_somebody_moved_meanwhile() {
    let server = waiting(&["one", "two"]).await;
    let theirs = image("theirs");
    server.memory.hold("org/a", "one", &image("old"));
    // The second write fails only after somebody else has moved the first tag.
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(503));
    let promoting = promote(&server, &["one", "two"]);
    let meddling = async {
        let new = Some(digest(&image("new")));
        until(|| server.count(Method::PUT, "manifests/two") > 0 && held(&server, "one") == new)
            .await;
        server.memory.hold("org/a", "one", &theirs);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&theirs)));
}

#[tokio::test]
async fn undo_does_not_delete_a_new_tag_that_somebody_moved_meanwhile() {
    let server = waiting(&["one", "two"]).await;
    let theirs = image("theirs");
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(503));
    let promoting = promote(&server, &["one", "two"]);
    let meddling = async {
        until(|| server.count(Method::PUT, "manifests/two") > 0 && held(&server, "one").is_some())
            .await;
        server.memory.hold("org/a", "one", &theirs);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&theirs)));
    assert_eq!(server.count(Method::DELETE, ""), 0);
}

#[tokio::test]
async fn undo_does_not_overwrite_in_its_own_second_attempt() {
    let server = waiting(&["one", "two"]).await;
    let theirs = image("theirs");
    server.memory.hold("org/a", "one", &image("old"));
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    // The first write of `one` passes; the one that puts it back fails, and the look before that is tried
    // again waits until somebody has moved the tag.
    let (release, gate) = tokio::sync::watch::channel(false);
    for (method, second) in [(Method::PUT, refusal(503)), (Method::HEAD, Fault::Hold(gate))] {
        server.fault(1, method.clone(), "manifests/one", Fault::Delay(Duration::ZERO));
        server.fault(1, method, "manifests/one", second);
    }
    let promoting = promote(&server, &["one", "two"]);
    let meddling = async {
        until(|| server.count(Method::HEAD, "manifests/one") == 2).await;
        server.memory.hold("org/a", "one", &theirs);
        release.send_replace(true);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&theirs)));
    assert_eq!(server.count(Method::PUT, "manifests/one"), 2);
}

#[tokio::test]
async fn a_second_attempt_does_not_overwrite_what_somebody_wrote_meanwhile() {
    for lost in [false, true] {
        let server = waiting(&["one"]).await;
        let theirs = image("theirs");
        server.memory.hold("org/a", "one", &image("old"));
        let fault = if lost { Fault::LoseReply } else { refusal(503) };
        server.fault(1, Method::PUT, "manifests/one", fault);
        // The look before the second attempt waits until the tag has been moved.
        let (release, gate) = tokio::sync::watch::channel(false);
        server.fault(1, Method::HEAD, "manifests/one", Fault::Hold(gate));
        let promoting = promote(&server, &["one"]);
        let meddling = async {
            until(|| server.count(Method::HEAD, "manifests/one") == 1).await;
            server.memory.hold("org/a", "one", &theirs);
            release.send_replace(true);
        };
        let (promoted, ()) = tokio::join!(promoting, meddling);
        let error = promoted.unwrap_err().to_string();
        assert!(error.contains("somebody else moved the tag"), "{error}");
        assert_eq!(held(&server, "one"), Some(digest(&theirs)), "lost: {lost}");
        assert_eq!(server.count(Method::PUT, ""), 1);
    }
}

#[tokio::test]
async fn a_tag_that_moved_since_it_was_verified_is_not_overwritten() {
    let server = waiting(&["one", "two"]).await;
    let theirs = image("theirs");
    server.memory.hold("org/a", "one", &image("old"));
    let mut promotions = ["one", "two"].map(|tag| expecting(&server, tag, &image("new")));
    promotions[1].expected = None;
    // `one` is looked at first, then this takes longer than a look is good for.
    let slow = Fault::Delay(Sight::GOOD_FOR);
    server.fault(1, Method::GET, "manifests/change_1_two", slow);
    let options = Default::default();
    let promoting = promote_with(&server, &promotions, &options);
    let meddling = async {
        until(|| server.count(Method::GET, "manifests/change_1_two") == 1).await;
        server.memory.hold("org/a", "one", &theirs);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("org/a:one: somebody else moved the tag"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&theirs)));
    assert_eq!(held(&server, "two"), None);
}

#[tokio::test]
async fn a_tag_that_somebody_else_gave_the_same_image_is_not_taken_from_them_by_undo() {
    let server = waiting(&["one", "two"]).await;
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    let mut promotions = ["one", "two"].map(|tag| expecting(&server, tag, &image("new")));
    promotions[1].expected = None;
    let slow = Fault::Delay(Sight::GOOD_FOR);
    server.fault(1, Method::GET, "manifests/change_1_two", slow);
    let options = Default::default();
    let promoting = promote_with(&server, &promotions, &options);
    let meddling = async {
        until(|| server.count(Method::GET, "manifests/change_1_two") == 1).await;
        server.memory.hold("org/a", "one", &image("new"));
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    promoted.unwrap_err();
    assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
    assert_eq!(server.count(Method::PUT, "manifests/one"), 0);
}

#[tokio::test]
async fn what_is_demanded_of_the_tag_is_looked_at_though_its_digest_is_known() {
    let server = waiting(&["one"]).await;
    server.memory.hold("org/a", "one", &image("new"));
    let mut right = expecting(&server, "one", &image("new"));
    right.current = Some(Current::Absent);
    let options = Default::default();
    let error = promote_with(&server, &[right], &options).await.unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}
