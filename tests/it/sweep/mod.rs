//! `promote-retag sweep` and `delete-tag` against Docker Hub's and Quay's APIs, our registries and others.

mod delete_tag;
mod hub;
mod quay;
mod registries;

use std::process::Output;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use zuul_images::oci::Registry;

use crate::support::programs::{file, program};

/// A registry that is known by its web API alone: nobody is there.
fn elsewhere() -> Registry {
    "registry.example".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

/// Sweeps `org/a` of a registry, whose declared tags are `latest` and `1.1`.
fn sweep(registry: &Registry, credentials: &Value, more: &[&str]) -> Output {
    let images = json!([{"repository": format!("{registry}/org/a"), "tags": ["latest", "1.1"]}]);
    run("sweep", Some(&images), credentials, more)
}

fn run(command: &str, images: Option<&Value>, credentials: &Value, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let credentials = file(folder.path(), "credentials.json", &credentials.to_string());
    let mut program = program("promote-retag");
    program.arg(command).args(["--no-ambient-config", "--credentials"]).arg(credentials).args(more);
    if let Some(images) = images {
        program.arg("--images").arg(file(folder.path(), "images.json", &images.to_string()));
    }
    program.output().unwrap()
}

/// Each tag with what became of it.
fn decisions(document: &Value) -> Vec<(&str, &str)> {
    let tags = document["tags"].as_array().unwrap().iter();
    let mut all: Vec<_> =
        tags.map(|tag| (tag["tag"].as_str().unwrap(), tag["decision"].as_str().unwrap())).collect();
    all.sort_unstable();
    all
}

/// Why a tag became what it did.
fn reason<'a>(document: &'a Value, tag: &str) -> &'a str {
    let tags = document["tags"].as_array().unwrap();
    let tag = tags.iter().find(|one| one["tag"] == tag).unwrap();
    tag["reason"].as_str().unwrap()
}
