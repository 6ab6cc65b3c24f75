//! 300 small images to three registries, beside a loop of `skopeo copy --all`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::figures::{cell, median};
use super::support::image::Image;
use super::support::place::{Place, free_address, settle, write};
use super::support::registries::{Start, distribution};
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

/// The source with its images.
struct Source {
    server: Server,
    images: Vec<Image>,
}

/// A table of one line.
pub fn measure(place: &Place, program: &Path, rounds: usize) -> Outcome<String> {
    let source = Source::start(place, false)?;
    let (mut ours, mut skopeo) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        let mut turns = [(Who::Ours, &mut ours), (Who::Skopeo, &mut skopeo)];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (who, samples) in turns {
            let destinations = start_three(place, false)?;
            samples.push(carry(place, program, who, &source, &destinations)?);
        }
    }
    let requests = requests(place, program)?;
    let ratio = median(&skopeo) / median(&ours);
    let verdict = if ratio >= TIMES { "reached" } else { "**missed**" };
    Ok(format!(
        "| scenario | unit | ours | skopeo copy --all | target | | requests for an image, ours |\n\
         |---|---|--:|--:|---|---|---|\n\
         | {IMAGES} images of one 10 KiB layer to three registries | s | {} | {} | ours {ratio:.1}× faster (≥ {TIMES}×) \
         | {verdict} | {:.1} at the source, {:.1} at each destination |\n",
        cell(&ours),
        cell(&skopeo),
        requests.0,
        requests.1
    ))
}

/// How many requests an image takes at the source, and at each destination.
fn requests(place: &Place, program: &Path) -> Outcome<(f64, f64)> {
    let source = Source::start(place, true)?;
    let destinations = start_three(place, true)?;
    let before = source.server.requests()?;
    let started: usize = sum(&destinations)?;
    carry(place, program, Who::Ours, &source, &destinations)?;
    let images = IMAGES as f64;
    let read = (source.server.requests()? - before) as f64 / images;
    Ok((read, (sum(&destinations)? - started) as f64 / images / 3.0))
}

fn sum(servers: &[Server]) -> Outcome<usize> {
    servers.iter().map(Server::requests).sum()
}

/// Seconds of a whole run, which is looked through afterwards.
fn carry(
    place: &Place,
    program: &Path,
    who: Who,
    source: &Source,
    destinations: &[Server],
) -> Outcome<f64> {
    let folder = place.new_folder()?;
    let mut command = match who {
        Who::Ours => source.promotion(&folder, program, destinations)?,
        Who::Skopeo => source.script(&folder, destinations)?,
    };
    settle(&folder)?;
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    destinations.iter().try_for_each(|destination| source.verify(destination))?;
    Ok(seconds)
}

impl Source {
    fn start(place: &Place, access_log: bool) -> Outcome<Self> {
        let server = start(place, access_log)?;
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
        Ok(Self { server, images })
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
        for server in to.iter().chain([&self.server]) {
            command.args(["--plain-http", &address(server)]);
        }
        command.arg("--manifest").arg(write(folder, "manifest.yaml", &text)?);
        Ok(command)
    }

    /// One after the other, as people write it.
    fn script(&self, folder: &Path, to: &[Server]) -> Outcome<Command> {
        let mut script = "set -e\n".to_owned();
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

fn start_three(place: &Place, access_log: bool) -> Outcome<Vec<Server>> {
    (0..3).map(|_| start(place, access_log)).collect()
}

/// Debian's distribution, empty.
fn start(place: &Place, access_log: bool) -> Outcome<Server> {
    let folder = place.new_folder()?;
    let address = free_address()?;
    let start = Start { place, folder: &folder, address, certificate: None, more: "" };
    let data = folder.join("data");
    fs::create_dir(&data)?;
    let command = distribution(&start, &data, access_log)?;
    let target = Target { address, authorization: None, tls: None };
    Prepared { command, target, folder }.spawn_ready()
}

fn address(server: &Server) -> String {
    server.target.address.to_string()
}
