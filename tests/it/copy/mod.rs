//! Images from registry to registry: what is moved, in which order, with how many requests.

mod artifacts;
mod content;
mod footprint;
mod missing;
mod plan;
mod progress;
mod refusals;
mod requests;

use zuul_images::auth::CredentialStore;
use zuul_images::client::Client;
use zuul_images::copy::{self, Builds, Error, Item, Options, Outcome};
use zuul_images::oci::{ImageReference, Registry};

use crate::support::clients::client;
use crate::support::faulty::Faulty;
use crate::support::sample::{self, Sample};

fn open(servers: &[&Registry]) -> Client {
    client(servers, CredentialStore::empty())
}

fn reference(registry: &Registry, image: &str) -> ImageReference {
    format!("{registry}/{image}").parse().unwrap()
}

fn item(from: &Faulty, image: &str, to: &Faulty, target: &str) -> Item {
    Item {
        name: format!("{image} as {target}"),
        from: reference(&from.registry(), image).into(),
        to: reference(&to.registry(), target),
        expect: None,
        builds: Builds::default(),
    }
}

async fn run(from: &Faulty, to: &Faulty, items: Vec<Item>) -> Result<Outcome, Error> {
    let client = open(&[&from.registry(), &to.registry()]);
    copy::run(&client, items, &Options::default(), &()).await
}

/// Two layers that are worth a look and one that is not.
fn image(name: &str) -> Sample {
    let layer = |number: usize, size| sample::bytes(&format!("{name}-{number}"), size);
    sample::image(name, &[layer(1, 300_000), layer(2, 100_000), layer(3, 500)])
}
