//! No tag loses an architecture, and none goes back, unless that is asked for.

use http::Method;
use serde_json::Value;

use super::{Site, built, done, failed, image, run, states};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{Sample, index};

fn old(architectures: &[&str]) -> Sample {
    let images: Vec<(&str, Sample)> =
        architectures.iter().map(|it| (*it, built("old", it, "2025-12-01T00:00:00Z"))).collect();
    index(&images)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_would_lose_an_architecture_stays_byte_for_byte_and_single_ones_are_written() {
    let site = Site::with(&["amd64"]).await;
    let before = old(&["amd64", "arm64"]);
    site.server.memory.hold("org/img", "40", &before);
    let (document, said) = failed(&site.publish_one(&["40"], &["--architecture-tags"]).await, 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert_eq!(document["targets"][0]["missing"], serde_json::json!(["linux/arm64"]));
    assert!(
        said.contains("lacks linux/arm64") && said.contains("2025-12-01") && said.contains("d ago"),
        "{said}"
    );
    assert_eq!(site.held("40").unwrap(), before.root.digest().as_str());
    assert_eq!(site.held("40-x86_64").unwrap(), image("new", "amd64").root.digest().as_str());
    assert_eq!(site.puts(), ["40-x86_64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_stands_one_architecture_is_published() {
    let site = Site::with(&["amd64"]).await;
    let document = done(&site.publish_one(&["40"], &[]).await);
    assert_eq!(states(&document), ["published"]);
    assert_eq!(document["targets"][0]["previous"], Value::Null);
    assert_eq!(site.platforms("40"), ["linux/amd64"]);
    // The only member of an index is an image below it, not the index itself.
    assert_eq!(site.manifest("40").children().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_architectures_than_before_are_all_listed() {
    let site = Site::with(&["amd64", "arm64"]).await;
    site.server.memory.hold("org/img", "40", &old(&["amd64"]));
    assert_eq!(states(&done(&site.publish_both(&[]).await)), ["published"]);
    assert_eq!(site.platforms("40"), ["linux/amd64", "linux/arm64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_architecture_outside_the_table_stops_everything_before_any_request() {
    let site = Site::with(&["amd64"]).await;
    let riscv = site.image("riscv64", "riscv64");
    let (_, said) = failed(&site.publish_one(&["40"], &[&riscv]).await, 2);
    assert!(said.contains("unknown architecture `riscv64`"), "{said}");
    assert!(site.server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn attestations_of_the_current_index_are_no_architecture() {
    let site = Site::with(&["amd64"]).await;
    let text = String::from_utf8(old(&["amd64", "unknown"]).root.bytes().to_vec()).unwrap();
    let text = text.replace(
        r#""os":"linux","architecture":"unknown""#,
        r#""os":"unknown","architecture":"unknown""#,
    );
    let mut before = old(&["amd64", "unknown"]);
    before.root = zuul_images::oci::Manifest::parse(text.into(), None).unwrap();
    site.server.memory.hold("org/img", "40", &before);
    assert_eq!(states(&done(&site.publish_one(&["40"], &[]).await)), ["published"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_say_what_it_has_is_never_taken_for_an_empty_one() {
    let answer = |status| Fault::Answer(status, Vec::new(), String::new());
    for (method, fault) in [
        (Method::HEAD, answer(500)),
        (Method::HEAD, answer(401)),
        (Method::HEAD, answer(403)),
        (Method::HEAD, answer(429)),
        (Method::GET, Fault::Body("{}".into())),
        (Method::GET, answer(404)),
    ] {
        let site = Site::with(&["amd64"]).await;
        let before = old(&["amd64", "arm64"]);
        site.server.memory.hold("org/img", "40", &before);
        site.server.fault(99, method.clone(), "org/img/manifests/", fault.clone());
        let output = site.publish_one(&["40", "new"], &["--on-missing=drop"]).await;
        let (document, _) = failed(&output, 1);
        assert_ne!(document["error"]["kind"], "refused", "{fault:?}");
        assert_eq!(site.writes(), 0, "{fault:?}");
        assert_eq!(site.held("40").unwrap(), before.root.digest().as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hybrid_keeps_the_old_image_of_what_was_not_built() {
    let site = Site::with(&["amd64"]).await;
    site.server.memory.hold("org/img", "40", &old(&["amd64", "arm64"]));
    let document = done(&site.publish_one(&["40"], &["--on-missing=hybrid"]).await);
    assert_eq!(document["targets"][0]["kept"], serde_json::json!(["linux/arm64"]));
    let listed: Vec<String> =
        site.manifest("40").children().iter().map(|it| it.digest.to_string()).collect();
    let (new, kept) = (image("new", "amd64"), built("old", "arm64", "2025-12-01T00:00:00Z"));
    assert_eq!(listed, [new.root.digest().as_str(), kept.root.digest().as_str()]);
    for digest in [new.root.digest(), kept.root.digest()] {
        assert!(site.server.memory.manifest("org/img", digest).is_some());
    }
    // Once more, it is what it should be.
    let again = done(&site.publish_one(&["40"], &["--on-missing=hybrid"]).await);
    assert_eq!(states(&again), ["unchanged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_registry_is_judged_by_what_it_has_itself() {
    let site = Site::with(&["amd64", "arm64"]).await;
    site.server.memory.hold("org/img", "40", &old(&["amd64", "arm64"]));
    let other = Faulty::start().await;
    let more = old(&["amd64", "arm64", "s390x"]);
    other.memory.hold("org/img", "40", &more);
    let there = format!("{}/org/img", other.registry());
    let plain = other.registry().to_string();
    let output = site.publish_both(&["--repository", &there, "--plain-http", &plain]).await;
    let (document, said) = failed(&output, 3);
    assert_eq!(states(&document), ["published", "refused"]);
    assert!(said.contains(&there) && said.contains("lacks linux/s390x"), "{said}");
    assert_eq!(site.platforms("40"), ["linux/amd64", "linux/arm64"]);
    assert_eq!(other.memory.tag("org/img", "40").unwrap(), more.root.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_architecture_is_lost_only_where_that_is_said() {
    for more in [&["--allow-drop=aarch64"][..], &["--on-missing=drop"]] {
        let site = Site::with(&["amd64"]).await;
        site.server.memory.hold("org/img", "40", &old(&["amd64", "arm64", "s390x"]));
        let kept = failed(&site.publish_one(&["40"], &["--allow-drop=arm64"]).await, 3).0;
        assert_eq!(kept["targets"][0]["missing"], serde_json::json!(["linux/s390x"]));
        let more = [more, &["--allow-drop=s390x"]].concat();
        let document = done(&site.publish_one(&["40"], &more).await);
        let dropped = document["targets"][0]["dropped"].as_array().unwrap();
        assert_eq!(dropped.len(), 2);
        assert_eq!(site.platforms("40"), ["linux/amd64"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_image_counts_as_its_one_platform() {
    let site = Site::with(&["amd64"]).await;
    let plain = built("old", "arm64/v8", "2025-12-01T00:00:00Z");
    site.server.memory.hold("org/img", "40", &plain);
    let (document, _) = failed(&site.publish_one(&["40"], &[]).await, 3);
    assert_eq!(document["targets"][0]["missing"], serde_json::json!(["linux/arm64"]));
    let plain = built("old", "amd64", "2025-12-01T00:00:00Z");
    site.server.memory.hold("org/img", "40", &plain);
    assert_eq!(states(&done(&site.publish_one(&["40"], &[]).await)), ["published"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_of_arm_are_platforms_of_their_own() {
    let site = Site::with(&["arm/v7"]).await;
    site.server.memory.hold(
        "org/img",
        "40",
        &index(&[("arm", built("old", "arm/v6", "2025-12-01T00:00:00Z"))]),
    );
    // An index that leaves the variant away means v7, whatever is in the image.
    let v7 = site.image("armhf", "arm-v7");
    assert_eq!(states(&done(&run(site.command(&["40"], &[&v7])).await)), ["published"]);
    let site = Site::with(&["arm/v7"]).await;
    site.server.memory.hold("org/img", "40", &built("old", "arm/v6", "2025-12-01T00:00:00Z"));
    let v7 = site.image("armhf", "arm-v7");
    let (document, _) = failed(&run(site.command(&["40"], &[&v7])).await, 3);
    assert_eq!(document["targets"][0]["missing"], serde_json::json!(["linux/arm/v6"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_moves_no_tag_back_but_gets_its_own_tag() {
    let site = Site::with(&["amd64"]).await;
    let newer = index(&[("amd64", built("newer", "amd64", "2026-02-01T00:00:00Z"))]);
    site.server.memory.hold("org/img", "stable", &newer);
    let (document, said) = failed(&site.publish_one(&["40.1", "stable"], &[]).await, 3);
    assert_eq!(states(&document), ["published", "refused"]);
    assert!(said.contains("--move-back") && said.contains("2026-02-01"), "{said}");
    assert_eq!(site.held("stable").unwrap(), newer.root.digest().as_str());
    assert!(site.held("40.1").is_some());
    let document = done(&site.publish_one(&["40.1", "stable"], &["--move-back"]).await);
    assert_eq!(states(&document), ["unchanged", "published"]);
    assert_eq!(site.held("stable"), site.held("40.1"));
}
