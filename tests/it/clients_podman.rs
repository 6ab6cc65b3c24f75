//! podman and buildah, over TLS with a login, and with the registry as a mirror of others.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::engines::{needed, refused, said};
use crate::support::images::{digest_of, repository};
use crate::support::programs::RegistryProcess;

/// Folders of its own for podman and buildah, and a registry.
struct Site {
    registry: RegistryProcess,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let registry = RegistryProcess::start();
        let folder = tempfile::tempdir().unwrap();
        let site = Self { registry, folder };
        fs::create_dir(site.path("certs")).unwrap();
        fs::write(site.path("certs/ca.crt"), site.registry.login().cert.unwrap()).unwrap();
        fs::write(site.path("auth.json"), "{}").unwrap();
        fs::write(site.path("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)
            .unwrap();
        let mirror = |name: &str| {
            format!(
                "[[registry]]\nlocation = \"{name}\"\n[[registry.mirror]]\nlocation = \"{}/{name}\"\n",
                site.registry.address
            )
        };
        fs::write(site.path("registries.conf"), mirror("quay.io") + &mirror("docker.io")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str, storage: &str, arguments: &[&str]) -> Command {
        let mut command = needed(program, program);
        command
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("BUILDAH_ISOLATION", "chroot")
            .arg("--root")
            .arg(self.path(storage))
            .arg("--runroot")
            .arg(self.path(&format!("{storage}-run")))
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        command
    }

    fn podman(&self, storage: &str, arguments: &[&str]) -> Output {
        self.command("podman", storage, arguments).output().unwrap()
    }

    fn buildah(&self, arguments: &[&str]) -> Output {
        self.command("buildah", "buildah", arguments).output().unwrap()
    }

    fn certificates(&self) -> String {
        self.path("certs").display().to_string()
    }

    fn log_in(&self, program: &str, password: &str) -> Output {
        let login = self.registry.login();
        let (certificates, address) = (self.certificates(), &self.registry.address);
        let mut child = self
            .command(program, program, &["login", "--cert-dir", &certificates])
            .args(["--username", &login.username, "--password-stdin", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buildah_and_podman_push_after_a_login_and_find_it_under_its_real_name() {
    let site = Site::new();
    let login = site.registry.login();
    let certificates = site.certificates();
    let policy = site.path("policy.json").display().to_string();
    let here = |name: &str| format!("{}/{name}", site.registry.address);
    fs::write(site.path("content"), "made for a test").unwrap();
    let container = said(&site.buildah(&["from", "scratch"]));
    let content = site.path("content").display().to_string();
    said(&site.buildah(&["copy", &container, &content, "/content"]));
    said(&site.buildah(&["commit", "--signature-policy", &policy, &container, "built"]));
    let push = |to: &str| {
        let to = format!("docker://{to}");
        site.buildah(&[
            "push",
            "--cert-dir",
            &certificates,
            "--signature-policy",
            &policy,
            "built",
            &to,
        ])
    };
    let complaint = refused(&push(&here("quay.io/org/app:1")));
    assert!(complaint.contains("login is needed"), "{complaint}");
    for program in ["buildah", "podman"] {
        refused(&site.log_in(program, "wrong"));
        said(&site.log_in(program, &login.password));
    }
    said(&push(&here("quay.io/org/app:1")));
    let held = digest_of(&repository(&login, "quay.io/org/app"), "1").await.unwrap();

    // podman knows nothing of what buildah has; it pushes what it pulled.
    let pull = |storage: &str, image: &str| {
        site.podman(
            storage,
            &["pull", "--cert-dir", &certificates, "--signature-policy", &policy, image],
        )
    };
    let id = said(&pull("first", "quay.io/org/app:1"));
    let tagged = here("library/base:1");
    said(&site.podman("first", &["tag", &id, &tagged]));
    said(&site.podman(
        "first",
        &["push", "--cert-dir", &certificates, "--signature-policy", &policy, &tagged],
    ));
    fs::write(site.path("auth.json"), "{}").unwrap();
    for image in
        ["docker.io/library/base:1", &here("base:1"), &here(&format!("quay.io/org/app@{held}"))]
    {
        assert_eq!(said(&pull("second", image)), id, "{image}");
        said(&site.podman("second", &["rmi", "--force", &id]));
    }
    let missing = refused(&pull("second", &here("quay.io/org/none:1")));
    assert!(missing.contains("manifest unknown") || missing.contains("not known"), "{missing}");
}
