//! Promotion and rollback at registries that nobody here scripted.

use std::path::Path;

use zuul_images::auth::CredentialStore;
use zuul_images::client::Repository;
use zuul_images::oci::{Digest, Reference};
use zuul_images::promote::{self, FinalTag, Options, Promoted, Promotion, PutBack, RolledBack};

use crate::support::clients::client;
use crate::support::distribution::Distribution;
use crate::support::images::{self, digest_of, push_image, push_index};
use crate::support::programs::RegistryProcess;

/// A repository where `one` holds an index, and an index waits for `one` and `two`.
async fn prepare(repository: &Repository) -> [Digest; 2] {
    let old = push_index(repository, "one", "old", &["linux/amd64"]).await;
    let new = push_index(repository, "change_1_one", "new", &["linux/amd64", "linux/arm64"]).await;
    let waiting = repository.manifest(&"change_1_one".parse().unwrap()).await.unwrap().unwrap();
    let again: Reference = "change_1_two".parse().unwrap();
    repository.put_manifest(&again, &waiting).await.unwrap();
    [old, new]
}

async fn promote_and_roll_back(
    client: zuul_images::client::Client,
    repository: &Repository,
    record: &Path,
) -> (Promoted, RolledBack) {
    let name = format!("{}/{}", repository.registry(), repository.name());
    let promotions = ["one", "two"].map(|tag| {
        let from = format!("{name}:change_1_{tag}").parse().unwrap();
        let to = FinalTag::beside(&from, tag.parse().unwrap());
        Promotion { repository: name.clone(), from, to, expected: None, current: None }
    });
    let options = Options { record: Some(record), ..Options::default() };
    let promoted = promote::promote(&client, &promotions, &options).await.unwrap();
    for tag in ["one", "two"] {
        assert_eq!(digest_of(repository, tag).await.as_ref(), Some(&promoted.promoted[0].digest));
    }
    (promoted, promote::rollback(&client, record, &Options::default()).await.unwrap())
}

fn results(rolled_back: &RolledBack) -> Vec<PutBack> {
    rolled_back.rolled_back.iter().map(|tag| tag.result.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_distribution_which_deletes_no_tags_the_new_one_stays_and_is_named() {
    let server = Distribution::start();
    let registry = server.registry();
    let client = client(&[&registry], CredentialStore::empty());
    let repository = client.repository(&registry, &"org/a".parse().unwrap());
    let [old, new] = prepare(&repository).await;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let (promoted, rolled_back) = promote_and_roll_back(client, &repository, &record).await;
    // One source each, two final tags, two writes, and the two children of both.
    let cleanup = 4;
    assert_eq!(promoted.totals.requests, 2 + 2 + 2 + 2 + cleanup);
    assert_eq!(results(&rolled_back), [PutBack::Done, PutBack::Unsupported]);
    assert_eq!(digest_of(&repository, "one").await, Some(old));
    assert_eq!(digest_of(&repository, "two").await, Some(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_our_registry_both_are_as_before() {
    let server = RegistryProcess::start();
    let repository = images::repository(&server.login(), "org/a");
    let [old, _] = prepare(&repository).await;
    let other = push_image(&repository, Some("other"), "other", "linux/amd64").await;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let client = images::client(&server.login());
    let (_, rolled_back) = promote_and_roll_back(client, &repository, &record).await;
    assert_eq!(results(&rolled_back), [PutBack::Done, PutBack::Done]);
    assert_eq!(digest_of(&repository, "one").await, Some(old));
    assert_eq!(digest_of(&repository, "two").await, None);
    assert_eq!(digest_of(&repository, "other").await.as_ref(), Some(other.digest()));
}
