//! The way of an image through the four programs, over real registries with TLS and logins.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::client::Repository;
use zuul_images::oci::Digest;

use crate::support::documents::documented;
use crate::support::images::{digest_of, push_index, push_referrer, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};

const BUILD: &str = "0123456789abcdef0123456789abcdef";
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A buildset registry with one image of two platforms, and a final registry.
struct Site {
    buildset: RegistryProcess,
    target: RegistryProcess,
    folder: TempDir,
    digest: Digest,
}

impl Site {
    async fn new() -> Self {
        let (buildset, target) = (RegistryProcess::start(), RegistryProcess::start());
        let name = format!("{}/demo/base", target.address.replace(':', "_"));
        let digest =
            push_index(&repository(&buildset.login(), &name), "latest", "one", &PLATFORMS).await;
        Self { buildset, target, folder: tempfile::tempdir().unwrap(), digest }
    }

    fn repository_name(&self) -> String {
        format!("{}/demo/base", self.target.address)
    }

    fn images(&self, extra: &Value) -> PathBuf {
        let mut image = json!({"repository": self.repository_name(), "context": "."});
        image.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        file(self.folder.path(), "images.json", &json!({"container_images": [image]}).to_string())
    }

    fn final_repository(&self) -> Repository {
        repository(&self.target.login(), "demo/base")
    }

    fn upload(&self, images: &PathBuf, more: &[&str]) -> std::process::Output {
        program("upload-with-temp-tag")
            .args(["--no-ambient-config", "--change", "1001", "--ca-file", &self.target.ca_file()])
            .arg("--images")
            .arg(images)
            .arg("--from")
            .arg(self.buildset.connection())
            .arg("--credentials")
            .arg(self.target.credentials())
            .args(more)
            .output()
            .unwrap()
    }

    fn promote(&self, images: &PathBuf, more: &[&str]) -> std::process::Output {
        program("promote-retag")
            .args(["promote", "--no-ambient-config", "--change", "1001"])
            .args(["--ca-file", &self.target.ca_file()])
            .arg("--images")
            .arg(images)
            .arg("--credentials")
            .arg(self.target.credentials())
            .args(more)
            .output()
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_shared_uploaded_and_promoted_with_one_digest() {
    let site = Site::new().await;
    let intermediate = RegistryProcess::start();
    let images = site.images(&json!({"digests": {"latest": site.digest}}));

    let pushed = json(
        &program("intermediate-registry-sync")
            .args(["push", "--no-ambient-config", "--build", BUILD, "--images"])
            .arg(&images)
            .arg("--from")
            .arg(site.buildset.connection())
            .arg("--to")
            .arg(intermediate.connection())
            .output()
            .unwrap(),
    );
    let artifact = &pushed["zuul"]["artifacts"][0];
    let path = site.repository_name().replace(':', "_");
    assert_eq!(artifact["name"], format!("{}:latest", site.repository_name()));
    assert_eq!(artifact["url"], format!("docker://{}/{path}:{BUILD}_latest", intermediate.address));
    assert_eq!(artifact["metadata"]["digest"], site.digest.as_str());
    assert_eq!(pushed["images"][0]["platforms"], json!(PLATFORMS));
    documented(&pushed);

    let next = RegistryProcess::start();
    let artifacts = file(site.folder.path(), "artifacts.json", &pushed.to_string());
    let pulled = json(
        &program("intermediate-registry-sync")
            .args(["pull", "--no-ambient-config", "--artifacts"])
            .arg(&artifacts)
            .arg("--from")
            .arg(intermediate.connection())
            .arg("--to")
            .arg(next.connection())
            .output()
            .unwrap(),
    );
    assert_eq!(pulled["images"][0]["digest"], site.digest.as_str());
    let found = digest_of(&repository(&next.login(), &path), "latest").await;
    assert_eq!(found.as_ref(), Some(&site.digest));
    documented(&pulled);

    let uploaded = json(&site.upload(&images, &["--patchset", "3"]));
    let target = site.final_repository();
    assert_eq!(digest_of(&target, "change_1001_latest").await.as_ref(), Some(&site.digest));
    assert_eq!(digest_of(&target, "latest").await, None);
    // Two configs, two own layers, and one layer that both platforms share.
    assert_eq!(uploaded["totals"]["blobs_moved"], 5);
    documented(&uploaded);

    let uploads = file(site.folder.path(), "uploads.json", &uploaded.to_string());
    let promoted = json(&site.promote(&images, &["--uploads", uploads.to_str().unwrap()]));
    assert_eq!(promoted["promoted"][0]["digest"], site.digest.as_str());
    assert_eq!(promoted["promoted"][0]["previous"], Value::Null);
    assert_eq!(promoted["totals"]["manifests_written"], 1);
    assert_eq!(promoted["cleanup"][0]["result"], "done");
    assert_eq!(digest_of(&target, "latest").await.as_ref(), Some(&site.digest));
    assert_eq!(digest_of(&target, "change_1001_latest").await, None);
    documented(&promoted);

    let again = json(&site.promote(&images, &["--uploads", uploads.to_str().unwrap()]));
    assert_eq!(again["promoted"][0]["changed"], false);
    assert_eq!(again["totals"]["manifests_written"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_to_an_image_is_published_with_it_but_not_shared_before() {
    let site = Site::new().await;
    let path = site.repository_name().replace(':', "_");
    let attached =
        push_referrer(&repository(&site.buildset.login(), &path), &site.digest, "text/spdx").await;
    let images = site.images(&json!({}));
    let intermediate = RegistryProcess::start();
    let pushed = json(
        &program("intermediate-registry-sync")
            .args(["push", "--no-ambient-config", "--build", BUILD, "--images"])
            .arg(&images)
            .arg("--from")
            .arg(site.buildset.connection())
            .arg("--to")
            .arg(intermediate.connection())
            .output()
            .unwrap(),
    );
    assert_eq!(pushed["images"][0]["referrers"], json!([]));
    let shared = repository(&intermediate.login(), &path).referrers(&site.digest).await.unwrap();
    assert_eq!(shared.len(), 0);

    let target = site.final_repository();
    let without = json(&site.upload(&images, &["--referrers", "false"]));
    assert_eq!(without["images"][0]["referrers"], json!([]));
    assert_eq!(target.referrers(&site.digest).await.unwrap().len(), 0);
    // Signed since, and uploaded again.
    let uploaded = json(&site.upload(&images, &[]));
    documented(&uploaded);
    assert_eq!(uploaded["images"][0]["changed"], false);
    assert_eq!(uploaded["images"][0]["referrers"][0]["reference"], attached.digest().as_str());
    json(&site.promote(&images, &[]));
    let published = target.referrers(&site.digest).await.unwrap();
    assert_eq!(published[0]["digest"], attached.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_upload_moves_nothing() {
    let site = Site::new().await;
    let images = site.images(&json!({}));
    json(&site.upload(&images, &[]));
    let again = json(&site.upload(&images, &[]));
    assert_eq!(again["images"][0]["changed"], false);
    assert_eq!(again["totals"]["blobs_moved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_blobs_that_the_final_registry_has_in_another_repository_are_not_sent_again() {
    let site = Site::new().await;
    let upload = async |name: &str| {
        let image = format!("{}/demo/{name}", site.target.address);
        let source = repository(&site.buildset.login(), &image.replace(':', "_"));
        // A layer of each platform becomes larger than what is sent without a look.
        push_index(&source, "latest", &"long".repeat(25), &PLATFORMS).await;
        let images = json!([{"repository": image}]).to_string();
        json(&site.upload(&file(site.folder.path(), "images.json", &images), &[]))
    };
    assert_eq!(upload("large").await["totals"]["blobs_moved"], 5);
    let totals = &upload("other").await["totals"];
    assert_eq!((&totals["blobs_mounted"], &totals["blobs_moved"]), (&json!(2), &json!(3)));
    assert!(totals["bytes_moved"].as_u64().unwrap() < 1000, "{totals}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_overwritten_after_the_build_is_refused() {
    let site = Site::new().await;
    let images = site.images(&json!({"digests": {"latest": Digest::sha256(b"another build")}}));
    let (document, said) = failure(&site.upload(&images, &[]), 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(said.contains(site.digest.as_str()), "{said}");
    assert_eq!(digest_of(&site.final_repository(), "change_1001_latest").await, None);
    documented(&document);
}

#[tokio::test(flavor = "multi_thread")]
async fn promotion_writes_nothing_if_one_image_of_the_list_is_missing() {
    let site = Site::new().await;
    let images = site.images(&json!({}));
    json(&site.upload(&images, &[]));
    let both = site.images(&json!({"tags": ["latest", "stable"]}));
    let (document, said) = failure(&site.promote(&both, &[]), 3);
    assert!(said.contains("change_1001_stable"), "{said}");
    assert_eq!(document["ok"], false);
    assert_eq!(digest_of(&site.final_repository(), "latest").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn promotion_refuses_a_later_upload_than_the_one_recorded() {
    let site = Site::new().await;
    let images = site.images(&json!({}));
    let first = json(&site.upload(&images, &[]));
    let uploads = file(site.folder.path(), "uploads.json", &first.to_string());
    push_index(&site.final_repository(), "change_1001_latest", "two", &PLATFORMS).await;
    let (_, said) = failure(&site.promote(&images, &["--uploads", uploads.to_str().unwrap()]), 3);
    assert!(said.contains("a later upload replaced it"), "{said}");
    assert_eq!(digest_of(&site.final_repository(), "latest").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn promotion_refuses_to_lose_a_platform_unless_allowed() {
    let site = Site::new().await;
    let images = site.images(&json!({}));
    json(&site.upload(&images, &[]));
    let wider = ["linux/amd64", "linux/arm64", "linux/s390x"];
    push_index(&site.final_repository(), "latest", "wide", &wider).await;
    let (_, said) = failure(&site.promote(&images, &[]), 3);
    assert!(said.contains("linux/s390x"), "{said}");
    let promoted = json(&site.promote(&images, &["--allow-lost-platforms"]));
    assert_eq!(promoted["promoted"][0]["changed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let site = Site::new().await;
    let images = site.images(&json!({}));
    let planned = json(&site.upload(&images, &["--dry-run"]));
    assert_eq!(planned["images"][0]["digest"], site.digest.as_str());
    assert_eq!(digest_of(&site.final_repository(), "change_1001_latest").await, None);
    json(&site.upload(&images, &[]));
    let planned = json(&site.promote(&images, &["--dry-run"]));
    assert_eq!(
        (&planned["dry_run"], &planned["promoted"][0]["changed"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(digest_of(&site.final_repository(), "latest").await, None);
    assert!(digest_of(&site.final_repository(), "change_1001_latest").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn retag_demands_what_it_is_told_to_expect() {
    let site = Site::new().await;
    json(&site.upload(&site.images(&json!({})), &[]));
    let retag = |more: &[&str]| {
        program("promote-retag")
            .args(["retag", "--no-ambient-config", "--ca-file", &site.target.ca_file()])
            .arg("--credentials")
            .arg(site.target.credentials())
            .arg(format!("{}:change_1001_latest", site.repository_name()))
            .args(more)
            .output()
            .unwrap()
    };
    let wrong = Digest::sha256(b"wrong");
    failure(&retag(&["one", "--expect-digest", wrong.as_str()]), 3);
    failure(&retag(&["one", "--expect-current", wrong.as_str()]), 3);
    let done = json(&retag(&["one", "two", "--expect-current", "absent"]));
    assert_eq!(done["totals"]["manifests_written"], 2);
    failure(&retag(&["one", "--expect-current", "absent"]), 3);
    assert_eq!(digest_of(&site.final_repository(), "two").await.as_ref(), Some(&site.digest));
    assert!(digest_of(&site.final_repository(), "change_1001_latest").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_takes_all_tags_or_one_platform() {
    let site = Site::new().await;
    let source = format!("{}/{}", site.buildset.address, site.repository_name().replace(':', "_"));
    let copy = |more: &[&str]| {
        let logins = [site.buildset.credentials(), site.target.credentials()].map(|login| {
            let login = std::fs::read_to_string(login).unwrap();
            serde_json::from_str::<serde_json::Map<String, Value>>(&login).unwrap()
        });
        let both: serde_json::Map<String, Value> = logins.into_iter().flatten().collect();
        let both = file(site.folder.path(), "both.json", &Value::Object(both).to_string());
        program("intermediate-registry-sync")
            .args(["copy", "--no-ambient-config", "--ca-file", &site.target.ca_file()])
            .args(["--ca-file", &site.buildset.ca_file(), "--credentials"])
            .arg(both)
            .args(more)
            .output()
            .unwrap()
    };
    let all = format!("{}/all/tags", site.target.address);
    json(&copy(&["--all-tags", &source, &all]));
    let found = digest_of(&repository(&site.target.login(), "all/tags"), "latest").await;
    assert_eq!(found.as_ref(), Some(&site.digest));
    failure(&copy(&["--all-tags", &format!("{source}:latest"), &all]), 2);

    let one = format!("{}/one/platform:1", site.target.address);
    let moved = json(&copy(&["--platform", "linux/arm64", &source, &one]));
    let totals = &moved["totals"];
    assert_eq!(totals["blobs_moved"], 3);
    failure(&copy(&["--platform", "linux/riscv64", &source, &one]), 3);
}
