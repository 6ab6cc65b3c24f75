use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::manifests::{Judged, Read, Source, failure};
use super::reach::Reach;
use crate::cli::args::Common;
use crate::cli::exit::Failure;
use crate::cli::output::{self, Report};
use crate::promoter::audit::{Audited, Auditor, Children, Expected, Manifested, audit};
use crate::registry::config::Period;
use crate::serve::{Limits, Server, bind};

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    source: Source,

    /// Do not look at registries, but judge the changes they tell: as Pub/Sub pushes Google's, as
    /// distribution's notifications, or as zot's events. Verdicts are lines of JSON on stdout
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// Where events are from that do not say it, or say a name that nobody else uses
    #[arg(long, value_name = "HOST[:PORT]", requires = "listen")]
    registry: Option<String>,

    /// Who tells events has to show the token in this file: as a bearer, or as ?token=
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,

    /// How long manifests are good that were read
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "listen")]
    reload: Period,

    #[command(flatten)]
    reach: Reach,
}

impl Audit {
    pub(super) fn main(self, common: &Common) -> ExitCode {
        match self.listen {
            None => crate::cli::run(common, self.run()),
            Some(address) => {
                common.start_log();
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                let served = runtime
                    .map_err(|error| Failure::io("start the async runtime", &error))
                    .and_then(|runtime| runtime.block_on(self.serve(address)));
                output::finish_as(|_| Ok(()), served.err().as_ref())
            }
        }
    }

    async fn run(self) -> Result<Judged<Audited>, Failure> {
        let Read { edges, problems, accounts, destinations, .. } = self.source.read(false)?;
        if problems.has_errors() {
            return Ok(Judged::Wrong(problems));
        }
        let client = self.reach.client(&accounts, &problems)?;
        let (file, parallel) = (self.reach.file.as_deref(), self.reach.parallel());
        let expected = Expected::of(&edges);
        Ok(Judged::Fine(audit(&client, file, &destinations, &expected, parallel).await?))
    }

    async fn serve(self, address: SocketAddr) -> Result<(), Failure> {
        let Read { edges, problems, accounts, .. } = self.source.read(false)?;
        if let Some(failure) = failure(&problems) {
            return Err(failure);
        }
        let expected = Expected::of(&edges);
        let children = match &self.reach.file {
            Some(file) => Children::of_file(file, &expected)?,
            None => Children::of_registries(self.reach.client(&accounts, &problems)?),
        };
        let token = self.token_file.as_deref().map(token);
        let (source, good_for) = (self.source, self.reload.0);
        let read = move || {
            let Read { edges, problems, .. } = source.read(false).map_err(|it| it.message)?;
            match failure(&problems) {
                Some(failure) => Err(failure.message),
                None => Ok(Expected::of(&edges)),
            }
        };
        let manifests = Manifested::new(read, good_for).map_err(Failure::input)?;
        let auditor = Auditor::new(manifests, children, self.registry, token.transpose()?, say);
        let listeners = bind(&[address]).await.map_err(|error| Failure::io("listen", &error))?;
        let listening: Vec<String> = listeners
            .iter()
            .filter_map(|listener| Some(listener.local_addr().ok()?.to_string()))
            .collect();
        let signals = signal(SignalKind::terminate())
            .and_then(|it| Ok((it, signal(SignalKind::interrupt())?)));
        let (mut terminate, mut interrupt) =
            signals.map_err(|error| Failure::io("listen for signals", &error))?;
        say(&serde_json::json!({"ok": true, "listening": listening, "pid": std::process::id()})
            .to_string());
        let server = Server {
            listeners,
            tls: None,
            limits: Limits { connections: 256, ..Limits::default() },
            drain: std::time::Duration::from_secs(60),
            handler: Arc::new(auditor),
        };
        server
            .run(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok(())
    }
}

/// What stands in a file. Everybody shows an empty token.
fn token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    match text.trim() {
        "" => Err(Failure::input(format!("{} holds no token", path.display()))),
        token => Ok(token.to_owned()),
    }
}

/// A line on stdout; when nobody reads it any more there is nobody left to tell.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Report for Audited {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for it in &self.unknown {
            writeln!(out, "UNKNOWN {}@{} {}", it.repository, it.digest, it.tags.join(" "))?;
        }
        for it in &self.moved_tags {
            writeln!(out, "MOVED {} is {}, not {}", it.tag, it.found, it.expected)?;
        }
        for it in &self.missing {
            let tag = it.tag.as_deref().unwrap_or_default();
            writeln!(out, "MISSING {}@{} {tag}", it.repository, it.digest)?;
        }
        let (unknown, moved, missing) =
            (self.unknown.len(), self.moved_tags.len(), self.missing.len());
        let repositories = self.repositories;
        writeln!(
            out,
            "{repositories} repositories: {unknown} unknown, {moved} tags moved, {missing} missing"
        )
    }

    fn failure(&self) -> Option<Failure> {
        let (unknown, moved, missing) =
            (self.unknown.len(), self.moved_tags.len(), self.missing.len());
        let message = format!("{unknown} unknown, {moved} tags moved, {missing} missing");
        (!self.is_fine()).then(|| Failure::failed("audit", message))
    }
}
