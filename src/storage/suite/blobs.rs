use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{name, push, read};
use crate::storage::{Durability, Error, Filesystem, Part, Storage};

pub(in crate::storage) async fn a_blob_is_readable_only_through_a_repository_that_links_it(
    store: &dyn Storage,
) {
    let digest = push(store, "a/b", b"content").await;
    for other in ["a", "a/b/c", "b"] {
        let result = store.blob_size(&name(other), &digest).await;
        assert!(matches!(result, Err(Error::BlobUnknown { .. })));
        let result = store.blob_link(&name(other), &name("c"), &digest).await;
        assert!(matches!(result, Err(Error::BlobUnknown { .. })));
    }
    store.blob_link(&name("a/b"), &name("c"), &digest).await.unwrap();
    let found = store.blob_repositories(&digest).await.unwrap();
    assert_eq!(found, [name("a/b"), name("c")]);
    store.blob_unlink(&name("a/b"), &digest).await.unwrap();
    let result = store.blob_unlink(&name("a/b"), &digest).await;
    assert!(matches!(result, Err(Error::BlobUnknown { .. })));
    assert_eq!(store.blob_size(&name("c"), &digest).await.unwrap(), 7);
    assert_eq!(read(store, "c", &digest, Part::Whole).await, b"content");
}

pub(in crate::storage) async fn parts_of_a_blob_are_as_asked(store: &dyn Storage) {
    let content: &[u8] =
        (0..1_000_000_u32).map(|position| (position % 251) as u8).collect::<Vec<u8>>().leak();
    let digest = push(store, "a", content).await;
    let length = content.len() as u64;
    for (part, expected) in [
        (Part::Whole, content),
        (Part::From(999_999), &content[999_999..]),
        (Part::Between(0, 0), &content[..1]),
        (Part::Between(3, 700_000), &content[3..=700_000]),
        (Part::Between(5, u64::MAX), &content[5..]),
        (Part::Last(300_000), &content[700_000..]),
        (Part::Last(u64::MAX), content),
    ] {
        assert_eq!(read(store, "a", &digest, part).await, expected, "{part:?}");
    }
    for part in [Part::From(length), Part::Between(9, 8), Part::Last(0)] {
        let result = store.blob_open(&name("a"), &digest, part).await;
        assert!(matches!(result, Err(Error::RangeOutside { size }) if size == length));
    }
    let empty = push(store, "a", b"").await;
    assert_eq!(read(store, "a", &empty, Part::Whole).await, b"");
}

pub(in crate::storage) async fn the_same_blob_from_many_writers_is_stored(store: &dyn Storage) {
    let pushes = ["a", "a", "b", "b", "c", "a", "b", "c"].map(|to| push(store, to, b"content"));
    let digests = futures_util::future::join_all(pushes).await;
    for repository in ["a", "b", "c"] {
        let read = read(store, repository, &digests[0], Part::Whole).await;
        assert_eq!(read, b"content");
    }
}

pub(in crate::storage) async fn a_blob_of_another_store_is_adopted(store: &dyn Storage) {
    let folder = tempfile::tempdir().unwrap();
    let other = Filesystem::open(folder.path(), Durability::Process).unwrap();
    let digest = push(&other, "from", b"content").await;
    let (from, to) = (name("from"), name("to"));
    let wrong = store.blob_adopt(&to, &digest, &other, &name("nowhere")).await;
    assert!(matches!(wrong, Err(Error::BlobUnknown { .. })), "{wrong:?}");
    for _ in 0..2 {
        assert_eq!(store.blob_adopt(&to, &digest, &other, &from).await.unwrap(), 7);
    }
    other.blob_unlink(&from, &digest).await.unwrap();
    drop((other, folder));
    let blob = store.blob_open(&to, &digest, Part::Whole).await.unwrap();
    let bytes: Vec<Bytes> = blob.bytes.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"content");
    assert!(store.blob_size(&from, &digest).await.is_err());
}
