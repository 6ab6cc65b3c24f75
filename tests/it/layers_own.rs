//! One of our registries over another, over TLS, as a node's may be over its site's: skopeo pulls through it.

use std::path::Path;
use std::process::Output;

use tempfile::TempDir;
use zuul_images::oci::Digest;

use crate::support::engines::{oci_archive, refused, said};
use crate::support::process::tool;
use crate::support::programs::{RegistryProcess, program};

const IMAGE: &str = "quay.io/org/img:1";

/// A registry that shows an image of one file to its user alone; and the image's digest.
fn below(folder: &TempDir) -> (RegistryProcess, Digest) {
    let registry = RegistryProcess::start_with("anonymous_pull: false\n");
    let (archive, digest) = oci_archive(folder.path(), "content of the image", "x:1");
    let from = format!("oci-archive:{}", archive.display());
    said(&skopeo(folder.path(), &registry, "dest", &[&from, &place(&registry, IMAGE)]));
    (registry, digest)
}

/// A registry over it, which everybody may read.
fn over(below: &RegistryProcess, more: &str) -> RegistryProcess {
    let login = below.login();
    RegistryProcess::start_with(&format!(
        "namespaces: [{{name: quay.io, url: 'https://{}/quay.io', public: true, ttl: 0s, \
         username: {:?}, password: {:?}{more}}}]\n",
        below.address, login.username, login.password,
    ))
}

fn place(registry: &RegistryProcess, image: &str) -> String {
    format!("docker://{}/{image}", registry.address)
}

/// `skopeo copy`, with the authority and the login of the registry on one `side`.
fn skopeo(folder: &Path, registry: &RegistryProcess, side: &str, images: &[&str]) -> Output {
    let certificates = folder.join(format!("certs-{}", registry.address));
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::copy(registry.ca_pem(), certificates.join("ca.crt")).unwrap();
    let login = registry.login();
    let mut skopeo = tool("skopeo");
    skopeo.env("HOME", folder).env("XDG_RUNTIME_DIR", folder);
    skopeo.args(["--insecure-policy", "copy", "--preserve-digests"]);
    skopeo.arg(format!("--{side}-cert-dir")).arg(certificates);
    skopeo.arg(format!("--{side}-creds")).arg(format!("{}:{}", login.username, login.password));
    skopeo.args(images).output().unwrap()
}

fn pull(folder: &Path, from: &RegistryProcess, image: &str, to: &str) -> Output {
    let to = format!("dir:{}", folder.join(to).display());
    skopeo(folder, from, "src", &[&place(from, image), &to])
}

/// What was pulled is the image, to the last byte.
fn is_the_image(folder: &Path, digest: &Digest) {
    let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
    assert_eq!(Digest::sha256(&manifest), *digest);
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    for blob in [&manifest["config"], &manifest["layers"][0]] {
        let digest: Digest = blob["digest"].as_str().unwrap().parse().unwrap();
        assert_eq!(Digest::sha256(&std::fs::read(folder.join(digest.hex())).unwrap()), digest);
    }
}

#[test]
fn a_registry_below_whose_authority_is_not_known_is_not_believed_and_it_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    let (below, _) = below(&folder);
    let over = over(&below, "");
    refused(&pull(folder.path(), &over, IMAGE, "out"));
    // skopeo keeps to itself what came with a 502.
    let mut ours = program("intermediate-registry-sync");
    ours.args(["copy", "--no-ambient-config", "--ca-file", &over.ca_file(), "--credentials"]);
    ours.arg(over.credentials()).arg(place(&over, IMAGE));
    let told = refused(&ours.arg(format!("{}/copy:1", below.address)).output().unwrap());
    for part in [below.address.as_str(), "CA that is not trusted", "`ca`"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(&below.login().password), "{told}");
}

#[test]
fn an_image_of_the_registry_below_is_pulled_through_and_stays_when_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (below, digest) = below(&folder);
    let over = over(&below, &format!(", ca: {}", below.ca_pem().display()));
    let absent = refused(&pull(folder.path(), &over, "quay.io/org/img:2", "none"));
    assert!(absent.contains("manifest unknown"), "{absent}");
    said(&pull(folder.path(), &over, IMAGE, "first"));
    is_the_image(&folder.path().join("first"), &digest);
    drop(below);
    said(&pull(folder.path(), &over, IMAGE, "second"));
    is_the_image(&folder.path().join("second"), &digest);
}
