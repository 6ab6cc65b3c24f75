//! What every driver has to do; a driver's tests say `suite!(open)` with a function that opens an
//! empty store and returns it with whatever has to outlive it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub(super) mod blobs;
pub(super) mod manifests;
pub(super) mod prune;
pub(super) mod tags;
pub(super) mod uploads;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{ByteStream, NewManifest, Part, Storage, StoredManifest};
use crate::oci::{Digest, RepositoryName, Tag};

/// Runs every test of the suite against the stores that `$open` gives.
macro_rules! suite {
    ($open:path) => {
        $crate::storage::suite::suite!(@each $open:
            blobs {
                a_blob_is_readable_only_through_a_repository_that_links_it
                parts_of_a_blob_are_as_asked
                the_same_blob_from_many_writers_is_stored
                a_blob_of_another_store_is_adopted
            }
            uploads {
                a_wrong_digest_ends_the_upload_and_leaves_nothing
                other_digest_algorithms_are_verified_too
                a_broken_upload_shows_nothing_and_goes_on_where_it_was
                a_chunk_at_the_wrong_place_is_refused
                an_upload_belongs_to_its_repository
                two_writers_on_one_upload_are_one_too_many
                an_upload_is_readable_as_far_as_it_has_come
            }
            manifests {
                a_manifest_without_its_blobs_is_refused
                a_manifest_that_says_another_size_of_a_blob_is_refused
                a_manifest_comes_back_byte_for_byte
                a_deleted_manifest_takes_its_tags_and_its_place_among_referrers
                manifests_make_room_too_and_take_their_tags_with_them
            }
            tags {
                a_deleted_tag_leaves_its_manifest
                a_tag_knows_its_origin_until_it_is_set_again
                what_was_pushed_for_no_build_is_kept_where_that_is_asked
                lists_are_sorted_and_cut
            }
            prune {
                prune_takes_what_is_old_and_leaves_what_is_needed
                a_pull_keeps_an_image_from_being_pruned
                prune_keeps_what_it_is_told_to
                a_question_for_a_blob_renews_its_lease
                an_image_pushed_again_while_pruning_stays_whole
            }
        );
    };
    (@each $open:path: $($topic:ident { $($test:ident)* })*) => {$($(
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let (store, _keep) = $open();
            $crate::storage::suite::$topic::$test(&*store).await;
        }
    )*)*};
}
pub(super) use suite;

async fn push(store: &dyn Storage, repository: &str, content: &'static [u8]) -> Digest {
    let digest = Digest::sha256(content);
    let repository = name(repository);
    let id = store.upload_create(&repository).await.unwrap();
    let offset = store.upload_append(&repository, &id, None, bytes_of(&[content])).await.unwrap();
    assert_eq!(offset, content.len() as u64);
    store.upload_finish(&repository, &id, &digest).await.unwrap();
    digest
}

async fn read(store: &dyn Storage, repository: &str, digest: &Digest, part: Part) -> Vec<u8> {
    let blob = store.blob_open(&name(repository), digest, part).await;
    let parts: Vec<Bytes> = blob.unwrap().bytes.try_collect().await.unwrap();
    parts.concat()
}

async fn put(store: &dyn Storage, repository: &RepositoryName, new: NewManifest) -> Digest {
    let digest = new.manifest.digest.clone();
    store.manifest_put(repository, new).await.unwrap();
    digest
}

/// An image whose configuration is the first of the blobs, attached to its subject where it has one.
fn image(blobs: &[(&Digest, u64)], tags: &[&str], subject: Option<&Digest>) -> NewManifest {
    let mut described = blobs.iter().map(|(digest, size)| descriptor(digest, *size));
    let config = described.next().unwrap();
    let layers = described.collect::<Vec<_>>().join(",");
    let attached = subject.map(|digest| format!(r#","subject":{}"#, descriptor(digest, 1)));
    let attached = attached.unwrap_or_default();
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]{attached}}}"#);
    let mut new = manifest(text.leak().as_bytes(), blobs, tags);
    "application/vnd.oci.image.manifest.v1+json".clone_into(&mut new.manifest.media_type);
    new.referrer = subject.map(|digest| (digest.clone(), Bytes::from_static(b"descriptor")));
    new
}

fn manifest(bytes: &'static [u8], blobs: &[(&Digest, u64)], tags: &[&str]) -> NewManifest {
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

fn descriptor(digest: &Digest, size: u64) -> String {
    format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}}}"#)
}

fn bytes_of(parts: &[&'static [u8]]) -> ByteStream {
    let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
    stream::iter(parts).boxed()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}
