use std::collections::BTreeSet;
use std::time::Duration;

use super::{descriptor, image, manifest, name, push, put, read, tag};
use crate::oci::Digest;
use crate::storage::{Error, NewManifest, Paging, Part, Pruned, Pruning, Storage};

/// What counts as old.
const OLD: Duration = Duration::from_millis(1500);

pub(in crate::storage) async fn prune_takes_what_is_old_and_leaves_what_is_needed(
    store: &dyn Storage,
) {
    let repository = name("a/b");
    let [kept, gone, shared] = [
        push(store, "a/b", b"kept").await,
        push(store, "a/b", b"gone").await,
        push(store, "a/b", b"shared").await,
    ];
    push(store, "c", b"shared").await;
    let child = image(&[(&kept, 4), (&shared, 6)], &[], None);
    let child = put(store, &repository, child).await;
    let old = image(&[(&gone, 4), (&shared, 6)], &["old", "older"], None);
    let old = put(store, &repository, old).await;
    let signature = put(store, &repository, image(&[(&kept, 4)], &[], Some(&child))).await;
    get_old().await;
    let top = put(store, &repository, index(&[&child], &["top"])).await;

    let keep = BTreeSet::from([top.clone()]);
    let would = store.prune(Pruning { keep: keep.clone(), ..prune_all(true) }).await.unwrap();
    let digests = |pruned: &Pruned| -> Vec<Digest> {
        pruned.manifests.iter().map(|gone| gone.digest.clone()).collect()
    };
    assert_eq!(digests(&would), std::slice::from_ref(&old));
    assert_eq!(would.manifests[0].tags, ["old", "older"].map(tag));
    assert!(store.manifest_get(&repository, &old).await.is_ok());
    assert!(store.blob_open(&repository, &gone, Part::Whole).await.is_ok());

    let pruned = store.prune(Pruning { keep, ..prune_all(false) }).await.unwrap();
    assert_eq!(digests(&pruned), std::slice::from_ref(&old));
    assert_eq!(pruned.totals.manifests_kept, 3);
    assert!(pruned.totals.manifests_needed >= 2);
    let blobs: Vec<(&Digest, bool)> =
        pruned.blobs.iter().map(|gone| (&gone.digest, gone.freed)).collect();
    let mut expected = [(&gone, true), (&shared, false)];
    expected.sort();
    let mut found = blobs.clone();
    found.sort();
    assert_eq!(found, expected, "c links `shared`, and no image of c needs it");
    assert!(store.manifest_get(&repository, &old).await.is_err());
    assert!(store.tag_get(&repository, &tag("old")).await.is_err());
    assert!(store.blob_size(&repository, &gone).await.is_err());
    for digest in [&child, &signature, &top] {
        assert!(store.manifest_get(&repository, digest).await.is_ok());
    }
    assert_eq!(store.referrers(&repository, &child).await.unwrap().len(), 1);
    assert_eq!(read(store, "a/b", &kept, Part::Whole).await, b"kept");
    assert_eq!(read(store, "a/b", &shared, Part::Whole).await, b"shared");
}

pub(in crate::storage) async fn a_pull_keeps_an_image_from_being_pruned(store: &dyn Storage) {
    let (_, digest) = old_image(store).await;
    store.manifest_used(&name("a"), &digest);
    // It is written down by a task of its own.
    for _ in 0..200 {
        let would = store.prune(prune_all(true)).await.unwrap();
        if would.manifests.is_empty() {
            let pruned = store.prune(prune_all(false)).await.unwrap();
            assert!(pruned.manifests.is_empty() && pruned.blobs.is_empty(), "{pruned:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the pull was never written down");
}

pub(in crate::storage) async fn prune_keeps_what_it_is_told_to(store: &dyn Storage) {
    let (layer, digest) = old_image(store).await;
    let keep = BTreeSet::from([digest.clone()]);
    store.prune(Pruning { keep, ..prune_all(false) }).await.unwrap();
    assert_eq!(read(store, "a", &layer, Part::Whole).await, b"layer");
    store.prune(prune_all(false)).await.unwrap();
    assert!(store.manifest_get(&name("a"), &digest).await.is_err());
    assert!(store.repositories(Paging::default()).await.unwrap().entries.is_empty());
}

pub(in crate::storage) async fn a_question_for_a_blob_renews_its_lease(store: &dyn Storage) {
    let layer = push(store, "a", b"layer").await;
    let other = push(store, "a", b"other").await;
    let grace = Pruning { grace: Duration::from_secs(3600), ..prune_all(false) };
    get_old().await;
    let pruned = store.prune(grace).await.unwrap();
    assert!(pruned.blobs.is_empty(), "the manifest may be on its way: {pruned:?}");
    store.blob_link(&name("a"), &name("b"), &layer).await.unwrap();
    let pruned = store.prune(prune_all(false)).await.unwrap();
    let gone: Vec<&Digest> = pruned.blobs.iter().map(|gone| &gone.digest).collect();
    assert_eq!(gone, [&other], "a mount renews the lease of its source, too");
    assert!(store.blob_size(&name("a"), &layer).await.is_ok());
}

pub(in crate::storage) async fn an_image_pushed_again_while_pruning_stays_whole(
    store: &dyn Storage,
) {
    let images: [[&'static [u8]; 3]; 4] = [
        [b"config a", b"layer a", b"base"],
        [b"config b", b"layer b", b"base"],
        [b"config c", b"layer c", b"base"],
        [b"config d", b"base", b"base"],
    ];
    for _ in 0..3 {
        get_old().await;
        let pushes = images.iter().map(|blobs| push_again(store, "a/b", blobs));
        let prunes = async {
            // Whatever was pushed before the first is old, whatever comes now is not.
            store.prune(prune_all(false)).await.unwrap()
        };
        let (digests, _) = tokio::join!(futures_util::future::join_all(pushes), prunes);
        for (digest, blobs) in digests.iter().zip(images) {
            assert!(store.manifest_get(&name("a/b"), digest).await.is_ok());
            for content in blobs {
                let found = read(store, "a/b", &Digest::sha256(content), Part::Whole).await;
                assert_eq!(found, content);
            }
        }
    }
}

/// A layer and the image made of it, both old, in the repository `a`.
async fn old_image(store: &dyn Storage) -> (Digest, Digest) {
    let layer = push(store, "a", b"layer").await;
    let image = put(store, &name("a"), image(&[(&layer, 5)], &["1"], None)).await;
    get_old().await;
    (layer, image)
}

/// Pushes as clients do: asks for each blob, sends what is missing, then the manifest.
async fn push_again(store: &dyn Storage, repository: &str, blobs: &[&'static [u8]]) -> Digest {
    let digests: Vec<Digest> = blobs.iter().map(|blob| Digest::sha256(blob)).collect();
    let described: Vec<(&Digest, u64)> =
        digests.iter().zip(blobs).map(|(digest, blob)| (digest, blob.len() as u64)).collect();
    let new = image(&described, &["1"], None);
    loop {
        for (digest, content) in digests.iter().zip(blobs) {
            if store.blob_size(&name(repository), digest).await.is_err() {
                push(store, repository, content).await;
            }
        }
        match store.manifest_put(&name(repository), new.clone()).await {
            Ok(()) => return new.manifest.digest,
            Err(Error::BlobsMissing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn index(children: &[&Digest], tags: &[&str]) -> NewManifest {
    let children: Vec<String> = children.iter().map(|digest| descriptor(digest, 1)).collect();
    let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","));
    let mut new = manifest(text.leak().as_bytes(), &[], tags);
    "application/vnd.docker.distribution.manifest.list.v2+json"
        .clone_into(&mut new.manifest.media_type);
    new
}

/// Until what is there now counts as old.
async fn get_old() {
    tokio::time::sleep(OLD + Duration::from_millis(200)).await;
}

fn prune_all(dry_run: bool) -> Pruning {
    Pruning { older_than: OLD, grace: OLD, keep: BTreeSet::new(), dry_run }
}
