//! Images to move: small, real, and different whenever their seed is.

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use zuul_images::auth::{CredentialStore, Credentials, Secret};
use zuul_images::client::{Client, Repository};
use zuul_images::http::{Http, Settings};
use zuul_images::oci::{Descriptor, Digest, Manifest, Reference, media_type};
use zuul_images::tls::Trust;
use zuul_images::zuul::Connection;

use super::sample;

/// A client of one registry, with its certificate and login.
pub fn client(connection: &Connection) -> Client {
    let registry = connection.registry().unwrap();
    let mut trust = Trust::system();
    trust.add(&registry, connection.certificate().unwrap().as_bytes()).unwrap();
    let mut logins = CredentialStore::empty();
    let (username, password) = (connection.username.clone(), Secret::new(&*connection.password));
    logins.add(&registry, None, Credentials { username, password });
    Client::new(Http::new(Settings { trust, ..Settings::default() }).unwrap(), logins)
}

/// The repository `name` of a registry.
pub fn repository(connection: &Connection, name: &str) -> Repository {
    client(connection).repository(&connection.registry().unwrap(), &name.parse().unwrap())
}

/// Pushes an index over one image for each of `platforms` under `tag`; returns its digest. Images of
/// different platforms share one layer.
pub async fn push_index(to: &Repository, tag: &str, seed: &str, platforms: &[&str]) -> Digest {
    let mut children = Vec::new();
    for platform in platforms {
        let child = push_image(to, None, seed, platform).await;
        let (os, architecture) = platform.split_once('/').unwrap();
        children.push(json!({
            "mediaType": child.media_type(), "digest": child.digest(), "size": child.bytes().len(),
            "platform": {"os": os, "architecture": architecture}}));
    }
    let index = manifest(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": children}));
    to.put_manifest(&Reference::Tag(tag.parse().unwrap()), &index).await.unwrap();
    index.digest().clone()
}

/// Pushes one image of two layers, under `tag` or by its digest.
pub async fn push_image(
    to: &Repository,
    tag: Option<&str>,
    seed: &str,
    platform: &str,
) -> Manifest {
    let (os, architecture) = platform.split_once('/').unwrap();
    let config = json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}});
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let config =
        push_blob(to, "application/vnd.oci.image.config.v1+json", config.to_string().into_bytes())
            .await;
    let shared = push_blob(to, layer, format!("shared {seed}").into_bytes()).await;
    let own = push_blob(to, layer, format!("{platform} {seed}").repeat(1000).into_bytes()).await;
    let image = manifest(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [shared, own]}));
    let reference = match tag {
        Some(tag) => Reference::Tag(tag.parse().unwrap()),
        None => Reference::Digest(image.digest().clone()),
    };
    to.put_manifest(&reference, &image).await.unwrap();
    image
}

/// Attaches a document of this kind to what has the digest `subject`; returns what holds it.
pub async fn push_referrer(to: &Repository, subject: &Digest, kind: &str) -> Manifest {
    let referrer = sample::referrer(subject, kind, &Bytes::copy_from_slice(kind.as_bytes()));
    for blob in &referrer.blobs {
        push_blob(to, kind, blob.to_vec()).await;
    }
    let by_digest = Reference::from(referrer.root.digest().clone());
    to.put_manifest(&by_digest, &referrer.root).await.unwrap();
    referrer.root
}

/// Pushes an image that a container engine can unpack, of one empty layer; returns its digest.
pub async fn push_runnable(to: &Repository, tag: &str) -> Digest {
    let layer = vec![0; 1024];
    let config = json!({"os": "linux", "architecture": "amd64", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&layer)]}});
    let config =
        push_blob(to, "application/vnd.oci.image.config.v1+json", config.to_string().into_bytes())
            .await;
    let layer = push_blob(to, "application/vnd.oci.image.layer.v1.tar", layer).await;
    let image = manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config, "layers": [layer]}));
    to.put_manifest(&Reference::Tag(tag.parse().unwrap()), &image).await.unwrap();
    image.digest().clone()
}

/// The digest a tag holds.
pub async fn digest_of(repository: &Repository, tag: &str) -> Option<Digest> {
    let held = repository.head(&Reference::Tag(tag.parse().unwrap())).await.unwrap();
    held.map(|held| held.digest)
}

async fn push_blob(to: &Repository, media_type: &str, bytes: Vec<u8>) -> Value {
    let descriptor = Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::sha256(&bytes),
        size: bytes.len() as u64,
        platform: None,
        artifact_type: None,
        annotations: Default::default(),
    };
    let bytes = Bytes::from(bytes);
    let source = || stream::iter([Ok::<_, std::io::Error>(bytes.clone())]);
    to.push_blob(&descriptor, source, None).await.unwrap();
    json!({"mediaType": media_type, "digest": descriptor.digest, "size": descriptor.size})
}

fn manifest(document: &Value) -> Manifest {
    Manifest::parse(Bytes::from(document.to_string()), None).unwrap()
}
