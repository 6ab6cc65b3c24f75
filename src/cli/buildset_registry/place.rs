use std::path::PathBuf;

use clap::Args;

use crate::registry::config::init::CONFIG_FILE;

/// The registry that is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Place {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A folder made by `init`; means the config.yaml in it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl Place {
    pub(super) fn config_file(&self) -> PathBuf {
        match (&self.config, &self.root) {
            (Some(file), _) => file.clone(),
            (None, root) => root.clone().unwrap_or_default().join(CONFIG_FILE),
        }
    }
}
