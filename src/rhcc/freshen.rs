use serde_json::{Map, Value, json};

use super::Error;
use super::image::{Pinned, config};
use super::journal::Member;
use crate::client::Repository;
use crate::oci::{Digest, Manifest};

/// The same layers under other digests. Red Hat knows an image by the digest of each architecture's manifest,
/// so every configuration gets one more entry in its history, which is of no layer. The same token makes the
/// same bytes.
pub(super) async fn fresh(
    repository: &Repository,
    pinned: Pinned,
    token: &str,
) -> Result<Pinned, Error> {
    let mut fresh = Pinned { children: Vec::new(), members: Vec::new(), ..pinned };
    let mut top = document(fresh.top.bytes())?;
    let images: Vec<&Manifest> = match pinned.children.as_slice() {
        [] => vec![&fresh.top],
        children => children.iter().collect(),
    };
    let mut renamed = Vec::new();
    for (image, member) in images.into_iter().zip(&pinned.members) {
        let config = marked(document(&config(repository, &fresh.source, image).await?)?, token)?;
        let mut manifest = document(image.bytes())?;
        point(manifest.get_mut("config"), &Digest::sha256(&config), config.len())?;
        fresh.configs.insert(Digest::sha256(&config), config.into());
        let manifest = parsed(&manifest, image.media_type())?;
        fresh.members.push(Member { digest: manifest.digest().clone(), ..member.clone() });
        renamed.push((image.digest().clone(), manifest));
    }
    if pinned.children.is_empty() {
        if let Some((_, image)) = renamed.pop() {
            fresh.top = image;
        }
        return Ok(fresh);
    }
    let entries = top.get_mut("manifests").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
        let new = renamed.iter().find(|(old, _)| old.as_str() == digest);
        let (_, new) =
            new.ok_or_else(|| Error::Refused("the index is not what it was".to_owned()))?;
        point(Some(entry), new.digest(), new.bytes().len())?;
    }
    fresh.top = parsed(&top, fresh.top.media_type())?;
    fresh.children = renamed.into_iter().map(|(_, image)| image).collect();
    Ok(fresh)
}

fn marked(mut config: Map<String, Value>, token: &str) -> Result<Vec<u8>, Error> {
    let by = format!("certify-rhcc-image: {token}");
    match config.get_mut("history").and_then(Value::as_array_mut) {
        Some(history) => history.push(json!({"created_by": by, "empty_layer": true})),
        // A history has to tell of every layer, so one that is not there is not begun.
        None => {
            let settings = config.entry("config").or_insert_with(|| json!({}));
            let settings = settings.as_object_mut().ok_or_else(odd)?;
            let labels = settings.entry("Labels").or_insert_with(|| json!({}));
            if labels.is_null() {
                *labels = json!({});
            }
            let labels = labels.as_object_mut().ok_or_else(odd)?;
            labels.insert("zuul-images.certify-rhcc-image".to_owned(), json!(by));
        }
    }
    serde_json::to_vec(&config).map_err(|_| odd())
}

pub(super) fn document(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(bytes).map_err(|_| odd())
}

fn point(descriptor: Option<&mut Value>, digest: &Digest, size: usize) -> Result<(), Error> {
    let descriptor = descriptor.and_then(Value::as_object_mut).ok_or_else(odd)?;
    descriptor.insert("digest".to_owned(), json!(digest));
    descriptor.insert("size".to_owned(), json!(size));
    Ok(())
}

pub(super) fn parsed(document: &Map<String, Value>, media_type: &str) -> Result<Manifest, Error> {
    let bytes = serde_json::to_vec(document).map_err(|_| odd())?;
    Manifest::parse(bytes.into(), Some(media_type)).map_err(|_| odd())
}

fn odd() -> Error {
    Error::Refused("the source cannot be made into another image: it is no ordinary one".to_owned())
}
