//! Promotion of what a build pushed to the intermediate registry.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Digest;

use crate::support::builds;
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};
use crate::support::site::{BUILD, CLOSED};
use crate::support::web::Web;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A build pushed two images to the intermediate registry, which nobody reads without a login.
struct Site {
    intermediate: RegistryProcess,
    target: RegistryProcess,
    folder: TempDir,
    images: PathBuf,
    artifacts: Value,
    digests: [Digest; 2],
}

impl Site {
    async fn new() -> Self {
        let intermediate = RegistryProcess::start_for_site(CLOSED);
        let (buildset, target) = (RegistryProcess::start(), RegistryProcess::start());
        let folder = tempfile::tempdir().unwrap();
        let mut digests = Vec::new();
        for name in ["demo/one", "demo/two"] {
            let path = format!("{}/{name}", target.address.replace(':', "_"));
            let speculative = repository(&buildset.login(), &path);
            digests.push(push_index(&speculative, "latest", name, &PLATFORMS).await);
        }
        let image = |name: &str| json!({"repository": format!("{}/{name}", target.address)});
        let images = json!([image("demo/one"), image("demo/two")]).to_string();
        let images = file(folder.path(), "images.json", &images);
        let pushed = program("intermediate-registry-sync")
            .args(["push", "--no-ambient-config", "--build", BUILD, "--tenant", "one", "--images"])
            .arg(&images)
            .arg("--from")
            .arg(buildset.connection())
            .arg("--to")
            .arg(intermediate.connection())
            .output()
            .unwrap();
        let artifacts = json(&pushed)["zuul"]["artifacts"].take();
        let digests = digests.try_into().unwrap();
        Self { intermediate, target, folder, images, artifacts, digests }
    }

    fn zuul(&self, artifacts: &Value) -> Web {
        builds::serve(vec![builds::build(1001, 10, artifacts)])
    }

    fn promotion(&self, zuul: &Web, tenant: &str) -> Command {
        let mut command = program("promote-retag");
        command
            .args(["promote", "--no-ambient-config", "--change", "1001"])
            .args(["--method", "intermediate-registry", "--tenant", tenant])
            .args(["--ca-file", &self.target.ca_file()])
            .args(["--plain-http", &zuul.place().to_string(), "--zuul-api", &builds::url(zuul)])
            .args(["--zuul-query", "change=1001&patchset=1&pipeline=gate&job_name=upload-image"])
            .arg("--images")
            .arg(&self.images)
            .arg("--credentials")
            .arg(self.target.credentials())
            .arg("--intermediate")
            .arg(self.intermediate.connection());
        command
    }

    fn promote(&self, zuul: &Web, more: &[&str]) -> Output {
        self.promotion(zuul, "one").args(more).output().unwrap()
    }

    /// What the final tags hold.
    async fn finals(&self) -> [Option<Digest>; 2] {
        let of =
            async |name: &str| digest_of(&repository(&self.target.login(), name), "latest").await;
        [of("demo/one").await, of("demo/two").await]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_builds_is_an_error_that_says_so() {
    let site = Site::new().await;
    let mut failed = builds::build(1001, 10, &site.artifacts);
    failed["result"] = json!("FAILURE");
    for builds in [vec![], vec![failed]] {
        let (document, said) = failure(&site.promote(&builds::serve(builds), &[]), 1);
        assert!(said.contains("Zuul has no successful build for `change=1001&"), "{said}");
        documented(&document);
    }
    assert_eq!(site.finals().await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_build_did_not_return_or_that_is_elsewhere_is_refused() {
    let site = Site::new().await;
    let elsewhere = Faulty::start().await;
    let mut other = site.artifacts.clone();
    let url = other[1]["url"].as_str().unwrap();
    let url = url.replace(&site.intermediate.address, &elsewhere.registry().to_string());
    other[1]["url"] = json!(url);
    let mut replaced = site.artifacts.clone();
    replaced[1]["metadata"]["digest"] = json!(Digest::sha256(b"what was tested"));
    for (artifacts, reason) in [
        (json!([site.artifacts[0]]), "demo/two:latest: the build returned no such image"),
        (other, "demo/two:latest: its url `docker://"),
        (replaced, "demo/two:latest: "),
    ] {
        let (document, said) = failure(&site.promote(&site.zuul(&artifacts), &[]), 3);
        assert!(said.contains(reason), "{said}");
        documented(&document);
    }
    assert_eq!((elsewhere.requests().len(), site.finals().await), (0, [None, None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_tenant_is_not_given() {
    let site = Site::new().await;
    let zuul = site.zuul(&site.artifacts);
    let output = site.promotion(&zuul, "two").output().unwrap();
    let (_, said) = failure(&output, 1);
    assert!(said.contains("tenant"), "{said}");
    assert_eq!(site.finals().await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tag_is_written_if_one_image_cannot_be_brought_whole() {
    let site = Site::new().await;
    // The second image's content is gone, but for its index.
    let path = format!("{}/demo/two", site.target.address.replace(':', "_"));
    let pushed = repository(&site.intermediate.login(), &path);
    let index = pushed.manifest(&site.digests[1].clone().into()).await.unwrap().unwrap();
    pushed.delete(&index.children()[0].digest.clone().into()).await.unwrap();
    let (_, said) = failure(&site.promote(&site.zuul(&site.artifacts), &[]), 1);
    assert!(said.contains("demo/two"), "{said}");
    assert_eq!(site.finals().await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_moved() {
    let site = Site::new().await;
    let planned = json(&site.promote(&site.zuul(&site.artifacts), &["--dry-run"]));
    documented(&planned);
    assert_eq!((&planned["dry_run"], blobs(&planned)), (&json!(true), (&json!(8), &json!(2))));
    assert_eq!(site.finals().await, [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_newest_successful_build_pushed_gets_its_final_tags_and_can_be_taken_back() {
    let site = Site::new().await;
    let mut failed = builds::build(1001, 11, &json!([]));
    failed["result"] = json!("FAILURE");
    let older = builds::build(1001, 9, &json!([]));
    let builds = vec![failed, builds::build(1001, 10, &site.artifacts), older];
    let zuul = builds::serve(builds);
    let record = site.folder.path().join("record.jsonl");
    let record = record.to_str().unwrap();

    let promoted = json(&site.promote(&zuul, &["--record", record]));
    documented(&promoted);
    // What both images share is moved or mounted, as it comes.
    let (moved, mounted) = blobs(&promoted);
    assert_eq!(moved.as_u64().unwrap() + mounted.as_u64().unwrap(), 10);
    assert_eq!(promoted["totals"]["manifests_written"], 2);
    assert_eq!(promoted["cleanup"], json!([]));
    assert_eq!(site.finals().await, site.digests.clone().map(Some));
    let target = repository(&site.target.login(), "demo/one");
    assert_eq!(target.tags().await.unwrap().len(), 1);

    // The record names the digests: a HEAD a tag.
    let again = json(&site.promote(&zuul, &["--record", record]));
    assert_eq!((&again["totals"]["requests"], &again["carried"]), (&json!(2), &Value::Null));

    let rolled_back = program("promote-retag")
        .args(["rollback", "--no-ambient-config", "--record", record])
        .args(["--ca-file", &site.target.ca_file(), "--credentials"])
        .arg(site.target.credentials())
        .output()
        .unwrap();
    documented(&json(&rolled_back));
    assert_eq!(site.finals().await, [None, None]);
}

/// How many were moved, and how many mounted: what the two images share.
fn blobs(document: &Value) -> (&Value, &Value) {
    (&document["carried"]["blobs_moved"], &document["carried"]["blobs_mounted"])
}
