//! The stores of a registry, for work beside the process that serves them.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::registry::{Config, StartError};
use crate::storage::{Error, Filesystem};

/// A store, and what it is for.
pub(super) struct Store {
    /// `local` for what was pushed, else the name of the layer.
    pub(super) name: String,
    /// Opened beside whoever serves it.
    pub(super) storage: Filesystem,
}

/// What was done to a store, or found in it.
#[derive(Debug, Serialize)]
pub(super) struct OfStore<T> {
    /// Its name.
    store: String,
    #[serde(flatten)]
    pub(super) found: T,
}

/// Opens what was pushed and, where there are any, the stores of the layers below it.
pub(super) fn open(config: &Config) -> Result<Vec<Store>, Failure> {
    let local = &config.storage.folder;
    let mut places = vec![("local".to_owned(), local.clone())];
    let layers = local.join("layers");
    let mut names: Vec<_> = match layers.read_dir() {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect(),
        Err(_) => Vec::new(),
    };
    names.sort_unstable();
    places.extend(names.into_iter().map(|name| (name.clone(), layers.join(name))));
    let opened = places.into_iter().filter(|(name, folder)| name == "local" || is_store(folder));
    opened
        .map(|(name, folder)| {
            let storage =
                Filesystem::beside(&folder, config.storage.durability).map_err(failure)?;
            Ok(Store { name, storage })
        })
        .collect()
}

impl Store {
    /// Says what is of this store.
    pub(super) fn with<T>(self, found: T) -> OfStore<T> {
        OfStore { store: self.name, found }
    }
}

/// Each store's part of a report for people, under its name where there are several.
pub(super) fn text<T>(stores: &[OfStore<T>], part: impl Fn(&T) -> String) -> String {
    let mut text = String::new();
    for OfStore { store, found } in stores {
        if stores.len() > 1 {
            let _ = writeln!(text, "store {store}:");
        }
        text += &part(found);
    }
    text
}

fn is_store(folder: &Path) -> bool {
    folder.join("format").is_file()
}

pub(super) fn failure(error: Error) -> Failure {
    StartError::Storage(error).into()
}
