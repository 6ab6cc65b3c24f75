//! A site where a change shared an image, and what a dependent change pulls.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Digest;

use super::images::{push_index, repository};
use super::programs::{RegistryProcess, file, json, program};

/// The build that pushed the image.
pub const BUILD: &str = "0123456789abcdef0123456789abcdef";

/// Who has no login reads nothing.
pub const CLOSED: &str = "anonymous_pull: false\n";

/// An intermediate registry with an image of two platforms that a build of tenant `one` pushed.
pub struct Site {
    pub intermediate: RegistryProcess,
    pub folder: TempDir,
    pub artifacts: Value,
    pub digest: Digest,
}

impl Site {
    /// Nothing there is read without a login.
    pub async fn new() -> Self {
        Self::with(RegistryProcess::start_for_site(CLOSED)).await
    }

    /// With this intermediate registry.
    pub async fn with(intermediate: RegistryProcess) -> Self {
        let buildset = RegistryProcess::start();
        let folder = tempfile::tempdir().unwrap();
        let platforms = ["linux/amd64", "linux/arm64"];
        let digest =
            push_index(&repository(&buildset.login(), "q.io/a"), "1", "one", &platforms).await;
        let images = json!([{"repository": "q.io/a", "tags": ["1"]}]).to_string();
        let pushed = program("intermediate-registry-sync")
            .args(["push", "--no-ambient-config", "--build", BUILD, "--tenant", "one"])
            .args(["--project", "org/project", "--change", "1001", "--images"])
            .arg(file(folder.path(), "images.json", &images))
            .arg("--from")
            .arg(buildset.connection())
            .arg("--to")
            .arg(intermediate.connection())
            .output()
            .unwrap();
        let artifacts = json(&pushed)["zuul"]["artifacts"].take();
        Self { intermediate, folder, artifacts, digest }
    }

    /// Pulls these artifacts.
    pub fn pull(&self, artifacts: &Value, to: &RegistryProcess, more: &[&str]) -> Output {
        pull(&self.folder, artifacts, self.intermediate.connection(), to.connection(), more)
    }
}

/// `intermediate-registry-sync pull` of these artifacts, with files in `folder`.
pub fn pull(
    folder: &TempDir,
    artifacts: &Value,
    from: PathBuf,
    to: PathBuf,
    more: &[&str],
) -> Output {
    program("intermediate-registry-sync")
        .args(["pull", "--no-ambient-config", "--artifacts"])
        .arg(file(folder.path(), "artifacts.json", &artifacts.to_string()))
        .arg("--from")
        .arg(from)
        .arg("--to")
        .arg(to)
        .args(more)
        .output()
        .unwrap()
}
