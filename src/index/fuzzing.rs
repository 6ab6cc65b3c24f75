//! A door for the fuzz target alone: what is made of manifests and metadata of others.
#![allow(clippy::expect_used, missing_docs)]

use serde_json::{Value, json};

use super::{convert, metadata};
use crate::oci::Manifest;

/// Docker's form of an image has the same blobs in the same order, and is its own.
pub fn image(data: &[u8]) {
    let Ok(image) = Manifest::parse(data.to_vec().into(), None) else { return };
    let Ok(made) = convert::to_docker(&image) else { return };
    let blobs = |image: &Manifest| -> Vec<_> {
        image.blobs().map(|blob| (blob.digest.clone(), blob.size)).collect()
    };
    assert_eq!(blobs(&made), blobs(&image));
    assert_eq!(convert::to_docker(&made).expect("it is docker's").bytes(), made.bytes());
}

/// A record written twice stands there once, and takes away no other one.
pub fn metadata(data: &[u8]) {
    let Ok(Value::Object(before)) = serde_json::from_slice(data) else { return };
    let entry = json!({"image": "quay.io/org/img", "digest": "sha256:0"});
    let mut once = before.clone();
    metadata::place(&mut once, "base", entry.clone());
    let mut twice = once.clone();
    metadata::place(&mut twice, "base", entry);
    assert_eq!(twice, once);
    for (key, value) in before.iter().filter(|(key, _)| *key != metadata::MORE) {
        let is_own = key == "base" && value.get("image") == Some(&json!("quay.io/org/img"));
        assert!(is_own || once.get(key) == Some(value), "{key}");
    }
}
