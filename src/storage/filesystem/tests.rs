#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
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
    for format in ["3\n", "", "what\n", "1 to 3\n"] {
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
    let temporary = folder.path().join("temporary");
    fs::write(temporary.join("7"), "half").unwrap();
    fs::create_dir(temporary.join("12")).unwrap();
    fs::write(temporary.join("12/+data"), "half").unwrap();
    for link in ["11", "13"] {
        std::os::unix::fs::symlink("12", temporary.join(link)).unwrap();
    }
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
    let path = store.inner.layout.data(&digest);
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

#[tokio::test]
async fn bytes_of_an_upload_that_vanished_do_not_turn_into_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let repository = "a".parse().unwrap();
    for left in [None, Some("c")] {
        let id = half_an_upload(&store).await;
        let path = folder.path().join("uploads").join(id.as_str());
        match left {
            None => fs::remove_file(&path).unwrap(),
            Some(left) => fs::write(&path, left).unwrap(),
        }
        let rest = stream::iter([Ok(Bytes::from_static(b"tent"))]).boxed();
        let result = store.upload_append(&repository, &id, Some(3), rest).await;
        assert!(matches!(result, Err(Error::Damaged(_))));
        let digest = Digest::sha256(b"content");
        assert!(store.upload_finish(&repository, &id, &digest).await.is_err());
        assert!(store.blob_size(&repository, &digest).await.is_err());
        assert_eq!(fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
    }
}

/// A store as programs of format 1 left it: repository `a/b` with blob, manifest and tag, `c` with the
/// blob alone.
fn old_store(root: &Path) -> (Digest, Digest) {
    let (blob, manifest) = (Digest::sha256(b"layer"), Digest::sha256(b"{}"));
    let digest = format!("{manifest}\n");
    for (path, text) in [
        (format!("blobs/sha256/{}/{}", &blob.hex()[..2], blob.hex()), "layer"),
        (format!("repositories/a/b/_blobs/sha256/{}", blob.hex()), "5\n"),
        (format!("repositories/c/_blobs/sha256/{}", blob.hex()), "5\n"),
        (format!("repositories/a/b/_manifests/sha256/{}", manifest.hex()), "text/x\n{}"),
        ("repositories/a/b/_tags/1".to_owned(), &digest),
        ("format".to_owned(), "1\n"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (blob, manifest)
}

async fn has_all_of_the_old_store(root: &Path, blob: &Digest, manifest: &Digest) {
    let store = open(root);
    let (image, other) = ("a/b".parse().unwrap(), "c".parse().unwrap());
    assert_eq!(store.blob_repositories(blob).await.unwrap(), [image, other]);
    let image = "a/b".parse().unwrap();
    let tag = store.tag_get(&image, &"1".parse().unwrap()).await.unwrap();
    assert_eq!(tag.digest, *manifest);
    assert_eq!(store.manifest_get(&image, manifest).await.unwrap().bytes, "{}");
    assert_eq!(store.blob_size(&image, blob).await.unwrap(), 5);
    assert_eq!(fs::read_to_string(root.join("format")).unwrap(), "2\n");
    assert!(!root.join("repositories").exists() && !root.join("blobs").exists());
}

#[tokio::test]
async fn a_store_of_format_1_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let (blob, manifest) = old_store(folder.path());
    has_all_of_the_old_store(folder.path(), &blob, &manifest).await;
}

#[tokio::test]
async fn a_damaged_link_does_not_keep_a_store_from_its_migration() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (blob, manifest) = old_store(root);
    let lost = Digest::sha256(b"lost");
    for (repository, digest, text) in [("a/b", &blob, ""), ("c", &blob, "what\0"), ("c", &lost, "")]
    {
        let link = format!("repositories/{repository}/_blobs/sha256/{}", digest.hex());
        fs::write(root.join(link), text).unwrap();
    }
    has_all_of_the_old_store(root, &blob, &manifest).await;
    assert!(!Layout::new(root).content(&lost).exists());
}

/// Another user's `prune` or `verify` would make them for itself alone.
#[test]
fn who_serves_makes_every_file_that_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let layout = &store.inner.layout;
    for path in [layout.turn(), layout.gate(), layout.prune(), layout.visitors()] {
        assert!(path.is_file(), "{}", path.display());
    }
}

#[tokio::test]
async fn a_migration_that_was_interrupted_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (blob, manifest) = old_store(root);
    fs::write(root.join("format"), "1 to 2\n").unwrap();
    let layout = Layout::new(root);
    let image = "a/b".parse().unwrap();
    fs::create_dir_all(layout.content(&blob)).unwrap();
    std::os::unix::fs::symlink("5", layout.link(&image, &blob)).unwrap();
    let old = root.join(format!("blobs/sha256/{}/{}", &blob.hex()[..2], blob.hex()));
    fs::rename(old, layout.data(&blob)).unwrap();
    fs::create_dir_all(layout.image(&image)).unwrap();
    fs::rename(root.join("repositories/a/b/_tags"), layout.tags(&image)).unwrap();
    has_all_of_the_old_store(root, &blob, &manifest).await;
}

#[tokio::test]
async fn content_of_another_store_on_this_disk_is_linked_not_copied() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (open(&folder.path().join("here")), open(&folder.path().join("there")));
    let (digest, name) = (Digest::sha256(b"content"), "a".parse().unwrap());
    let id = there.upload_create(&name).await.unwrap();
    let bytes = stream::iter([Ok(Bytes::from_static(b"content"))]).boxed();
    there.upload_append(&name, &id, None, bytes).await.unwrap();
    there.upload_finish(&name, &id, &digest).await.unwrap();
    let inode = |store: &Filesystem| store.inner.layout.data(&digest).metadata().unwrap().ino();
    for _ in 0..2 {
        here.blob_adopt(&name, &digest, &there, &name).await.unwrap();
        assert_eq!(inode(&here), inode(&there));
        assert!(fs::read_dir(here.inner.layout.temporary()).unwrap().next().is_none());
    }
}

/// Content that was hashed by no process that is still there.
async fn store_with_changed_content(folder: &Path, size: usize) -> (Filesystem, Digest) {
    let store = open(folder);
    let repository = "a".parse().unwrap();
    let content = vec![7; size];
    let digest = Digest::sha256(&content);
    let id = store.upload_create(&repository).await.unwrap();
    let bytes = stream::iter([Ok(Bytes::from(content))]).boxed();
    store.upload_append(&repository, &id, None, bytes).await.unwrap();
    store.upload_finish(&repository, &id, &digest).await.unwrap();
    let path = store.inner.layout.data(&digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[size - 1] ^= 1;
    fs::write(path, bytes).unwrap();
    (store, digest)
}

#[tokio::test]
async fn content_that_changed_on_the_disk_is_never_given_out_whole() {
    use futures_util::TryStreamExt as _;
    let repository = "a".parse().unwrap();
    for (size, part) in [(1000, Part::Whole), (1000, Part::Last(1)), (3_000_000, Part::From(5))] {
        let folder = tempfile::tempdir().unwrap();
        let (store, digest) = store_with_changed_content(folder.path(), size).await;
        let result = store.blob_open(&repository, &digest, part).await;
        assert!(matches!(result, Err(Error::Damaged(_))), "{size} {part:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, digest) = store_with_changed_content(folder.path(), 3_000_000).await;
    let blob = store.blob_open(&repository, &digest, Part::Whole).await.unwrap();
    let given: Vec<_> = blob.bytes.collect().await;
    assert!(given.last().unwrap().is_err());
    let count: usize = given.iter().flatten().map(Bytes::len).sum();
    assert!(count < 3_000_000, "the last part is held back");

    // Changed back, it is given out, and hashed no more.
    let path = store.inner.layout.data(&digest);
    fs::write(&path, vec![7; 3_000_000]).unwrap();
    for _ in 0..2 {
        let blob = store.blob_open(&repository, &digest, Part::Whole).await.unwrap();
        let given: Vec<Bytes> = blob.bytes.try_collect().await.unwrap();
        assert_eq!(given.concat().len(), 3_000_000);
        assert!(store.inner.trust.judged(&digest, &path.metadata().unwrap()) == Some(true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_put_in_place_again_meanwhile_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let store = Filesystem::open(&folder.path().join(name), Durability::Process).unwrap();
        Arc::new(store)
    };
    let (below, local) = (open("below"), open("local"));
    let digest = Digest::sha256(b"content");
    let name = |name: &str| name.parse::<crate::oci::RepositoryName>().unwrap();
    let push = |store: Arc<Filesystem>, to: crate::oci::RepositoryName| {
        let digest = digest.clone();
        async move {
            let id = store.upload_create(&to).await.unwrap();
            let bytes = stream::iter([Ok(Bytes::from_static(b"content"))]).boxed();
            store.upload_append(&to, &id, None, bytes).await.unwrap();
            store.upload_finish(&to, &id, &digest).await.unwrap();
        }
    };
    push(Arc::clone(&below), name("a")).await;
    let pushing = tokio::spawn({
        let pushes = (0..2000).map(|number| push(Arc::clone(&below), name(&format!("b{number}"))));
        stream::iter(pushes.collect::<Vec<_>>()).for_each(|push| push)
    });
    while !pushing.is_finished() {
        let adopted = local.blob_adopt(&name("a"), &digest, &*below, &name("a")).await;
        assert_eq!(adopted.unwrap(), 7);
    }
    pushing.await.unwrap();
}
