//! Where images are promoted: three registries.

use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::client::{Client, Repository};
use zuul_images::oci::Digest;

use super::{document, plain, promoter, text};
use crate::support::clients;
use crate::support::distribution::Distribution;
use crate::support::faulty::Faulty;
use crate::support::images;
use crate::support::programs::RegistryProcess;

/// Images come from the registry that lists as Google's do; ours and Debian's get them.
pub struct Site {
    pub source: Faulty,
    pub ours: RegistryProcess,
    pub debian: Distribution,
    pub folder: TempDir,
}

impl Site {
    pub async fn start() -> Self {
        let source = Faulty::start().await;
        *source.memory.tells_manifests.lock().unwrap() = true;
        *source.memory.lists_referrers.lock().unwrap() = true;
        let (ours, debian) = (RegistryProcess::start(), Distribution::start());
        Self { source, ours, debian, folder: tempfile::tempdir().unwrap() }
    }

    fn client(&self) -> Client {
        clients::client(&[&self.source.registry(), &self.debian.registry()], Default::default())
    }

    pub fn source(&self, name: &str) -> Repository {
        self.client().repository(&self.source.registry(), &name.parse().unwrap())
    }

    pub fn debian(&self, name: &str) -> Repository {
        self.client().repository(&self.debian.registry(), &name.parse().unwrap())
    }

    pub fn ours(&self, name: &str) -> Repository {
        images::repository(&self.ours.login(), name)
    }

    /// `team/NAME` with its digests and their tags, to both.
    pub fn manifest(&self, name: &str, digests: &[(&Digest, Value)]) -> String {
        let (source, ours) = (&self.source.address, &self.ours.address);
        let debian = self.debian.registry();
        let digests: String =
            digests.iter().map(|(digest, tags)| format!("    {digest}: {tags}\n")).collect();
        format!(
            "registries:\n- name: {source}/staging\n  src: true\n- name: {ours}/prod\n- name: {debian}/prod\n\
             images:\n- name: {name}\n  dmap:\n{digests}"
        )
    }

    pub fn run(&self, command: &str, manifests: &[String], options: &[&str]) -> Output {
        let mut command = promoter(command);
        command
            .args(["--no-ambient-config", "--output", "json", "--plain-http"])
            .args([&self.source.address.to_string(), "--plain-http"])
            .args([&self.debian.registry().to_string(), "--ca-file", &self.ours.ca_file()])
            .arg("--credentials")
            .arg(self.ours.credentials())
            .args(options);
        plain(&mut command, self.folder.path(), &json!(manifests));
        command.output().unwrap()
    }

    pub fn promote(&self, manifests: &[String], options: &[&str]) -> Value {
        let output = self.run("promote", manifests, &[&["--confirm"], options].concat());
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        document(&output)
    }
}

pub const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
