use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::journal::Member;
use super::{Error, freshen};
use crate::client::{Client, Repository};
use crate::oci::{
    Content, Descriptor, Digest, ImageConfig, ImageReference, Manifest, Platform, Reference,
    printable,
};

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

/// What is made of the source before it is pushed; the same source makes the same bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made<'a> {
    /// An index without its attestations.
    pub drop_attestations: bool,
    /// Another identity, from this.
    pub token: Option<&'a str>,
}

/// What `preflight` judges; an index may list nothing else, as it would be published unseen.
const JUDGED: [&str; 4] = ["amd64", "arm64", "ppc64le", "s390x"];

/// Reads what `source` holds now; all else uses its digest.
///
/// # Errors
/// It is not there, lacks a required architecture, or is nothing that can be certified.
pub async fn pin(
    client: &Client,
    source: &ImageReference,
    required: &[String],
    made: &Made<'_>,
) -> Result<Pinned, Error> {
    let repository = client.image(source);
    let failed = |error| Error::client(source, error);
    let refused = |reason: &str| Error::Refused(format!("source {source} {reason}"));
    let top = repository.manifest(&source.reference).await.map_err(failed)?;
    let top = top.ok_or_else(|| Error::Refused(format!("source {source}: not found")))?;
    let at = ImageReference { tag: None, ..source.at(top.digest().clone()) };
    let top = if made.drop_attestations { without_attestations(top)? } else { top };
    let (mut children, mut platforms) = (Vec::new(), Vec::new());
    for child in members_of(source, &top)? {
        let reference = Reference::Digest(child.digest.clone());
        let manifest = repository.manifest(&reference).await.map_err(failed)?;
        let manifest =
            manifest.ok_or_else(|| refused(&format!("lacks its image {}", child.digest)))?;
        if !matches!(manifest.content(), Content::Image(_)) {
            return Err(refused(&format!("lists {}, which is no image", child.digest)));
        }
        platforms.push((child.platform, child.digest));
        children.push(manifest);
    }
    if matches!(top.content(), Content::Image(_)) {
        let config = ImageConfig::parse(&config(&repository, source, &top).await?);
        let config = config.ok_or_else(|| refused("is no image"))?;
        platforms.push((Some(config.platform), top.digest().clone()));
    }
    let members = members(platforms).map_err(|reason| refused(&reason))?;
    demand(&members, required).map_err(|reason| refused(&reason))?;
    let pinned = Pinned { source: at, top, children, configs: BTreeMap::new(), members };
    match made.token {
        None => Ok(pinned),
        Some(token) => freshen::fresh(&repository, pinned, token).await,
    }
}

/// One image for each architecture, and each of them one that is judged.
fn members(platforms: Vec<(Option<Platform>, Digest)>) -> Result<Vec<Member>, String> {
    let mut members: Vec<Member> = Vec::new();
    for (platform, digest) in platforms {
        let platform = platform.ok_or_else(|| format!("lists {digest} without a platform"))?;
        let architecture = platform.architecture.clone();
        if platform.os != "linux" || !JUDGED.contains(&architecture.as_str()) {
            let shown = printable(&platform.to_string(), 80);
            return Err(format!("has {shown}, which is not certified; leave it out of the index"));
        }
        if members.iter().any(|member| member.architecture == architecture) {
            return Err(format!("has several images for {architecture}"));
        }
        members.push(Member { architecture, digest });
    }
    if members.is_empty() { Err("is an index of nothing".to_owned()) } else { Ok(members) }
}

fn demand(members: &[Member], required: &[String]) -> Result<(), String> {
    let has: BTreeSet<&str> = members.iter().map(|it| it.architecture.as_str()).collect();
    let missing: Vec<&str> =
        required.iter().map(String::as_str).filter(|it| !has.contains(it)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let has = has.into_iter().collect::<Vec<_>>().join(", ");
    Err(format!("has {has}, required {}: missing {}", required.join(", "), missing.join(", ")))
}

impl Pinned {
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
                    "{source}: source index carries attestation manifests; rebuild with provenance off, or pass \
                     --drop-attestations"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(top.children().to_vec())
}

/// The same index without entries that are for no platform; as it is where there are none.
pub(super) fn without_attestations(top: Manifest) -> Result<Manifest, Error> {
    let is_one = |entry: &Value| {
        let platform = entry.get("platform").and_then(|platform| platform.get("os"));
        platform.and_then(Value::as_str) == Some("unknown")
    };
    let mut document = freshen::document(top.bytes())?;
    let entries = document.get_mut("manifests").and_then(Value::as_array_mut);
    let Some(entries) = entries.filter(|entries| entries.iter().any(is_one)) else {
        return Ok(top);
    };
    entries.retain(|entry| !is_one(entry));
    freshen::parsed(&document, top.media_type())
}
