//! The registries between which images are copied.

use std::path::PathBuf;

use super::support::Outcome;
use super::support::client::Target;
use super::support::place::{Place, free_address};
use super::support::registries::{self, Start, distribution, ours};
use super::support::server::{Prepared, Server};

/// Which registry stands on either side, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Debian's distribution 2.8, HTTP, no login.
    Distribution,
    /// `buildset-registry` with `durability: process`, HTTP, a login for pushes.
    Ours,
    /// The same with `durability: commit` at the destination.
    OursCommit,
    /// `buildset-registry` over TLS, with a login for pulls, too.
    OursSecured,
}

/// A running registry.
pub struct Registry {
    pub server: Server,
    /// On the same content, with an access log.
    twin: Option<Server>,
}

impl Site {
    pub fn name(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
            Self::Ours => "ours",
            Self::OursCommit => "ours, commit",
            Self::OursSecured => "ours, TLS and login",
        }
    }

    pub fn secured(self) -> bool {
        self == Self::OursSecured
    }

    pub fn has_logins(self) -> bool {
        self != Self::Distribution
    }

    /// Where a copy to this site comes from.
    pub fn source(self) -> Self {
        match self {
            Self::OursCommit => Self::Ours,
            other => other,
        }
    }

    pub fn start(self, place: &Place) -> Outcome<Registry> {
        let folder = place.new_folder()?;
        let data = folder.join("data");
        let server = self.prepare(place, folder, data, false)?.spawn_ready()?;
        Ok(Registry { server, twin: None })
    }

    fn prepare(
        self,
        place: &Place,
        folder: PathBuf,
        data: PathBuf,
        access_log: bool,
    ) -> Outcome<Prepared> {
        let address = free_address()?;
        let secured = self.secured();
        let start = Start {
            place,
            folder: &folder,
            address,
            certificate: secured.then(|| place.certificate()),
            more: match self {
                Self::Distribution | Self::OursSecured => "",
                Self::Ours | Self::OursCommit => "anonymous_pull: true\n",
            },
        };
        let command = match self {
            Self::Distribution => distribution(&start, &data, access_log)?,
            Self::Ours | Self::OursSecured => ours(&start, "process")?,
            Self::OursCommit => ours(&start, "commit")?,
        };
        let authorization = self.has_logins().then(registries::basic);
        let tls = secured.then(|| place.client_config()).transpose()?;
        Ok(Prepared { command, target: Target { address, authorization, tls }, folder })
    }
}

impl Registry {
    /// The server that says in its log what it is asked for. Ours always does; distribution is slower
    /// then, so another process does it on the same content.
    pub fn counting(&mut self, site: Site, place: &Place) -> Outcome<&Server> {
        if site != Site::Distribution {
            return Ok(&self.server);
        }
        if self.twin.is_none() {
            let data = self.server.folder.join("data");
            let twin = site.prepare(place, place.new_folder()?, data, true)?.spawn_ready()?;
            self.twin = Some(twin);
        }
        self.twin.as_ref().ok_or_else(|| "not started".into())
    }
}
