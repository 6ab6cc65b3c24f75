//! What is no image: any config, any layers, any entry of an index.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use zuul_images::copy::{self, Options};
use zuul_images::oci::{Digest, Manifest, media_type};

use super::{image, item, open, run};
use crate::support::faulty::Faulty;
use crate::support::sample::{self, Sample};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

fn described(bytes: &Bytes, media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len()})
}

fn sample(document: &Value, blobs: Vec<Bytes>) -> Sample {
    let root = Manifest::parse(document.to_string().into(), None).unwrap();
    Sample { root, below: Vec::new(), blobs }
}

/// Copies `sample` and gives how many blobs moved; the destination holds the same bytes.
async fn carried(sample: &Sample) -> u64 {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    from.memory.hold("a", "t", sample);
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    for blob in &sample.blobs {
        let digest = Digest::sha256(blob);
        assert_eq!(to.memory.blob("b", &digest).as_ref(), Some(blob));
        assert_eq!(from.count(Method::GET, digest.as_str()), 1);
    }
    let digest = sample.root.digest();
    assert_eq!(to.memory.tag("b", "t").as_deref(), Some(digest.as_str()));
    assert_eq!(to.memory.manifest("b", digest).as_ref(), Some(sample.root.bytes()));
    outcome.totals.blobs_moved
}

#[tokio::test]
async fn an_artifact_whose_config_and_layer_are_the_same_empty_blob_is_carried() {
    let empty = Bytes::from_static(b"{}");
    let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom", "annotations": {"a": "b"},
        "config": described(&empty, EMPTY), "layers": [described(&empty, EMPTY)]});
    assert_eq!(carried(&sample(&document, vec![empty])).await, 1);
}

#[tokio::test]
async fn a_config_and_layers_of_any_type_are_carried() {
    let blobs = vec![sample::bytes("chart", 100), sample::bytes("tgz", 200_000), Bytes::new()];
    let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": described(&blobs[0], "application/vnd.cncf.helm.config.v1+json"),
        "layers": [described(&blobs[1], "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
            described(&blobs[2], "text/plain")]});
    assert_eq!(carried(&sample(&document, blobs)).await, 3);
}

#[tokio::test]
async fn what_an_index_lists_beside_manifests_is_carried_as_a_blob() {
    let child = image("child");
    let layer = sample::bytes("cache", 200_000);
    let config = sample::bytes("cacheconfig", 300);
    let entry = described(child.root.bytes(), media_type::OCI_MANIFEST);
    let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        described(&layer, sample::LAYER), entry,
        described(&config, "application/vnd.buildkit.cacheconfig.v0")]});
    let blobs = [child.blobs.clone(), vec![layer, config]].concat();
    let index = Sample { below: vec![child.root.clone()], ..sample(&document, blobs) };
    assert_eq!(carried(&index).await, 6);
}

#[tokio::test]
async fn an_old_manifest_in_an_index_is_not_taken_for_a_blob() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let old = sample::bytes("old", 100);
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [described(&old, kind)]});
    from.memory.hold("a", "t", &sample(&document, vec![old]));
    let error = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap_err();
    assert_eq!(error.kind(), "unsupported");
    assert_eq!(to.count(Method::POST, ""), 0);
}

#[tokio::test]
async fn sizes_that_no_blob_has_are_an_error_and_overflow_nothing() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let blobs: Vec<Bytes> =
        (0..4).map(|number| sample::bytes(&format!("blob{number}"), 100)).collect();
    let huge = |bytes: &Bytes| {
        let mut described = described(bytes, sample::LAYER);
        described["size"] = i64::MAX.into();
        described
    };
    let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": huge(&blobs[0]), "layers": blobs[1..].iter().map(huge).collect::<Vec<_>>()});
    from.memory.hold("a", "t", &sample(&document, blobs));
    let client = open(&[&from.registry(), &to.registry()]);
    let copy = async |dry_run| {
        let options = Options { dry_run, ..Options::default() };
        copy::run(&client, vec![item(&from, "a:t", &to, "b:t")], &options, &()).await
    };
    assert_eq!(copy(true).await.unwrap().totals.bytes_moved, u64::MAX);
    assert_eq!(copy(false).await.unwrap_err().kind(), "damaged");
    assert_eq!(to.count(Method::PUT, "/manifests/"), 0);
}
