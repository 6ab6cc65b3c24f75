//! Images, and how clients push them.

use super::Outcome;
use super::client::Connection;
use super::content::Content;

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// One blob as clients push it into a repository, `/v2/NAME`: a session, the bytes, the digest.
pub async fn push_blob(
    connection: &mut Connection,
    repository: &str,
    blob: &Content,
) -> Outcome<()> {
    let uploads = format!("{repository}/blobs/uploads/");
    let answer = connection.send("POST", &uploads, OCTETS, &empty()).await?;
    expect(answer.status, 202, "POST of an upload")?;
    let answer = connection.send("PATCH", &path(&answer.location), OCTETS, blob).await?;
    expect(answer.status, 202, "PATCH of an upload")?;
    let location = path(&answer.location);
    let separator = if location.contains('?') { '&' } else { '?' };
    let location = format!("{location}{separator}digest={}", blob.digest);
    let answer = connection.send("PUT", &location, OCTETS, &empty()).await?;
    expect(answer.status, 201, "PUT of an upload")
}

const OCTETS: &str = "application/octet-stream";

fn empty() -> Content {
    Content::of(Vec::new())
}

/// Servers name uploads by path or by URL.
fn path(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => location.to_owned(),
    }
}

/// An image as it is pushed.
pub struct Image {
    pub blobs: Vec<Content>,
    pub manifest: Content,
    pub tag: String,
}

impl Image {
    /// With layers of these sizes; the first blob is the configuration.
    pub fn new(tag: &str, layers: &[u64]) -> Self {
        Self::of(tag, "amd64", layers.iter().map(|size| Content::new(*size)).collect())
    }

    /// With these layers.
    pub fn of(tag: &str, architecture: &str, layers: Vec<Content>) -> Self {
        let digests: Vec<_> = layers.iter().map(|layer| layer.digest.to_string()).collect();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": digests},
        });
        let config = Content::of(config.to_string().into_bytes());
        let describe = |media_type: &str, content: &Content| serde_json::json!({"mediaType": media_type, "digest": content.digest.to_string(), "size": content.size});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe(CONFIG_TYPE, &config),
            "layers": layers.iter().map(|layer| describe(LAYER_TYPE, layer)).collect::<Vec<_>>(),
        });
        let manifest = Content::of(manifest.to_string().into_bytes());
        let blobs = std::iter::once(config).chain(layers).collect();
        Self { blobs, manifest, tag: tag.to_owned() }
    }

    /// As clients do: asks for each blob, pushes what is not there, then the manifest.
    pub async fn push(&self, connection: &mut Connection, repository: &str) -> Outcome<()> {
        for blob in &self.blobs {
            let path = format!("{repository}/blobs/{}", blob.digest);
            if connection.ask("HEAD", &path).await?.status != 200 {
                push_blob(connection, repository, blob).await?;
            }
        }
        let path = format!("{repository}/manifests/{}", self.tag);
        let answer = connection.send("PUT", &path, MANIFEST_TYPE, &self.manifest).await?;
        expect(answer.status, 201, "PUT of a manifest")
    }
}

pub fn expect(status: u16, wanted: u16, what: &str) -> Outcome<()> {
    if status == wanted {
        return Ok(());
    }
    Err(format!("{what} was answered with {status}").into())
}
