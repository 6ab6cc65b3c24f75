//! Promotion where things go wrong: all or nothing, what undoes it, and what that costs.

mod apis;
mod cleanup;
mod history;
mod intermediate;
mod killed;
mod races;
mod record;
mod registries;
mod requests;
mod rollback;
mod torn;
mod verify;
mod write;

use std::path::Path;

use zuul_images::auth::CredentialStore;
use zuul_images::client::{Client, Sight};
use zuul_images::http::{Http, Settings};
use zuul_images::promote::{self, Error, FinalTag, Options, Promoted, Promotion};

use crate::support::clients::settings;
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

/// A repository where the image `new` waits for these tags, under `change_1_<tag>`.
async fn waiting(tags: &[&str]) -> Faulty {
    let server = Faulty::start().await;
    wait_for(&server, tags, &image("new"));
    server
}

fn wait_for(server: &Faulty, tags: &[&str], image: &Sample) {
    for tag in tags {
        server.memory.hold("org/a", &format!("change_1_{tag}"), image);
    }
}

fn image(name: &str) -> Sample {
    sample::image(name, &[sample::bytes(name, 1000)])
}

fn digest(image: &Sample) -> String {
    image.root.digest().to_string()
}

/// What a tag of the repository holds.
fn held(server: &Faulty, tag: &str) -> Option<String> {
    server.memory.tag("org/a", tag)
}

fn promotion(server: &Faulty, tag: &str) -> Promotion {
    let repository = format!("{}/org/a", server.registry());
    let from = format!("{repository}:change_1_{tag}").parse().unwrap();
    Promotion {
        to: FinalTag::beside(&from, tag.parse().unwrap()),
        from,
        repository,
        expected: None,
        current: None,
    }
}

/// With the digest that the upload recorded.
fn expecting(server: &Faulty, tag: &str, image: &Sample) -> Promotion {
    Promotion { expected: Some(image.root.digest().clone()), ..promotion(server, tag) }
}

async fn promote(server: &Faulty, tags: &[&str]) -> Result<Promoted, Error> {
    let promotions: Vec<Promotion> = tags.iter().map(|tag| promotion(server, tag)).collect();
    promote_with(server, &promotions, &Options::default()).await
}

async fn promote_with(
    server: &Faulty,
    promotions: &[Promotion],
    options: &Options<'_>,
) -> Result<Promoted, Error> {
    promote::promote(&client(server), promotions, options).await
}

/// It waits longer than a look is good for.
fn client(server: &Faulty) -> Client {
    let settings = settings(&[&server.registry()]);
    let settings = Settings { idle_timeout: 5 * Sight::GOOD_FOR, ..settings };
    Client::new(Http::new(settings).unwrap(), CredentialStore::empty())
}

fn recording(record: &Path) -> Options<'_> {
    Options { record: Some(record), ..Options::default() }
}

/// Not done, whatever it was.
fn refusal(status: u16) -> Fault {
    Fault::Answer(status, Vec::new(), String::new())
}
