use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{bytes_of, name, read};
use crate::oci::{Algorithm, Digest};
use crate::storage::{Error, Part, Storage, UploadId};

pub(in crate::storage) async fn a_wrong_digest_ends_the_upload_and_leaves_nothing(
    store: &dyn Storage,
) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    store.upload_append(&repository, &id, None, bytes_of(&[b"content"])).await.unwrap();
    let wrong = Digest::sha256(b"other");
    let result = store.upload_finish(&repository, &id, &wrong).await;
    assert!(matches!(result, Err(Error::DigestMismatch { .. })));
    for digest in [wrong, Digest::sha256(b"content")] {
        assert!(store.blob_size(&repository, &digest).await.is_err());
    }
    let result = store.upload_offset(&repository, &id).await;
    assert!(matches!(result, Err(Error::UploadUnknown { .. })));
}

pub(in crate::storage) async fn other_digest_algorithms_are_verified_too(store: &dyn Storage) {
    let repository = name("a");
    for (announced, right) in [(&b"content"[..], true), (b"other", false)] {
        let digest = Digest::of(Algorithm::Sha512, announced);
        let id = store.upload_create(&repository).await.unwrap();
        store.upload_append(&repository, &id, None, bytes_of(&[b"con", b"tent"])).await.unwrap();
        let result = store.upload_finish(&repository, &id, &digest).await;
        assert_eq!(result.is_ok(), right);
        assert_eq!(store.blob_size(&repository, &digest).await.is_ok(), right);
    }
}

pub(in crate::storage) async fn a_broken_upload_shows_nothing_and_goes_on_where_it_was(
    store: &dyn Storage,
) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    let broken =
        stream::iter([Ok(Bytes::from_static(b"con")), Err(io::ErrorKind::ConnectionReset.into())]);
    let result = store.upload_append(&repository, &id, None, broken.boxed()).await;
    assert!(matches!(result, Err(Error::BrokenOff(_))));
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 3);
    let digest = Digest::sha256(b"content");
    assert!(store.blob_size(&repository, &digest).await.is_err());
    let rest = bytes_of(&[b"te", b"nt"]);
    store.upload_append(&repository, &id, Some(3), rest).await.unwrap();
    let size = store.upload_finish(&repository, &id, &digest).await.unwrap();
    assert_eq!(size, 7);
    assert_eq!(read(store, "a", &digest, Part::Whole).await, b"content");
}

pub(in crate::storage) async fn a_chunk_at_the_wrong_place_is_refused(store: &dyn Storage) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    for start in [1, u64::MAX] {
        let result = store.upload_append(&repository, &id, Some(start), bytes_of(&[b"x"])).await;
        assert!(matches!(result, Err(Error::UploadOffset { offset: 0, .. })));
    }
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 0);
}

pub(in crate::storage) async fn an_upload_belongs_to_its_repository(store: &dyn Storage) {
    let id = store.upload_create(&name("a")).await.unwrap();
    let other = name("b");
    let digest = Digest::sha256(b"");
    let unknown = UploadId::random().unwrap();
    for (repository, id) in [(&other, &id), (&name("a"), &unknown)] {
        assert!(store.upload_offset(repository, id).await.is_err());
        assert!(store.upload_finish(repository, id, &digest).await.is_err());
        assert!(store.upload_cancel(repository, id).await.is_err());
        let result = store.upload_append(repository, id, None, bytes_of(&[b"x"])).await;
        assert!(matches!(result, Err(Error::UploadUnknown { .. })));
    }
    store.upload_cancel(&name("a"), &id).await.unwrap();
    assert!(store.upload_offset(&name("a"), &id).await.is_err());
}

pub(in crate::storage) async fn two_writers_on_one_upload_are_one_too_many(store: &dyn Storage) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    let never = stream::pending().boxed();
    let mut first = store.upload_append(&repository, &id, None, never);
    assert!(futures_util::poll!(&mut first).is_pending());
    let result = store.upload_append(&repository, &id, None, bytes_of(&[b"x"])).await;
    assert!(matches!(result, Err(Error::UploadBusy(_))));
    let result = store.upload_finish(&repository, &id, &Digest::sha256(b"")).await;
    assert!(matches!(result, Err(Error::UploadBusy(_))));
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 0);
    drop(first);
    store.upload_cancel(&repository, &id).await.unwrap();
}

pub(in crate::storage) async fn an_upload_is_readable_as_far_as_it_has_come(store: &dyn Storage) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    store.upload_append(&repository, &id, None, bytes_of(&[b"abc", b"def"])).await.unwrap();
    let other = store.upload_open(&name("b"), &id).await.err();
    assert!(matches!(other, Some(Error::UploadUnknown { .. })), "{other:?}");
    let bytes = store.upload_open(&repository, &id).await.unwrap();
    assert_eq!(bytes.read(2..4).await.unwrap(), "cd");
    assert!(bytes.read(4..100).await.is_err(), "so much has not come");
    store.upload_append(&repository, &id, None, bytes_of(&[b"ghi"])).await.unwrap();
    assert_eq!(bytes.read(4..9).await.unwrap(), "efghi");
    let digest = Digest::sha256(b"abcdefghi");
    store.upload_finish(&repository, &id, &digest).await.unwrap();
    let ended = store.upload_open(&repository, &id).await.err();
    assert!(matches!(ended, Some(Error::UploadUnknown { .. })), "{ended:?}");
    assert_eq!(store.evict(0, [digest.clone()].into()).await.unwrap(), 0);
    assert_eq!(store.blob_size(&repository, &digest).await.unwrap(), 9, "it was spared");
    assert_eq!(store.evict(8, [].into()).await.unwrap(), 0);
    assert!(store.blob_size(&repository, &digest).await.is_err());
    assert_eq!(bytes.read(0..9).await.unwrap(), "abcdefghi");
}
