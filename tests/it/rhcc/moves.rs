//! Which tag moves when, and what undoes it.

use http::Method;
use serde_json::{Value, json};

use super::site::{PUBLIC, Site, TAGS, UPLOAD, done, failed, new, old, run, third};
use crate::support::faulty::Fault;
use crate::support::programs::program;
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn tags_move_to_the_very_bytes_that_were_certified_one_after_the_other() {
    let site = Site::new().await;
    let document = done(&site.publish(&[]).await);
    assert_eq!((&document["state"], &document["warnings"]), (&json!("done"), &json!([])));
    site.assert_done();
    assert_eq!(site.tag_puts(), TAGS);
    // Its images come before the first tag.
    assert_eq!(site.puts().iter().position(|it| it == TAGS[0]), Some(2));
    assert_eq!(site.runs(), [format!("{}/{UPLOAD}:7.6.1-1", site.upload.registry())]);
    let mut status = program("certify-rhcc-image");
    status.arg("status").arg("--journal").arg(site.path("journal.json"));
    assert_eq!(done(&run(status).await)["floating"][0]["previous"], json!(old().root.digest()));
    // A rerun has nothing to do.
    site.upload.forget_requests();
    done(&site.resume(&[]).await);
    assert!(site.puts().is_empty() && site.runs().len() == 1);
    assert!(site.publish(&[]).await.status.code() == Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_customers_cannot_pull_moves_no_floating_tag() {
    let site = Site::new().await;
    site.shut();
    let (document, said) = failed(&site.publish(&["--publish-timeout=1s"]).await, 1);
    assert_eq!(document["error"]["kind"], "not-visible");
    assert!(said.contains("floating tags were NOT moved"), "{said}");
    site.assert_not_moved();
    // Something else there is fatal at once: the tag is ours alone.
    site.public.hold(PUBLIC, TAGS[0], &third());
    let (_, said) = failed(&site.resume(&[]).await, 1);
    assert!(said.contains("serves") && said.contains("expected"), "{said}");
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_tag_that_moves_meanwhile_changes_nothing() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=1s"]).await, 1);
    site.upload.hold("internal/img", "7.6.1-4321", &third());
    site.open();
    done(&site.resume(&[]).await);
    site.assert_done();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_number_never_certifies_and_never_writes_over_the_other() {
    let site = Site::new().await;
    let upload = std::sync::Arc::clone(&site.upload);
    // The other one writes between our write and our look at it.
    let other = tokio::spawn(async move {
        until(|| upload.tag(UPLOAD, TAGS[0]).is_some()).await;
        upload.hold(UPLOAD, TAGS[0], &third());
    });
    let (document, said) = failed(&site.publish(&["--settle=1s"]).await, 1);
    other.await.unwrap();
    assert_eq!(document["error"]["kind"], "raced");
    assert!(said.contains("another publisher took 7.6.1-1"), "{said}");
    let (_, said) = failed(&site.resume(&[]).await, 1);
    assert!(said.contains("choose a new number"), "{said}");
    assert_eq!(site.held(TAGS[0]).unwrap(), third().root.digest().as_str());
    assert!(site.runs().is_empty());
    assert_eq!(site.tag_puts(), [TAGS[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floating_tag_that_somebody_else_moved_is_left_to_him() {
    let site = Site::new().await;
    let refusal = Fault::Answer(403, Vec::new(), String::new());
    site.upload.fault(1, Method::PUT, "manifests/7.6.1-rhcc", refusal);
    failed(&site.publish(&[]).await, 1);
    site.upload.hold(UPLOAD, "7.6.1-rhcc", &third());
    let (document, said) = failed(&site.resume(&[]).await, 1);
    assert_eq!(document["error"]["kind"], "raced");
    assert!(said.contains("changed by someone else"), "{said}");
    assert_eq!(site.held("7.6.1-rhcc").unwrap(), third().root.digest().as_str());
    assert_eq!(site.held("7.6.1").unwrap(), old().root.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_customers_cannot_pull_are_put_back_where_that_is_wished() {
    let site = Site::new().await;
    let nothing = Fault::Answer(404, Vec::new(), String::new());
    // The first look notes what was served, the others are those that wait.
    site.public.fault(999, Method::HEAD, "vendor/img/manifests/7.6.1-rhcc", nothing);
    let options = ["--publish-timeout=3s", "--rollback-on-timeout"];
    let (_, said) = failed(&site.publish(&options).await, 1);
    assert!(said.contains("customers cannot pull") && said.contains("put back"), "{said}");
    site.assert_not_moved();
    site.public.forget_faults();
    let document = done(&site.resume(&[]).await);
    assert_eq!(document["state"], Value::from("done"));
    site.assert_done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_gives_the_tags_back_the_bytes_they_held() {
    let site = Site::new().await;
    done(&site.publish(&[]).await);
    let rollback = |more: &[&str]| {
        let mut command = site.bare("rollback");
        command.arg("--journal").arg(site.path("journal.json")).args(more);
        command
    };
    let planned = done(&run(rollback(&["--dry-run"])).await);
    assert_eq!(planned["rolled_back"][0]["changed"], true);
    site.assert_done();
    let document = done(&run(rollback(&[])).await);
    // The most pulled first.
    assert!(document["rolled_back"][0]["image"].as_str().unwrap().ends_with(":7.6.1"));
    site.assert_not_moved();
    assert_eq!(site.held(TAGS[0]).unwrap(), new().root.digest().as_str());
    let again = done(&run(rollback(&[])).await);
    assert_eq!(again["rolled_back"][0]["changed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_that_everybody_pulls_moves_last() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "latest", &old());
    site.public.hold(PUBLIC, "latest", &old());
    let (document, said) = failed(&site.publish(&["--latest", "--publish-timeout=6s"]).await, 1);
    // Nobody here makes it public, so it is waited for when all others are done.
    assert_eq!(document["error"]["kind"], "not-visible");
    assert!(said.contains("vendor/img:latest is not the new image"), "{said}");
    assert_eq!(site.held("latest").as_deref(), Some(new().root.digest().as_str()));
    assert_eq!(site.tag_puts(), [&TAGS[..], &["latest"]].concat());
    site.public.hold(PUBLIC, "latest", &new());
    done(&site.resume(&[]).await);
    assert_eq!(site.tag_puts().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_for_a_floating_tag_is_waited_out_and_a_third_one_is_not() {
    let site = Site::new().await;
    site.delay.looks.store(8, std::sync::atomic::Ordering::SeqCst);
    done(&site.publish(&[]).await);
    site.assert_done();
    let site = Site::new().await;
    let public = std::sync::Arc::clone(&site.public);
    let upload = std::sync::Arc::clone(&site.upload);
    let other = tokio::spawn(async move {
        until(|| upload.count(Method::PUT, "manifests/7.6.1-rhcc$") == 1).await;
        public.hold(PUBLIC, TAGS[1], &third());
    });
    site.delay.looks.store(20, std::sync::atomic::Ordering::SeqCst);
    let (document, said) = failed(&site.publish(&[]).await, 1);
    other.await.unwrap();
    assert_eq!(document["error"]["kind"], "damaged");
    assert!(said.contains("neither previous"), "{said}");
    // The canary fell; the tag that everybody pulls stayed.
    assert_eq!(site.held(TAGS[2]).unwrap(), old().root.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_not_moved_back_from_a_later_rebuild() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=1s"]).await, 1);
    // Meanwhile somebody certified the next one.
    site.upload.hold_all(UPLOAD, &["7.6.1-2", TAGS[1], TAGS[2]], &third());
    site.open();
    let (document, said) = failed(&site.resume(&[]).await, 1);
    assert_eq!(document["error"]["kind"], "raced");
    assert!(said.contains("holds a later rebuild, 7.6.1-2"), "{said}");
    for tag in &TAGS[1..] {
        assert_eq!(site.held(tag).unwrap(), third().root.digest().as_str(), "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_the_unique_tag_whose_answer_was_lost_is_not_sent_again() {
    let site = Site::new().await;
    site.upload.fault(1, Method::PUT, "manifests/7.6.1-1$", Fault::LoseReply);
    done(&site.publish(&["--retries=3"]).await);
    site.assert_done();
    assert_eq!(site.tag_puts(), TAGS);
}
