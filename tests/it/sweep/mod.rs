//! `promote-retag delete-tag` against Docker Hub's and Quay's APIs, our registries and others.

mod delete_tag;

use std::process::Output;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use zuul_images::oci::Registry;

use crate::support::programs::{file, program};

/// A registry that is known by its web API alone: nobody is there.
fn elsewhere() -> Registry {
    "registry.example".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
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
