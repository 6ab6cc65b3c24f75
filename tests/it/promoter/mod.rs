//! `image-promoter`: what it makes of manifests and of registries.

mod attached;
mod audit;
mod cases;
mod grow;
mod hostile;
mod manifests;
mod plan;
mod platforms;
mod promote;
mod registries;
mod requests;
mod since;
mod site;
mod snapshot;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::documents::documented;
use crate::support::programs::program;

/// The program with one of its commands.
fn promoter(command: &str) -> Command {
    let mut promoter = program("image-promoter");
    promoter.arg(command);
    promoter
}

/// Files by their paths below `folder`.
fn write_files(folder: &Path, files: &Value) {
    for (path, text) in files.as_object().into_iter().flatten() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.as_str().unwrap()).unwrap();
    }
}

/// `manifests` as plain files, each with the option that names it.
fn plain(command: &mut Command, folder: &Path, manifests: &Value) {
    for (number, text) in manifests.as_array().unwrap().iter().enumerate() {
        let path = folder.join(format!("{number}.yaml"));
        fs::write(&path, text.as_str().unwrap()).unwrap();
        command.arg("--manifest").arg(path);
    }
}

/// The JSON document, however the program ended.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The strings of a list, in order.
fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    let mut strings: Vec<String> = list.map(|it| it.as_str().unwrap().to_owned()).collect();
    strings.sort();
    strings
}

/// Every field is described in `docs/json.md`; file names are no fields.
fn described(document: &Value) {
    let mut document = document.clone();
    if let Some(comments) = document.pointer_mut("/zuul/file_comments") {
        *comments = Value::Null;
    }
    documented(&document);
}
