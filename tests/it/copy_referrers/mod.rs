//! What is attached to images and travels with them: what is found, what moves, in which order, with how
//! many requests.

mod along;
mod budgets;
mod cosign;
mod fallback;
mod hostile;
mod nested;
mod real;
mod signatures;

use bytes::Bytes;
use zuul_images::auth::CredentialStore;
use zuul_images::copy::{self, Builds, Error, Item, Options, Outcome, Referrers};
use zuul_images::oci::{Digest, ImageReference, Registry};

use crate::support::clients::client;
use crate::support::faulty::Faulty;
use crate::support::sample::{self, Sample};

const SBOM: &str = "text/spdx";

fn along() -> Options {
    Options { referrers: Referrers::Image, ..Options::default() }
}

fn all() -> Options {
    Options { referrers: Referrers::All, ..Options::default() }
}

fn item(from: &Registry, image: &str, to: &Registry, target: &str) -> Item {
    Item {
        name: target.to_owned(),
        from: format!("{from}/{image}").parse::<ImageReference>().unwrap().into(),
        to: format!("{to}/{target}").parse().unwrap(),
        expect: None,
        builds: Builds::default(),
    }
}

/// Copies `a:t` to `b:t`.
async fn run(from: &Faulty, to: &Faulty, options: &Options) -> Result<Outcome, Error> {
    let (from, to) = (from.registry(), to.registry());
    let client = client(&[&from, &to], CredentialStore::empty());
    copy::run(&client, vec![item(&from, "a:t", &to, "b:t")], options, &()).await
}

/// Two registries that list referrers.
async fn both() -> (Faulty, Faulty) {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    for server in [&from, &to] {
        *server.memory.lists_referrers.lock().unwrap() = true;
    }
    (from, to)
}

fn image(name: &str) -> Sample {
    sample::image(name, &[sample::bytes(name, 500)])
}

fn document(name: &str) -> Bytes {
    sample::bytes(name, 300)
}

fn sbom(subject: &Digest, name: &str) -> Sample {
    sample::referrer(subject, SBOM, &document(name))
}

/// What cosign leaves: a layer for each signature.
fn signature(entries: &[&str]) -> Sample {
    let layers: Vec<Bytes> = entries.iter().map(|name| document(name)).collect();
    sample::image(&entries.join("+"), &layers)
}

fn tag(subject: &Digest, suffix: &str) -> String {
    format!("{}{suffix}", subject.as_str().replace(':', "-"))
}

/// How many things `server` has among the referrers of `subject` in `b`.
async fn listed(server: &Faulty, subject: &Digest) -> usize {
    let registry = server.registry();
    let client = client(&[&registry], CredentialStore::empty());
    let repository = client.repository(&registry, &"b".parse().unwrap());
    repository.referrers(subject).await.unwrap().len()
}
