#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tempfile::TempDir;

use super::*;
use crate::oci::Digest;
use crate::storage::suite::suite;
use crate::storage::{Part, Storage, UploadId};

mod process {
    use super::*;

    fn open() -> (Arc<dyn Storage>, TempDir) {
        opened(Durability::Process)
    }

    suite!(open);
}

mod commit {
    use super::*;

    fn open() -> (Arc<dyn Storage>, TempDir) {
        opened(Durability::Commit)
    }

    suite!(open);
}

fn opened(durability: Durability) -> (Arc<dyn Storage>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Filesystem::open(&folder.path().join("store"), durability).unwrap();
    (Arc::new(store), folder)
}

fn open(root: &Path) -> Filesystem {
    Filesystem::open(root, Durability::Process).unwrap()
}

fn refused(root: &Path) -> Error {
    match Filesystem::open(root, Durability::Process) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

async fn half_an_upload(store: &Filesystem) -> UploadId {
    let repository = "a".parse().unwrap();
    let id = store.upload_create(&repository).await.unwrap();
    let bytes = stream::iter([Ok(Bytes::from_static(b"con"))]).boxed();
    store.upload_append(&repository, &id, None, bytes).await.unwrap();
    id
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert!(matches!(refused(folder.path()), Error::InUse(_)));
    drop(store);
    open(folder.path());
}

#[test]
fn an_unknown_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let left = folder.path().join("temporary/1");
    for format in ["2\n", "", "what\n"] {
        fs::write(folder.path().join("format"), format).unwrap();
        fs::write(&left, "").unwrap();
        assert!(matches!(refused(folder.path()), Error::UnknownFormat { .. }));
        assert!(left.exists());
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = half_an_upload(&store).await;
    fs::write(folder.path().join("temporary/7"), "half").unwrap();
    drop(store);
    let store = open(folder.path());
    assert!(store.upload_offset(&"a".parse().unwrap(), &id).await.is_err());
    for place in ["uploads", "temporary"] {
        let left = fs::read_dir(folder.path().join(place)).unwrap().count();
        assert_eq!(left, 0, "{place}");
    }
}

#[tokio::test]
async fn a_suspended_upload_goes_on_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = half_an_upload(&store).await;
    let cut = half_an_upload(&store).await;
    store.suspend().await.unwrap();
    fs::write(folder.path().join("uploads").join(cut.as_str()), "c").unwrap();
    drop(store);

    let store = open(folder.path());
    let repository = "a".parse().unwrap();
    assert!(store.upload_offset(&repository, &cut).await.is_err());
    let rest = stream::iter([Ok(Bytes::from_static(b"tent"))]).boxed();
    store.upload_append(&repository, &id, Some(3), rest).await.unwrap();
    let digest = Digest::sha256(b"content");
    let size = store.upload_finish(&repository, &id, &digest).await;
    assert_eq!(size.unwrap(), 7);
}

#[tokio::test]
async fn damaged_content_is_never_served_and_a_new_push_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let repository = "a".parse().unwrap();
    let digest = Digest::sha256(b"con");
    let push = async || {
        let id = half_an_upload(&store).await;
        store.upload_finish(&repository, &id, &digest).await
    };
    push().await.unwrap();
    let path = store.inner.layout.content(&digest);
    fs::write(&path, "co").unwrap();
    let result = store.blob_size(&repository, &digest).await;
    assert!(matches!(result, Err(Error::Damaged(_))));
    fs::remove_file(&path).unwrap();
    let result = store.blob_open(&repository, &digest, Part::Whole).await;
    assert!(matches!(result, Err(Error::Damaged(_))));
    push().await.unwrap();
    assert_eq!(store.blob_size(&repository, &digest).await.unwrap(), 3);
}

#[tokio::test]
async fn an_upload_nobody_goes_on_with_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = half_an_upload(&store).await;
    let repository = "a".parse().unwrap();
    store.drop_idle_uploads(Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 3);
    let writer = store.inner.writer(&repository, &id).unwrap();
    store.drop_idle_uploads(Duration::ZERO).await.unwrap();
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 3);
    drop(writer);
    store.drop_idle_uploads(Duration::ZERO).await.unwrap();
    assert!(store.upload_offset(&repository, &id).await.is_err());
    assert_eq!(fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
}
