//! Options that several programs take.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::exit::Failure;
use super::log;
use super::output::Format;
use crate::auth::{CredentialStore, Credentials, Secret};
use crate::client::Client;
use crate::copy;
use crate::http::{Http, Rate, Settings};
use crate::oci::Registry;
use crate::registry::config::Period;
use crate::removal::TagRemover;
use crate::tls::Trust;
use crate::webapi::ApiUrl;
use crate::zuul::{Connection, RegistryCredentials, TemporaryPrefix, Word};

/// Options of every program.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Common {
    /// What stdout gets: a text for people or one JSON document [default: text on a terminal, else json]
    #[arg(long, value_enum, global = true)]
    output: Option<Format>,

    /// How log lines on stderr look
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub log_format: log::LogFormat,

    /// Say more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Say only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Common {
    /// Starts logging as asked for.
    pub fn start_log(&self) {
        log::start(self.log_format, self.verbose, self.quiet);
    }

    /// The format asked for.
    #[must_use]
    pub fn asked_output(&self) -> Option<Format> {
        self.output
    }

    /// The format asked for, or what suits stdout.
    #[must_use]
    pub fn output(&self) -> Format {
        self.output.unwrap_or_else(Format::for_stdout)
    }
}

/// Options of every program that talks to registries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct Network {
    /// Logins from this auth.json or docker config.json instead of the usual places
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,

    /// Logins from a `container_registry_credentials` mapping (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Trust the certificates in PEM for this registry, beside the system's
    #[arg(long, value_name = "HOST[:PORT]=PEM")]
    pub ca_file: Vec<CaFile>,

    /// Speak HTTP without TLS to this registry
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http: Vec<Registry>,

    /// Read no HOME, auth.json, certs.d, credential helper or proxy variable: only files named here
    #[arg(long)]
    pub no_ambient_config: bool,

    /// How many blobs move at once
    #[arg(long, value_name = "N", default_value = "8")]
    pub parallel: NonZeroUsize,

    /// How often a request is tried again that fails in passing: no connection, silence, 408, 429, 5xx
    #[arg(long, value_name = "N", default_value = "5")]
    pub retries: usize,

    /// How long the other side may be silent; five times as long while it checks an upload
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub idle_timeout: Period,
}

impl Network {
    /// A client that knows the logins and certificates named here and in `connections`.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn client(&self, connections: &[Connection]) -> Result<Client, Failure> {
        self.client_as(connections, Rate::Free, |_| Ok(()))
    }

    /// As [`Network::client`], at this rate, and with further logins.
    ///
    /// # Errors
    /// As there, and those of `log_in`.
    pub fn client_as(
        &self,
        connections: &[Connection],
        rate: Rate,
        log_in: impl FnOnce(&mut CredentialStore) -> Result<(), Failure>,
    ) -> Result<Client, Failure> {
        let usual = Settings::default();
        let idle_timeout = self.idle_timeout.0;
        let settings = Settings {
            trust: self.trust(connections)?,
            plain_http: self.plain_http.clone(),
            use_proxy_env: !self.no_ambient_config,
            retries: self.retries,
            rate,
            connect_timeout: usual.connect_timeout.min(idle_timeout),
            idle_timeout,
            commit_timeout: idle_timeout.saturating_mul(5),
            ..usual
        };
        let http = Http::new(settings)?;
        let mut logins = self.logins(connections)?;
        log_in(&mut logins)?;
        Ok(Client::new(http, logins))
    }

    /// The `--credentials` mapping, where one was given.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn registry_credentials(&self) -> Result<Option<RegistryCredentials>, Failure> {
        Ok(self.credentials.as_deref().map(RegistryCredentials::read).transpose()?)
    }

    /// How tags of these registries are removed; `api_url` is where their web API is, where the credentials
    /// do not say it.
    ///
    /// # Errors
    /// A file that cannot be read or understood, and an `api_url` to which no login is sent.
    pub async fn tag_remover(
        &self,
        client: &Client,
        registries: impl IntoIterator<Item = Registry>,
        api_url: Option<&ApiUrl>,
    ) -> Result<TagRemover, Failure> {
        let credentials = self.registry_credentials()?;
        Ok(TagRemover::new(client, credentials.as_ref(), registries, api_url).await?)
    }

    /// How blobs are moved.
    #[must_use]
    pub fn copying(&self) -> copy::Options {
        copy::Options { parallel: self.parallel.into(), ..copy::Options::default() }
    }

    fn trust(&self, connections: &[Connection]) -> Result<Trust, Failure> {
        let mut trust = Trust::system();
        if !self.no_ambient_config {
            trust = trust.with_certs_d();
        }
        for CaFile { registry, pem } in &self.ca_file {
            let text = std::fs::read(pem).map_err(|error| {
                Failure::input(format!("cannot read {}: {error}", pem.display()))
            })?;
            trust.add(registry, &text)?;
        }
        for connection in connections {
            if let Some(pem) = connection.certificate() {
                trust.add(&connection.registry()?, pem.as_bytes())?;
            }
        }
        Ok(trust)
    }

    fn logins(&self, connections: &[Connection]) -> Result<CredentialStore, Failure> {
        let mut logins = match (&self.authfile, self.no_ambient_config) {
            (Some(file), false) => CredentialStore::read_authfile(file)?,
            (Some(file), true) => CredentialStore::read_authfile(file)?.without_helpers(),
            (None, true) => CredentialStore::empty(),
            (None, false) => CredentialStore::ambient()?,
        };
        if let Some(credentials) = self.registry_credentials()? {
            for (registry, login) in credentials.iter() {
                logins.add(&registry, None, credentials_of(&login.username, &login.password));
            }
        }
        for connection in connections {
            let login = credentials_of(&connection.username, &connection.password);
            logins.add(&connection.registry()?, None, login);
        }
        Ok(logins)
    }
}

fn credentials_of(username: &str, password: &str) -> Credentials {
    Credentials { username: username.to_owned(), password: Secret::new(password) }
}

/// The value of `--ca-file`.
#[derive(Debug, Clone)]
pub struct CaFile {
    registry: Registry,
    pem: PathBuf,
}

impl FromStr for CaFile {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        let (registry, pem) = value.split_once('=').ok_or("expected HOST[:PORT]=PEM")?;
        let registry = registry.parse().map_err(|error: crate::oci::Error| error.to_string())?;
        Ok(Self { registry, pem: pem.into() })
    }
}

/// What travels with images that change their repository.
#[derive(Debug, Clone, Args)]
pub struct Along {
    /// Carry signatures, attestations and other referrers along: false: none; true: those of each image,
    /// at one request for it and one list of tags for its repository, and of every referrer that is
    /// carried; all: also those of every platform and of referrers in place, at one request for each.
    /// They are in place before the tag is written
    #[arg(long, value_enum, default_value = "true", value_name = "WHICH")]
    referrers: WhichReferrers,
}

/// The value of `--referrers`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhichReferrers {
    True,
    False,
    All,
}

impl Along {
    /// For `copy`.
    #[must_use]
    pub fn referrers(&self) -> copy::Referrers {
        match self.referrers {
            WhichReferrers::True => copy::Referrers::Image,
            WhichReferrers::False => copy::Referrers::None,
            WhichReferrers::All => copy::Referrers::All,
        }
    }
}

/// The Zuul item a temporary tag is named after.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct Item {
    /// zuul.change: temporary tags are change_<N>_<tag>
    #[arg(long, value_name = "N")]
    change: Option<Word>,

    /// zuul.pipeline, for items without a change: temporary tags are <NAME>_<tag>
    #[arg(long, value_name = "NAME")]
    pipeline: Option<Word>,
}

impl Item {
    /// The prefix of its temporary tags.
    ///
    /// # Errors
    /// Neither option was given; clap demands one.
    pub fn prefix(&self) -> Result<TemporaryPrefix, Failure> {
        match (&self.change, &self.pipeline) {
            (Some(number), _) => Ok(TemporaryPrefix::Change(number.clone())),
            (None, Some(name)) => Ok(TemporaryPrefix::Pipeline(name.clone())),
            (None, None) => Err(Failure::input("give --change or --pipeline")),
        }
    }
}
