//! Makes the container tools of one host use a buildset registry, and undoes it exactly.
//!
//! Holds: which files are touched and what goes into them (`/etc/hosts`, registries.conf and its
//! drop-ins, the CA folders, docker's `daemon.json` and proxy, `buildkitd.toml`, containerd's `hosts.toml`, the
//! users' auth files). Does not hold: a network
//! client, the command line, service restarts (the caller's report says which files changed).
//!
//! Formats: containers-registries.conf(5) version 2, containers-certs.d(5), containers-auth.json(5),
//! dockerd(8) `daemon.json`, hosts(5), buildkit's and containerd's documentation. Every file is read and computed before the first is written;
//! every write is a rename; what was there before is kept in a state file for [`undo`].

mod buildkit;
mod containerd;
mod document;
mod error;
mod hosts;
mod json;
mod namespace;
mod ours;
mod plan;
mod proxy;
mod registries;
mod registries_undo;
mod state;
mod trust;
mod write;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

pub use error::Error;
pub use namespace::Namespace;

/// The name clients use for a buildset registry that is known by an IP address only.
pub const ALIAS: &str = "zuul-jobs.buildset-registry";

/// Configures the host and reports what changed; a second call changes nothing.
///
/// # Errors
/// Before the first write: a value that cannot go into a file, an unknown user, a file that cannot be
/// read or parsed ([`Error::Parse`] names file and line). Later: a failed write or CA update; what was
/// written until then is in the state file and [`undo`] takes it back.
pub fn configure(options: &Options) -> Result<Report, Error> {
    options.connection.check()?;
    namespace::check(&options.namespaces, &options.unqualified)?;
    proxy::check(&options.proxied)?;
    let edits = plan::edits(options)?;
    let files = state::apply(&options.sysroot, &edits)?;
    trust::refresh(&options.sysroot, &files)?;
    Ok(Report::new(options.connection.alias(), files))
}

/// Puts back what was there before the first [`configure`] under this `sysroot`.
///
/// Where somebody edited a file since then only our own entries are taken out ([`Action::Cleaned`]).
///
/// # Errors
/// An unreadable state file, or [`Error::Unfinished`]: a file that cannot be parsed or written now. All
/// others are undone, and that one is remembered for another call.
pub fn undo(sysroot: &std::path::Path) -> Result<Report, Error> {
    let state::Undone { files, failed } = state::undo(sysroot)?;
    trust::refresh(sysroot, &files)?;
    match failed {
        Some(cause) => Err(Error::unfinished(cause, &files)),
        None => Ok(Report::new(ALIAS.to_owned(), files)),
    }
}

/// What to configure, for whom, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The registry.
    pub connection: Connection,
    /// Registries that are looked up in the buildset registry first; others are never redirected.
    pub namespaces: Vec<Namespace>,
    /// Registries tried for a name without one; empty leaves the setting alone.
    pub unqualified: Vec<String>,
    /// Registries whose images the docker engine is to get through the registry as its forward proxy;
    /// with none it uses no proxy.
    pub proxied: Vec<String>,
    /// Login name whose auth files get the credentials; `None` is the user running this.
    pub user: Option<String>,
    /// The root of the file system to change, `/` for this host.
    pub sysroot: PathBuf,
    /// The tools to configure.
    pub targets: Vec<Target>,
}

/// How to reach a buildset registry: the fields of Zuul's `buildset_registry` variable.
#[derive(Clone)]
pub struct Connection {
    /// Address or name of the node that runs it.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// User name for pushes.
    pub username: String,
    /// Password for pushes; never printed.
    pub password: String,
    /// The PEM certificate to trust, if the system does not already.
    pub cert: Option<String>,
}

impl Connection {
    /// The name clients use: the host itself, or [`ALIAS`] where the host is an address (docker
    /// cannot parse `[v6]:port/name`).
    pub fn alias(&self) -> String {
        match self.address() {
            Some(_) => ALIAS.to_owned(),
            None => self.host.clone(),
        }
    }

    /// `alias:port`, the key of auth files and certificate folders.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.alias(), self.port)
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn pem(&self) -> Option<&str> {
        self.cert.as_deref().filter(|pem| !pem.trim().is_empty())
    }

    fn check(&self) -> Result<(), Error> {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = !self.host.is_empty() && self.host.chars().all(name);
        if self.address().is_none() && !is_name {
            return Err(Error::Host(self.host.clone()));
        }
        if self.username.contains(':') {
            return Err(Error::Username(self.username.clone()));
        }
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}@{}:{})", self.username, self.host, self.port)
    }
}

/// A family of tools that share configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// podman, buildah, skopeo and cri-o: `/etc/containers`.
    Podman,
    /// The docker engine and client: `/etc/docker`.
    Docker,
    /// buildkitd: `/etc/buildkit`.
    Buildkit,
    /// containerd: `/etc/containerd/certs.d`.
    Containerd,
    /// microk8s with the containerd it brings, where it is installed.
    Microk8s,
}

impl Target {
    /// What is configured when nobody says: all, as consumers may install each later.
    pub const ALL: [Self; 5] =
        [Self::Podman, Self::Docker, Self::Buildkit, Self::Containerd, Self::Microk8s];
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "podman" | "buildah" | "skopeo" | "cri-o" => Ok(Self::Podman),
            "docker" => Ok(Self::Docker),
            "buildkit" => Ok(Self::Buildkit),
            "containerd" => Ok(Self::Containerd),
            "microk8s" => Ok(Self::Microk8s),
            other => Err(Error::Target(other.to_owned())),
        }
    }
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether any file was written or removed.
    pub changed: bool,
    /// The name clients use for the registry.
    pub alias: String,
    /// One entry per file considered, in the order they were treated.
    pub files: Vec<FileReport>,
}

impl Report {
    fn new(alias: String, files: Vec<FileReport>) -> Self {
        let changed = files.iter().any(|file| file.action.changes());
        Self { changed, alias, files }
    }
}

/// What happened to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Path inside the sysroot.
    pub path: PathBuf,
    /// What was done.
    pub action: Action,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there and is now.
    Created,
    /// Its content changed.
    Updated,
    /// It already said what it should.
    Unchanged,
    /// Undo: the old content is back.
    Restored,
    /// Undo: it had not been there and is gone again.
    Removed,
    /// Undo: somebody changed it since; our entries are gone, the rest is as it was.
    Cleaned,
    /// Undo: somebody changed it since and it was left alone: nothing of ours is in it, or it cannot be
    /// read now.
    Kept,
}

impl Action {
    fn changes(self) -> bool {
        !matches!(self, Self::Unchanged | Self::Kept)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_undo;
