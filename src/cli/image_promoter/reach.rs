use std::path::PathBuf;

use clap::Args;

use crate::auth::Identity;
use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::client::Client;
use crate::http::Rate;
use crate::oci::Registry;
use crate::promoter::Problems;

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
    /// A client that is for each registry whom the manifests say. Which of them are wrong, `problems` tells.
    pub(super) fn client(
        &self,
        accounts: &[(String, String)],
        problems: &Problems,
    ) -> Result<Client, Failure> {
        self.all_named(accounts, problems)?;
        self.network.client_as(&[], Rate::Paced(self.rate), |logins| {
            for (place, account) in accounts {
                let Some(identity) = self.identity.iter().find(|it| it.name == *account) else {
                    continue;
                };
                let (host, path) = place
                    .split_once('/')
                    .map_or((place.as_str(), None), |(host, path)| (host, Some(path)));
                // A name that is none is told where images come from it or go to it.
                let Ok(registry) = host.parse::<Registry>() else { continue };
                logins.identify(&registry, path, identity).map_err(|other| {
                    Failure::input(format!("manifests name both {other} and {account} for {place}"))
                })?;
            }
            Ok(())
        })
    }

    /// Who is named by nobody would be nobody without a word.
    fn all_named(&self, accounts: &[(String, String)], problems: &Problems) -> Result<(), Failure> {
        let is_named = |it: &Identity| accounts.iter().any(|(_, account)| *account == it.name);
        for identity in self.identity.iter().filter(|it| !is_named(it)) {
            let message =
                format!("no manifest names the service-account `{}` of --identity", identity.name);
            // A manifest that is left out may name it.
            if !problems.has_errors() {
                return Err(Failure::input(message));
            }
            tracing::warn!("{message}");
        }
        Ok(())
    }

    /// Without manifests nobody says where who is whom.
    pub(super) fn client_of_nobody(&self) -> Result<Client, Failure> {
        self.network.client_as(&[], Rate::Paced(self.rate), |_| Ok(()))
    }

    /// What has no use for identities takes none.
    pub(super) fn refuse_identities(&self) -> Result<(), Failure> {
        match self.identity.is_empty() {
            true => Ok(()),
            false => Err(Failure::input(
                "--identity is for the service-accounts of manifests, and none are used here: give \
                 logins by --credentials",
            )),
        }
    }

    pub(super) fn parallel(&self) -> usize {
        self.network.parallel.into()
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }
}
