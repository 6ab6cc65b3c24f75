//! The servers that are measured, each started on a free port of 127.0.0.1 and ended with its value.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::place::{Place, free_address, write};
use super::support::registries::{self, LOGIN, Start, distribution, ours};
use super::support::server::{Prepared, Server};

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contestant {
    /// `buildset-registry` that survives the death of its process.
    Process,
    /// `buildset-registry` that survives a loss of power.
    Commit,
    /// Debian's `docker-registry`: distribution 2.8.
    Distribution,
    /// zuul-registry 1.3.0.
    Zuul,
    /// nginx as Debian has it, serving files with sendfile.
    Nginx,
    /// Writes what it is sent into files, and nothing else.
    Receiver,
    /// The same with an fsync.
    SyncingReceiver,
    /// No registry in between: what a pull-through is measured against.
    Direct,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "ours",
            Self::Commit => "ours, commit",
            Self::Distribution => "distribution",
            Self::Zuul => "zuul-registry",
            Self::Nginx => "nginx",
            Self::Receiver => "receiver",
            Self::SyncingReceiver => "receiver, fsync",
            Self::Direct => "direct",
        }
    }

    /// Starts it in a new folder; returns when it answers.
    pub fn start(self, place: &Place, tls: bool) -> Outcome<Server> {
        self.start_with(place, tls, "")
    }

    /// The same with more lines in its configuration.
    pub fn start_with(self, place: &Place, tls: bool, more: &str) -> Outcome<Server> {
        let mut server = self.prepare(place, tls, more)?.spawn_ready()?;
        if self == Self::Zuul {
            log_in(&mut server)?;
        }
        Ok(server)
    }

    /// Writes its configuration, so that only the start is left to do.
    pub fn prepare(self, place: &Place, tls: bool, more: &str) -> Outcome<Prepared> {
        let folder = place.new_folder()?;
        let address = free_address()?;
        let mut target = Target { address, authorization: None, tls: None };
        if tls {
            target.tls = Some(place.client_config()?);
        }
        let open = format!("anonymous_pull: true\n{more}");
        let is_ours = matches!(self, Self::Process | Self::Commit);
        let start = Start {
            place,
            folder: &folder,
            address,
            certificate: tls.then(|| place.certificate()),
            more: if is_ours { &open } else { more },
        };
        let command = match self {
            Self::Process => ours(&start, "process")?,
            Self::Commit => ours(&start, "commit")?,
            Self::Distribution => distribution(&start, &folder.join("data"), false)?,
            Self::Zuul => zuul(&start)?,
            Self::Nginx => nginx(&start)?,
            Self::Receiver => itself(&["--serve", "receiver"], &folder, address)?,
            Self::SyncingReceiver => itself(&["--serve", "syncing-receiver"], &folder, address)?,
            Self::Direct => return Err("there is nothing to start".into()),
        };
        if is_ours {
            target.authorization = Some(registries::basic());
        }
        Ok(Prepared { command, target, folder })
    }
}

/// The harness's own upstream registry; it serves what is put into the folder `www`.
pub fn upstream(place: &Place) -> Outcome<Prepared> {
    let folder = place.new_folder()?;
    let address = free_address()?;
    let command = itself(&["--serve", "upstream"], &folder, address)?;
    let target = Target { address, authorization: None, tls: None };
    Ok(Prepared { command, target, folder })
}

/// This program, as the server of a kind.
fn itself(arguments: &[&str], folder: &Path, address: SocketAddr) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg("--folder").arg(folder).arg("--listen").arg(address.to_string());
    Ok(command)
}

fn zuul(start: &Start<'_>) -> Outcome<Command> {
    let Start { place, folder, address, certificate, .. } = start;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let tls = certificate.as_ref().map_or(String::new(), |(certificate, key)| {
        format!("  tls-cert: {}\n  tls-key: {}\n", certificate.display(), key.display())
    });
    let text = format!(
        "registry:\n  address: 127.0.0.1\n  port: {}\n  public-url: {scheme}://{address}\n{tls}  \
         secret: test\n  users: [{{name: {}, pass: {}, access: write}}]\n  \
         storage: {{driver: filesystem, root: {}}}\n",
        address.port(),
        LOGIN.0,
        LOGIN.1,
        folder.join("data").display()
    );
    let config = write(folder, "registry.yaml", &text)?;
    let mut command = Command::new(place.tools.join("zuul-registry"));
    command.arg("-c").arg(config).arg("serve");
    Ok(command)
}

fn nginx(start: &Start<'_>) -> Outcome<Command> {
    let Start { place, folder, address, certificate, .. } = start;
    let (ssl, tls) = certificate.as_ref().map_or_else(Default::default, |(certificate, key)| {
        let lines = format!(
            "ssl_certificate {}; ssl_certificate_key {};",
            certificate.display(),
            key.display()
        );
        (" ssl", lines)
    });
    fs::create_dir_all(folder.join("www/v2"))?;
    let here = folder.display();
    // Temporary folders are named so that nothing is looked for where the package would have them.
    let text = format!(
        "daemon off; worker_processes auto; pid {here}/pid; error_log {here}/error.log; user root;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
         client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n\
         uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5; default_type application/octet-stream;\n\
         open_file_cache max=1000; {tls}\n\
         server {{ listen {address}{ssl}; root {here}/www; location = /v2/ {{ return 200 '{{}}'; }} }} }}\n"
    );
    let config = write(folder, "nginx.conf", &text)?;
    let mut command = Command::new(place.tools.join("nginx"));
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(config);
    Ok(command)
}

/// A token of zuul-registry, which takes no passwords elsewhere.
fn log_in(server: &mut Server) -> Outcome<()> {
    server.target.authorization = Some(registries::basic());
    let target = &server.target;
    let (_, body) = at_once(1, |_| async {
        let path = "/auth/token?scope=repository:bench/image:pull,push";
        Connection::open(target).await?.fetch(path).await
    })?
    .remove(0);
    let document: serde_json::Value = serde_json::from_slice(&body)?;
    let token = document["token"].as_str().ok_or("zuul-registry gave no token")?;
    server.target.authorization = Some(format!("Bearer {token}"));
    Ok(())
}
