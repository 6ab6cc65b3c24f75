//! One run of a program: how long it took, and what it cost whom.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::programs::Job;
use super::support::place::{settle, write};
use super::support::server::Server;
use super::support::{Outcome, machine};

/// What stands still is told of, not waited for, in seconds.
const LIMIT: &str = "300";

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub seconds: f64,
    /// Seconds of processor, in and for the processes of the client.
    pub client: f64,
    /// The same for the registry that is read, where it is another than the one that is written.
    pub source: Option<f64>,
    /// And for the one that is written.
    pub destination: f64,
    /// The most memory of one of the client's processes, in MiB.
    pub memory: f64,
    /// Of the machine, before.
    pub load: f64,
}

/// Runs the script while the registries are watched.
pub fn run(
    job: &Job<'_>,
    script: &str,
    source: Option<&Server>,
    destination: &Server,
) -> Outcome<Sample> {
    let processor = || -> Outcome<(Option<f64>, f64)> {
        Ok((source.map(Server::processor).transpose()?, destination.processor()?))
    };
    job.configure()?;
    let file = write(job.folder, "script", &format!("set -e\n{script}"))?;
    let cost = job.folder.join("cost");
    let errors = job.folder.join("errors");
    let mut command = Command::new("timeout");
    command
        .args([LIMIT, "time", "--quiet", "--format", "%U %S %M", "--output"])
        .arg(&cost)
        .arg("sh")
        .arg(&file)
        .env("HOME", job.folder)
        .env("XDG_RUNTIME_DIR", job.folder)
        .env("DOCKER_CONFIG", job.folder)
        .env("REGISTRY_AUTH_FILE", job.folder.join("config.json"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors)?);
    if let Some(ca) = &job.ca {
        command.env("SSL_CERT_FILE", ca);
    }
    settle(job.folder)?;
    let load = machine::load();
    let before = processor()?;
    let started = Instant::now();
    let status = command.status()?;
    let seconds = started.elapsed().as_secs_f64();
    let after = processor()?;
    if !status.success() {
        let said = fs::read_to_string(errors)?;
        let last = said.lines().last().unwrap_or("it said nothing");
        return Err(format!("{status}: {}", last.chars().take(300).collect::<String>()).into());
    }
    let (client, memory) = cost_of(&fs::read_to_string(cost)?)?;
    let source = after.0.zip(before.0).map(|(after, before)| after - before);
    let destination = after.1 - before.1;
    Ok(Sample { seconds, client, source, destination, memory, load })
}

/// What GNU time wrote: user, system, KiB.
fn cost_of(text: &str) -> Outcome<(f64, f64)> {
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let [user, system, kibibytes] = numbers[..] else {
        return Err(format!("time wrote {text:?}").into());
    };
    Ok((user + system, kibibytes / 1024.0))
}
