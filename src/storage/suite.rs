//! What every driver has to do; a driver's tests say `suite!(open)` with a function that opens an
//! empty store and returns it with whatever has to outlive it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

pub(super) use super::suite_prune::*;
use super::{Error, NewManifest, Paging, Part, Storage, StoredManifest, TagState, UploadId};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};
use crate::zuul::Origin;

/// Runs every test of the suite against the stores that `$open` gives.
macro_rules! suite {
    ($open:path) => {
        $crate::storage::suite::suite!(@each $open:
            a_blob_is_readable_only_through_a_repository_that_links_it
            parts_of_a_blob_are_as_asked
            a_wrong_digest_ends_the_upload_and_leaves_nothing
            a_broken_upload_shows_nothing_and_goes_on_where_it_was
            a_chunk_at_the_wrong_place_is_refused
            an_upload_belongs_to_its_repository
            an_upload_is_readable_as_far_as_it_has_come
            a_blob_of_another_store_is_adopted
            two_writers_on_one_upload_are_one_too_many
            other_digest_algorithms_are_verified_too
            the_same_blob_from_many_writers_is_stored
            a_manifest_without_its_blobs_is_refused
            a_manifest_that_says_another_size_of_a_blob_is_refused
            a_manifest_comes_back_byte_for_byte
            a_deleted_manifest_takes_its_tags_and_its_place_among_referrers
            a_deleted_tag_leaves_its_manifest
            a_tag_knows_its_origin_until_it_is_set_again
            what_was_pushed_for_no_build_is_kept_where_that_is_asked
            lists_are_sorted_and_cut
            prune_takes_what_is_old_and_leaves_what_is_needed
            a_pull_keeps_an_image_from_being_pruned
            prune_keeps_what_it_is_told_to
            a_question_for_a_blob_renews_its_lease
            an_image_pushed_again_while_pruning_stays_whole
        );
    };
    (@each $open:path: $($test:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let (store, _keep) = $open();
            $crate::storage::suite::$test(&*store).await;
        }
    )*};
}
pub(super) use suite;

pub(super) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(super) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn bytes_of(parts: &[&'static [u8]]) -> super::ByteStream {
    let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
    stream::iter(parts).boxed()
}

pub(super) async fn push(store: &dyn Storage, repository: &str, content: &'static [u8]) -> Digest {
    let digest = Digest::sha256(content);
    let repository = name(repository);
    let id = store.upload_create(&repository).await.unwrap();
    let offset = store.upload_append(&repository, &id, None, bytes_of(&[content])).await.unwrap();
    assert_eq!(offset, content.len() as u64);
    store.upload_finish(&repository, &id, &digest).await.unwrap();
    digest
}

pub(super) async fn read(
    store: &dyn Storage,
    repository: &str,
    digest: &Digest,
    part: Part,
) -> Vec<u8> {
    let blob = store.blob_open(&name(repository), digest, part).await;
    let parts: Vec<Bytes> = blob.unwrap().bytes.try_collect().await.unwrap();
    parts.concat()
}

pub(super) fn manifest(
    bytes: &'static [u8],
    blobs: &[(&Digest, u64)],
    tags: &[&str],
) -> NewManifest {
    NewManifest {
        manifest: StoredManifest {
            digest: Digest::sha256(bytes),
            media_type: "application/x".to_owned(),
            bytes: Bytes::from_static(bytes),
        },
        blobs: blobs.iter().map(|(digest, size)| ((*digest).clone(), *size)).collect(),
        referrer: None,
        tags: tags.iter().map(|text| tag(text)).collect(),
        origin: None,
        keep_pushed: false,
    }
}

pub(super) async fn a_blob_is_readable_only_through_a_repository_that_links_it(
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

pub(super) async fn parts_of_a_blob_are_as_asked(store: &dyn Storage) {
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

pub(super) async fn a_wrong_digest_ends_the_upload_and_leaves_nothing(store: &dyn Storage) {
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

pub(super) async fn a_broken_upload_shows_nothing_and_goes_on_where_it_was(store: &dyn Storage) {
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

pub(super) async fn a_chunk_at_the_wrong_place_is_refused(store: &dyn Storage) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    for start in [1, u64::MAX] {
        let result = store.upload_append(&repository, &id, Some(start), bytes_of(&[b"x"])).await;
        assert!(matches!(result, Err(Error::UploadOffset { offset: 0, .. })));
    }
    assert_eq!(store.upload_offset(&repository, &id).await.unwrap(), 0);
}

pub(super) async fn an_upload_belongs_to_its_repository(store: &dyn Storage) {
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

pub(super) async fn two_writers_on_one_upload_are_one_too_many(store: &dyn Storage) {
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

pub(super) async fn other_digest_algorithms_are_verified_too(store: &dyn Storage) {
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

pub(super) async fn the_same_blob_from_many_writers_is_stored(store: &dyn Storage) {
    let pushes = ["a", "a", "b", "b", "c", "a", "b", "c"].map(|to| push(store, to, b"content"));
    let digests = futures_util::future::join_all(pushes).await;
    for repository in ["a", "b", "c"] {
        let read = read(store, repository, &digests[0], Part::Whole).await;
        assert_eq!(read, b"content");
    }
}

pub(super) async fn a_manifest_without_its_blobs_is_refused(store: &dyn Storage) {
    let here = push(store, "a", b"layer").await;
    let elsewhere = push(store, "b", b"config").await;
    let new = manifest(b"{}", &[(&elsewhere, 6), (&here, 6)], &["1"]);
    match store.manifest_put(&name("a"), new).await {
        Err(Error::BlobsMissing { digests, .. }) => assert_eq!(digests, [elsewhere]),
        other => panic!("{other:?}"),
    }
    assert!(store.tag_get(&name("a"), &tag("1")).await.is_err());
    let result = store.manifest_get(&name("a"), &Digest::sha256(b"{}")).await;
    assert!(matches!(result, Err(Error::ManifestUnknown { .. })));
}

pub(super) async fn a_manifest_that_says_another_size_of_a_blob_is_refused(store: &dyn Storage) {
    let (config, layer) = (push(store, "a", b"config").await, push(store, "a", b"layer").await);
    let new = manifest(b"{}", &[(&config, 6), (&layer, 6)], &["1"]);
    match store.manifest_put(&name("a"), new).await {
        Err(Error::BlobSize { digest, announced: 6, size: 5 }) => assert_eq!(digest, layer),
        other => panic!("{other:?}"),
    }
    assert!(store.tag_get(&name("a"), &tag("1")).await.is_err());
    let new = manifest(b"{}", &[(&config, 6), (&layer, 5)], &["1"]);
    store.manifest_put(&name("a"), new).await.unwrap();
}

pub(super) async fn a_manifest_comes_back_byte_for_byte(store: &dyn Storage) {
    let repository = name("a");
    let blob = push(store, "a", b"layer").await;
    let new = manifest(b"{ \n\n\"a\":\r\n1}\n", &[(&blob, 5)], &["1", "2"]);
    let stored = new.manifest.clone();
    store.manifest_put(&repository, new).await.unwrap();
    let got = store.manifest_get(&repository, &stored.digest).await.unwrap();
    assert_eq!(got, stored);
    for text in ["1", "2"] {
        let TagState { digest, modified, origin } =
            store.tag_get(&repository, &tag(text)).await.unwrap();
        assert_eq!(digest, stored.digest);
        assert!(modified.elapsed().unwrap().as_secs() < 60);
        assert_eq!(origin, None);
        let (state, manifest) = store.manifest_tagged(&repository, &tag(text)).await.unwrap();
        assert_eq!(state.digest, stored.digest);
        assert_eq!(manifest.unwrap(), stored);
    }
    assert!(store.manifest_tagged(&repository, &tag("3")).await.is_err());
    let newer = manifest(b"{}", &[], &["1"]);
    store.manifest_put(&repository, newer).await.unwrap();
    let state = store.tag_get(&repository, &tag("1")).await.unwrap();
    assert_eq!(state.digest, Digest::sha256(b"{}"));
    let (_, newer) = store.manifest_tagged(&repository, &tag("1")).await.unwrap();
    assert_eq!(newer.unwrap().bytes, "{}");
    let result = store.manifest_get(&name("b"), &stored.digest).await;
    assert!(matches!(result, Err(Error::ManifestUnknown { .. })));
}

pub(super) async fn a_deleted_manifest_takes_its_tags_and_its_place_among_referrers(
    store: &dyn Storage,
) {
    let repository = name("a");
    let subject = Digest::sha256(b"subject");
    let layer = push(store, "a", b"{}").await;
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{layer}","size":2}},"layers":[],
        "subject":{{"mediaType":"x","digest":"{subject}","size":7}}}}"#
    );
    let mut new = manifest(text.leak().as_bytes(), &[(&layer, 2)], &["1", "2"]);
    "application/vnd.oci.image.manifest.v1+json".clone_into(&mut new.manifest.media_type);
    new.referrer = Some((subject.clone(), Bytes::from_static(b"descriptor")));
    let digest = new.manifest.digest.clone();
    store.manifest_put(&repository, new).await.unwrap();
    let other = manifest(b"{}", &[], &["other"]);
    store.manifest_put(&repository, other).await.unwrap();
    let listed = store.referrers(&repository, &subject).await.unwrap();
    assert_eq!(listed, ["descriptor"]);

    store.manifest_delete(&repository, &digest).await.unwrap();
    assert!(store.manifest_get(&repository, &digest).await.is_err());
    assert!(store.manifest_delete(&repository, &digest).await.is_err());
    let listed = store.referrers(&repository, &subject).await.unwrap();
    assert!(listed.is_empty());
    let tags = store.tags(&repository, Paging::default()).await.unwrap();
    assert_eq!(tags.entries, [tag("other")]);
}

pub(super) async fn a_deleted_tag_leaves_its_manifest(store: &dyn Storage) {
    let repository = name("a");
    let new = manifest(b"{}", &[], &["1", "2"]);
    store.manifest_put(&repository, new).await.unwrap();
    store.tag_delete(&repository, &tag("1")).await.unwrap();
    assert!(store.tag_delete(&repository, &tag("1")).await.is_err());
    assert!(store.tag_get(&repository, &tag("2")).await.is_ok());
    let digest = Digest::sha256(b"{}");
    assert!(store.manifest_get(&repository, &digest).await.is_ok());
}

pub(super) async fn a_tag_knows_its_origin_until_it_is_set_again(store: &dyn Storage) {
    let repository = name("a");
    let origin = Origin::from_header("tenant=t&project=org%2F%C3%BCber&change=1").unwrap();
    let mut new = manifest(b"{}", &[], &["1", "2"]);
    new.origin = Some(origin.clone());
    store.manifest_put(&repository, new).await.unwrap();
    store.manifest_put(&repository, manifest(b"{}", &[], &["1"])).await.unwrap();
    assert_eq!(store.tag_get(&repository, &tag("1")).await.unwrap().origin, None);
    assert_eq!(store.tag_get(&repository, &tag("2")).await.unwrap().origin, Some(origin));
}

pub(super) async fn what_was_pushed_for_no_build_is_kept_where_that_is_asked(store: &dyn Storage) {
    let repository = name("a");
    let pulled = |bytes: &'static [u8]| NewManifest {
        origin: Some(Origin::from_header("build=1").unwrap()),
        keep_pushed: true,
        ..manifest(bytes, &[], &["new", "1"])
    };
    store.manifest_put(&repository, manifest(b"pushed", &[], &["1"])).await.unwrap();
    let refused = store.manifest_put(&repository, pulled(b"pulled")).await;
    let pushed = Digest::sha256(b"pushed");
    assert!(matches!(refused, Err(Error::TagKept { digest, .. }) if digest == pushed));
    assert_eq!(store.tag_get(&repository, &tag("1")).await.unwrap().digest, pushed);
    let new = store.tag_get(&repository, &tag("new")).await;
    assert!(matches!(new, Err(Error::ManifestUnknown { .. })));
    // What another pull brought is not kept, and a push asks for nothing.
    store.tag_delete(&repository, &tag("1")).await.unwrap();
    for bytes in [&b"pulled"[..], b"newer"] {
        store.manifest_put(&repository, pulled(bytes)).await.unwrap();
        assert_eq!(
            store.tag_get(&repository, &tag("1")).await.unwrap().digest,
            Digest::sha256(bytes)
        );
    }
    store.manifest_put(&repository, manifest(b"pushed", &[], &["1"])).await.unwrap();
    assert_eq!(store.tag_get(&repository, &tag("1")).await.unwrap().digest, pushed);
}

pub(super) async fn lists_are_sorted_and_cut(store: &dyn Storage) {
    let unknown = store.tags(&name("a"), Paging::default()).await;
    assert!(matches!(unknown, Err(Error::RepositoryUnknown(_))));
    push(store, "only/blobs", b"x").await;
    for repository in ["b", "a/c", "a", "a-b"] {
        let new = manifest(b"{}", &[], &["b", "B", "a", "_"]);
        store.manifest_put(&name(repository), new).await.unwrap();
    }
    let all = store.repositories(Paging::default()).await.unwrap();
    assert_eq!(all.entries, ["a", "a-b", "a/c", "b"].map(name));
    assert!(!all.more);
    let paging = |after: &str, limit| Paging { after: Some(after.to_owned()), limit: Some(limit) };
    let page = store.repositories(paging("a", 2)).await.unwrap();
    assert_eq!(page.entries, ["a-b", "a/c"].map(name));
    assert!(page.more);
    let page = store.tags(&name("a"), paging("C", 3)).await.unwrap();
    assert_eq!(page.entries, ["_", "a", "b"].map(tag));
    assert!(!page.more);
    let page = store.tags(&name("a"), paging("", 0)).await.unwrap();
    assert!(page.entries.is_empty() && page.more);
}

pub(super) async fn an_upload_is_readable_as_far_as_it_has_come(store: &dyn Storage) {
    let repository = name("a");
    let id = store.upload_create(&repository).await.unwrap();
    store.upload_append(&repository, &id, None, bytes_of(&[b"abc", b"def"])).await.unwrap();
    let other = store.upload_read(&name("b"), &id, 0..3).await;
    assert!(matches!(other, Err(Error::UploadUnknown { .. })), "{other:?}");
    assert_eq!(store.upload_read(&repository, &id, 2..4).await.unwrap(), "cd");
    assert_eq!(store.upload_read(&repository, &id, 4..100).await.unwrap(), "ef");
    assert_eq!(store.upload_read(&repository, &id, 6..100).await.unwrap(), "");
    assert_eq!(store.upload_read(&repository, &id, 50..100).await.unwrap(), "");
    let digest = Digest::sha256(b"abcdef");
    store.upload_finish(&repository, &id, &digest).await.unwrap();
    let ended = store.upload_read(&repository, &id, 0..3).await;
    assert!(matches!(ended, Err(Error::UploadUnknown { .. })), "{ended:?}");
}

pub(super) async fn a_blob_of_another_store_is_adopted(store: &dyn Storage) {
    let folder = tempfile::tempdir().unwrap();
    let other = super::Filesystem::open(folder.path(), super::Durability::Process).unwrap();
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
