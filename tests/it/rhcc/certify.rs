//! What is judged, and by what.

use http::Method;
use serde_json::json;

use super::site::{PUBLIC, Site, TAGS, UPLOAD, architectures, done, failed, new, old};
use crate::publish_index;

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_failed_stop_it_although_preflight_exits_0() {
    let site = Site::new().await;
    site.control("failed-arm64", "HasLicense RunAsNonRoot");
    let (document, said) = failed(&site.publish(&[]).await, 1);
    assert_eq!(document["error"]["kind"], "not-certified");
    assert!(
        said.contains("arm64 FAILED: HasLicense, RunAsNonRoot") && said.contains("NOT moved"),
        "{said}"
    );
    site.assert_not_moved();
    // It was looked at once, whether it is public already.
    assert_eq!(site.public.count(Method::HEAD, TAGS[0]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_architecture_without_results_is_not_certified() {
    let site = Site::new().await;
    site.control("without-arm64", "");
    let (_, said) = failed(&site.publish(&[]).await, 1);
    assert!(said.contains("no results for arm64"), "{said}");
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_image_counts_for_nothing() {
    let site = Site::new().await;
    let own = architectures()[0].1.root.digest().clone();
    site.control("claim-amd64", &format!("{own} {}", old().root.digest()));
    let (_, said) = failed(&site.publish(&[]).await, 1);
    let certified = format!("certified {}", old().root.digest());
    assert!(said.contains(&certified) && said.contains("another publisher"), "{said}");
    site.assert_not_moved();
    let site = Site::new().await;
    let other = publish_index::image("old", "amd64");
    site.control("claim-amd64", &format!("{} {}", other.root.digest(), new().root.digest()));
    let (_, said) = failed(&site.publish(&[]).await, 1);
    assert!(said.contains("for amd64, expected"), "{said}");
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_is_too_old_is_named_and_the_run_goes_on_with_another() {
    let site = Site::new().await;
    site.control("version", "1.0.0");
    // Who takes any version here hears it from the catalog.
    let (_, said) = failed(&site.publish(&["--preflight-min=0"]).await, 1);
    assert!(said.contains("Pyxis refused this preflight") && said.contains("resume"), "{said}");
    site.uncontrol("version");
    assert_eq!(done(&site.resume(&[]).await)["state"], "done");
    site.assert_done();
    assert_eq!(site.tag_puts(), TAGS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_preflight_could_not_submit_is_told_in_its_last_words_without_secrets() {
    let site = Site::new().await;
    site.control("error-arm64", "level=error msg=\"401 for the-api-key of the-registry-key\"");
    let (_, said) = failed(&site.publish(&[]).await, 1);
    assert!(
        said.contains("no results for arm64: could not submit") && said.contains("401 for"),
        "{said}"
    );
    // Half of it is known there already.
    assert_eq!(site.catalog.images().len(), 1);
    site.uncontrol("error-arm64");
    done(&site.resume(&[]).await);
    site.assert_done();
    assert!(site.runs()[1].ends_with(" --platform=arm64"), "{:?}", site.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_judged_once_more_and_the_catalog_corrected() {
    let site = Site::new().await;
    site.control("failed-amd64", "RunAsNonRoot");
    failed(&site.publish(&[]).await, 1);
    let certified: Vec<bool> =
        site.catalog.images().iter().map(|it| it["certified"] == true).collect();
    assert_eq!(certified, [false, true]);
    site.uncontrol("failed-amd64");
    let document = done(&site.resume(&[]).await);
    site.assert_done();
    // Each image once, although both runs told of one of them.
    assert_eq!(document["images"], json!(["image1", "image2"]));
    assert!(site.runs()[1].ends_with(" --platform=amd64"), "{:?}", site.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_does_not_end_is_ended() {
    let site = Site::new().await;
    site.control("stop-amd64", "");
    let (_, said) = failed(&site.publish(&["--preflight-timeout=1s"]).await, 1);
    assert!(said.contains("it was not done after 1 s"), "{said}");
    site.assert_not_moved();
    site.uncontrol("stop-amd64");
    done(&site.resume(&[]).await);
    site.assert_done();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_one_architecture_is_certified_by_its_platform() {
    let site = Site::new().await;
    let (architecture, image) = &architectures()[1];
    site.upload.hold("internal/one", "1", image);
    let source = format!("--source={}/internal/one:1", site.upload.registry());
    let document = done(&site.publish(&[&source, "--arch=aarch64"]).await);
    assert_eq!(document["members"][0]["architecture"], json!(architecture));
    assert_eq!(site.held(TAGS[2]).as_deref(), Some(image.root.digest().as_str()));
    assert!(site.runs()[0].ends_with(" --platform=arm64"), "{:?}", site.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_identity_the_layers_are_the_same_and_the_digests_are_not() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "internal", &new());
    let document = done(&site.publish(&["--freshen"]).await);
    let digest = site.held(TAGS[0]).unwrap();
    assert_eq!(document["digest"], json!(digest));
    assert_ne!(digest, new().root.digest().as_str());
    for tag in TAGS {
        assert_eq!(site.served(tag).as_ref(), Some(&digest));
    }
    let read = |digest: &str| -> serde_json::Value {
        let path = format!("manifests/{digest}");
        serde_json::from_slice(&site.upload.bytes(UPLOAD, &path).unwrap()).unwrap()
    };
    let index = read(&digest);
    for (entry, (_, source)) in index["manifests"].as_array().unwrap().iter().zip(architectures()) {
        let image = read(entry["digest"].as_str().unwrap());
        let before: serde_json::Value = serde_json::from_slice(source.root.bytes()).unwrap();
        assert_eq!(image["layers"], before["layers"]);
        assert_ne!(image["config"]["digest"], before["config"]["digest"]);
    }
    // The journal is lost, and the same is made from the same again.
    std::fs::remove_file(site.path("journal.json")).unwrap();
    let (puts, runs) = (site.puts().len(), site.runs().len());
    let again = done(&site.publish(&["--freshen", "--adopt", "--number=1"]).await);
    assert_eq!(again["digest"], json!(digest));
    assert_eq!((site.puts().len(), site.runs().len()), (puts, runs));
}

#[tokio::test(flavor = "multi_thread")]
async fn attestations_are_left_out_where_that_is_wished() {
    let site = Site::new().await;
    site.upload.hold("internal/attested", "1", &super::guard::attested());
    let source = format!("--source={}/internal/attested:1", site.upload.registry());
    let (_, said) = failed(&site.publish(&[&source]).await, 3);
    assert!(said.contains("--drop-attestations"), "{said}");
    assert!(site.puts().is_empty());
    let document = done(&site.publish(&[&source, "--drop-attestations"]).await);
    assert_eq!(document["members"].as_array().unwrap().len(), 2);
    assert_eq!(site.catalog.images().len(), 2);
    // A second run makes the same of it.
    std::fs::remove_file(site.path("journal.json")).unwrap();
    let puts = site.puts().len();
    done(&site.publish(&[&source, "--drop-attestations", "--adopt", "--number=1"]).await);
    assert_eq!(site.puts().len(), puts);
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_is_not_run_on_what_is_public_whatever_the_catalog_says() {
    let site = Site::new().await;
    site.control("error-amd64", "no connection");
    failed(&site.publish(&[]).await, 1);
    site.uncontrol("error-amd64");
    site.shut();
    site.public.hold_all(PUBLIC, &TAGS, &new());
    let document = done(&site.resume(&[]).await);
    assert_eq!((&document["state"], site.runs().len()), (&json!("done"), 1));
    assert!(site.catalog.images().is_empty());
    assert_eq!(document["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(site.held(TAGS[2]).as_deref(), Some(new().root.digest().as_str()));
}
