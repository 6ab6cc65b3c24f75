//! Pushes, deletions, pulls and prunes in any order and at once leave a store whole.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

use super::Filesystem;
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{Durability, Error, NewManifest, Pruning, Storage, StoredManifest, Verifying};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Something a client, or who keeps the store, may do. Few images and repositories, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Push { repository: u8, image: u8, tag: u8 },
    PushIndex { repository: u8, image: u8, tag: u8 },
    Sign { repository: u8, image: u8 },
    DeleteTag { repository: u8, tag: u8 },
    DeleteManifest { repository: u8, image: u8 },
    Pull { repository: u8, tag: u8 },
    Mount { from: u8, to: u8, image: u8 },
    Prune { age: u64, grace: u64 },
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let (repository, image, tag) = (0_u8..2, 0_u8..3, 0_u8..2);
    let at = (repository.clone(), image.clone(), tag.clone());
    prop_oneof![
        6 => at.clone().prop_map(|(repository, image, tag)| Step::Push { repository, image, tag }),
        2 => at.prop_map(|(repository, image, tag)| Step::PushIndex { repository, image, tag }),
        1 => (0_u8..2, 0_u8..3).prop_map(|(repository, image)| Step::Sign { repository, image }),
        1 => (0_u8..2, 0_u8..2).prop_map(|(repository, tag)| Step::DeleteTag { repository, tag }),
        1 => (0_u8..2, 0_u8..3).prop_map(|(repository, image)| Step::DeleteManifest { repository, image }),
        2 => (repository, tag).prop_map(|(repository, tag)| Step::Pull { repository, tag }),
        2 => (0_u8..2, 0_u8..2, image).prop_map(|(from, to, image)| Step::Mount { from, to, image }),
        3 => (0_u64..150, 0_u64..150).prop_map(|(age, grace)| Step::Prune { age, grace }),
        1 => Just(Step::Wait),
    ]
}

fn repository(number: u8) -> RepositoryName {
    format!("r/{number}").parse().unwrap()
}

fn tag(number: u8) -> Tag {
    format!("t{number}").parse().unwrap()
}

/// A layer of its own, and one that all images share.
fn blobs(image: u8) -> [String; 2] {
    [format!("layer {image}"), "base".to_owned()]
}

fn image_text(image: u8, more: &str) -> String {
    let [layer, base] = blobs(image).map(|blob| {
        let digest = Digest::sha256(blob.as_bytes());
        format!(r#"{{"mediaType":"x","digest":"{digest}","size":{}}}"#, blob.len())
    });
    format!(r#"{{"schemaVersion":2,"config":{base},"layers":[{layer}]{more}}}"#)
}

fn manifest(text: &str, media_type: &str, blobs: &[String], tags: Vec<Tag>) -> NewManifest {
    NewManifest {
        manifest: StoredManifest {
            digest: Digest::sha256(text.as_bytes()),
            media_type: media_type.to_owned(),
            bytes: text.to_owned().into(),
        },
        blobs: blobs
            .iter()
            .map(|blob| (Digest::sha256(blob.as_bytes()), blob.len() as u64))
            .collect(),
        referrer: None,
        tags,
        origin: None,
        keep_pushed: false,
    }
}

async fn push_blobs(store: &Filesystem, to: &RepositoryName, image: u8) -> Result<(), Error> {
    for blob in blobs(image) {
        let digest = Digest::sha256(blob.as_bytes());
        if store.blob_size(to, &digest).await.is_err() {
            let id = store.upload_create(to).await?;
            let bytes = stream::iter([Ok(Bytes::from(blob))]).boxed();
            store.upload_append(to, &id, None, bytes).await?;
            store.upload_finish(to, &id, &digest).await?;
        }
    }
    Ok(())
}

async fn take(store: &Filesystem, step: Step) -> Result<(), Error> {
    match step {
        Step::Push { repository: to, image, tag: name } => {
            push_blobs(store, &repository(to), image).await?;
            let new = manifest(&image_text(image, ""), IMAGE, &blobs(image), vec![tag(name)]);
            store.manifest_put(&repository(to), new).await
        }
        Step::PushIndex { repository: to, image, tag: name } => {
            push_blobs(store, &repository(to), image).await?;
            let child = manifest(&image_text(image, ""), IMAGE, &blobs(image), Vec::new());
            let digest = child.manifest.digest.clone();
            store.manifest_put(&repository(to), child).await?;
            let text = format!(
                r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{IMAGE}","digest":"{digest}","size":1}}]}}"#
            );
            store.manifest_put(&repository(to), manifest(&text, INDEX, &[], vec![tag(name)])).await
        }
        Step::Sign { repository: to, image } => {
            push_blobs(store, &repository(to), image).await?;
            let subject = Digest::sha256(image_text(image, "").as_bytes());
            let more =
                format!(r#","subject":{{"mediaType":"{IMAGE}","digest":"{subject}","size":1}}"#);
            let mut new = manifest(&image_text(image, &more), IMAGE, &blobs(image), Vec::new());
            new.referrer = Some((subject, Bytes::from_static(b"{}")));
            store.manifest_put(&repository(to), new).await
        }
        Step::DeleteTag { repository: of, tag: name } => {
            store.tag_delete(&repository(of), &tag(name)).await
        }
        Step::DeleteManifest { repository: of, image } => {
            let digest = Digest::sha256(image_text(image, "").as_bytes());
            store.manifest_delete(&repository(of), &digest).await
        }
        Step::Pull { repository: of, tag: name } => {
            let state = store.tag_get(&repository(of), &tag(name)).await?;
            let found = store.manifest_get(&repository(of), &state.digest).await;
            store.manifest_used(&repository(of), &state.digest);
            found.map(drop)
        }
        Step::Mount { from, to, image } => {
            let digest = Digest::sha256(blobs(image)[0].as_bytes());
            store.blob_link(&repository(from), &repository(to), &digest).await
        }
        Step::Prune { age, grace } => {
            let pruning = Pruning {
                older_than: Duration::from_millis(age),
                grace: Duration::from_millis(grace),
                keep: BTreeSet::new(),
                dry_run: false,
            };
            store.prune(pruning).await.map(drop)
        }
        Step::Wait => {
            tokio::time::sleep(Duration::from_millis(40)).await;
            Ok(())
        }
    }
}

/// What somebody else removed, or does at the same moment, is a fair answer; anything else is not.
fn is_fair(error: &Error) -> bool {
    matches!(
        error,
        Error::BlobUnknown { .. }
            | Error::BlobsMissing { .. }
            | Error::ManifestUnknown { .. }
            | Error::RepositoryUnknown(_)
            | Error::InUse(_)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_pushes_and_prunes_leaves_damage(
        clients in prop::collection::vec(prop::collection::vec(step(), 1..24), 2..5)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(Filesystem::open(folder.path(), Durability::Process).unwrap());
            let clients: Vec<_> = clients
                .into_iter()
                .map(|steps| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move {
                        for step in steps {
                            match take(&store, step.clone()).await {
                                Err(error) if !is_fair(&error) => panic!("{step:?}: {error}"),
                                _ => {}
                            }
                        }
                    })
                })
                .collect();
            // Looked at in the middle of it, too.
            for _ in 0..3 {
                let looked = Arc::clone(&store);
                let verified = tokio::task::spawn_blocking(move || {
                    looked.verify(Verifying::default(), &|_| {}).unwrap()
                });
                let damage = verified.await.unwrap().damage;
                assert!(damage.is_empty(), "{damage:?}");
            }
            for client in clients {
                client.await.unwrap();
            }
            let damage = store.verify(Verifying::default(), &|_| {}).unwrap().damage;
            assert!(damage.is_empty(), "{damage:?}");
        });
    }
}
