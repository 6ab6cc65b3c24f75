use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;

use super::config::{Config, Known};
use super::{Network, Product};
use crate::auth::{Credentials, Secret};
use crate::cli::exit::Failure;
use crate::client::Client;
use crate::http::Rate;
use crate::oci::{ImageReference, Reference};
use crate::registry::config::Period;
use crate::rhcc::{Certifier, Journal, Limits, Preflight, Talk, Tick, certify};
use crate::webapi::{ApiUrl, Pyxis};

/// Where everything is.
#[derive(Debug, Args)]
pub(super) struct Site {
    /// The credentials: `products.NAME.{image_basename, project_id, registry_key}`, `rhcc.{api_key, namespace,
    /// registry_service_account}` (JSON or YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// The catalog's API
    #[arg(long, value_name = "URL", default_value = Pyxis::URL)]
    pyxis_url: ApiUrl,

    #[command(flatten)]
    network: Network,
}

/// How a certification is made.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Red Hat's program
    #[arg(long, value_name = "FILE", default_value = "preflight")]
    preflight: PathBuf,

    /// A variable that preflight gets from the environment; may be given several times
    #[arg(long, value_name = "NAME", default_values = ["PATH", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY"])]
    preflight_env: Vec<String>,

    /// How long preflight may take
    #[arg(long, value_name = "TIME", default_value = "60m")]
    preflight_timeout: Period,

    /// Refuse if this docker configuration holds other logins than that of the upload registry: preflight would
    /// send them to Red Hat. It gets one of its own in any case
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,

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

/// What is known of a product, and who speaks for it.
pub(super) struct Setup {
    pub(super) client: Client,
    pub(super) pyxis: Option<Pyxis>,
    pub(super) project: String,
    pub(super) upload: ImageReference,
    pub(super) public: ImageReference,
    login: Credentials,
    api_key: Option<Secret>,
    pyxis_host: Option<String>,
}

impl Setup {
    pub(super) fn for_product(site: &Site, product: &Product) -> Result<Self, Failure> {
        let config = Config::read(&site.config)?;
        let known = config.product(&product.product)?;
        let upload = match &product.upload_repository {
            Some(repository) => repository.clone(),
            None => image(&format!("quay.io/redhat-isv-containers/{}", known.project_id))?,
        };
        let public = match (&product.public_repository, &config.rhcc.namespace) {
            (Some(repository), _) => repository.clone(),
            (None, Some(namespace)) => {
                let name = known.image_basename;
                image(&format!("registry.connect.redhat.com/{namespace}/{name}"))?
            }
            (None, None) => {
                return Err(Failure::input(
                    "config: there is no rhcc.namespace; or give --public-repository",
                ));
            }
        };
        Self::new(site, &config, &known, upload, public)
    }

    pub(super) fn for_journal(site: &Site, journal: &Journal) -> Result<Self, Failure> {
        let config = Config::read(&site.config)?;
        let known = config.product(&journal.product)?;
        if known.project_id != journal.project {
            let reason = format!("the journal is of the project {}", journal.project);
            return Err(Failure::refused(reason).on(&journal.product));
        }
        Self::new(site, &config, &known, image(&journal.upload)?, image(&journal.public)?)
    }

    fn new(
        site: &Site,
        config: &Config,
        known: &Known<'_>,
        upload: ImageReference,
        public: ImageReference,
    ) -> Result<Self, Failure> {
        let user = format!("redhat-isv-containers+{}-robot", known.project_id);
        let login = Credentials::new(user, known.registry_key);
        let client = site.network.client_as(&[], Rate::Free, |logins| {
            logins.add(&upload.registry, None, login.clone());
            if let Some(account) = &config.rhcc.registry_service_account {
                let account = Credentials::new(&*account.username, &*account.password);
                logins.add(&public.registry, None, account);
            }
            Ok(())
        })?;
        let api_key = config.rhcc.api_key.as_deref().map(Secret::new);
        let pyxis = match &api_key {
            Some(key) => Some(Pyxis::new(client.http(), &site.pyxis_url, key)?),
            None => None,
        };
        let project = known.project_id.to_owned();
        let own = site.pyxis_url.to_string();
        let pyxis_host = (own != Pyxis::URL).then(|| {
            let host = own.split_once("://").map_or(&*own, |(_, rest)| rest).trim_end_matches('/');
            host.strip_suffix("/v1").unwrap_or(host).to_owned()
        });
        Ok(Self { client, pyxis, project, upload, public, login, api_key, pyxis_host })
    }

    pub(super) async fn certify(
        &self,
        wait: &Wait,
        journal: &mut Journal,
        quiet: bool,
    ) -> Result<Vec<String>, Failure> {
        let api_key = self.api_key.clone();
        let api_key = api_key.ok_or_else(|| Failure::input("config: there is no rhcc.api_key"))?;
        let line = Line::new(quiet);
        let certifier = Certifier {
            client: &self.client,
            login: self.login.clone(),
            preflight: Preflight {
                program: wait.preflight.clone(),
                api_key,
                pyxis_host: self.pyxis_host.clone(),
                limit: wait.preflight_timeout.0,
                pass: wait.preflight_env.clone(),
            },
            pyxis: self.pyxis.clone(),
            limits: Limits {
                interval: wait.poll_interval.0,
                visible: wait.publish_timeout.0,
                settle: wait.settle.0,
            },
            rollback_on_timeout: wait.rollback_on_timeout,
            sync_tags: wait.sync_tags,
            talk: &line,
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

impl Wait {
    /// Whether preflight is there, and no login goes where it does not belong.
    pub(super) fn check(&self, upload: &ImageReference) -> Result<(), Failure> {
        if !is_program(&self.preflight) {
            return Err(Failure::input(format!(
                "preflight not found: {}",
                self.preflight.display()
            )));
        }
        let Some(file) = &self.docker_config else { return Ok(()) };
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            auths: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
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
}

fn is_program(program: &std::path::Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn image(text: &str) -> Result<ImageReference, Failure> {
    let image: ImageReference = text.parse().map_err(Failure::input)?;
    match (&image.tag, &image.reference) {
        (None, Reference::Tag(_)) => Ok(image),
        _ => Err(Failure::input(format!("{text} is no repository"))),
    }
}

/// A line on stderr while it waits: each look on a terminal, one now and then elsewhere.
struct Line {
    quiet: bool,
    every: Duration,
    last: Mutex<Option<Instant>>,
}

impl Line {
    fn new(quiet: bool) -> Self {
        let every = match std::io::stderr().is_terminal() {
            true => Duration::ZERO,
            false => Duration::from_secs(30),
        };
        Self { quiet, every, last: Mutex::new(None) }
    }
}

impl Talk for Line {
    fn tick(&self, tick: &Tick<'_>) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.quiet || last.is_some_and(|last| last.elapsed() < self.every) {
            return;
        }
        *last = Some(Instant::now());
        let (elapsed, limit) = (tick.elapsed.as_secs(), tick.limit.as_secs());
        tracing::warn!("waiting for {}: {elapsed} of {limit} s, {}", tick.waiting, tick.answer);
    }
}
