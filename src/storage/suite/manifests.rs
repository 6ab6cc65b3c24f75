use super::{image, manifest, name, push, put, tag};
use crate::oci::Digest;
use crate::storage::{Error, Paging, Storage, TagState};

pub(in crate::storage) async fn a_manifest_without_its_blobs_is_refused(store: &dyn Storage) {
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

pub(in crate::storage) async fn a_manifest_that_says_another_size_of_a_blob_is_refused(
    store: &dyn Storage,
) {
    let (config, layer) = (push(store, "a", b"config").await, push(store, "a", b"layer").await);
    let new = manifest(b"{}", &[(&config, 6), (&layer, 6)], &["1"]);
    match store.manifest_put(&name("a"), new).await {
        Err(Error::BlobSize { digest, announced: 6, size: 5 }) => assert_eq!(digest, layer),
        other => panic!("{other:?}"),
    }
    assert!(store.tag_get(&name("a"), &tag("1")).await.is_err());
    put(store, &name("a"), manifest(b"{}", &[(&config, 6), (&layer, 5)], &["1"])).await;
}

pub(in crate::storage) async fn a_manifest_comes_back_byte_for_byte(store: &dyn Storage) {
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
    let newer = put(store, &repository, manifest(b"{}", &[], &["1"])).await;
    let state = store.tag_get(&repository, &tag("1")).await.unwrap();
    assert_eq!(state.digest, newer);
    let (_, newer) = store.manifest_tagged(&repository, &tag("1")).await.unwrap();
    assert_eq!(newer.unwrap().bytes, "{}");
    let result = store.manifest_get(&name("b"), &stored.digest).await;
    assert!(matches!(result, Err(Error::ManifestUnknown { .. })));
}

pub(in crate::storage) async fn a_deleted_manifest_takes_its_tags_and_its_place_among_referrers(
    store: &dyn Storage,
) {
    let repository = name("a");
    let subject = Digest::sha256(b"subject");
    let layer = push(store, "a", b"{}").await;
    let new = image(&[(&layer, 2)], &["1", "2"], Some(&subject));
    let digest = put(store, &repository, new).await;
    put(store, &repository, manifest(b"{}", &[], &["other"])).await;
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

pub(in crate::storage) async fn manifests_make_room_too_and_take_their_tags_with_them(
    store: &dyn Storage,
) {
    let repository = name("a");
    let config = push(store, "a", b"config").await;
    let subject = Digest::sha256(b"subject");
    let old = image(&[(&config, 6)], &["1", "moved"], Some(&subject));
    let old = put(store, &repository, old).await;
    // A moment is seen by the clock of the disk.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let new = put(store, &repository, manifest(b"{ }", &[], &["moved"])).await;
    let elsewhere = put(store, &name("b"), manifest(b"{}", &[], &["1"])).await;
    assert_eq!(store.referrers(&repository, &subject).await.unwrap().len(), 1);
    // Of these two nothing has to go yet: type, line break and bytes of each.
    let both = "application/x\n{ }".len() as u64 + "application/x\n{}".len() as u64;
    assert_eq!(store.evict(both, [].into()).await.unwrap(), both);
    let unknown = |result| matches!(result, Err(Error::ManifestUnknown { .. }));
    assert!(unknown(store.manifest_get(&repository, &old).await.map(drop)));
    assert!(unknown(store.tag_get(&repository, &tag("1")).await.map(drop)));
    assert_eq!(store.referrers(&repository, &subject).await.unwrap().len(), 0);
    assert!(store.blob_size(&repository, &config).await.is_err());
    assert_eq!(store.tag_get(&repository, &tag("moved")).await.unwrap().digest, new);
    assert!(store.manifest_get(&repository, &new).await.is_ok());
    assert_eq!(store.evict(0, [].into()).await.unwrap(), 0);
    assert!(store.manifest_get(&name("b"), &elsewhere).await.is_err());
}
