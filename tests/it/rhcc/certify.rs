//! What is judged, and by what.

use http::Method;
use serde_json::json;

use super::{Site, TAGS, architectures, done, failed, new, old};
use crate::publish_index;
use crate::support::programs::file;

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_failed_stop_it_although_preflight_exits_0() {
    let site = Site::new().await;
    site.judge("arm64", &architectures()[1].1, &new(), &["HasLicense", "RunAsNonRoot"]);
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
    std::fs::remove_dir_all(site.path("control/artifacts/arm64")).unwrap();
    let (_, said) = failed(&site.publish(&[]).await, 1);
    assert!(said.contains("no results for arm64"), "{said}");
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_image_counts_for_nothing() {
    let site = Site::new().await;
    site.judge("amd64", &architectures()[0].1, &old(), &[]);
    let (_, said) = failed(&site.publish(&[]).await, 1);
    let certified = format!("certified {}", old().root.digest());
    assert!(said.contains(&certified) && said.contains("another publisher"), "{said}");
    site.judge("amd64", &publish_index::image("old", "amd64"), &new(), &[]);
    let (_, said) = failed(&site.resume(&[]).await, 1);
    assert!(said.contains("for amd64, expected"), "{said}");
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_is_too_old_is_named_and_the_run_goes_on_with_another() {
    let site = Site::new().await;
    let error = "submission failed: test library version 1.0 is not supported\n";
    file(&site.path("control"), "error", error);
    let (_, said) = failed(&site.publish(&[]).await, 1);
    assert!(said.contains("Pyxis refused this preflight") && said.contains("resume"), "{said}");
    std::fs::remove_file(site.path("control/error")).unwrap();
    assert_eq!(done(&site.resume(&[]).await)["state"], "done");
    site.assert_done();
    assert_eq!(site.tag_puts(), TAGS);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_identity_the_layers_are_the_same_and_the_digests_are_not() {
    let site = Site::new().await;
    let (_, said) = failed(&site.publish(&["--freshen"]).await, 1);
    // preflight was told of the image as it was.
    assert!(said.contains("expected"), "{said}");
    let digest = site.held("7.6.1-1").unwrap();
    assert_ne!(digest, new().root.digest().as_str());
    let index = site.upload.memory.manifest("isv/p1", &digest.parse().unwrap()).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for (entry, (_, source)) in index["manifests"].as_array().unwrap().iter().zip(architectures()) {
        let digest = entry["digest"].as_str().unwrap();
        let image = site.upload.memory.manifest("isv/p1", &digest.parse().unwrap()).unwrap();
        assert_eq!(entry["size"], image.len());
        let image: serde_json::Value = serde_json::from_slice(&image).unwrap();
        let before: serde_json::Value = serde_json::from_slice(source.root.bytes()).unwrap();
        assert_eq!(image["layers"], before["layers"]);
        assert_ne!(image["config"]["digest"], before["config"]["digest"]);
    }
    // Once more it is the same image, so nothing is written.
    let puts = site.puts().len();
    failed(&site.resume(&[]).await, 1);
    assert_eq!(site.puts().len(), puts);
    assert_eq!(json!(site.held("7.6.1-1")), json!(digest));
}
