use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::setup::Setup;
use crate::cli::exit::Failure;
use crate::cli::progress::Waiting;
use crate::oci::ImageReference;
use crate::registry::config::Period;
use crate::rhcc::{Certifier, Journal, Limits, Preflight, Version, certify};

/// How a certification is made.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Red Hat's program
    #[arg(long, value_name = "FILE", default_value = "preflight")]
    preflight: PathBuf,

    /// The oldest preflight that is taken; 1.12 is the first that knows components
    #[arg(long, value_name = "VERSION", default_value = "1.12.0")]
    preflight_min: Version,

    /// A variable that preflight gets from the environment, beside those for its PATH, proxies and certificates;
    /// may be given several times
    #[arg(long, value_name = "NAME")]
    preflight_env: Vec<String>,

    /// How long preflight may take
    #[arg(long, value_name = "TIME", default_value = "60m")]
    preflight_timeout: Period,

    /// Refuse if this docker configuration holds other logins than that of the upload registry: preflight would
    /// send them to Red Hat. It gets one of its own in any case
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,

    /// How long the catalog's scan may take, where it tells of one
    #[arg(long, value_name = "TIME", default_value = "60m")]
    scan_timeout: Period,

    /// How long a tag may take until the public registry serves it
    #[arg(long, value_name = "TIME", default_value = "10m")]
    publish_timeout: Period,

    /// The time between two looks
    #[arg(long, value_name = "TIME", default_value = "10s")]
    poll_interval: Period,

    /// How long after the push it is looked at again who has the number
    #[arg(long, value_name = "TIME", default_value = "5s")]
    settle: Period,

    /// Put floating tags back if customers cannot pull one of them
    #[arg(long)]
    rollback_on_timeout: bool,

    /// Ask the catalog to show the tags at the end
    #[arg(long)]
    sync_tags: bool,
}

/// What preflight gets in any case, where it is set.
const ENVIRONMENT: [&str; 10] = [
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

impl Wait {
    /// Preflight, if it is there and new enough, and no login goes where it does not belong.
    pub(super) async fn ready(&self, setup: &Setup) -> Result<Preflight, Failure> {
        if let Some(file) = &self.docker_config {
            holds_only(file, &setup.upload)?;
        }
        let program = find(&self.preflight).ok_or_else(|| {
            Failure::input(format!("preflight not found: {}", self.preflight.display()))
        })?;
        let own = ENVIRONMENT.iter().map(|name| (*name).to_owned());
        let preflight = Preflight {
            program,
            api_key: setup.api_key()?,
            pyxis_host: setup.pyxis_host.clone(),
            limit: self.preflight_timeout.0,
            pass: own.chain(self.preflight_env.iter().cloned()).collect(),
        };
        preflight.demand(&self.preflight_min).await?;
        Ok(preflight)
    }

    pub(super) async fn certify(
        &self,
        setup: &Setup,
        preflight: Preflight,
        journal: &mut Journal,
        quiet: bool,
    ) -> Result<Vec<String>, Failure> {
        let waiting = Waiting::new(quiet);
        let certifier = Certifier {
            client: &setup.client,
            login: setup.login.clone(),
            preflight,
            pyxis: setup.pyxis.clone(),
            limits: Limits {
                interval: self.poll_interval.0,
                scan: self.scan_timeout.0,
                visible: self.publish_timeout.0,
                settle: self.settle.0,
            },
            rollback_on_timeout: self.rollback_on_timeout,
            sync_tags: self.sync_tags,
            talk: &waiting,
        };
        let file = journal.file().display().to_string();
        let warnings = certify(&certifier, journal).await;
        let warnings = warnings.map_err(|error| Failure::from(error).on(file))?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(warnings)
    }
}

fn holds_only(file: &Path, upload: &ImageReference) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        auths: BTreeMap<String, serde::de::IgnoredAny>,
    }
    let wrong =
        |error: &dyn std::fmt::Display| Failure::input(format!("{}: {error}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let Config { auths } =
        serde_json::from_slice(&text).map_err(|_| wrong(&"it is no docker configuration"))?;
    let own = upload.registry.to_string();
    let others: Vec<&str> = auths
        .keys()
        .map(String::as_str)
        .filter(|host| host.split('/').next() != Some(own.as_str()))
        .collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(Failure::refused(format!(
            "auth file holds credentials for other registries ({}); preflight would send them to Red Hat",
            others.join(", ")
        ))),
    }
}

/// The whole path of a program: it is run in another folder, and with another environment.
fn find(program: &Path) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| path.is_file();
    if program.components().count() > 1 {
        return std::path::absolute(program).ok().filter(is_there);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(is_there)?;
    std::path::absolute(found).ok()
}
