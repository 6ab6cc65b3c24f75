use super::{manifest, name, push, put, tag};
use crate::oci::Digest;
use crate::storage::{Error, NewManifest, Paging, Storage};
use crate::zuul::Origin;

pub(in crate::storage) async fn a_deleted_tag_leaves_its_manifest(store: &dyn Storage) {
    let repository = name("a");
    let digest = put(store, &repository, manifest(b"{}", &[], &["1", "2"])).await;
    store.tag_delete(&repository, &tag("1")).await.unwrap();
    assert!(store.tag_delete(&repository, &tag("1")).await.is_err());
    assert!(store.tag_get(&repository, &tag("2")).await.is_ok());
    assert!(store.manifest_get(&repository, &digest).await.is_ok());
}

pub(in crate::storage) async fn a_tag_knows_its_origin_until_it_is_set_again(store: &dyn Storage) {
    let repository = name("a");
    let origin = Origin::from_header("tenant=t&project=org%2F%C3%BCber&change=1").unwrap();
    let mut new = manifest(b"{}", &[], &["1", "2"]);
    new.origin = Some(origin.clone());
    put(store, &repository, new).await;
    put(store, &repository, manifest(b"{}", &[], &["1"])).await;
    assert_eq!(store.tag_get(&repository, &tag("1")).await.unwrap().origin, None);
    assert_eq!(store.tag_get(&repository, &tag("2")).await.unwrap().origin, Some(origin));
}

pub(in crate::storage) async fn what_was_pushed_for_no_build_is_kept_where_that_is_asked(
    store: &dyn Storage,
) {
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

pub(in crate::storage) async fn lists_are_sorted_and_cut(store: &dyn Storage) {
    let unknown = store.tags(&name("a"), Paging::default()).await;
    assert!(matches!(unknown, Err(Error::RepositoryUnknown(_))));
    push(store, "only/blobs", b"x").await;
    for repository in ["b", "a/c", "a", "a-b"] {
        let new = manifest(b"{}", &[], &["b", "B", "a", "_"]);
        put(store, &name(repository), new).await;
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
