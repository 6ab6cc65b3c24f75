//! OCI layouts and archives, right and wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use zuul_images::oci::{Digest, media_type};

use super::engines::{needed, said};
use super::sample::Sample;

/// Where image-spec, annotations.md, has the name of an image.
pub const NAME: &str = "org.opencontainers.image.ref.name";

/// The files of a layout with these images, each under the name, if it has one.
pub fn files(images: &[(Option<&str>, &Sample)]) -> Vec<(String, Vec<u8>)> {
    let listed: Vec<Value> = images
        .iter()
        .map(|(name, image)| {
            let root = &image.root;
            let mut entry = json!({"mediaType": root.media_type(), "digest": root.digest(),
                "size": root.bytes().len()});
            if let Some(name) = name {
                entry["annotations"] = json!({NAME: name});
            }
            entry
        })
        .collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": listed});
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ];
    for (_, image) in images {
        let manifests = image.below.iter().chain([&image.root]).map(|manifest| manifest.bytes());
        for bytes in manifests.chain(&image.blobs) {
            let name = blob_name(bytes);
            if !files.iter().any(|(known, _)| *known == name) {
                files.push((name, bytes.to_vec()));
            }
        }
    }
    files
}

/// What `docker save` writes of images whose layers are these, each image under its names.
pub fn saved(images: &[(&[&str], &[&[u8]])]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut listed = Vec::new();
    for (position, (names, layers)) in images.iter().enumerate() {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::sha256(layer)).collect();
        let config = json!({"os": "linux", "architecture": "amd64", "n": position,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = config.to_string().into_bytes();
        let config_name = format!("{}.json", Digest::sha256(&config).hex());
        let paths: Vec<String> =
            diff_ids.iter().map(|digest| format!("{}/layer.tar", digest.hex())).collect();
        listed.push(json!({"Config": config_name, "RepoTags": names, "Layers": paths}));
        files.push((config_name, config));
        files.extend(paths.into_iter().zip(layers.iter().map(|layer| layer.to_vec())));
    }
    let mut seen = BTreeSet::new();
    files.retain(|(name, _)| seen.insert(name.clone()));
    files.push(("manifest.json".to_owned(), json!(listed).to_string().into_bytes()));
    files
}

/// Where a layout has a blob.
pub fn blob_name(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::sha256(bytes).hex())
}

/// Writes a layout as a folder.
pub fn folder(place: &Path, files: &[(String, Vec<u8>)]) -> PathBuf {
    for (name, bytes) in files {
        let path = place.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    place.to_owned()
}

/// Writes files as a tar archive.
pub fn archive(path: &Path, files: &[(String, Vec<u8>)]) -> PathBuf {
    let mut tar = Tar::default();
    for (name, bytes) in files {
        tar.file(name, bytes);
    }
    fs::write(path, tar.end()).unwrap();
    path.to_owned()
}

/// The same as gzip packs it.
pub fn gzip(path: &Path) -> PathBuf {
    said(&needed("gzip", "gzip").arg("--keep").arg(path).output().unwrap());
    PathBuf::from(format!("{}.gz", path.display()))
}

/// A tar archive in which everything is allowed.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn file(&mut self, name: &str, bytes: &[u8]) {
        self.entry(EntryType::Regular, name, "", bytes);
    }

    pub fn link(&mut self, kind: EntryType, name: &str, target: &str) {
        self.entry(kind, name, target, b"");
    }

    pub fn entry(&mut self, kind: EntryType, name: &str, target: &str, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_entry_type(kind);
        // Names that no path may have are wanted, too.
        let fields = header.as_old_mut();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        let mut builder = Builder::new(std::mem::take(&mut self.0));
        builder.append(&header, bytes).unwrap();
        self.0 = builder.into_inner().unwrap();
        // Its end, which is not the archive's.
        self.0.truncate(self.0.len() - 1024);
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
