//! A tree of builds as coreos-assembler makes it, and what is recorded there.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Site, archive, done, failed, image, states};
use crate::support::programs::file;

/// `builds/40.1` with the artifact `img` for these architectures of Fedora.
fn build(site: &Site, architectures: &[(&str, &str)]) {
    let builds = site.path("builds");
    std::fs::create_dir_all(&builds).unwrap();
    file(&builds, "builds.json", &json!({"builds": [{"id": "40.1"}, {"id": "39.7"}]}).to_string());
    for (fedora, oci) in architectures {
        let folder = builds.join("40.1").join(fedora);
        std::fs::create_dir_all(&folder).unwrap();
        archive(&folder.join("img.ociarchive"), &image("new", oci));
        let bytes = std::fs::read(folder.join("img.ociarchive")).unwrap();
        let meta = json!({"buildid": "40.1", "images": {
            "img": {"path": "img.ociarchive", "sha256": hex::encode(Sha256::digest(bytes))}}});
        file(&folder, "meta.json", &meta.to_string());
    }
}

fn meta_file(site: &Site, architecture: &str) -> PathBuf {
    site.path("builds").join("40.1").join(architecture).join("meta.json")
}

fn meta(site: &Site, architecture: &str) -> Value {
    serde_json::from_slice(&std::fs::read(meta_file(site, architecture)).unwrap()).unwrap()
}

async fn publish(site: &Site, more: &[&str]) -> std::process::Output {
    let tree = site.folder.path().display().to_string();
    let options = ["--tree", &tree, "--artifact", "img", "--meta-key", "base"];
    super::run(site.command(&["40.1", "stable"], &[&options, more].concat())).await
}

const BOTH: [(&str, &str); 2] = [("x86_64", "amd64"), ("aarch64", "arm64")];

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_unlike_its_metadata_stops_everything_before_any_request() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let archive = meta_file(&site, "aarch64").with_file_name("img.ociarchive");
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes.push(0);
    std::fs::write(&archive, bytes).unwrap();
    let (_, said) = failed(&publish(&site, &[]).await, 2);
    assert!(said.contains("img.ociarchive") && said.contains("says sha256:"), "{said}");
    assert!(site.server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_out_of_the_tree_is_refused() {
    for path in ["../x86_64/img.ociarchive", "/etc/passwd", ".."] {
        let site = Site::with(&[]).await;
        build(&site, &BOTH);
        let text = meta(&site, "aarch64").to_string().replace("img.ociarchive", path);
        std::fs::write(meta_file(&site, "aarch64"), text).unwrap();
        let (_, said) = failed(&publish(&site, &[]).await, 2);
        assert!(said.contains("leads elsewhere"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_architecture_without_the_artifact_is_left_out_unless_it_was_named() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let folder = site.path("builds").join("40.1").join("ppc64le");
    std::fs::create_dir_all(&folder).unwrap();
    file(&folder, "meta.json", r#"{"images": {}}"#);
    let (_, said) = failed(&publish(&site, &["--arch=ppc64le", "--arch=x86_64"]).await, 2);
    assert!(said.contains("no artifact `img` for ppc64le"), "{said}");
    let output = publish(&site, &[]).await;
    done(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ppc64le is left out"));
    assert_eq!(site.platforms("40.1"), ["linux/amd64", "linux/arm64"]);
    assert_eq!(meta(&site, "ppc64le").get("base"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_meta_gets_its_own_digest_and_that_of_the_index() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let document = done(&publish(&site, &[]).await);
    for (fedora, oci) in BOTH {
        let meta = meta(&site, fedora);
        let expected = json!({
            "image": site.repository(),
            "digest": image("new", oci).root.digest(),
            "manifest-list-digest": document["digest"],
            "tags": ["40.1", "stable"],
        });
        assert_eq!((&meta["base"], &meta["buildid"]), (&expected, &json!("40.1")));
        assert_eq!(meta.get("additional-images"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_before_the_metadata_is_made_good_without_a_write() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    done(&publish(&site, &[]).await);
    let recorded = meta(&site, "x86_64");
    build(&site, &BOTH);
    assert_eq!(meta(&site, "x86_64").get("base"), None);
    site.server.forget_requests();
    assert_eq!(states(&done(&publish(&site, &[]).await)), ["unchanged"; 2]);
    assert_eq!((meta(&site, "x86_64"), site.writes()), (recorded, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn reruns_add_no_records_and_further_repositories_one_each() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let there = format!("{}/org/copy", site.server.registry());
    for _ in 0..2 {
        site.server.forget_requests();
        done(&publish(&site, &["--force", "--repository", &there]).await);
        let written: Vec<String> =
            site.puts().into_iter().filter(|it| !it.starts_with("sha256")).collect();
        assert_eq!(written, ["40.1", "stable", "40.1", "stable"]);
        let meta = meta(&site, "aarch64");
        assert_eq!(meta["base"]["image"], site.repository());
        let more = meta["additional-images"].as_array().unwrap();
        assert_eq!((more.len(), &more[0]["image"]), (1, &json!(there)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_that_differs_publishes_the_whole_index() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let first = done(&publish(&site, &[]).await);
    build(&site, &BOTH[..1]);
    let newer = image("newer", "amd64");
    let folder = site.path("builds").join("40.1").join("x86_64");
    archive(&folder.join("img.ociarchive"), &newer);
    let bytes = std::fs::read(folder.join("img.ociarchive")).unwrap();
    let images =
        json!({"img": {"path": "img.ociarchive", "sha256": hex::encode(Sha256::digest(bytes))}});
    file(&folder, "meta.json", &json!({"images": images}).to_string());
    let second = done(&publish(&site, &[]).await);
    assert_eq!(states(&second), ["published"; 2]);
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!(meta(&site, "x86_64")["base"]["digest"], json!(newer.root.digest()));
    assert_eq!(
        meta(&site, "aarch64")["base"]["digest"],
        json!(image("new", "arm64").root.digest())
    );
    for architecture in ["x86_64", "aarch64"] {
        assert_eq!(meta(&site, architecture)["base"]["manifest-list-digest"], second["digest"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_its_own_records_the_whole_index_or_one_architecture() {
    let site = Site::with(&["amd64", "arm64"]).await;
    let (all, one) = (site.path("all.json"), site.path("one.json"));
    let options = [format!("--meta={}", all.display()), format!("--meta=arm64={}", one.display())];
    let document = done(&site.publish_both(&[&options[0], &options[1]]).await);
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    assert_eq!(read(all)["container-image"]["digest"], document["digest"]);
    assert_eq!(read(one)["container-image"]["digest"], json!(image("new", "arm64").root.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_dockers_format_every_meta_has_the_digest_that_the_registry_serves() {
    let site = Site::with(&[]).await;
    build(&site, &BOTH);
    let document = done(&publish(&site, &["--v2s2"]).await);
    let listed = site.manifest("40.1");
    for ((fedora, oci), child) in BOTH.iter().zip(listed.children()) {
        let recorded = &meta(&site, fedora)["base"];
        assert_eq!(recorded["digest"], json!(child.digest));
        assert_ne!(recorded["digest"], json!(image("new", oci).root.digest()));
        assert_eq!(recorded["manifest-list-digest"], document["digest"]);
        assert!(site.server.memory.manifest("org/img", &child.digest).is_some());
    }
    site.server.forget_requests();
    done(&publish(&site, &["--v2s2"]).await);
    assert_eq!(site.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_under_which_other_records_stand_is_refused_before_any_request() {
    let site = Site::with(&["amd64"]).await;
    for key in ["additional-images", ""] {
        let option = format!("--meta-key={key}");
        let (_, said) = failed(&site.publish_one(&["40"], &[&option]).await, 2);
        assert!(said.contains("other records stand there"), "{said}");
    }
    assert!(site.server.requests().is_empty());
}
