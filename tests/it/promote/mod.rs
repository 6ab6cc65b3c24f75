//! Promotion where things go wrong: all or nothing, and what that costs.

use http::Method;
use zuul_images::auth::CredentialStore;
use zuul_images::oci::Digest;
use zuul_images::promote::{self, Error, Options, Promoted, Promotion, Removed};

use crate::support::clients::client;
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

/// A repository with two images that wait, `change_1_one` and `change_1_two`.
async fn waiting() -> (Faulty, Sample) {
    let server = Faulty::start().await;
    let image = image("new");
    server.memory.hold("org/a", "change_1_one", &image);
    server.memory.hold("org/a", "change_1_two", &image);
    (server, image)
}

fn image(name: &str) -> Sample {
    sample::image(name, &[sample::bytes(name, 1000)])
}

fn promotion(server: &Faulty, tag: &str) -> Promotion {
    let repository = format!("{}/org/a", server.registry());
    Promotion {
        from: format!("{repository}:change_1_{tag}").parse().unwrap(),
        to: tag.parse().unwrap(),
        repository,
        expected: None,
        current: None,
    }
}

async fn promote(server: &Faulty, promotions: &[Promotion]) -> Result<Promoted, Error> {
    let client = client(&[&server.registry()], CredentialStore::empty());
    promote::promote(&client, promotions, Options::default()).await
}

async fn promote_both(server: &Faulty) -> Result<Promoted, Error> {
    promote(server, &[promotion(server, "one"), promotion(server, "two")]).await
}

fn digest(image: &Sample) -> String {
    image.root.digest().to_string()
}

#[tokio::test]
async fn a_failing_write_puts_back_the_tags_written_before() {
    let (server, _) = waiting().await;
    let old = image("old");
    server.memory.hold("org/a", "one", &old);
    let refusal = Fault::Answer(403, Vec::new(), String::new());
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal);
    let error = promote_both(&server).await.unwrap_err().to_string();
    assert!(error.contains("org/a:two") && error.contains("put back"), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), Some(digest(&old)));
    assert_eq!(server.memory.tag("org/a", "two"), None);
    assert!(server.memory.tag("org/a", "change_1_one").is_some());
}

#[tokio::test]
async fn a_tag_that_was_not_there_before_is_taken_back_by_tag() {
    let (server, _) = waiting().await;
    let refusal = Fault::Answer(403, Vec::new(), String::new());
    server.fault(usize::MAX, Method::PUT, "manifests/two", refusal);
    promote_both(&server).await.unwrap_err();
    assert_eq!(server.memory.tag("org/a", "one"), None);
    assert_eq!(server.count(Method::DELETE, "sha256"), 0);
}

#[tokio::test]
async fn undo_names_what_it_cannot_take_back() {
    let (server, image) = waiting().await;
    server.fault(
        usize::MAX,
        Method::PUT,
        "manifests/two",
        Fault::Answer(403, Vec::new(), String::new()),
    );
    server.fault(usize::MAX, Method::DELETE, "", Fault::Answer(405, Vec::new(), String::new()));
    let error = promote_both(&server).await.unwrap_err().to_string();
    assert!(error.contains("NOT put back") && error.contains("org/a:one"), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), Some(digest(&image)));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_put_back_too() {
    let (server, _) = waiting().await;
    let old = image("old");
    server.memory.hold("org/a", "two", &old);
    // The write is done, but all that is heard of it is an error; a look finds it.
    server.fault(1, Method::PUT, "manifests/two", Fault::Status(403));
    let error = promote_both(&server).await.unwrap_err().to_string();
    assert!(error.contains("tags: 2"), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), None);
    assert_eq!(server.memory.tag("org/a", "two"), Some(digest(&old)));
}

#[tokio::test]
async fn a_refused_first_write_is_told_as_what_it_is() {
    let (server, _) = waiting().await;
    let refusal = Fault::Answer(403, Vec::new(), String::new());
    server.fault(usize::MAX, Method::PUT, "", refusal);
    match promote_both(&server).await {
        Err(Error::Client(error)) => assert_eq!(error.kind(), "denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn undo_leaves_a_tag_that_somebody_moved_meanwhile() {
    let (server, _) = waiting().await;
    let theirs = image("theirs");
    server.memory.hold("org/a", "one", &image("old"));
    // The second write fails only after somebody else has moved the first tag.
    server.fault(
        usize::MAX,
        Method::PUT,
        "manifests/two",
        Fault::Answer(503, Vec::new(), String::new()),
    );
    let promoting = promote_both(&server);
    let meddling = async {
        while server.count(Method::PUT, "manifests/two") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        server.memory.hold("org/a", "one", &theirs);
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("left alone"), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), Some(digest(&theirs)));
}

#[tokio::test]
async fn a_tag_that_moved_since_it_was_verified_is_not_overwritten() {
    let (server, _) = waiting().await;
    let (old, theirs) = (image("old"), image("theirs"));
    server.memory.hold("org/a", "one", &old);
    let moved = Fault::Header("docker-content-digest", Some(digest(&theirs)));
    server.fault(1, Method::HEAD, "manifests/one", moved);
    let error = promote_both(&server).await.unwrap_err().to_string();
    assert!(error.contains("somebody else moved the tag"), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), Some(digest(&old)));
    assert_eq!(server.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_stops_everything_before_the_first_write() {
    let (server, _) = waiting().await;
    server.fault(
        usize::MAX,
        Method::GET,
        "manifests/change_1_two",
        Fault::Answer(403, Vec::new(), String::new()),
    );
    assert!(matches!(promote_both(&server).await, Err(Error::Client(_))));
    assert_eq!(server.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn every_reason_is_named_at_once() {
    let server = Faulty::start().await;
    let error = promote_both(&server).await.unwrap_err().to_string();
    assert!(error.contains("change_1_one") && error.contains("change_1_two"), "{error}");
}

#[tokio::test]
async fn an_index_that_lists_what_is_not_there_is_refused() {
    let server = Faulty::start().await;
    let index = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    server.memory.hold("org/a", "change_1_one", &index);
    let missing = index.below[0].digest().to_string();
    server.fault(1, Method::HEAD, &missing, Fault::Answer(404, Vec::new(), String::new()));
    let error = promote(&server, &[promotion(&server, "one")]).await.unwrap_err().to_string();
    assert!(error.contains(&missing), "{error}");
    assert_eq!(server.memory.tag("org/a", "one"), None);
}

#[tokio::test]
async fn a_recorded_digest_is_promoted_though_its_temporary_tag_is_gone() {
    let (server, image) = waiting().await;
    let mut gone = promotion(&server, "three");
    gone.expected = Some(image.root.digest().clone());
    let promoted = promote(&server, &[gone.clone()]).await.unwrap();
    assert!(promoted.promoted[0].changed);
    assert_eq!(server.memory.tag("org/a", "three"), Some(digest(&image)));
    gone.expected = Some(Digest::sha256(b"never pushed"));
    assert!(matches!(promote(&server, &[gone]).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_failing_clean_up_fails_nothing() {
    for (status, expected) in [(405, "unsupported"), (500, "failed")] {
        let (server, image) = waiting().await;
        server.fault(
            usize::MAX,
            Method::DELETE,
            "",
            Fault::Answer(status, Vec::new(), String::new()),
        );
        let promoted = promote(&server, &[promotion(&server, "one")]).await.unwrap();
        let result = serde_json::to_string(&promoted.cleanup[0].result).unwrap();
        assert!(result.contains(expected), "{result}");
        assert_eq!(server.memory.tag("org/a", "one"), Some(digest(&image)));
    }
}

#[tokio::test]
async fn clean_up_leaves_a_later_upload_alone() {
    let (server, image) = waiting().await;
    server.memory.hold("org/a", "one", &image);
    server.memory.hold("org/a", "change_1_one", &self::image("later"));
    let mut done = promotion(&server, "one");
    done.expected = Some(image.root.digest().clone());
    let promoted = promote(&server, &[done]).await.unwrap();
    assert!(!promoted.promoted[0].changed);
    assert_eq!(promoted.cleanup[0].result, Removed::Absent);
    assert!(server.memory.tag("org/a", "change_1_one").is_some());
}

#[tokio::test]
async fn a_promotion_moves_no_blob_and_asks_for_little() {
    let (server, _) = waiting().await;
    promote(&server, &[promotion(&server, "one")]).await.unwrap();
    assert!(!server.requests().iter().any(|request| request.contains("/blobs/")));
    // Read what waits, look at the tag, look again, write; then look at the temporary tag and remove it.
    let methods: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(methods, ["GET", "GET", "HEAD", "PUT", "HEAD", "DELETE"]);

    server.forget_requests();
    let image = image("new");
    let mut right = promotion(&server, "one");
    right.expected = Some(image.root.digest().clone());
    let client = client(&[&server.registry()], CredentialStore::empty());
    let options = Options { keep_temporary_tags: true, ..Options::default() };
    promote::promote(&client, &[right], options).await.unwrap();
    assert_eq!(server.requests(), ["HEAD /v2/org/a/manifests/one"]);
}
