//! Clients that do not wait long, and what they send and read.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::client::{BlobStream, Client, Error, Repository};
use zuul_images::http::{Http, Settings};
use zuul_images::oci::{Descriptor, Reference, Registry};

use super::faulty::Faulty;

/// A client that does not wait long.
pub fn settings(plain: &[&Registry]) -> Settings {
    Settings {
        plain_http: plain.iter().copied().cloned().collect(),
        idle_timeout: Duration::from_millis(600),
        commit_timeout: Duration::from_millis(1200),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_secs(3),
        retries: 3,
        ..Settings::default()
    }
}

pub fn client(plain: &[&Registry], credentials: CredentialStore) -> Client {
    Client::new(Http::new(settings(plain)).unwrap(), credentials)
}

pub fn login(registry: &Registry, user: &str, password: &str) -> CredentialStore {
    let mut store = CredentialStore::empty();
    store.add(registry, None, Credentials::new(user, password));
    store
}

pub fn repository(server: &Faulty, name: &str) -> Repository {
    let registry = server.registry();
    client(&[&registry], CredentialStore::empty()).repository(&registry, &name.parse().unwrap())
}

pub fn tag(name: &str) -> Reference {
    name.parse().unwrap()
}

pub fn source(bytes: &Bytes) -> impl FnMut() -> BlobStream + Send {
    let bytes = bytes.clone();
    move || {
        let chunks: Vec<Bytes> = bytes.chunks(1000).map(|chunk| bytes.slice_ref(chunk)).collect();
        stream::iter(chunks).map(Ok).boxed()
    }
}

pub async fn read(repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Bytes> = repository.blob(blob).try_collect().await?;
    Ok(chunks.concat())
}
