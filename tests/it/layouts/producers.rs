//! What the usual tools write, in registries nobody here wrote and in ours: the digest is what skopeo says.

use std::path::PathBuf;

use serde_json::Value;
use zuul_images::oci::Digest;

use super::shown;
use crate::support::distribution::Distribution;
use crate::support::engines::{Containerd, Docker, layer, oci_archive, said};
use crate::support::images::{digest_of, push_runnable, repository};
use crate::support::layouts::{archive, saved};
use crate::support::podman::Home;
use crate::support::programs::{RegistryProcess, json, program};

/// Two registries to copy to, and tools to make and look at images.
struct Site {
    debian: Distribution,
    ours: RegistryProcess,
    home: Home,
}

impl Site {
    fn new() -> Self {
        Self { debian: Distribution::start(), ours: RegistryProcess::start(), home: Home::new("") }
    }

    /// Copies an image to `NAME:1` of both registries; its digest is the same in both.
    async fn copy(&self, source: &str, name: &str) -> Digest {
        let debian = self.debian.registry().to_string();
        let mut digests = Vec::new();
        for registry in [&debian, &self.ours.address] {
            let copied = program("intermediate-registry-sync")
                .args(["copy", "--no-ambient-config", "--plain-http", &debian])
                .args(["--ca-file", &self.ours.ca_file(), "--credentials"])
                .arg(self.ours.credentials())
                .args([source, &format!("{registry}/{name}:1")])
                .output()
                .unwrap();
            let digest = json(&copied)["images"][0]["digest"].as_str().unwrap().to_owned();
            digests.push(digest.parse::<Digest>().unwrap());
        }
        let held = digest_of(&repository(&self.ours.login(), name), "1").await;
        assert_eq!(held.as_ref(), Some(&digests[0]), "{source}");
        assert_eq!(digests[0], digests[1], "{source}");
        digests.remove(0)
    }

    /// What skopeo says about an image.
    fn inspect(&self, image: &str, how: &[&str]) -> String {
        let arguments = [&["inspect", "--tls-verify=false"], how, &[image]].concat();
        said(&self.home.skopeo(&arguments))
    }

    fn digest_by_skopeo(&self, image: &str) -> Digest {
        Digest::sha256(self.inspect(image, &["--raw"]).as_bytes())
    }

    /// What was copied to Debian's registry as `name`, for skopeo.
    fn copied(&self, name: &str) -> String {
        format!("docker://{}/{name}:1", self.debian.registry())
    }

    /// The image is in the registry with the digest it has at its source, and skopeo can pull all of it.
    async fn keeps_its_digest(&self, source: &str, name: &str) {
        let digest = self.copy(source, name).await;
        assert_eq!(digest, self.digest_by_skopeo(source), "{source}");
        assert_eq!(digest, self.digest_by_skopeo(&self.copied(name)), "{source}");
        self.pulls(name);
    }

    /// skopeo unpacks every layer and finds in it what the configuration says.
    fn pulls(&self, name: &str) {
        let pulled = tempfile::tempdir_in(self.home.path("")).unwrap();
        let pulled = format!("docker-archive:{}/pulled.tar:x:1", pulled.path().display());
        let arguments = ["copy", "--src-tls-verify=false", &self.copied(name), &pulled];
        said(&self.home.skopeo(&arguments));
    }

    /// Of an archive with neither manifest nor digest: configuration and layers are what they were.
    async fn keeps_its_content(&self, source: &str, name: &str) -> Digest {
        let digest = self.copy(source, name).await;
        let copied = self.copied(name);
        assert_eq!(self.inspect(source, &["--config"]), self.inspect(&copied, &["--config"]));
        let layers = |image: &str| {
            let shown: Value = serde_json::from_str(&self.inspect(image, &[])).unwrap();
            shown["Layers"].clone()
        };
        assert_eq!(layers(source), layers(&copied), "{source}");
        let shown: Value = serde_json::from_str(&self.inspect(&copied, &[])).unwrap();
        assert_eq!(shown["Digest"], digest.as_str());
        self.pulls(name);
        digest
    }

    fn layer(&self, content: &str) -> PathBuf {
        layer(self.home.path("").as_path(), content)
    }

    fn podman(&self, arguments: &[&str]) -> String {
        said(&self.home.command("podman", "podman", arguments).output().unwrap())
    }

    fn buildah(&self, arguments: &[&str]) -> String {
        said(&self.home.command("buildah", "buildah", arguments).output().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_skopeo_writes_is_carried() {
    let site = Site::new();
    push_runnable(&repository(&site.ours.login(), "seed"), "1").await;
    let seed = format!("docker://{}/seed:1", site.ours.address);
    let write = |target: &str| {
        let arguments = ["copy", "--all", "--src-tls-verify=false", &seed, target];
        said(&site.home.skopeo(&arguments));
        target.to_owned()
    };
    let (layout, packed) = (site.home.path("layout"), site.home.path("oci.tar"));
    for source in [
        write(&format!("{}:quay.io/org/img:1", shown("oci", &layout))),
        write(&format!("{}:second", shown("oci", &layout))),
        write(&format!("{}:latest", shown("oci-archive", &packed))),
    ] {
        site.keeps_its_digest(&source, "skopeo/oci").await;
    }
    let saved = shown("docker-archive", &site.home.path("docker.tar"));
    write(&format!("{saved}:quay.io/org/img:1"));
    site.keeps_its_content(&saved, "skopeo/docker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_podman_saves_is_carried() {
    let site = Site::new();
    for (number, name) in ["quay.io/org/one:1", "localhost/two:2"].iter().enumerate() {
        let layer = site.layer(&format!("content {number}"));
        site.podman(&["import", layer.to_str().unwrap(), name]);
    }
    let save = |format: &str, file: &str, images: &[&str]| {
        let file = site.home.path(file);
        let options = ["save", "--quiet", "--format", format, "--output", file.to_str().unwrap()];
        site.podman(&[&options, images].concat());
        file
    };
    let one = ["quay.io/org/one:1"];
    let packed = shown("oci-archive", &save("oci-archive", "oci.tar", &one));
    site.keeps_its_digest(&packed, "podman/archive").await;
    site.keeps_its_digest(&shown("oci", &save("oci-dir", "layout", &one)), "podman/layout").await;
    let file = site.home.path("several.tar");
    let all = ["save", "--quiet", "--multi-image-archive", "--output", file.to_str().unwrap()];
    site.podman(&[&all[..], &one, &["localhost/two:2"]].concat());
    let several = shown("docker-archive", &file);
    let mut digests = Vec::new();
    for (number, image) in ["quay.io/org/one:1", "localhost/two:2"].iter().enumerate() {
        let source = format!("{several}:{image}");
        digests.push(site.keeps_its_content(&source, &format!("podman/docker{number}")).await);
    }
    assert_ne!(digests[0], digests[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_buildah_pushes_to_files_is_carried() {
    let site = Site::new();
    let container = site.buildah(&["from", "scratch"]);
    for content in ["one", "two"] {
        std::fs::write(site.home.path(content), content).unwrap();
        site.buildah(&["copy", &container, &site.home.text(content), "/"]);
        site.buildah(&["commit", "--quiet", &container, "built"]);
    }
    let push = |target: &str| {
        site.buildah(&["push", "--quiet", "built", target]);
        target.to_owned()
    };
    let layout = push(&format!("{}:1", shown("oci", &site.home.path("layout"))));
    let packed = push(&format!("{}:1", shown("oci-archive", &site.home.path("oci.tar"))));
    site.keeps_its_digest(&layout, "buildah/layout").await;
    site.keeps_its_digest(&packed, "buildah/archive").await;
    let saved = push(&format!("{}:org/img:1", shown("docker-archive", &site.home.path("d.tar"))));
    site.keeps_its_content(&saved, "buildah/docker").await;
}

/// Its own format, with links where a layer is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_docker_saves_is_carried() {
    let site = Site::new();
    let docker = Docker::start(&[]);
    let layers = ["one", "two"].map(|content| std::fs::read(site.layer(content)).unwrap());
    let [one, two] = [&layers[0][..], &layers[1][..]];
    let twice: (&[&str], &[&[u8]]) = (&["quay.io/org/img:1", "org/alias:2"], &[one, two, one]);
    let files = saved(&[twice, (&["localhost/other:latest"], &[two])]);
    let loaded = archive(&site.home.path("load.tar"), &files);
    said(&docker.docker(&["load", "--input", loaded.to_str().unwrap()]));
    let file = site.home.path("docker.tar");
    let all = ["quay.io/org/img:1", "org/alias:2", "localhost/other"];
    let save = ["save", "--output", file.to_str().unwrap()];
    said(&docker.docker(&[&save[..], &all].concat()));
    let saved = shown("docker-archive", &file);
    for (number, image) in all.iter().enumerate() {
        let name = format!("docker/image{number}");
        site.keeps_its_content(&format!("{saved}:{image}"), &name).await;
    }
}

/// The archives of containerd are both, as are those of docker since version 25: the digest stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_docker_archive_that_is_a_layout_too_keeps_its_digest() {
    let site = Site::new();
    let containerd = Containerd::start();
    let name = "quay.io/org/img:1";
    let (seed, digest) = oci_archive(containerd.folder(), "content", name);
    said(&containerd.ctr(&["images", "import", "--no-unpack", seed.to_str().unwrap()]));
    let file = site.home.path("exported.tar");
    said(&containerd.ctr(&["images", "export", file.to_str().unwrap(), name]));
    for choice in ["", ":quay.io/org/img:1", ":1"] {
        let source = format!("{}{choice}", shown("docker-archive", &file));
        assert_eq!(site.copy(&source, "containerd/docker").await, digest);
    }
    site.pulls("containerd/docker");
}
