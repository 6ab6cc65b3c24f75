use std::path::PathBuf;

use http::Method;
use tempfile::TempDir;
use zuul_images::promote::{self, Error, Options, PutBack, RecordError, RolledBack};

use super::{client, digest, held, image, promote_with, promotion, recording, refusal, wait_for};
use crate::support::faulty::Faulty;
use crate::support::programs::{failure, program};
use crate::support::sample::{self, Sample};

/// A finished promotion of `one`, which held an index before, and of `two`, which is new.
struct Finished {
    server: Faulty,
    record: PathBuf,
    old: Sample,
    _folder: TempDir,
}

impl Finished {
    async fn new() -> Self {
        let server = Faulty::start().await;
        let old = sample::index(&[("amd64", image("amd64"))]);
        server.memory.hold("org/a", "one", &old);
        wait_for(&server, &["one", "two"], &sample::index(&[("amd64", image("new"))]));
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record.jsonl");
        let promotions = ["one", "two"].map(|tag| promotion(&server, tag));
        promote_with(&server, &promotions, &recording(&record)).await.unwrap();
        server.forget_requests();
        Self { server, record, old, _folder: folder }
    }

    async fn roll_back(&self) -> Result<RolledBack, Error> {
        self.roll_back_with(&Options::default()).await
    }

    async fn roll_back_with(&self, options: &Options<'_>) -> Result<RolledBack, Error> {
        promote::rollback(&client(&self.server), &self.record, options).await
    }

    fn outcomes(&self) -> usize {
        std::fs::read_to_string(&self.record).unwrap().matches("\"outcome\"").count()
    }
}

fn results(rolled_back: &RolledBack) -> Vec<PutBack> {
    rolled_back.rolled_back.iter().map(|tag| tag.result.clone()).collect()
}

#[tokio::test]
async fn a_tag_that_somebody_moved_since_stays() {
    let finished = Finished::new().await;
    finished.server.memory.hold("org/a", "one", &image("theirs"));
    let rolled_back = finished.roll_back().await.unwrap();
    assert_eq!(results(&rolled_back), [PutBack::Moved, PutBack::Done]);
    assert_eq!(held(&finished.server, "one"), Some(digest(&image("theirs"))));
    assert_eq!(held(&finished.server, "two"), None);
}

#[tokio::test]
async fn an_index_whose_image_has_gone_is_not_put_back() {
    let finished = Finished::new().await;
    let gone = finished.old.below[0].digest().to_string();
    finished.server.fault(1, Method::HEAD, &gone, refusal(404));
    let before = held(&finished.server, "one");
    let rolled_back = finished.roll_back().await.unwrap();
    assert!(
        matches!(&results(&rolled_back)[0], PutBack::Incomplete(reason) if reason.contains(&gone)),
        "{rolled_back:?}"
    );
    assert_eq!(held(&finished.server, "one"), before);
}

#[tokio::test]
async fn a_registry_that_deletes_no_tags_keeps_the_new_ones() {
    let finished = Finished::new().await;
    finished.server.fault(usize::MAX, Method::DELETE, "", refusal(405));
    let rolled_back = finished.roll_back().await.unwrap();
    assert_eq!(results(&rolled_back), [PutBack::Done, PutBack::Unsupported]);
}

#[tokio::test]
async fn a_tag_that_cannot_be_asked_for_does_not_keep_the_others_back() {
    let finished = Finished::new().await;
    finished.server.fault(1, Method::HEAD, "manifests/one", refusal(403));
    let rolled_back = finished.roll_back().await.unwrap();
    assert!(matches!(results(&rolled_back)[..], [PutBack::Failed(_), PutBack::Done]));
    assert_eq!(held(&finished.server, "two"), None);
    // It is still to be done.
    let rolled_back = finished.roll_back().await.unwrap();
    assert_eq!(results(&rolled_back), [PutBack::Done, PutBack::Already]);
    assert_eq!(held(&finished.server, "one"), Some(digest(&finished.old)));
}

#[tokio::test]
async fn bytes_that_are_not_what_the_record_says_are_written_nowhere() {
    let finished = Finished::new().await;
    let text = std::fs::read_to_string(&finished.record).unwrap();
    let changed = text.replacen("architecture\\\":\\\"amd64", "architecture\\\":\\\"arm64", 1);
    assert_ne!(text, changed);
    std::fs::write(&finished.record, changed).unwrap();
    let error = finished.roll_back().await.unwrap_err();
    assert!(matches!(error, Error::Record(RecordError::Invalid { .. })), "{error}");
    assert_eq!(finished.server.requests(), [""; 0]);
}

#[tokio::test]
async fn a_promotion_is_taken_back_byte_for_byte_and_once() {
    let finished = Finished::new().await;
    let dry = Options { dry_run: true, ..Options::default() };
    let planned = finished.roll_back_with(&dry).await.unwrap();
    assert_eq!(results(&planned), [PutBack::Done, PutBack::Done]);
    assert_eq!(
        finished.server.count(Method::PUT, "") + finished.server.count(Method::DELETE, ""),
        0
    );

    let rolled_back = finished.roll_back().await.unwrap();
    assert_eq!(results(&rolled_back), [PutBack::Done, PutBack::Done]);
    assert_eq!(rolled_back.totals.manifests_written, 2);
    assert_eq!(held(&finished.server, "one"), Some(digest(&finished.old)));
    assert_eq!(held(&finished.server, "two"), None);
    assert_eq!(finished.server.count(Method::DELETE, "sha256:"), 0);
    assert_eq!(finished.outcomes(), 2);

    finished.server.forget_requests();
    let again = finished.roll_back().await.unwrap();
    assert_eq!(results(&again), [PutBack::Already, PutBack::Already]);
    assert_eq!((finished.outcomes(), finished.server.requests().len()), (2, 0));
}

#[tokio::test]
async fn a_promotion_that_was_rolled_back_can_be_made_again() {
    let finished = Finished::new().await;
    finished.roll_back().await.unwrap();
    let promotions = ["one", "two"].map(|tag| promotion(&finished.server, tag));
    let options = recording(&finished.record);
    // Its temporary tags are gone; the record knows the digests.
    promote_with(&finished.server, &promotions, &options).await.unwrap();
    assert_ne!(held(&finished.server, "one"), Some(digest(&finished.old)));
    assert!(held(&finished.server, "two").is_some());
    assert_eq!(results(&finished.roll_back().await.unwrap()), [PutBack::Done, PutBack::Done]);
}

#[test]
fn a_record_that_cannot_be_read_is_wrong_input() {
    let folder = TempDir::new().unwrap();
    for record in [folder.path().join("missing.jsonl"), folder.path().to_owned()] {
        let rollback =
            program("promote-retag").arg("rollback").arg("--record").arg(&record).output();
        let (_, said) = failure(&rollback.unwrap(), 2);
        assert!(said.contains(record.to_str().unwrap()), "{said}");
    }
}
