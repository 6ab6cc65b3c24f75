//! podman, buildah and skopeo with folders of their own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::engines::needed;

/// A home with the settings of all three.
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// Every image is taken, nobody is logged in, and these are the settings of registries.
    pub fn new(registries: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(home.path("auth.json"), "{}").unwrap();
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        // Where they look for it by themselves.
        fs::create_dir_all(home.path(".config/containers")).unwrap();
        fs::write(home.path(".config/containers/policy.json"), policy).unwrap();
        fs::write(home.path("registries.conf"), registries).unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// podman or buildah with a storage of its own.
    pub fn command(&self, program: &str, storage: &str, arguments: &[&str]) -> Command {
        let mut command = self.bare(program);
        command
            .arg("--root")
            .arg(self.path(storage))
            .arg("--runroot")
            .arg(self.path(&format!("{storage}-run")))
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        command
    }

    /// skopeo, which keeps nothing.
    pub fn skopeo(&self, arguments: &[&str]) -> Output {
        self.bare("skopeo").arg("--insecure-policy").args(arguments).output().unwrap()
    }

    fn bare(&self, program: &str) -> Command {
        let mut command = needed(program, program);
        command
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("BUILDAH_ISOLATION", "chroot");
        command
    }
}
