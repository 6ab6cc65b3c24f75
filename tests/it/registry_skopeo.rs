//! skopeo, a client nobody here wrote, over TLS with a login, both ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;
use zuul_images::oci::Digest;

use crate::support::process::{Served, init, tool};

/// A registry with TLS, and skopeo's settings for it.
struct Site {
    registry: Served,
    folder: TempDir,
    login: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let made = init(&root, &["--host", "127.0.0.1"]);
        let connection = &made["connection"];
        let certificates = folder.path().join("certs");
        fs::create_dir(&certificates).unwrap();
        fs::write(certificates.join("ca.crt"), connection["cert"].as_str().unwrap()).unwrap();
        Self {
            registry: Served::start(&["--root", root.to_str().unwrap()]),
            login: format!("zuul:{}", connection["password"].as_str().unwrap()),
            folder,
        }
    }

    fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.registry.address)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn skopeo(&self, arguments: &[&str]) -> Output {
        let mut skopeo = tool("skopeo");
        skopeo.env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", self.folder.path());
        skopeo.args(["--insecure-policy"]).args(arguments).output().unwrap()
    }

    fn push(&self, login: &str, layout: &Path, image: &str) -> Output {
        let certificates = self.path("certs");
        self.skopeo(&[
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-cert-dir",
            certificates.to_str().unwrap(),
            "--dest-creds",
            login,
            &format!("oci:{}:v1", layout.display()),
            image,
        ])
    }

    fn pull(&self, image: &str, layout: &Path) -> Output {
        let certificates = self.path("certs");
        self.skopeo(&[
            "copy",
            "--all",
            "--preserve-digests",
            "--src-cert-dir",
            certificates.to_str().unwrap(),
            image,
            &format!("oci:{}:v1", layout.display()),
        ])
    }
}

#[test]
fn a_wrong_password_and_an_unknown_authority_are_refused() {
    let site = Site::new();
    let layout = layout(&site.path("in"));
    let output = site.push("zuul:wrong", &layout, &site.image("org/app:v1"));
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the user or the password is wrong"), "{said}");
    fs::remove_file(site.path("certs/ca.crt")).unwrap();
    let output = site.push(&site.login, &layout, &site.image("org/app:v1"));
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("x509"), "{said}");
}

#[test]
fn an_index_of_two_platforms_goes_there_and_back_unchanged() {
    let site = Site::new();
    let layout = layout(&site.path("in"));
    for image in ["org/app:v1", "quay.io/org/app:v1", "library/x:v1"] {
        succeeded(&site.push(&site.login, &layout, &site.image(image)));
    }
    for (number, image) in
        ["org/app:v1", "docker.io/org/app:v1", "quay.io/org/app:v1", "docker.io/x:v1"]
            .iter()
            .enumerate()
    {
        let back = site.path(&format!("out{number}"));
        succeeded(&site.pull(&site.image(image), &back));
        assert_eq!(blobs(&layout), blobs(&back), "{image}");
    }
    let certificates = site.path("certs");
    let raw = site.skopeo(&[
        "inspect",
        "--raw",
        "--cert-dir",
        certificates.to_str().unwrap(),
        &site.image("org/app:v1"),
    ]);
    succeeded(&raw);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(Digest::sha256(&raw.stdout).as_str(), digest);
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The digests of the blobs in a layout, which must be true.
fn blobs(layout: &Path) -> Vec<Digest> {
    let folder = layout.join("blobs/sha256");
    let mut blobs = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let digest = Digest::sha256(&fs::read(&path).unwrap());
        assert!(path.ends_with(digest.hex()), "{} is damaged", path.display());
        blobs.push(digest);
    }
    blobs.sort();
    assert_eq!(blobs.len(), 7);
    blobs
}

/// An OCI layout with an index `v1` of two platforms, whose layers are of different sizes.
fn layout(folder: &Path) -> PathBuf {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, content: &[u8]| {
        let digest = Digest::sha256(content);
        fs::write(blobs.join(digest.hex()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    };
    let platforms = [("amd64", 10), ("arm64", 900_000)].map(|(architecture, size)| {
        let layer = architecture.repeat(size);
        let config = json!({"os": "linux", "architecture": architecture, "config": {},
            "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(layer.as_bytes())]}});
        let manifest = json!({"schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": put("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
            "layers": [put("application/vnd.oci.image.layer.v1.tar", layer.as_bytes())]});
        let mut child =
            put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        child["platform"] = json!({"os": "linux", "architecture": architecture});
        child
    });
    let index = json!({"schemaVersion": 2, "manifests": platforms,
        "mediaType": "application/vnd.oci.image.index.v1+json"});
    let mut index = put("application/vnd.oci.image.index.v1+json", index.to_string().as_bytes());
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let top = json!({"schemaVersion": 2, "manifests": [index]});
    fs::write(folder.join("index.json"), top.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder.to_owned()
}
