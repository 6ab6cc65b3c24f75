//! Indexes over several architectures: none is lost, a rerun writes nothing, the same images make the same
//! bytes.

mod guard;
mod idempotence;
mod inputs;
mod messages;
mod registries;
mod tree;

use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::{Digest, Manifest, media_type};

use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::programs::{self, program};
use crate::support::sample::{self, Sample};

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A registry in memory that holds the images of the build in `build/img`, and where they are published.
struct Site {
    server: Faulty,
    folder: TempDir,
}

impl Site {
    /// The build has images for these architectures, in the spelling of OCI.
    async fn with(architectures: &[&str]) -> Self {
        let server = Faulty::start().await;
        for architecture in architectures {
            let name = architecture.replace('/', "-");
            server.memory.hold("build/img", &name, &image("new", architecture));
        }
        Self { server, folder: tempfile::tempdir().unwrap() }
    }

    fn repository(&self) -> String {
        format!("{}/org/img", self.server.registry())
    }

    /// The option that names the image of an architecture, spelled as its build tagged it.
    fn image(&self, name: &str, tag: &str) -> String {
        format!("--image={name}={}/build/img:{tag}", self.server.registry())
    }

    /// Published as `org/img` under these tags.
    fn command(&self, tags: &[&str], more: &[&str]) -> Command {
        let mut command = self.bare();
        command.args(["--repository", &self.repository()]).args(more);
        command.args(tags.iter().flat_map(|tag| ["--tag", tag]));
        command
    }

    fn bare(&self) -> Command {
        let mut command = program("publish-image-index");
        command
            .args(["--no-ambient-config", "--retries", "2"])
            .args(["--plain-http", &self.server.registry().to_string()]);
        command
    }

    /// Publishes the build of amd64 and arm64 under `40`.
    async fn publish_both(&self, more: &[&str]) -> Output {
        let images = [self.image("x86_64", "amd64"), self.image("aarch64", "arm64")];
        let more: Vec<&str> =
            more.iter().copied().chain(images.iter().map(String::as_str)).collect();
        run(self.command(&["40"], &more)).await
    }

    /// Publishes the build of amd64 alone.
    async fn publish_one(&self, tags: &[&str], more: &[&str]) -> Output {
        let image = self.image("x86_64", "amd64");
        let more: Vec<&str> = more.iter().copied().chain([image.as_str()]).collect();
        run(self.command(tags, &more)).await
    }

    fn held(&self, tag: &str) -> Option<String> {
        self.server.memory.tag("org/img", tag)
    }

    /// What the tag holds, as a manifest.
    fn manifest(&self, tag: &str) -> Manifest {
        let digest: Digest = self.held(tag).unwrap().parse().unwrap();
        let bytes = self.server.memory.manifest("org/img", &digest).unwrap();
        Manifest::parse(bytes, None).unwrap()
    }

    fn platforms(&self, tag: &str) -> Vec<String> {
        self.manifest(tag).platforms().iter().map(ToString::to_string).collect()
    }

    fn puts(&self) -> Vec<String> {
        let recorded = self.server.recorded().into_iter();
        let puts =
            recorded.filter(|it| it.method == Method::PUT && it.path.contains("/manifests/"));
        puts.map(|it| it.path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// Anything that writes.
    fn writes(&self) -> usize {
        let recorded = self.server.recorded();
        recorded.iter().filter(|it| it.method != Method::GET && it.method != Method::HEAD).count()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The document of a run that went well.
fn done(output: &Output) -> Value {
    let document = programs::json(output);
    documented(&document);
    document
}

/// The document of a run that ended with `code`, and what it said.
fn failed(output: &Output, code: i32) -> (Value, String) {
    let (document, said) = programs::failure(output, code);
    if code != 2 {
        documented(&document);
    }
    (document, said)
}

/// The state of each target, in order.
fn states(document: &Value) -> Vec<&str> {
    document["targets"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect()
}

pub fn image(name: &str, architecture: &str) -> Sample {
    built(name, architecture, "2026-01-02T03:04:05Z")
}

fn built(name: &str, architecture: &str, created: &str) -> Sample {
    let types = (sample::CONFIG, sample::LAYER, media_type::OCI_MANIFEST);
    image_of(name, architecture, created, types)
}

/// As docker has them.
fn docker_image(name: &str, architecture: &str) -> Sample {
    let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let types = (DOCKER_CONFIG, layer, media_type::DOCKER_MANIFEST);
    image_of(name, architecture, "2026-01-02T03:04:05Z", types)
}

fn image_of(
    name: &str,
    architecture: &str,
    created: &str,
    (config_type, layer_type, manifest_type): (&str, &str, &str),
) -> Sample {
    let (architecture, variant) = architecture.split_once('/').unwrap_or((architecture, ""));
    let config = json!({"os": "linux", "architecture": architecture, "variant": variant,
        "created": created, "rootfs": {"type": "layers", "diff_ids": []}, "name": name});
    let config = Bytes::from(config.to_string());
    let layer = sample::bytes(&format!("{name} {architecture} {variant}"), 1000);
    let described = |bytes: &Bytes, kind: &str| json!({"mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len()});
    let root = json!({"schemaVersion": 2, "mediaType": manifest_type,
        "config": described(&config, config_type), "layers": [described(&layer, layer_type)]});
    let root = Manifest::parse(Bytes::from(root.to_string()), None).unwrap();
    Sample { root, below: Vec::new(), blobs: vec![config, layer] }
}

/// An archive of one image.
fn archive(path: &Path, image: &Sample) {
    let files = crate::support::layouts::files(&[(Some("img"), image)]);
    crate::support::layouts::archive(path, &files);
}
