//! What is remembered of manifests and tags is never older than the files.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::recent::Recent;
use super::*;
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{NewManifest, Storage};

/// A store that serves, and the same store in another process. Both remember at once.
fn opened() -> (Filesystem, Filesystem, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut serving = Filesystem::open(&root, Durability::Process).unwrap();
    let inner = Arc::get_mut(&mut serving.inner).unwrap();
    inner.recent_manifests = Recent::new(Duration::ZERO);
    inner.recent_tags = Recent::new(Duration::ZERO);
    let beside = Filesystem::beside(&root, Durability::Process).unwrap();
    (serving, beside, folder)
}

fn repository() -> RepositoryName {
    "a/b".parse().unwrap()
}

fn tag() -> Tag {
    "1".parse().unwrap()
}

async fn put(store: &Filesystem, bytes: &'static [u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let (media_type, bytes) = ("text/x".to_owned(), Bytes::from_static(bytes));
    let manifest = StoredManifest { digest: digest.clone(), media_type, bytes };
    let tags = vec![tag()];
    let (origin, keep_pushed) = (None, false);
    let blobs = Vec::new();
    let new = NewManifest { manifest, blobs, referrer: None, tags, origin, keep_pushed };
    store.manifest_put(&repository(), new).await.unwrap();
    digest
}

async fn tagged(store: &Filesystem) -> Result<Bytes, Error> {
    let (_, manifest) = store.manifest_tagged(&repository(), &tag()).await?;
    Ok(manifest?.bytes)
}

fn is_remembered(store: &Filesystem, digest: &Digest) -> bool {
    let inner = &store.inner;
    inner.recent_manifests.get(&inner.layout.manifest(&repository(), digest)).is_some()
}

#[tokio::test]
async fn what_another_process_removes_is_gone_at_the_next_request() {
    let (serving, beside, _folder) = opened();
    let digest = put(&serving, b"{}").await;
    assert_eq!(tagged(&serving).await.unwrap(), "{}");
    assert!(is_remembered(&serving, &digest));
    beside.tag_delete(&repository(), &tag()).await.unwrap();
    assert!(matches!(tagged(&serving).await, Err(Error::ManifestUnknown { .. })));
    serving.manifest_get(&repository(), &digest).await.unwrap();
    beside.manifest_delete(&repository(), &digest).await.unwrap();
    let result = serving.manifest_get(&repository(), &digest).await;
    assert!(matches!(result, Err(Error::ManifestUnknown { .. })));
}

#[tokio::test]
async fn a_tag_that_another_process_sets_is_seen_at_the_next_request() {
    let (serving, beside, _folder) = opened();
    for bytes in [b"[0]", b"[1]", b"[0]", b"[2]"] {
        put(&beside, bytes).await;
        assert_eq!(tagged(&serving).await.unwrap(), bytes.as_slice());
        assert_eq!(tagged(&serving).await.unwrap(), bytes.as_slice());
    }
}

#[tokio::test]
async fn a_manifest_that_goes_bad_after_it_was_read_is_not_given_out() {
    let (serving, _beside, _folder) = opened();
    let digest = put(&serving, b"{}").await;
    let path = serving.inner.layout.manifest(&repository(), &digest);
    let good = fs::read(&path).unwrap();
    for bad in [&b"text/x\n{"[..], b"", b"text/x\n[] and more"] {
        serving.manifest_get(&repository(), &digest).await.unwrap();
        assert!(is_remembered(&serving, &digest));
        fs::write(&path, bad).unwrap();
        for _ in 0..2 {
            let result = serving.manifest_get(&repository(), &digest).await;
            assert!(matches!(result, Err(Error::Damaged(_))));
        }
        fs::write(&path, &good).unwrap();
    }
}
