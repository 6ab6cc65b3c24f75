//! zuul-registry as the intermediate registry of a site that has not changed over.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::{Digest, Reference};

use crate::support::documents::documented;
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};
use crate::support::site::{BUILD, pull};
use crate::support::zuul_registry::{PASSWORD, READER, WRITER, ZuulRegistry};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A buildset registry with an image of two platforms, and where files are put.
struct Buildset {
    registry: RegistryProcess,
    folder: TempDir,
    digest: Digest,
}

impl Buildset {
    async fn new() -> Self {
        let registry = RegistryProcess::start();
        let there = repository(&registry.login(), "q.io/a");
        let digest = push_index(&there, "1", "one", &PLATFORMS).await;
        Self { registry, folder: tempfile::tempdir().unwrap(), digest }
    }

    fn push(&self, to: &Path) -> Output {
        let images =
            json!([{"repository": "q.io/a", "tags": ["1"], "digests": {"1": self.digest}}]);
        program("intermediate-registry-sync")
            .args(["push", "--no-ambient-config", "--build", BUILD, "--tenant", "one", "--images"])
            .arg(file(self.folder.path(), "images.json", &images.to_string()))
            .arg("--from")
            .arg(self.registry.connection())
            .arg("--to")
            .arg(to)
            .output()
            .unwrap()
    }

    fn pull(
        &self,
        artifacts: &Value,
        from: PathBuf,
        to: &RegistryProcess,
        lazy: &[&str],
    ) -> Output {
        let more = [&["--tenant", "one"], lazy].concat();
        pull(&self.folder, artifacts, from, to.connection(), &more)
    }
}

/// What a program said, with no password in it.
fn quiet(output: Output) -> Output {
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains(PASSWORD));
    output
}

/// The index, both images and all their blobs are there and are what their digests say.
async fn whole(registry: &RegistryProcess, index: &Digest) {
    let there = repository(&registry.login(), "q.io/a");
    assert_eq!(digest_of(&there, "1").await.as_ref(), Some(index));
    let index = there.manifest(&index.clone().into()).await.unwrap().unwrap();
    assert_eq!(index.children().len(), PLATFORMS.len());
    for child in index.children() {
        let image = there.manifest(&Reference::from(child.digest.clone())).await.unwrap().unwrap();
        for blob in image.blobs() {
            assert_eq!(there.blob_size(&blob.digest).await.unwrap(), Some(blob.size));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_go_through_a_zuul_registry_and_stay_what_they_are() {
    let intermediate = ZuulRegistry::start();
    let buildset = Buildset::new().await;
    let [writer, reader] = [WRITER, READER].map(|user| intermediate.connection(user, PASSWORD));
    let wrong = intermediate.connection("nobody", PASSWORD);
    for login in [&wrong, &reader] {
        let (document, _) = failure(&quiet(buildset.push(login)), 1);
        assert_eq!(document["error"]["kind"], "unauthorized");
    }
    let pushed = json(&quiet(buildset.push(&writer)));
    documented(&pushed);
    let artifacts = &pushed["zuul"]["artifacts"];
    let url = format!("docker://{}/q.io/a:{BUILD}_1", intermediate.address);
    assert_eq!((&artifacts[0]["url"], artifacts.as_array().unwrap().len()), (&json!(url), 1));
    let again = json(&quiet(buildset.push(&writer)));
    assert_eq!(
        (&again["images"][0]["changed"], &again["totals"]["blobs_moved"]),
        (&json!(false), &json!(0))
    );

    let node = RegistryProcess::start();
    let (document, _) = failure(&quiet(buildset.pull(artifacts, wrong, &node, &[])), 1);
    assert_eq!(document["error"]["kind"], "unauthorized");
    let mut other = artifacts.clone();
    other[0]["metadata"]["digest"] = Digest::sha256(b"another").to_string().into();
    let (document, _) = failure(&quiet(buildset.pull(&other, reader.clone(), &node, &[])), 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert_eq!(digest_of(&repository(&node.login(), "q.io/a"), "1").await, None);

    let pulled = json(&quiet(buildset.pull(artifacts, reader, &node, &[])));
    documented(&pulled);
    assert_eq!(pulled["images"][0]["digest"], buildset.digest.as_str());
    whole(&node, &buildset.digest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_pull_from_a_zuul_registry_copies_at_once_and_says_so() {
    let intermediate = ZuulRegistry::start();
    let buildset = Buildset::new().await;
    let pushed = json(&buildset.push(&intermediate.connection(WRITER, PASSWORD)));
    let reader = intermediate.connection(READER, PASSWORD);
    let node = RegistryProcess::start();
    let output = quiet(buildset.pull(&pushed["zuul"]["artifacts"], reader, &node, &["--lazy"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pulled = json(&output);
    documented(&pulled);
    assert_eq!(pulled["images"][0]["lazy"], false);
    let reason = pulled["images"][0]["eager_because"].as_str().unwrap();
    assert!(reason.contains("issues no token") && reason.contains("401"), "{reason}");
    assert!(said.contains("copied at once"), "{said}");
    assert!(!node.root().join("pointers.json").exists());
    // It does not need zuul-registry any more.
    drop(intermediate);
    whole(&node, &buildset.digest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_zuul_registry_is_pointed_at() {
    let intermediate = ZuulRegistry::start_open();
    let buildset = Buildset::new().await;
    let writer = intermediate.connection(WRITER, PASSWORD);
    let pushed = json(&buildset.push(&writer));
    let node = RegistryProcess::start();
    let pulled =
        json(&quiet(buildset.pull(&pushed["zuul"]["artifacts"], writer, &node, &["--lazy"])));
    assert_eq!(pulled["images"][0]["lazy"], true, "{pulled}");
    assert_eq!(pulled["totals"]["bytes_moved"], 0);
    let kept = std::fs::read_to_string(node.root().join("pointers.json")).unwrap();
    assert!(!kept.contains(PASSWORD) && !kept.contains("token"), "{kept}");
    whole(&node, &buildset.digest).await;
}
