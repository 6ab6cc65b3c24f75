//! What is refused before anything is written.

use http::Method;
use serde_json::json;

use super::site::{Site, TAGS, UPLOAD, architectures, done, failed, new, old, run, third};
use crate::publish_index;
use crate::support::faulty::Fault;
use crate::support::programs::file;
use crate::support::sample::{Sample, index};

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_is_never_used_again() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "7.6.1-1", &old());
    let (_, said) = failed(&site.publish(&["--number=1"]).await, 3);
    assert!(
        said.contains("7.6.1-1 already exists with digest")
            && said.contains(old().root.digest().as_str()),
        "{said}"
    );
    assert!(site.puts().is_empty() && site.runs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_uploaded_under_another_tag_is_refused() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "7.6.1-1", &new());
    let (_, said) = failed(&site.publish(&[]).await, 3);
    assert!(said.contains("never uploaded before") && said.contains("--freshen"), "{said}");
    assert!(site.puts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_not_an_empty_one() {
    for status in [401, 403, 503] {
        let site = Site::new().await;
        let fault = Fault::Answer(status, Vec::new(), String::new());
        site.upload.fault(9, Method::HEAD, "isv/p1/manifests/7.6.1-1", fault);
        let (_, said) = failed(&site.publish(&["--number=1"]).await, 1);
        assert!(said.contains("refusing to treat as absent"), "{said}");
        assert!(site.puts().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_of_other_registries_never_come_near_preflight() {
    let site = Site::new().await;
    let config = json!({"auths": {"docker.io": {}, site.upload.registry().to_string(): {}}});
    let config = file(site.folder.path(), "docker.json", &config.to_string());
    let option = format!("--docker-config={}", config.display());
    let (_, said) = failed(&site.publish(&[&option]).await, 3);
    assert!(said.contains("(docker.io)") && said.contains("send them to Red Hat"), "{said}");
    assert!(site.upload.requests().is_empty() && site.runs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_for_the_catalog_is_refused() {
    let site = Site::new().await;
    let (_, said) = failed(&site.publish(&["--arch=s390x", "--arch=amd64"]).await, 3);
    assert!(said.contains("missing s390x"), "{said}");
    let (_, said) = failed(&site.publish(&["--preflight-timeout=x"]).await, 2);
    assert!(said.contains("preflight-timeout"), "{said}");
    assert!(site.puts().is_empty());
}

/// The source with an attestation, as buildkit makes it.
pub fn attested() -> Sample {
    let [amd64, arm64] = architectures();
    let sample = index(&[amd64, arm64, ("unknown", publish_index::image("x", "amd64"))]);
    let text = String::from_utf8(sample.root.bytes().to_vec()).unwrap();
    let text = text.replace(
        r#""os":"linux","architecture":"unknown""#,
        r#""os":"unknown","architecture":"unknown""#,
    );
    let root = zuul_images::oci::Manifest::parse(text.into(), None).unwrap();
    Sample { root, ..sample }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_lists_what_nobody_judges_is_refused_before_any_write() {
    let image = |name: &str, architecture: &str| publish_index::image(name, architecture);
    let [amd64, arm64] = architectures();
    let inner = index(&[("arm64", image("new", "arm64"))]);
    for (sample, expected) in [
        (
            index(&[amd64.clone(), arm64.clone(), ("riscv64", image("new", "riscv64"))]),
            "linux/riscv64",
        ),
        (
            index(&[amd64.clone(), arm64, ("amd64", image("other", "amd64"))]),
            "several images for amd64",
        ),
        (index(&[amd64, ("arm64", inner)]), "which is no image"),
        (index(&[]), "an index of nothing"),
        (image("new", "riscv64"), "linux/riscv64"),
    ] {
        let site = Site::new().await;
        site.upload.hold("internal/odd", "1", &sample);
        let source = format!("--source={}/internal/odd:1", site.upload.registry());
        let (_, said) = failed(&site.publish(&[&source]).await, 3);
        assert!(said.contains(expected), "{said}");
        assert!(site.puts().is_empty() && site.runs().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_below_the_last_one_is_refused() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "7.6.1-3-arm64", &old());
    for number in ["--number=1", "--number=3"] {
        let (_, said) = failed(&site.publish(&[number]).await, 3);
        assert!(said.contains("7.6.1-3 is there") && said.contains("the next is 4"), "{said}");
    }
    assert!(site.puts().is_empty());
    let planned = done(&site.publish(&["--dry-run"]).await).to_string();
    assert!(planned.contains("/isv/p1:7.6.1-4 sha256:"), "{planned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_another_image_was_certified_under_is_no_base() {
    let site = Site::new().await;
    site.upload.hold(UPLOAD, "7.6.1-1", &old());
    let mut command = site.running("publish", &["--product=img", "--base=7.6.1-1"]);
    command.arg(format!("--source={}/internal/img:7.6.1-4321", site.upload.registry()));
    let (_, said) = failed(&run(command).await, 3);
    assert!(said.contains("looks like a rebuild of another base"), "{said}");
    assert_eq!(site.held(TAGS[0]).unwrap(), old().root.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certification_without_its_journal_is_adopted_if_the_tag_holds_this_very_image() {
    let site = Site::new().await;
    let adopt = ["--adopt", "--number=1"];
    let (_, said) = failed(&site.publish(&adopt).await, 3);
    assert!(said.contains("nothing to adopt"), "{said}");
    site.upload.hold(UPLOAD, TAGS[0], &third());
    let (_, said) = failed(&site.publish(&adopt).await, 3);
    assert!(said.contains("holds") && said.contains("not this image"), "{said}");
    assert!(site.puts().is_empty());
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=1s"]).await, 1);
    std::fs::remove_file(site.path("journal.json")).unwrap();
    failed(&site.publish(&[]).await, 3);
    site.open();
    done(&site.publish(&adopt).await);
    site.assert_done();
    assert_eq!((site.tag_puts(), site.runs().len()), (TAGS.map(str::to_owned).to_vec(), 1));
    // A later one is there, so its tags stay.
    std::fs::remove_file(site.path("journal.json")).unwrap();
    site.upload.hold(UPLOAD, "7.6.1-2", &third());
    failed(&site.publish(&adopt).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_every_write_and_makes_none() {
    let site = Site::new().await;
    let writes = |document: &serde_json::Value| -> Vec<String> {
        let writes = document["writes"].as_array().unwrap();
        writes.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let planned = writes(&done(&site.publish(&["--dry-run", "--latest"]).await));
    // Four blobs, two images, the index, preflight, three floating tags.
    assert_eq!(planned.len(), 11, "{planned:?}");
    assert!(planned[0].ends_with(" bytes)") && planned[7].starts_with("preflight check container"));
    assert!(planned[10].ends_with(&format!(":latest {}", new().root.digest())));
    assert!(
        site.puts().is_empty() && site.runs().is_empty() && !site.path("journal.json").exists()
    );
    // What is done is not planned any more.
    site.shut();
    failed(&site.publish(&["--publish-timeout=1s"]).await, 1);
    let left = writes(&done(&site.resume(&["--dry-run"]).await));
    assert_eq!(left, planned[8..10]);
    site.assert_not_moved();
    site.open();
    done(&site.resume(&[]).await);
    assert!(writes(&done(&site.resume(&["--dry-run"]).await)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_number_is_that_behind_the_last_of_the_same_base() {
    let site = Site::new().await;
    for tag in ["7.6.1-1", "7.6.1-2-arm64", "7.6.10-9", "7.6.0-MP1-4"] {
        site.upload.hold(UPLOAD, tag, &old());
    }
    for (base, number) in [("7.6.1", 3), ("7.6.0-MP1", 5), ("8.0", 1)] {
        let mut command = site.bare("next-number");
        command.args(["--product=img", "--base", base]);
        assert_eq!(done(&run(command).await)["number"], number);
    }
}
