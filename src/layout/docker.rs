use std::collections::HashMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::Error;
use super::files::Files;
use crate::oci::{Algorithm, Digest, Digester, Manifest, media_type, printable};

/// An entry of `manifest.json`, which `docker save` writes: no manifest, but the names of its parts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The image made of a [`Saved`]: a manifest that no registry has had, since `docker save` keeps none.
pub(super) struct Made {
    pub(super) manifest: Manifest,
    /// Where the blobs lie.
    pub(super) names: HashMap<Digest, String>,
}

const MANIFEST: &str = "manifest.json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const PACKED_LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The images of `manifest.json`, each with its names.
pub(super) fn listed(files: &Files) -> Result<Vec<(Vec<String>, Saved)>, Error> {
    let foreign = |reason: String| Error::Foreign { place: files.place().to_owned(), reason };
    if !files.has(MANIFEST) {
        return Err(foreign("it has no `manifest.json`, as docker saves one".to_owned()));
    }
    let saved: Vec<Saved> = serde_json::from_slice(&files.read(MANIFEST)?).map_err(|error| {
        foreign(format!("its `manifest.json`: {}", printable(&error.to_string(), 200)))
    })?;
    Ok(saved.into_iter().map(|mut it| (it.repo_tags.take().unwrap_or_default(), it)).collect())
}

/// Makes the manifest: its layers are the tar archives as they lie there, so the digest of each that is not
/// packed is the one that the configuration names (image-spec, config.md, "Layer DiffID"), and is checked as
/// such on its way.
pub(super) fn make(files: &Files, saved: &Saved) -> Result<Made, Error> {
    let wrong = |reason: String| Error::Damaged { place: files.place().to_owned(), reason };
    let shown = printable(&saved.config, 100);
    let config = files.read(&saved.config)?;
    let diff_ids = serde_json::from_slice::<Config>(&config).map(|config| config.rootfs.diff_ids);
    let diff_ids = diff_ids
        .map_err(|error| wrong(format!("`{shown}`: {}", printable(&error.to_string(), 200))))?;
    if diff_ids.len() != saved.layers.len() {
        let (there, named) = (saved.layers.len(), diff_ids.len());
        return Err(wrong(format!("it has {there} layers, `{shown}` names {named}")));
    }
    let described = Described {
        media_type: CONFIG_TYPE,
        size: config.len() as u64,
        digest: Digest::sha256(&config),
    };
    let mut names = HashMap::from([(described.digest.clone(), saved.config.clone())]);
    let mut layers = Vec::new();
    for (diff_id, name) in diff_ids.into_iter().zip(&saved.layers) {
        let layer = layer(files, name, diff_id)?;
        names.insert(layer.digest.clone(), name.clone());
        layers.push(layer);
    }
    let document = Document {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST,
        config: described,
        layers,
    };
    let bytes = serde_json::to_vec(&document).map_err(|error| wrong(error.to_string()))?;
    let manifest = Manifest::parse(bytes.into(), Some(media_type::OCI_MANIFEST));
    let manifest = manifest.map_err(|source| Error::Manifest {
        place: format!("{}: {shown}", files.place()),
        source,
    })?;
    Ok(Made { manifest, names })
}

/// A layer as it lies there. docker packs none, but others do, in archives of its kind; then its digest is
/// found by reading it, and that it unpacks to what the configuration names.
fn layer(files: &Files, name: &str, diff_id: Digest) -> Result<Described, Error> {
    let wrong = |reason: &str| Error::Damaged {
        place: files.place().to_owned(),
        reason: format!("its layer `{}` {reason}", printable(name, 100)),
    };
    let unreadable = |source| files.unreadable(name, source);
    let layer = files.open(name)?.ok_or_else(|| wrong("is not there"))?;
    let size = layer.size();
    let mut start = Vec::new();
    layer.clone().take(4).read_to_end(&mut start).map_err(unreadable)?;
    if start.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err(wrong("is compressed by zstd, which is not read; make an OCI archive instead"));
    }
    if !start.starts_with(b"\x1f\x8b") {
        return Ok(Described { media_type: LAYER_TYPE, size, digest: diff_id });
    }
    let unpacked = layer.gunzip();
    let unpacked = unpacked.ok_or_else(|| wrong("is compressed again; gunzip the archive"))?;
    let unpacked = digest_of(diff_id.algorithm(), unpacked).map_err(unreadable)?;
    if unpacked != diff_id {
        return Err(wrong(&format!("unpacks to {unpacked}, not {diff_id}")));
    }
    let digest = digest_of(Algorithm::Sha256, layer).map_err(unreadable)?;
    Ok(Described { media_type: PACKED_LAYER_TYPE, size, digest })
}

fn digest_of(algorithm: Algorithm, mut from: impl Read) -> io::Result<Digest> {
    let mut digester = Digester::new(algorithm);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(digester.finish()),
            Some(bytes) => digester.update(bytes),
        }
    }
}

/// image-spec, config.md
#[derive(Deserialize)]
struct Config {
    rootfs: RootFilesystem,
}

#[derive(Deserialize)]
struct RootFilesystem {
    diff_ids: Vec<Digest>,
}

/// image-spec, manifest.md; always in the same order, so that an archive is always the same image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u8,
    media_type: &'static str,
    config: Described,
    layers: Vec<Described>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    media_type: &'static str,
    size: u64,
    digest: Digest,
}
