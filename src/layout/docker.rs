use std::collections::HashMap;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::Error;
use super::files::Files;
use crate::oci::{Digest, Manifest, media_type, printable};

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

/// Makes the manifest: its layers are the tar archives as they lie there, so the digest of each is the one
/// that the configuration names (image-spec, config.md, "Layer DiffID"), and is checked as such on its way.
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
    let mut names = HashMap::new();
    let config_digest = Digest::sha256(&config);
    let descriptor =
        |media_type, digest: &Digest, size| Described { media_type, size, digest: digest.clone() };
    let described = descriptor(CONFIG_TYPE, &config_digest, config.len() as u64);
    names.insert(config_digest, saved.config.clone());
    let mut layers = Vec::new();
    for (digest, name) in diff_ids.into_iter().zip(&saved.layers) {
        layers.push(descriptor(LAYER_TYPE, &digest, layer_size(files, name)?));
        names.insert(digest, name.clone());
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

fn layer_size(files: &Files, name: &str) -> Result<u64, Error> {
    let wrong = |reason: &str| Error::Damaged {
        place: files.place().to_owned(),
        reason: format!("its layer `{}` {reason}", printable(name, 100)),
    };
    let mut layer = files.open(name)?.ok_or_else(|| wrong("is not there"))?;
    let size = layer.size();
    let mut start = [0; 2];
    if size >= 2 {
        layer.read_exact(&mut start).map_err(|source| files.unreadable(name, source))?;
    }
    // Its digest is nowhere to be found, unlike that of what is in it.
    if start == *b"\x1f\x8b" {
        return Err(wrong("is compressed, which docker does not do; make an OCI archive instead"));
    }
    Ok(size)
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
