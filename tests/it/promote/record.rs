//! What undoes a promotion is on the disk before the first write, and settles it afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::promote::{Error, Interrupt, Options, Promotion, RecordError};

use super::{
    digest, expecting, held, image, promote_with, promotion, recording, refusal, wait_for, waiting,
};
use crate::support::faulty::{Fault, Faulty};
use crate::support::wait::until;

pub(super) const TAGS: [&str; 3] = ["one", "two", "three"];

/// `one` held something, `two` nothing, `three` is right already.
pub(super) struct Scene {
    pub(super) server: Faulty,
    folder: TempDir,
    pub(super) record: PathBuf,
    pub(super) promotions: Vec<Promotion>,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let server = waiting(&TAGS).await;
        server.memory.hold("org/a", "one", &image("old"));
        server.memory.hold("org/a", "three", &image("new"));
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record.jsonl");
        let promotions = TAGS.map(|tag| promotion(&server, tag)).to_vec();
        Self { server, folder, record, promotions }
    }

    /// As if the run had been killed between its two writes; the record is what it left.
    async fn half_done(&self) {
        let (release, gate) = tokio::sync::watch::channel(false);
        // A gate whose other end is gone lets everything through.
        std::mem::forget(release);
        self.server.fault(1, Method::PUT, "manifests/two", Fault::Hold(gate));
        let options = Options { parallel: 1, ..recording(&self.record) };
        let promoting = promote_with(&self.server, &self.promotions, &options);
        tokio::select! {
            promoted = promoting => panic!("{promoted:?}"),
            () = until(|| self.server.count(Method::PUT, "manifests/two") == 1) => {}
        }
        assert_eq!(self.tags(), ["new", "nothing", "new"]);
        self.server.forget_requests();
    }

    pub(super) async fn promote(&self) -> Result<zuul_images::promote::Promoted, Error> {
        promote_with(&self.server, &self.promotions, &recording(&self.record)).await
    }

    /// Which image each of the tags holds.
    pub(super) fn tags(&self) -> [&'static str; 3] {
        TAGS.map(|tag| match held(&self.server, tag) {
            None => "nothing",
            Some(held) => {
                let known = ["new", "old", "later", "theirs"];
                known.into_iter().find(|name| digest(&image(name)) == held).unwrap()
            }
        })
    }

    pub(super) fn text(&self) -> String {
        std::fs::read_to_string(&self.record).unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) fn outcome(&self) -> Value {
        self.lines().pop().unwrap()["outcome"]["result"].take()
    }
}

#[tokio::test]
async fn what_undoes_it_is_on_the_disk_before_the_first_write() {
    let scene = Scene::new().await;
    scene.half_done().await;
    let lines = scene.lines();
    assert_eq!(lines[0]["promotion"]["tags"], 3);
    let old = image("old");
    let repository = format!("{}/org/a", scene.server.registry());
    assert_eq!(
        lines[1]["tag"],
        json!({"tag": format!("{repository}:one"), "repository": repository,
            "from": format!("{repository}:change_1_one"), "digest": digest(&image("new")),
            "before": {"held": {"digest": digest(&old), "media_type": old.root.media_type(),
                "manifest": String::from_utf8(old.root.bytes().to_vec()).unwrap()}}})
    );
    assert_eq!(lines[2]["tag"]["before"], "absent");
    assert_eq!(lines[3]["tag"]["before"], "same");
    assert_eq!(lines.len(), 4);
    let mode = std::fs::metadata(&scene.record).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_finished_promotion_says_so_and_once_more_changes_nothing() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    assert_eq!(scene.outcome(), "promoted");
    let before = scene.text();
    // Its temporary tags are gone, and no upload names the digests: the record does.
    assert_eq!(held(&scene.server, "change_1_one"), None);
    let again = scene.promote().await.unwrap();
    assert!(again.promoted.iter().all(|tag| !tag.changed));
    assert_eq!(scene.server.count(Method::PUT, ""), 2);
    assert_eq!(scene.text(), before);
}

#[tokio::test]
async fn the_next_run_of_the_same_promotion_finishes_it() {
    let scene = Scene::new().await;
    scene.half_done().await;
    let promoted = scene.promote().await.unwrap();
    let changed: Vec<bool> = promoted.promoted.iter().map(|tag| tag.changed).collect();
    assert_eq!(changed, [false, true, false]);
    assert_eq!(scene.tags(), ["new"; 3]);
    assert_eq!(scene.outcome(), "promoted");
    assert_eq!(scene.server.count(Method::PUT, "manifests/one"), 0);
}

#[tokio::test]
async fn a_run_that_fails_to_finish_it_puts_back_what_the_run_before_wrote_too() {
    let scene = Scene::new().await;
    scene.half_done().await;
    scene.server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    let error = scene.promote().await.unwrap_err().to_string();
    assert!(error.contains("put back (tags: 1)"), "{error}");
    assert_eq!(scene.tags(), ["old", "nothing", "new"]);
    assert_eq!(scene.outcome(), "undone");
}

#[tokio::test]
async fn a_promotion_that_can_no_longer_be_finished_is_put_back() {
    let scene = Scene::new().await;
    scene.half_done().await;
    // A later upload took one of the temporary tags.
    wait_for(&scene.server, &["two"], &image("later"));
    let promotions = TAGS.map(|tag| expecting(&scene.server, tag, &image("new")));
    let refused = promote_with(&scene.server, &promotions, &recording(&scene.record)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(scene.tags(), ["old", "nothing", "new"]);
    assert_eq!(scene.outcome(), "undone");
}

#[tokio::test]
async fn another_promotion_puts_it_back_and_goes_on_from_there() {
    let scene = Scene::new().await;
    scene.half_done().await;
    wait_for(&scene.server, &TAGS, &image("later"));
    let promoted = scene.promote().await.unwrap();
    let previous: Vec<Option<String>> = promoted
        .promoted
        .iter()
        .map(|tag| tag.previous.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(previous, [Some(digest(&image("old"))), None, Some(digest(&image("new")))]);
    assert_eq!(scene.tags(), ["later"; 3]);
    assert_eq!(scene.outcome(), "promoted");
}

#[tokio::test]
async fn a_tag_that_somebody_moved_meanwhile_is_not_put_back() {
    let scene = Scene::new().await;
    scene.half_done().await;
    scene.server.memory.hold("org/a", "one", &image("theirs"));
    let gone = [promotion(&scene.server, "unknown")];
    let refused = promote_with(&scene.server, &gone, &recording(&scene.record)).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(scene.tags(), ["theirs", "nothing", "new"]);
    let left = &scene.lines().pop().unwrap()["outcome"]["left"];
    assert!(left[0]["tag"].as_str().unwrap().ends_with("/org/a:one"), "{left}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_leaves_the_record_for_the_next_run() {
    let scene = Scene::new().await;
    scene.half_done().await;
    let before = scene.text();
    scene.server.fault(usize::MAX, Method::HEAD, "manifests/one", refusal(403));
    let gone = [promotion(&scene.server, "unknown")];
    let error = promote_with(&scene.server, &gone, &recording(&scene.record)).await.unwrap_err();
    assert!(matches!(error, Error::Unsettled { .. }), "{error}");
    assert!(error.to_string().contains("record.jsonl"), "{error}");
    assert_eq!(scene.text(), before);
    scene.server.forget_faults();
    scene.promote().await.unwrap();
    assert_eq!(scene.tags(), ["new"; 3]);
}

#[tokio::test]
async fn a_dry_run_settles_nothing() {
    let scene = Scene::new().await;
    scene.half_done().await;
    let before = scene.text();
    let options = Options { dry_run: true, ..recording(&scene.record) };
    promote_with(&scene.server, &scene.promotions, &options).await.unwrap();
    wait_for(&scene.server, &TAGS, &image("later"));
    promote_with(&scene.server, &scene.promotions, &options).await.unwrap();
    assert_eq!(scene.text(), before);
    assert_eq!(scene.server.count(Method::PUT, ""), 0);
    let other = scene.folder.path().join("other");
    promote_with(&scene.server, &scene.promotions, &Options { record: Some(&other), ..options })
        .await
        .unwrap();
    assert!(!other.exists());
}

#[tokio::test]
async fn the_record_of_another_promotion_is_kept() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    let before = scene.text();
    wait_for(&scene.server, &["four"], &image("new"));
    let other = [promotion(&scene.server, "four")];
    let error = promote_with(&scene.server, &other, &recording(&scene.record)).await.unwrap_err();
    assert!(matches!(error, Error::Record(RecordError::Finished(_))), "{error}");
    assert_eq!((scene.text(), held(&scene.server, "four")), (before, None));
}

#[tokio::test]
async fn a_record_that_was_put_back_may_hold_another_promotion() {
    let scene = Scene::new().await;
    scene.server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    scene.promote().await.unwrap_err();
    assert_eq!(scene.outcome(), "undone");
    let other = [promotion(&scene.server, "one")];
    promote_with(&scene.server, &other, &recording(&scene.record)).await.unwrap();
    assert_eq!(scene.tags(), ["new", "nothing", "new"]);
    assert_eq!(scene.outcome(), "promoted");
}

#[tokio::test]
async fn a_record_that_is_cut_off_anywhere_is_of_a_run_that_wrote_nothing() {
    let scene = Scene::new().await;
    scene.half_done().await;
    let whole = scene.text();
    for length in 0..whole.len() {
        std::fs::write(&scene.record, &whole[..length]).unwrap();
        scene.server.memory.hold("org/a", "one", &image("old"));
        scene.server.memory.forget_tag("org/a", "two");
        wait_for(&scene.server, &TAGS, &image("new"));
        scene.promote().await.unwrap();
        assert_eq!((scene.tags(), scene.outcome()), (["new"; 3], json!("promoted")), "{length}");
        let begun = scene.lines().iter().filter(|line| line.get("promotion").is_some()).count();
        assert!(begun <= 2, "{length}");
    }
}

#[tokio::test]
async fn what_is_no_record_is_left_as_it_is() {
    let scene = Scene::new().await;
    let half = scene.text_of_a_finished_one().await;
    for text in [
        "images: []\n",
        "images: []",
        "{}\n",
        "{\"outcome\":{\"result\":\"promoted\",\"at\":\"now\"}}\n",
        "{\"promotion\":{\"version\":2,\"started\":\"now\",\"tags\":0}}\n",
        &half.replace("sha256:", "sha256:0"),
        &half.replace("schemaVersion", "schemaversion"),
        &half.replace("\"absent\"", "\"unknown\""),
    ] {
        std::fs::write(&scene.record, text).unwrap();
        let error = promote_with(&scene.server, &scene.promotions, &recording(&scene.record)).await;
        let is_invalid = matches!(error, Err(Error::Record(RecordError::Invalid { .. })));
        assert!(is_invalid, "{error:?}: {text:.100}");
        assert_eq!(scene.text(), text);
    }
    for (path, what) in [(scene.folder.path(), "a folder"), (Path::new("/dev/null"), "a device")] {
        let error = promote_with(&scene.server, &scene.promotions, &recording(path)).await;
        assert!(matches!(error, Err(Error::Record(RecordError::Io { .. }))), "{what}: {error:?}");
    }
    let link = scene.folder.path().join("link");
    std::os::unix::fs::symlink(scene.folder.path().join("elsewhere"), &link).unwrap();
    let error = promote_with(&scene.server, &scene.promotions, &recording(&link)).await;
    assert!(matches!(error, Err(Error::Record(RecordError::Io { .. }))), "{error:?}");
    assert_eq!(scene.server.count(Method::PUT, ""), 0);
}

impl Scene {
    /// Of another scene; nothing was written here.
    async fn text_of_a_finished_one(&self) -> String {
        let other = Box::pin(Self::new()).await;
        other.promote().await.unwrap();
        other.text()
    }
}

#[tokio::test]
async fn two_runs_do_not_share_a_record() {
    let scene = Scene::new().await;
    let (release, gate) = tokio::sync::watch::channel(false);
    scene.server.fault(1, Method::PUT, "manifests/two", Fault::Hold(gate));
    let first = scene.promote();
    let second = async {
        until(|| scene.server.count(Method::PUT, "manifests/two") == 1).await;
        let error = scene.promote().await.unwrap_err();
        assert!(matches!(error, Error::Record(RecordError::InUse(_))), "{error}");
        release.send_replace(true);
    };
    let (promoted, ()) = tokio::join!(first, second);
    promoted.unwrap();
}

#[tokio::test]
async fn an_interruption_while_it_is_put_back_leaves_that_to_the_next_run() {
    let scene = Scene::new().await;
    // The first write waits until it is interrupted, what undoes it until it is interrupted again.
    let (release, gate) = tokio::sync::watch::channel(false);
    scene.server.fault(1, Method::PUT, "manifests/one", Fault::Hold(gate));
    let (_never, shut) = tokio::sync::watch::channel(false);
    scene.server.fault(1, Method::HEAD, "manifests/one", Fault::Hold(shut));
    let (interrupter, interrupt) = Interrupt::new();
    let options = Options { parallel: 1, interrupt, ..recording(&scene.record) };
    let promoting = promote_with(&scene.server, &scene.promotions, &options);
    let meddling = async {
        until(|| scene.server.count(Method::PUT, "manifests/one") == 1).await;
        interrupter.interrupt();
        release.send_replace(true);
        until(|| scene.server.count(Method::HEAD, "manifests/one") == 1).await;
        interrupter.interrupt();
    };
    let (promoted, ()) = tokio::join!(promoting, meddling);
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("interrupted again") && error.contains("record.jsonl"), "{error}");
    assert_eq!(scene.tags(), ["new", "nothing", "new"]);
    scene.promote().await.unwrap();
    assert_eq!(scene.tags(), ["new"; 3]);
}

#[tokio::test]
async fn what_nothing_is_written_for_has_a_record_too() {
    let server = waiting(&["one"]).await;
    server.memory.hold("org/a", "one", &image("new"));
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record.jsonl");
    promote_with(&server, &[promotion(&server, "one")], &recording(&record)).await.unwrap();
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"before\":\"same\"") && text.contains("\"promoted\""), "{text}");
}
