//! `buildset-registry configure-client`: points a host's container tools at a registry.

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::output::{Report, table};
use crate::hostconfig::{self, Namespace, Options, Target};
use crate::zuul::Connection;

/// Point the container tools of this host at a buildset registry, or take that back
///
/// Existing configuration is kept: comments stay, a site's own mirrors come after ours, and a file that
/// cannot be read is left alone. A second run changes nothing.
const EXAMPLES: &str = "\
Examples:
  Let podman, buildah, skopeo and docker of this host ask the registry first, and undo that:
    buildset-registry configure-client --connection ~/registry/connection.json
    buildset-registry configure-client --undo

  Only docker:
    buildset-registry configure-client --connection connection.json --for docker

Exit codes: 0 done, 1 failed or partly undone, 2 wrong arguments or files, 3 refused.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The registry
    #[arg(long, value_name = "CONNECTION", required_unless_present = "undo")]
    connection: Option<PathBuf>,

    /// Ask the registry first for images of NAME, then URL [default: docker.io, quay.io, gcr.io,
    /// registry.k8s.io]
    #[arg(long, value_name = "NAME=URL")]
    namespace: Vec<Namespace>,

    /// Try this registry for names without one [default: docker.io]
    #[arg(long, value_name = "REGISTRY")]
    unqualified: Vec<String>,

    /// Let the docker engine get images of the registries that the connection names in `proxied` through
    /// the registry, as its HTTPS proxy; docker has to be started again with systemd's new settings
    #[arg(long)]
    proxy: bool,

    /// Give this user the login for pushes [default: who runs this]
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Change the files below DIR instead of this host's
    #[arg(long, value_name = "DIR", default_value = "/")]
    sysroot: PathBuf,

    /// Configure these: podman (with buildah, skopeo, cri-o), docker, buildkit, containerd (whose
    /// `config_path` has to be /etc/containerd/certs.d), microk8s (where it is installed)
    #[arg(
        long = "for",
        value_name = "TOOL",
        value_delimiter = ',',
        default_value = "podman,docker,buildkit,containerd,microk8s"
    )]
    targets: Vec<Target>,

    /// Put back what was there before the first run; of a file that was edited since take out only what
    /// this program put in
    #[arg(long, conflicts_with_all = ["connection", "namespace", "unqualified", "user", "proxy"])]
    undo: bool,
}

impl Arguments {
    /// Does it.
    ///
    /// # Errors
    /// A value that no file can hold, a file that cannot be read or written; then nothing, or what is
    /// named, was changed.
    pub(super) fn run(self) -> Result<hostconfig::Report, Failure> {
        let Some(file) = &self.connection else {
            return Ok(hostconfig::undo(&self.sysroot)?);
        };
        let connection = Connection::read(file)?;
        if self.proxy && connection.proxied.is_empty() {
            return Err(Failure::input(format!(
                "{}: the registry is no forward proxy; make it one by `init --proxy-registry`, or \
                 leave --proxy out",
                file.display()
            )));
        }
        Ok(hostconfig::configure(&Options {
            connection: hostconfig::Connection {
                cert: connection.certificate().map(str::to_owned),
                host: connection.host,
                port: connection.port,
                username: connection.username,
                password: connection.password,
            },
            namespaces: or_default(self.namespace, Namespace::defaults),
            proxied: if self.proxy { connection.proxied } else { Vec::new() },
            unqualified: or_default(self.unqualified, || vec!["docker.io".to_owned()]),
            user: self.user,
            sysroot: self.sysroot,
            targets: self.targets,
        })?)
    }
}

fn or_default<T>(given: Vec<T>, default: impl FnOnce() -> Vec<T>) -> Vec<T> {
    if given.is_empty() { default() } else { given }
}

impl Report for hostconfig::Report {
    fn text(&self) -> String {
        let rows: Vec<[String; 2]> = self
            .files
            .iter()
            .map(|file| {
                [file.path.display().to_string(), format!("{:?}", file.action).to_lowercase()]
            })
            .collect();
        format!(
            "{}clients reach the registry as {}\n",
            table(["FILE", "ACTION"], &rows),
            self.alias
        )
    }
}
