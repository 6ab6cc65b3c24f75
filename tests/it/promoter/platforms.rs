//! Which images `--require-platforms` lets pass.

use std::process::Output;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use zuul_images::oci::{Digest, Manifest, media_type};

use super::{document, plain, promoter, text};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{CONFIG, Sample};

#[tokio::test(flavor = "multi_thread")]
async fn entries_without_a_platform_are_looked_into_also_where_indexes_are_nested() {
    let [amd64, arm64] = ["amd64", "arm64"].map(of);
    for (lame, name) in [
        (index(&[(&amd64, None)]), "it names no platform"),
        (index(&[(&index(&[(&amd64, None)]), None), (&amd64, Some("amd64"))]), "nested"),
        (index(&[]), "empty"),
    ] {
        let output = required(&lame).await;
        assert_eq!(output.status.code(), Some(3), "{name}: {}", text(&output.stdout));
        let told = text(&output.stderr);
        assert!(told.contains("lacks the platforms linux/") && told.contains("arm64"), "{told}");
    }
    let both = index(&[(&amd64, None), (&arm64, None)]);
    let named = index(&[(&amd64, Some("amd64")), (&arm64, Some("arm64"))]);
    // The variant that everybody means.
    let usual = index(&[(&amd64, None), (&arm64, Some("arm64/v8"))]);
    for whole in [index(&[(&named, None)]), index(&[(&both, None)]), both, usual] {
        let output = required(&whole).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_platforms_cannot_be_told_is_refused_and_what_is_no_image_is_not() {
    let none = single(CONFIG, b"{}", 2);
    let part_is_gone = Sample { below: Vec::new(), ..index(&[(&of("amd64"), None)]) };
    for (dark, name) in [
        (single(CONFIG, b"no JSON", 7), "no JSON"),
        (single(CONFIG, br#"{"os":"linux","architecture":"amd64"}"#, 5 << 20), "too large"),
        (index(&[(&none, None)]), "a part of an index"),
        (none, "no platform"),
        (part_is_gone, "a part that is not there"),
        (deep(20), "too deep"),
    ] {
        let output = required(&dark).await;
        assert_eq!(output.status.code(), Some(3), "{name}: {}", text(&output.stdout));
        let told = text(&output.stderr);
        assert!(told.contains("cannot be told"), "{name}: {told}");
    }
    let chart = single("application/vnd.cncf.helm.config.v1+json", b"{}", 2);
    for artifact in [index(&[(&chart, None)]), chart] {
        let output = required(&artifact).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_tell_of_one_image_leaves_only_that_one_when_that_is_wanted() {
    let server = Faulty::start().await;
    let [bad, good] = [of("amd64"), index(&[(&of("amd64"), Some("amd64"))])];
    let mut images = String::new();
    for (name, sample) in [("bad", &bad), ("good", &good)] {
        server.memory.hold(&format!("s/{name}"), "x", sample);
        images.push_str(&format!("- name: {name}\n  dmap: {{{}: ['1']}}\n", sample.root.digest()));
    }
    let refusal = Fault::Answer(403, vec![], String::new());
    server.fault(usize::MAX, Method::GET, "/v2/s/bad/manifests/sha256:", refusal);
    let options = ["--require-platforms", "linux/amd64", "--confirm"];
    let output = run(&server, &images, &options);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let output = run(&server, &images, &[&options[..], &["--keep-going"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let done = document(&output);
    assert_eq!((&done["written"], done["failures"].as_array().unwrap().len()), (&json!(1), 1));
    let failed = done["failures"][0]["item"].as_str().unwrap();
    assert!(failed.contains(&format!("/s/bad@{}", bad.root.digest())), "{done}");
    assert_eq!(server.memory.tag("d/good", "1").unwrap(), good.root.digest().as_str());
}

#[test]
fn platforms_are_not_looked_up_where_a_file_answers_in_place_of_registries() {
    let mut command = promoter("promote");
    command.args(["--inventory", "inventory.json", "--require-platforms", "linux/amd64"]);
    let output = command.args(["--manifest", "none.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--require-platforms"), "{}", text(&output.stderr));
}

/// A run that requires two platforms of an image.
async fn required(sample: &Sample) -> Output {
    let server = Faulty::start().await;
    server.memory.hold("s/x", "x", sample);
    let image = format!("- name: x\n  dmap: {{{}: ['1']}}\n", sample.root.digest());
    run(&server, &image, &["--require-platforms", "linux/amd64,linux/arm64"])
}

fn run(server: &Faulty, images: &str, options: &[&str]) -> Output {
    let address = server.address.to_string();
    let manifest = format!(
        "registries:\n- name: {address}/s\n  src: true\n- name: {address}/d\nimages:\n{images}"
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("promote");
    command.args(["--no-ambient-config", "--output", "json", "--plain-http", &address]);
    plain(command.args(options), folder.path(), &json!([manifest]));
    command.output().unwrap()
}

/// An image for this architecture.
fn of(architecture: &str) -> Sample {
    let config = json!({"os": "linux", "architecture": architecture}).to_string();
    single(CONFIG, config.as_bytes(), config.len())
}

/// An image with this configuration, which is said to be of some size.
fn single(kind: &str, config: &[u8], size: usize) -> Sample {
    let config = Bytes::copy_from_slice(config);
    let root = manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": kind, "digest": Digest::sha256(&config), "size": size},
        "layers": []}));
    Sample { root, below: Vec::new(), blobs: vec![config] }
}

/// An index of these, of which some are said to be for an architecture.
fn index(children: &[(&Sample, Option<&str>)]) -> Sample {
    let (mut listed, mut below, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for (Sample { root, below: parts, blobs: held }, architecture) in children {
        let mut child = json!({"mediaType": root.media_type(), "digest": root.digest(),
            "size": root.bytes().len()});
        if let Some(architecture) = architecture {
            let mut parts = architecture.splitn(2, '/');
            child["platform"] = json!({"os": "linux", "architecture": parts.next()});
            if let Some(variant) = parts.next() {
                child["platform"]["variant"] = json!(variant);
            }
        }
        listed.push(child);
        below.extend(parts.iter().cloned());
        below.push(root.clone());
        blobs.extend(held.iter().cloned());
    }
    let root = manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": listed}));
    Sample { root, below, blobs }
}

/// An image in so many indexes.
fn deep(levels: usize) -> Sample {
    (0..levels).fold(of("amd64"), |child, _| index(&[(&child, None)]))
}

fn manifest(document: &Value) -> Manifest {
    Manifest::parse(document.to_string().into(), None).unwrap()
}
