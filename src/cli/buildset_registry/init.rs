use std::path::PathBuf;

use clap::{Args, value_parser};

use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::oci::Registry;
use crate::registry::config::init::{Initialised, Plan, init};

const EXAMPLES: &str = "\
Examples:
  For one buildset, on a node; clients need what is in ~/registry/connection.json:
    buildset-registry init --root ~/registry --host 192.0.2.7

  For a site, under two names:
    buildset-registry init --root /srv/registry --site --host registry.example.org --san registry

Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 refused (the configuration was edited).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The folder for everything: keys, configuration, images. Made if it is not there; with the same
    /// options again nothing changes
    #[arg(long, value_name = "DIR")]
    root: PathBuf,

    /// Name or address under which clients reach this host
    #[arg(long)]
    host: String,

    /// A further name or address for the certificate
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,

    /// The port clients use, and the registry listens on
    #[arg(long, default_value_t = 5000, value_parser = value_parser!(u16).range(1..))]
    port: u16,

    /// The login name; its password is random
    #[arg(long, default_value = "zuul")]
    user: String,

    /// For a long-lived registry of a site, such as the intermediate registry: what was answered
    /// survives a loss of power, and it does not end by itself. Without this it is for one buildset,
    /// and ends after 24 hours; the configuration says so and can be changed there
    #[arg(long)]
    site: bool,

    /// Also be a forward proxy, which answers images of REGISTRY that are here and passes everything
    /// else on to it; the docker engine mirrors no registry but Docker Hub
    #[arg(long, value_name = "REGISTRY")]
    proxy_registry: Vec<Registry>,
}

impl Arguments {
    pub(super) async fn run(self) -> Result<Initialised, Failure> {
        let plan = Plan {
            root: self.root,
            host: self.host,
            sans: self.san,
            port: self.port,
            user: self.user,
            site: self.site,
            proxied: self.proxy_registry,
        };
        Ok(init(&plan)?)
    }
}

impl Report for Initialised {
    /// Without the password: terminals are recorded. It is in `connection.json` and in the JSON form.
    fn text(&self) -> String {
        let Self { connection, config, changed } = self;
        let state = if *changed { "made" } else { "unchanged" };
        format!(
            "{state}: registry {user}@{host} port {port}\nconfiguration: {config}\nconnection: {file}\n",
            user = connection.username,
            host = connection.host,
            port = connection.port,
            config = config.display(),
            file = config.with_file_name("connection.json").display(),
        )
    }
}
