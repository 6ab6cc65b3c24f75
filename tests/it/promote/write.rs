use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::oci::ImageReference;
use zuul_images::promote::{Error, FinalTag, Interrupt, Options, Promotion};

use super::{digest, held, image, promote, promote_with, promotion, refusal, waiting};
use crate::support::clients::client;
use crate::support::faulty::Fault;
use crate::support::registry::Registry;
use crate::support::wait::until;

#[tokio::test]
async fn a_failing_write_puts_back_the_tags_written_before() {
    let server = waiting(&["one", "two"]).await;
    let old = image("old");
    server.memory.hold("org/a", "one", &old);
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    let error = promote(&server, &["one", "two"]).await.unwrap_err().to_string();
    assert!(error.contains("org/a:two") && error.contains("put back"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&old)));
    assert_eq!(held(&server, "two"), None);
    assert!(held(&server, "change_1_one").is_some());
}

#[tokio::test]
async fn one_failure_among_many_that_are_written_at_once_leaves_none() {
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = waiting(&tags).await;
    let old = image("old");
    tags.iter().step_by(2).for_each(|tag| server.memory.hold("org/a", tag, &old));
    server.fault(usize::MAX, Method::PUT, "manifests/t20", refusal(403));
    let error = promote(&server, &tags).await.unwrap_err().to_string();
    assert!(error.contains("org/a:t20") && error.contains("put back"), "{error}");
    for (number, tag) in tags.iter().enumerate() {
        assert_eq!(held(&server, tag), (number % 2 == 0).then(|| digest(&old)), "{tag}");
    }
    // No further one is begun after the failure.
    assert_eq!(server.count(Method::PUT, "manifests/t39"), 0);
}

#[tokio::test]
async fn a_tag_that_was_not_there_before_is_taken_back_by_tag() {
    let server = waiting(&["one", "two"]).await;
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    promote(&server, &["one", "two"]).await.unwrap_err();
    assert_eq!(held(&server, "one"), None);
    assert_eq!(server.count(Method::DELETE, "sha256"), 0);
}

#[tokio::test]
async fn undo_names_what_it_cannot_take_back() {
    let server = waiting(&["one", "two"]).await;
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    server.fault(usize::MAX, Method::DELETE, "", refusal(405));
    let error = promote(&server, &["one", "two"]).await.unwrap_err().to_string();
    assert!(error.contains("NOT put back") && error.contains("org/a:one"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
}

#[tokio::test]
async fn a_write_that_was_done_but_failed_is_put_back_too() {
    let server = waiting(&["one", "two"]).await;
    let old = image("old");
    server.memory.hold("org/a", "two", &old);
    // The write is done, but all that is heard of it is an error; a look finds it.
    server.fault(1, Method::PUT, "manifests/two", Fault::Status(403));
    let error = promote(&server, &["one", "two"]).await.unwrap_err().to_string();
    assert!(error.contains("tags: 2"), "{error}");
    assert_eq!(held(&server, "one"), None);
    assert_eq!(held(&server, "two"), Some(digest(&old)));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_settled_by_a_look() {
    let server = waiting(&["one"]).await;
    server.fault(1, Method::PUT, "manifests/one", Fault::LoseReply);
    promote(&server, &["one"]).await.unwrap();
    assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
    assert_eq!(server.count(Method::PUT, ""), 1);
    assert_eq!(server.count(Method::HEAD, "manifests/one"), 1);
}

#[tokio::test]
async fn a_write_that_fails_for_a_while_is_tried_again() {
    let server = waiting(&["one"]).await;
    server.fault(2, Method::PUT, "manifests/one", refusal(503));
    let promoted = promote(&server, &["one"]).await.unwrap();
    assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
    assert_eq!((server.count(Method::PUT, ""), promoted.totals.retries), (3, 2));
}

#[tokio::test]
async fn a_tag_that_nobody_may_write_without_a_login_is_not_one_that_was_written() {
    let server = waiting(&["one"]).await;
    // Everybody may read there.
    let other = Registry::start();
    let image = other.push_image("org/b", "change_1_two", "two");
    let registry = other.address.to_string();
    let from: ImageReference = format!("{registry}/org/b:change_1_two").parse().unwrap();
    let two = Promotion {
        to: FinalTag::beside(&from, "two".parse().unwrap()),
        from,
        repository: format!("{registry}/org/b"),
        ..promotion(&server, "one")
    };
    let client =
        client(&[&server.registry(), &registry.parse().unwrap()], CredentialStore::empty());
    let options = Options { parallel: 1, ..Options::default() };
    let promotions = [promotion(&server, "one"), two];
    let error = zuul_images::promote::promote(&client, &promotions, &options)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("wants a login") && error.contains("put back (tags: 1)"), "{error}");
    assert!(!error.contains("NOT put back"), "{error}");
    assert_eq!(held(&server, "one"), None);
    assert_eq!(other.anonymous("GET", "/v2/org/b/manifests/change_1_two").body, image);
}

#[tokio::test]
async fn a_refused_first_write_is_told_as_what_it_is() {
    let server = waiting(&["one", "two"]).await;
    server.fault(usize::MAX, Method::PUT, "", refusal(403));
    match promote(&server, &["one", "two"]).await {
        Err(Error::Client(error)) => assert_eq!(error.kind(), "denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_interruption_puts_back_what_was_written() {
    let server = waiting(&["one", "two", "three"]).await;
    let old = image("old");
    server.memory.hold("org/a", "one", &old);
    let (release, gate) = tokio::sync::watch::channel(false);
    server.fault(1, Method::PUT, "manifests/two", Fault::Hold(gate));
    let (interrupter, interrupt) = Interrupt::new();
    let options = Options { parallel: 1, interrupt, ..Options::default() };
    let promotions = ["one", "two", "three"].map(|tag| promotion(&server, tag));
    let promoting = promote_with(&server, &promotions, &options);
    let meddling = async {
        until(|| server.count(Method::PUT, "manifests/two") == 1).await;
        assert_eq!(held(&server, "one"), Some(digest(&image("new"))));
        interrupter.interrupt();
        // The write on its way is answered after that.
        release.send_replace(true);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("interrupted") && error.contains("put back (tags: 2)"), "{error}");
    assert_eq!(held(&server, "one"), Some(digest(&old)));
    assert_eq!((held(&server, "two"), held(&server, "three")), (None, None));
    assert_eq!(server.count(Method::PUT, "manifests/three"), 0);
}

#[tokio::test]
async fn an_interruption_before_the_first_write_writes_nothing() {
    let server = waiting(&["one"]).await;
    let (_release, gate) = tokio::sync::watch::channel(false);
    server.fault(1, Method::GET, "manifests/one", Fault::Hold(gate));
    let (interrupter, interrupt) = Interrupt::new();
    let options = Options { interrupt, ..Options::default() };
    let promotions = [promotion(&server, "one")];
    let promoting = promote_with(&server, &promotions, &options);
    let meddling = async {
        until(|| server.count(Method::GET, "manifests/one") == 1).await;
        interrupter.interrupt();
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    assert!(matches!(promoted, Err(Error::Interrupted)), "{promoted:?}");
    assert_eq!(server.count(Method::PUT, ""), 0);
}
