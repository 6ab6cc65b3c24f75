//! 300 small images to three registries, beside a loop of `skopeo copy --all`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::figures::{cell, median};
use super::support::image::Image;
use super::support::place::{Place, free_address, settle, write};
use super::support::registries::{self, Start};
use super::support::server::{Prepared, Server};

const IMAGES: usize = 300;
const LAYER: u64 = 10 * 1024;
const TAG: &str = "v1";
/// What is demanded.
const TIMES: f64 = 10.0;

/// Who carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Skopeo,
}

/// What the source and all destinations are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Debian's `docker-registry`, open to everybody.
    Distribution,
    /// `buildset-registry`, with a login.
    Ours,
}

/// The source with its images.
struct Source {
    kind: Kind,
    server: Server,
    images: Vec<Image>,
}

/// What a run took.
struct Run {
    seconds: f64,
    /// Seconds of the processor that all servers together spent on it.
    servers: f64,
    /// Requests of the source, and of all destinations; zero where no log is kept.
    requests: (usize, usize),
}

/// A table of a line for each kind of registry.
pub fn measure(place: &Place, program: &Path, rounds: usize) -> Outcome<String> {
    let mut text = "| 300 images of one 10 KiB layer to three registries | unit | ours | skopeo copy --all | target | | \
         the servers' processor, ours / skopeo | requests for an image, ours |\n|---|---|--:|--:|---|---|---|---|\n"
        .to_owned();
    print!("\n{text}");
    for (kind, name) in [
        (Kind::Distribution, "between Debian's distributions"),
        (Kind::Ours, "between ours, with a login"),
    ] {
        let row = row(place, program, rounds, kind, name)?;
        print!("{row}");
        text.push_str(&row);
    }
    Ok(text)
}

fn row(place: &Place, program: &Path, rounds: usize, kind: Kind, name: &str) -> Outcome<String> {
    let source = Source::start(place, kind, false)?;
    let (mut ours, mut skopeo) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        let mut turns = [(Who::Ours, &mut ours), (Who::Skopeo, &mut skopeo)];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (who, runs) in turns {
            runs.push(carry(place, program, who, &source, false)?);
        }
    }
    let logged = carry(place, program, Who::Ours, &Source::start(place, kind, true)?, true)?;
    let column = |runs: &[Run], of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    let times = [&ours, &skopeo].map(|runs| column(runs, |run| run.seconds));
    let servers = [&ours, &skopeo].map(|runs| median(&column(runs, |run| run.servers)));
    let ratio = median(&times[1]) / median(&times[0]);
    let verdict = if ratio >= TIMES { "reached" } else { "**missed**" };
    let images = IMAGES as f64;
    Ok(format!(
        "| {name} | s | {} | {} | ours {ratio:.1}× faster (≥ {TIMES}×) | {verdict} | {:.1} / {:.1} \
         | {:.1} at the source, {:.1} at each destination |\n",
        cell(&times[0]),
        cell(&times[1]),
        servers[0],
        servers[1],
        logged.requests.0 as f64 / images,
        logged.requests.1 as f64 / images / 3.0
    ))
}

/// A whole run into three new registries, which are looked through afterwards.
fn carry(
    place: &Place,
    program: &Path,
    who: Who,
    source: &Source,
    access_log: bool,
) -> Outcome<Run> {
    let destinations =
        (0..3).map(|_| start(place, source.kind, access_log)).collect::<Outcome<Vec<Server>>>()?;
    let folder = place.new_folder()?;
    let mut command = match who {
        Who::Ours => source.promotion(&folder, program, &destinations)?,
        Who::Skopeo => source.script(&folder, &destinations)?,
    };
    settle(&folder)?;
    let processor = || -> Outcome<f64> {
        destinations.iter().chain([&source.server]).map(Server::processor).sum()
    };
    let requests = || -> Outcome<(usize, usize)> {
        let written: Outcome<usize> = destinations.iter().map(Server::requests).sum();
        Ok((source.server.requests()?, written?))
    };
    let before = (processor()?, requests()?);
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    let after = (processor()?, requests()?);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    destinations.iter().try_for_each(|destination| source.verify(destination))?;
    Ok(Run {
        seconds,
        servers: after.0 - before.0,
        requests: (after.1.0 - before.1.0, after.1.1 - before.1.1),
    })
}

impl Source {
    fn start(place: &Place, kind: Kind, access_log: bool) -> Outcome<Self> {
        let server = start(place, kind, access_log)?;
        let images: Vec<Image> = (0..IMAGES).map(|_| Image::new(TAG, &[LAYER])).collect();
        let (all, target) = (&images, &server.target);
        at_once(4, |first| async move {
            let mut connection = Connection::open(target).await?;
            for number in (first..IMAGES).step_by(4) {
                let repository = format!("/v2/staging/image{number}");
                all[number].push(&mut connection, &repository).await?;
            }
            Ok(())
        })?;
        Ok(Self { kind, server, images })
    }

    fn promotion(&self, folder: &Path, program: &Path, to: &[Server]) -> Outcome<Command> {
        let mut text =
            format!("registries:\n- name: {}/staging\n  src: true\n", address(&self.server));
        for server in to {
            text.push_str(&format!("- name: {}/prod\n", address(server)));
        }
        text.push_str("images:\n");
        for (number, image) in self.images.iter().enumerate() {
            let digest = &image.manifest.digest;
            text.push_str(&format!(
                "- name: image{number}\n  dmap:\n    \"{digest}\": [\"{TAG}\"]\n"
            ));
        }
        let mut command = Command::new(program);
        command.args(["promote", "--confirm", "--no-ambient-config", "--referrers", "false"]);
        command.arg("--authfile").arg(self.logins(folder, to)?);
        for server in to.iter().chain([&self.server]) {
            command.args(["--plain-http", &address(server)]);
        }
        command.arg("--manifest").arg(write(folder, "manifest.yaml", &text)?);
        Ok(command)
    }

    /// One after the other, as people write it.
    fn script(&self, folder: &Path, to: &[Server]) -> Outcome<Command> {
        let logins = self.logins(folder, to)?;
        let mut script = format!("set -e\nexport REGISTRY_AUTH_FILE={}\n", logins.display());
        for (number, image) in self.images.iter().enumerate() {
            for server in to {
                script.push_str(&format!(
                    "skopeo --insecure-policy copy --quiet --all --src-tls-verify=false --dest-tls-verify=false \
                     docker://{}/staging/image{number}@{} docker://{}/prod/image{number}:{TAG}\n",
                    address(&self.server),
                    image.manifest.digest,
                    address(server)
                ));
            }
        }
        let mut command = Command::new("sh");
        command.arg(write(folder, "script", &script)?);
        Ok(command)
    }

    /// An auth file for all registries that want a login.
    fn logins(&self, folder: &Path, to: &[Server]) -> Outcome<PathBuf> {
        let servers = to.iter().chain([&self.server]).filter(|_| self.kind == Kind::Ours);
        let basic = registries::basic();
        let auth = basic.trim_start_matches("Basic ");
        let auths: serde_json::Map<_, _> =
            servers.map(|server| (address(server), json!({"auth": auth}))).collect();
        write(folder, "auth.json", &json!({"auths": auths}).to_string())
    }

    /// Every manifest is there, byte for byte.
    fn verify(&self, destination: &Server) -> Outcome<()> {
        let (images, target): (_, &Target) = (&self.images, &destination.target);
        at_once(1, |_| async move {
            let mut connection = Connection::open(target).await?;
            for (number, image) in images.iter().enumerate() {
                let path = format!("/v2/prod/image{number}/manifests/{TAG}");
                let (answer, bytes) = connection.fetch(&path).await?;
                if answer.status != 200 || !bytes.iter().eq(image.manifest.slices().flatten()) {
                    return Err(format!("{path} is not what was promoted").into());
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// An empty registry.
fn start(place: &Place, kind: Kind, access_log: bool) -> Outcome<Server> {
    let folder = place.new_folder()?;
    let address = free_address()?;
    let start = Start { place, folder: &folder, address, certificate: None, more: "" };
    let command = match kind {
        Kind::Distribution => {
            let data = folder.join("data");
            fs::create_dir(&data)?;
            registries::distribution(&start, &data, access_log)?
        }
        Kind::Ours => registries::ours(&start, "process")?,
    };
    let authorization = (kind == Kind::Ours).then(registries::basic);
    let target = Target { address, authorization, tls: None };
    Prepared { command, target, folder }.spawn_ready()
}

fn address(server: &Server) -> String {
    server.target.address.to_string()
}
