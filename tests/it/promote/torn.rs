//! Records of runs that were killed while they wrote them, and of promotions that are no longer in place.

use serde_json::Value;
use zuul_images::oci::Manifest;
use zuul_images::promote::{self, Error, Options, PutBack, RecordError, RolledBack};

use super::record::{Scene, TAGS};
use super::{client, held, image, promote_with, promotion, recording, wait_for};
use crate::support::sample::Sample;

async fn roll_back(scene: &Scene) -> Result<RolledBack, Error> {
    promote::rollback(&client(&scene.server), &scene.record, &Options::default()).await
}

fn results(rolled_back: &RolledBack) -> Vec<PutBack> {
    rolled_back.rolled_back.iter().map(|tag| tag.result.clone()).collect()
}

/// An image whose manifest holds what is no ASCII.
fn signed(name: &str) -> Sample {
    let plain = image(name);
    let text = String::from_utf8(plain.root.bytes().to_vec()).unwrap();
    let text = text.replacen('{', r#"{"annotations":{"by":"Jürgen"},"#, 1);
    Sample { root: Manifest::parse(text.into(), None).unwrap(), ..plain }
}

#[tokio::test]
async fn a_record_that_is_cut_off_inside_a_letter_is_of_a_run_that_wrote_nothing() {
    let scene = Scene::new().await;
    let old = signed("old");
    scene.server.memory.hold("org/a", "one", &old);
    scene.promote().await.unwrap();
    let whole = scene.text();
    let letter = whole.find('ü').unwrap();
    std::fs::write(&scene.record, &whole.as_bytes()[..=letter]).unwrap();
    scene.server.memory.hold("org/a", "one", &old);
    wait_for(&scene.server, &TAGS, &image("new"));
    scene.promote().await.unwrap();
    assert_eq!((scene.tags(), scene.outcome()), (["new"; 3], Value::from("promoted")));
    assert_eq!(results(&roll_back(&scene).await.unwrap()), [PutBack::Done]);
    assert_eq!(held(&scene.server, "one"), Some(old.root.digest().to_string()));
}

#[tokio::test]
async fn what_is_no_text_is_no_record() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    for wrong in [&b"\xff\n"[..], b"\xff", b"{\"tag\":\"\xff\"}\n"] {
        let text = [scene.text().as_bytes(), wrong].concat();
        std::fs::write(&scene.record, &text).unwrap();
        let error = roll_back(&scene).await.unwrap_err();
        assert!(matches!(error, Error::Record(RecordError::Invalid { .. })), "{error}");
        assert_eq!(std::fs::read(&scene.record).unwrap(), text);
        std::fs::write(&scene.record, &text[..text.len() - wrong.len()]).unwrap();
    }
}

/// A finished promotion was begun once more, and killed while it wrote that down.
#[tokio::test]
async fn a_record_is_good_though_a_later_run_did_not_get_as_far_as_its_tags() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    let finished = scene.text();
    let begin: String = finished.split_inclusive('\n').take(2).collect();
    for torn in [begin.as_str(), &begin[..begin.len() - 20]] {
        std::fs::write(&scene.record, format!("{finished}{torn}")).unwrap();
        scene.server.memory.hold("org/a", "one", &image("new"));
        scene.server.memory.hold("org/a", "two", &image("new"));
        assert_eq!(results(&roll_back(&scene).await.unwrap()), [PutBack::Done, PutBack::Done]);
        let again = roll_back(&scene).await.unwrap();
        assert_eq!(results(&again), [PutBack::Already, PutBack::Already], "{torn:.60}");
        assert_eq!(scene.outcome(), "rolled-back");
    }
}

#[tokio::test]
async fn what_others_wrote_after_a_rollback_is_theirs() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    roll_back(&scene).await.unwrap();
    assert_eq!(scene.tags(), ["old", "nothing", "new"]);
    // Somebody else gives one of the tags the very image, and this run the other one.
    scene.server.memory.hold("org/a", "one", &image("new"));
    wait_for(&scene.server, &TAGS, &image("new"));
    scene.promote().await.unwrap();
    assert_eq!(scene.tags(), ["new"; 3]);
    assert_eq!(results(&roll_back(&scene).await.unwrap()), [PutBack::Done]);
    assert_eq!(scene.tags(), ["new", "nothing", "new"]);
}

#[tokio::test]
async fn a_dry_run_refuses_the_record_of_another_promotion_too() {
    let scene = Scene::new().await;
    scene.promote().await.unwrap();
    let before = scene.text();
    wait_for(&scene.server, &["four"], &image("new"));
    let options = Options { dry_run: true, ..recording(&scene.record) };
    let other = [promotion(&scene.server, "four")];
    let error = promote_with(&scene.server, &other, &options).await.unwrap_err();
    assert!(matches!(error, Error::Record(RecordError::Finished(_))), "{error}");
    assert_eq!(scene.text(), before);
}
