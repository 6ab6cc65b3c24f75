//! Connections with TLS, which nothing a registry says leads out of.

use std::path::PathBuf;
use std::process::Output;

use http::Method;
use tempfile::TempDir;

use crate::support::certificates::self_signed;
use crate::support::faulty::{Fault, Faulty};
use crate::support::programs::{failure, json, program};
use crate::support::sample::{self, Sample};

struct Pair {
    source: Faulty,
    destination: Faulty,
    /// Without TLS.
    elsewhere: Faulty,
    image: Sample,
    certificate: PathBuf,
    _folder: TempDir,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_lead_out_of_tls() {
    let pair = Pair::new().await;
    let place = format!("http://{}", pair.elsewhere.address);
    pair.source.fault(9, Method::GET, "/blobs/", Fault::RedirectTo(place));
    pair.fails("redirect", "would leave TLS and is not followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_does_not_lead_out_of_tls() {
    let pair = Pair::new().await;
    let place = format!("http://localhost:{}", pair.elsewhere.address.port());
    pair.destination.fault(9, Method::POST, "", Fault::LocationAt(place));
    pair.fails("protocol", "its Location leaves TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_does_not_lead_out_of_tls() {
    let pair = Pair::new().await;
    let realm = format!("Bearer realm=\"http://{}/token\"", pair.elsewhere.address);
    let wants = Fault::Answer(401, vec![("www-authenticate", realm)], String::new());
    pair.source.fault(9, Method::GET, "/manifests/", wants);
    pair.fails("realm", "without TLS no credentials and no tokens are sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_know_its_own_scheme_is_gone_on_with() {
    let pair = Pair::new().await;
    // As one behind a proxy that ends TLS has it, with and without the proxy's port.
    for place in ["http://127.0.0.1".to_owned(), format!("http://{}", pair.destination.address)] {
        pair.destination.fault(1, Method::POST, "", Fault::LocationAt(place));
    }
    json(&pair.copy());
    pair.is_in_place();
}

impl Pair {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = self_signed(folder.path(), "IP:127.0.0.1");
        let source = Faulty::start_tls(&certificate, &key).await;
        let destination = Faulty::start_tls(&certificate, &key).await;
        let image = sample::image("one", &[sample::bytes("layer", 100_000)]);
        source.memory.hold("a", "t", &image);
        let elsewhere = Faulty::start().await;
        Self { source, destination, elsewhere, image, certificate, _folder: folder }
    }

    fn copy(&self) -> Output {
        let (from, to) = (self.source.address, self.destination.address);
        let mut command = program("intermediate-registry-sync");
        command.args(["copy", &format!("{from}/a:t"), &format!("{to}/a:t")]);
        for address in [from, to] {
            command.arg(format!("--ca-file={address}={}", self.certificate.display()));
        }
        // The servers live on this thread's runtime.
        tokio::task::block_in_place(|| command.args(["--no-ambient-config"]).output().unwrap())
    }

    /// It does so, nothing has been sent elsewhere, and the same command without the fault goes through.
    fn fails(&self, kind: &str, words: &str) {
        let (document, _) = failure(&self.copy(), 1);
        let error = &document["error"];
        assert_eq!(error["kind"], kind, "{error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        assert_eq!(self.elsewhere.requests(), [] as [String; 0]);
        assert_eq!(self.destination.memory.tag("a", "t"), None);
        self.source.forget_faults();
        self.destination.forget_faults();
        json(&self.copy());
        self.is_in_place();
    }

    fn is_in_place(&self) {
        let digest = self.image.root.digest().to_string();
        assert_eq!(self.destination.memory.tag("a", "t"), Some(digest));
    }
}
