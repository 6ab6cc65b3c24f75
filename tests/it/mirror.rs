//! A list of images from their registries to others, by the program.

use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::documents::documented;
use crate::support::images::{digest_of, push_index, push_referrer, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};

struct Mirror {
    from: RegistryProcess,
    to: RegistryProcess,
    folder: TempDir,
}

impl Mirror {
    fn start() -> Self {
        let (from, to) = (RegistryProcess::start(), RegistryProcess::start());
        Self { from, to, folder: tempfile::tempdir().unwrap() }
    }

    fn entry(&self, image: &str, target: &str) -> Value {
        let (source, tag) = image.split_once(':').unwrap();
        let (repository, dest_tag) = target.split_once(':').unwrap();
        json!({
            "src_repository": format!("{}/{source}", self.from.address),
            "src_tag": tag,
            "dest_repository": format!("{}/{repository}", self.to.address),
            "dest_tag": dest_tag,
            "dest_registry": self.to.address,
        })
    }

    fn run(&self, images: &[Value], more: &[&str]) -> Output {
        let list = json!({ "mirror_container_images_images": images }).to_string();
        program("intermediate-registry-sync")
            .args(["mirror", "--no-ambient-config", "--output", "json", "--images"])
            .arg(file(self.folder.path(), "images.json", &list))
            .arg("--credentials")
            .arg(self.to.credentials())
            .args(["--ca-file", &self.from.ca_file(), "--ca-file", &self.to.ca_file()])
            .args(more)
            .output()
            .unwrap()
    }

    async fn target(&self, repository_name: &str, tag: &str) -> Option<String> {
        let target = repository(&self.to.login(), repository_name);
        digest_of(&target, tag).await.map(|digest| digest.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_that_is_missing_leaves_every_tag_as_it_was() {
    let mirror = Mirror::start();
    let platforms = ["linux/amd64", "linux/arm64"];
    push_index(&repository(&mirror.from.login(), "org/a"), "1", "a", &platforms).await;
    let list = [mirror.entry("org/a:1", "m/a:1"), mirror.entry("org/none:1", "m/none:1")];
    let (document, said) = failure(&mirror.run(&list, &[]), 1);
    assert_eq!(document["error"]["kind"], "not-found");
    assert!(said.contains("org/none:1"), "{said}");
    assert_eq!(mirror.target("m/a", "1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_cannot_be_is_refused_before_the_first_request() {
    let mirror = Mirror::start();
    let entry = mirror.entry("org/a:1", "m/a:1");
    let with = |key: &str, value: &str| {
        let mut entry = entry.clone();
        entry[key] = value.into();
        entry
    };
    for (list, expected) in [
        (vec![entry.clone(), entry.clone()], "listed twice"),
        (vec![with("src_tag", "a b")], "a b"),
        (vec![with("source", "x")], "source"),
        (vec![with("dest_registry", "quay.io")], "no credentials for registry `quay.io`"),
        (vec![with("dest_repository", "quay.io/m/a")], "it is in `quay.io`"),
    ] {
        let (_, said) = failure(&mirror.run(&list, &[]), 2);
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_mirrored_in_one_run_and_signatures_come_along() {
    let mirror = Mirror::start();
    let platforms = ["linux/amd64", "linux/arm64"];
    let source = repository(&mirror.from.login(), "org/a");
    let digest = push_index(&source, "1", "a", &platforms).await;
    let other = repository(&mirror.from.login(), "org/b");
    let other = push_index(&other, "1", "a", &platforms).await;
    assert_eq!(digest, other, "both have the same layers");
    push_referrer(&source, &digest, "text/spdx").await;

    let list = [
        mirror.entry("org/a:1", "m/a:1.10"),
        mirror.entry("org/a:1", "m/a:latest"),
        mirror.entry("org/b:1", "m/b:1"),
    ];
    let planned = json(&mirror.run(&list, &["--dry-run"]));
    assert_eq!(planned["images"][0]["referrers"][0]["changed"], true);
    assert_eq!(mirror.target("m/a", "latest").await, None);
    let done = json(&mirror.run(&list, &[]));
    documented(&done);
    assert_eq!(done["totals"]["bytes_moved"], planned["totals"]["bytes_moved"]);
    for (repository, tag) in [("m/a", "1.10"), ("m/a", "latest"), ("m/b", "1")] {
        assert_eq!(mirror.target(repository, tag).await, Some(digest.to_string()));
    }
    let target = repository(&mirror.to.login(), "m/a");
    assert_eq!(target.referrers(&digest).await.unwrap().len(), 1);
    assert!(done["images"][2]["referrers"].as_array().unwrap().is_empty());
    let again = json(&mirror.run(&list, &["--referrers", "all"]));
    assert_eq!(again["totals"]["manifests_written"], 0);
    assert_eq!(again["totals"]["blobs_moved"], 0);
    let without = json(&mirror.run(&list, &["--referrers", "false"]));
    assert!(without["images"][0]["referrers"].as_array().unwrap().is_empty());
}
