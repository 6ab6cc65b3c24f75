//! Images that cosign signed, in the forms it leaves signatures in, verified by cosign where they were
//! copied to.

use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::client::Client;
use zuul_images::copy::{self, Options};
use zuul_images::http::Http;
use zuul_images::oci::{Digest, Registry};

use super::{along, image, item};
use crate::support::clients::settings;
use crate::support::distribution::Distribution;
use crate::support::faulty::Faulty;
use crate::support::programs::RegistryProcess;

/// As a tag of its own, and – what it does by itself today – as a referrer.
const FORMS: [&str; 2] = ["--new-bundle-format=false", "--new-bundle-format=true"];

/// A key pair, and a home for cosign with the login of a registry.
struct Cosign {
    home: TempDir,
    ca: std::path::PathBuf,
}

impl Cosign {
    fn new(ours: &RegistryProcess) -> Self {
        let home = tempfile::tempdir().unwrap();
        let login = ours.login();
        let pair = format!("{}:{}", login.username, login.password);
        let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
        let config = json!({ "auths": { &ours.address: { "auth": auth } } }).to_string();
        std::fs::write(home.path().join("config.json"), config).unwrap();
        let cosign = Self { home, ca: ours.ca_pem() };
        succeeded(&cosign.run(&["generate-key-pair"]));
        cosign
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("cosign")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("DOCKER_CONFIG", self.home.path())
            .env("COSIGN_PASSWORD", "of the tests")
            .current_dir(self.home.path())
            .output()
            .expect("`cosign` is needed: run tests/install-tools")
    }

    fn sign(&self, form: &str, registry: &Registry, digest: &Digest) {
        let (image, ca) = (format!("{registry}/org/a@{digest}"), self.ca.to_str().unwrap());
        let quietly = ["--use-signing-config=false", "--tlog-upload=false", "--yes"];
        let place = ["--allow-http-registry", "--registry-cacert", ca];
        succeeded(&self.run(
            &[&["sign", "--key", "cosign.key", form], &quietly[..], &place, &[&image]].concat(),
        ));
    }

    fn verify(&self, form: &str, registry: &Registry, image: &str) -> Output {
        let (image, ca) = (format!("{registry}/{image}"), self.ca.to_str().unwrap());
        let place = ["--allow-http-registry", "--registry-cacert", ca, "--insecure-ignore-tlog"];
        self.run(&[&["verify", "--key", "cosign.pub", form], &place[..], &[&image]].concat())
    }
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_an_image_where_it_was_copied_to() {
    let seed = Faulty::start().await;
    let (theirs, ours) = (Distribution::start(), RegistryProcess::start());
    let login = ours.login();
    let (theirs, own) = (theirs.registry(), login.registry().unwrap());
    let mut settings = settings(&[&seed.registry(), &theirs]);
    settings.trust.add(&own, login.certificate().unwrap().as_bytes()).unwrap();
    let mut logins = CredentialStore::empty();
    logins.add(&own, None, Credentials::new(login.username.clone(), login.password.clone()));
    let client = Client::new(Http::new(settings).unwrap(), logins);
    let (cosign, stranger) = (Cosign::new(&ours), Cosign::new(&ours));

    // From a registry that lists no referrers to one that does, and the other way.
    for (from, to) in [(&theirs, &own), (&own, &theirs)] {
        let image = image(&format!("from {from}"));
        seed.memory.hold("org/a", "t", &image);
        let digest = image.root.digest();
        let plain = Options::default();
        let seeding = vec![item(&seed.registry(), "org/a:t", from, "org/a:t")];
        copy::run(&client, seeding, &plain, &()).await.unwrap();
        for form in FORMS {
            cosign.sign(form, from, digest);
        }
        let without = vec![item(from, "org/a:t", to, "without/a:t")];
        copy::run(&client, without, &plain, &()).await.unwrap();
        let signed = vec![item(from, "org/a:t", to, "org/b:t")];
        let outcome = copy::run(&client, signed.clone(), &along(), &()).await.unwrap();
        assert_eq!(outcome.images[0].referrers.len(), 2, "{from} to {to}");
        for form in FORMS {
            assert!(!cosign.verify(form, to, "without/a:t").status.success(), "{form}");
            assert!(!stranger.verify(form, to, "org/b:t").status.success(), "{form}");
            succeeded(&cosign.verify(form, to, "org/b:t"));
        }
        let again = copy::run(&client, signed, &along(), &()).await.unwrap();
        assert_eq!(again.totals.manifests_written, 0);
    }
}
