use std::process::Stdio;

use clap::Args;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cli::exit::Failure;
use crate::index::{Published, TargetOutcome};
use crate::oci::ImageReference;

/// Whom to tell.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub(super) struct Notify {
    /// Run this by `sh -c` for every repository path that holds what was published, with a JSON message on its
    /// stdin; on reruns, too
    #[arg(long, value_name = "COMMAND")]
    notify_command: Option<String>,

    /// `compose_id` of the message [default: the build of --tree]
    #[arg(long, value_name = "ID", requires = "notify_command")]
    compose_id: Option<String>,

    /// `release` of the message
    #[arg(long, value_name = "N", requires = "notify_command")]
    release: Option<u64>,
}

impl Notify {
    pub(super) async fn tell(
        &self,
        repositories: &[ImageReference],
        published: &Published,
        build: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(command) = &self.notify_command else { return Ok(()) };
        for message in self.messages(repositories, published, build) {
            send(command, &message).await?;
        }
        Ok(())
    }

    /// One for each repository path, however many registries have it; the fields are those of Fedora's
    /// `ContainerPublishedV1`, and the digest.
    fn messages(
        &self,
        repositories: &[ImageReference],
        published: &Published,
        build: Option<&str>,
    ) -> Vec<Value> {
        let mut paths: Vec<String> =
            repositories.iter().map(|it| it.repository.to_string()).collect();
        paths.sort();
        paths.dedup();
        let architectures: Vec<&str> = published.members.iter().map(|it| it.fedora).collect();
        let mut messages = Vec::new();
        for path in paths {
            let places = repositories.iter().filter(|it| it.repository.to_string() == path);
            let places: Vec<(String, Vec<&TargetOutcome>)> = places
                .map(|place| {
                    let name = format!("{}/{}", place.registry, place.repository);
                    let good = published.targets.iter();
                    let good = good.filter(|it| it.is_good() && it.repository == name);
                    (place.registry.to_string(), good.collect::<Vec<_>>())
                })
                .filter(|(_, good)| !good.is_empty())
                .collect();
            // Registries of which one refused a tag are told of apart, so that nothing wrong is said.
            for (registries, tags) in grouped(places) {
                messages.push(json!({
                    "architectures": architectures,
                    "compose_id": self.compose_id.as_deref().or(build),
                    "registries": registries,
                    "release": self.release,
                    "repository": path,
                    "tags": tags,
                    "digest": published.digest,
                }));
            }
        }
        messages
    }
}

/// Registries with the tags that each of them has.
fn grouped(places: Vec<(String, Vec<&TargetOutcome>)>) -> Vec<(Vec<String>, Vec<&str>)> {
    let mut groups: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    for (registry, good) in places {
        let tags: Vec<&str> = good.into_iter().map(|it| it.tag.as_str()).collect();
        match groups.iter_mut().find(|(_, known)| *known == tags) {
            Some((registries, _)) => registries.push(registry),
            None => groups.push((vec![registry], tags)),
        }
    }
    groups
}

async fn send(command: &str, message: &Value) -> Result<(), Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        let told = "what was published stays; run again to send the message again";
        Failure::failed("notify", format!("--notify-command: {reason}; {told}")).on(command)
    };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        let sent = stdin.write_all(message.to_string().as_bytes()).await;
        // A command need not read it; how it ends says whether it has done its work.
        sent.or_else(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(failed(&error)),
        })?;
    }
    let status = child.wait().await.map_err(|error| failed(&error))?;
    if status.success() { Ok(()) } else { Err(failed(&format!("it ended with {status}"))) }
}
