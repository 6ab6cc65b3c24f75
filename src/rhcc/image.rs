use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::journal::Member;
use super::{Error, freshen};
use crate::client::{Client, Repository};
use crate::oci::{Content, Descriptor, Digest, ImageConfig, ImageReference, Manifest, Reference};

/// The image that is certified, read once.
#[derive(Debug)]
pub struct Pinned {
    /// Where, by digest.
    pub source: ImageReference,
    /// Its index, or the manifest of a single image.
    pub top: Manifest,
    /// The manifests below the index.
    pub(super) children: Vec<Manifest>,
    /// Configurations that the source does not have.
    pub(super) configs: BTreeMap<Digest, Bytes>,
    /// What it is for.
    pub members: Vec<Member>,
}

/// Reads what `source` holds now; all else uses its digest. With a `token` it gets another identity without
/// another layer.
///
/// # Errors
/// It is not there, lacks a required architecture, or is nothing that can be certified.
pub async fn pin(
    client: &Client,
    source: &ImageReference,
    required: &[String],
    token: Option<&str>,
) -> Result<Pinned, Error> {
    let repository = client.image(source);
    let failed = |error| Error::client(source, error);
    let top = repository.manifest(&source.reference).await.map_err(failed)?;
    let top = top.ok_or_else(|| Error::Refused(format!("source {source}: not found")))?;
    let listed = members_of(source, &top)?;
    let (mut children, mut members) = (Vec::new(), Vec::new());
    for child in listed {
        let reference = Reference::Digest(child.digest.clone());
        let manifest = repository.manifest(&reference).await.map_err(failed)?;
        let missing =
            || Error::Refused(format!("source {source} lacks its image {}", child.digest));
        children.push(manifest.ok_or_else(missing)?);
        let architecture = child.platform.map(|it| it.architecture).unwrap_or_default();
        members.push(Member { architecture, digest: child.digest });
    }
    if children.is_empty() {
        let bytes = config(&repository, source, &top).await?;
        let config = ImageConfig::parse(&bytes);
        let config =
            config.ok_or_else(|| Error::Refused(format!("source {source} is no image")))?;
        let architecture = config.platform.architecture;
        members.push(Member { architecture, digest: top.digest().clone() });
    }
    let has: BTreeSet<&str> = members.iter().map(|it| it.architecture.as_str()).collect();
    let missing: Vec<&str> =
        required.iter().map(String::as_str).filter(|it| !has.contains(it)).collect();
    if !missing.is_empty() {
        return Err(Error::Refused(format!(
            "source {source} has {}, required {}: missing {}",
            has.into_iter().collect::<Vec<_>>().join(", "),
            required.join(", "),
            missing.join(", ")
        )));
    }
    let source = ImageReference { tag: None, ..source.at(top.digest().clone()) };
    let pinned = Pinned { source, top, children, configs: BTreeMap::new(), members };
    match token {
        None => Ok(pinned),
        Some(token) => freshen::fresh(&repository, pinned, token).await,
    }
}

impl Pinned {
    pub(super) fn is_freshened(&self) -> bool {
        !self.configs.is_empty()
    }

    /// The images with their blobs: those below the index, or the only one.
    pub(super) fn images(&self) -> impl Iterator<Item = &Manifest> {
        let alone = self.children.is_empty().then_some(&self.top);
        self.children.iter().chain(alone)
    }
}

/// The configuration of an image.
pub(super) async fn config(
    repository: &Repository,
    source: &ImageReference,
    image: &Manifest,
) -> Result<Vec<u8>, Error> {
    let config = match image.content() {
        Content::Image(image) if image.config.size <= ImageConfig::MAX_BYTES => &image.config,
        _ => return Err(Error::Refused(format!("source {source} lists what is no image"))),
    };
    let read: Result<Vec<Bytes>, _> = repository.blob(config).try_collect().await;
    Ok(read.map_err(|error| Error::client(source, error))?.concat())
}

fn members_of(source: &ImageReference, top: &Manifest) -> Result<Vec<Descriptor>, Error> {
    for child in top.children() {
        match &child.platform {
            None => {
                let digest = &child.digest;
                let reason = format!("source index has an entry without a platform: {digest}");
                return Err(Error::Refused(format!("{source}: {reason}")));
            }
            Some(platform) if platform.os == "unknown" => {
                return Err(Error::Refused(format!(
                    "{source}: source index carries attestation manifests; rebuild with provenance off"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(top.children().to_vec())
}
