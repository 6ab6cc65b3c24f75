use std::path::PathBuf;

use clap::Args;

use crate::auth::Identity;
use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::client::Client;
use crate::http::Rate;
use crate::oci::Registry;

/// How registries are asked, or what answers in their place.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct Reach {
    /// What the registries hold, instead of asking them: registry → image → digest → tags, as YAML or JSON
    #[arg(long = "inventory", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// How the `service-account` NAME of a manifest is known: by an auth file, or by the token (or
    /// USER:PASSWORD) that a command prints
    #[arg(long, value_name = "NAME=AUTHFILE|COMMAND")]
    identity: Vec<Identity>,

    /// Requests a second to each registry by each identity [default: 50 for gcr.io and *.pkg.dev]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    #[command(flatten)]
    network: Network,
}

impl Reach {
    /// A client that is for each registry whom the manifests say.
    pub(super) fn client(&self, accounts: &[(String, String)]) -> Result<Client, Failure> {
        self.network.client_as(&[], Rate::Paced(self.rate), |logins| {
            for (place, account) in accounts {
                let Some(identity) = self.identity.iter().find(|it| it.name == *account) else {
                    continue;
                };
                let (host, path) = place
                    .split_once('/')
                    .map_or((place.as_str(), None), |(host, path)| (host, Some(path)));
                let registry: Registry = host.parse().map_err(Failure::input)?;
                logins.identify(&registry, path, identity).map_err(|other| {
                    Failure::input(format!("manifests name both {other} and {account} for {place}"))
                })?;
            }
            Ok(())
        })
    }

    pub(super) fn parallel(&self) -> usize {
        self.network.parallel.into()
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }
}
