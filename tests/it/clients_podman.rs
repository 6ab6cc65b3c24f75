//! podman and buildah, over TLS with a login, and with the registry as a mirror of others.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use crate::support::engines::{refused, said};
use crate::support::images::{digest_of, repository};
use crate::support::podman::Home;
use crate::support::programs::RegistryProcess;

/// A home for podman and buildah, and a registry.
struct Site {
    registry: RegistryProcess,
    home: Home,
}

impl Site {
    fn new() -> Self {
        let registry = RegistryProcess::start();
        let mirror = |name: &str| {
            format!(
                "[[registry]]\nlocation = \"{name}\"\n[[registry.mirror]]\nlocation = \"{}/{name}\"\n",
                registry.address
            )
        };
        let home = Home::new(&(mirror("quay.io") + &mirror("docker.io")));
        fs::create_dir(home.path("certs")).unwrap();
        fs::write(home.path("certs/ca.crt"), registry.login().cert.unwrap()).unwrap();
        Self { registry, home }
    }

    fn podman(&self, storage: &str, arguments: &[&str]) -> Output {
        self.home.command("podman", storage, arguments).output().unwrap()
    }

    fn buildah(&self, arguments: &[&str]) -> Output {
        self.home.command("buildah", "buildah", arguments).output().unwrap()
    }

    fn certificates(&self) -> String {
        self.home.text("certs")
    }

    fn log_in(&self, program: &str, password: &str) -> Output {
        let login = self.registry.login();
        let (certificates, address) = (self.certificates(), &self.registry.address);
        let mut child = self
            .home
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
    let here = |name: &str| format!("{}/{name}", site.registry.address);
    fs::write(site.home.path("content"), "made for a test").unwrap();
    let container = said(&site.buildah(&["from", "scratch"]));
    let content = site.home.path("content").display().to_string();
    said(&site.buildah(&["copy", &container, &content, "/content"]));
    said(&site.buildah(&["commit", &container, "built"]));
    let push = |to: &str| {
        let to = format!("docker://{to}");
        site.buildah(&["push", "--cert-dir", &certificates, "built", &to])
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
        site.podman(storage, &["pull", "--cert-dir", &certificates, image])
    };
    let id = said(&pull("first", "quay.io/org/app:1"));
    let tagged = here("library/base:1");
    said(&site.podman("first", &["tag", &id, &tagged]));
    said(&site.podman("first", &["push", "--cert-dir", &certificates, &tagged]));
    fs::write(site.home.path("auth.json"), "{}").unwrap();
    for image in
        ["docker.io/library/base:1", &here("base:1"), &here(&format!("quay.io/org/app@{held}"))]
    {
        assert_eq!(said(&pull("second", image)), id, "{image}");
        said(&site.podman("second", &["rmi", "--force", &id]));
    }
    let missing = refused(&pull("second", &here("quay.io/org/none:1")));
    assert!(missing.contains("manifest unknown") || missing.contains("not known"), "{missing}");
}
