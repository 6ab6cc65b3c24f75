//! Pulls through a registry that has nothing yet, from an upstream that counts.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::contestants::Contestant::{self, Direct, Distribution, Process};
use super::scenario::{Bench, Goal, LARGE, Scenario};
use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::image::Image;
use super::support::server::Server;
use super::writes::lay_out;
use super::{contestants, load};

const MIB: u64 = 1024 * 1024;

/// What the upstream is called in ours.
const NAMESPACE: &str = "quay.io";

/// Readers of one blob that nobody has asked for before.
const READERS: usize = 8;

pub fn scenarios() -> Vec<Scenario> {
    let pull = |name, title, run| Scenario {
        name,
        title,
        unit: "s",
        contestants: &[Process, Distribution, Direct],
        goals: &[&[Goal::Within(Process, 1.15, Direct)]],
        rounds: 5,
        run,
    };
    vec![
        pull("through-512m", "skopeo pulls a cold image of 512 MiB through", |b, c| {
            pull_through(b, c, "one", &[LARGE])
        }),
        pull("through-40x8m", "skopeo pulls a cold image of 40 × 8 MiB through", |b, c| {
            pull_through(b, c, "forty", &[8 * MIB; 40])
        }),
        Scenario {
            name: "through-gets",
            title: "GETs upstream sees of a blob that 8 readers ask for",
            unit: "GETs",
            contestants: &[Process, Distribution],
            goals: &[&[Goal::Below(Process, 1.0)]],
            rounds: 3,
            run: gets,
        },
        Scenario {
            name: "through-first-byte",
            title: "first byte of a cold blob of 512 MiB",
            unit: "ms",
            contestants: &[Process, Distribution, Direct],
            goals: &[&[Goal::Beside(Process, 5.0, Direct)]],
            rounds: 5,
            run: first_byte,
        },
    ]
}

/// Seconds.
fn pull_through(
    bench: &mut Bench,
    contestant: Contestant,
    image: &'static str,
    layers: &[u64],
) -> Outcome<f64> {
    let (upstream, _) = bench.upstream(image, layers)?;
    let upstream = upstream.target.address;
    let proxy = start(bench, contestant, upstream)?;
    let (address, path) = match &proxy {
        None => (upstream, "bench/image".to_owned()),
        Some(proxy) => (proxy.target.address, repository(contestant)),
    };
    let folder = bench.place.new_folder()?;
    let started = Instant::now();
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{address}/{path}:latest"))
        .arg(format!("dir:{}", folder.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("skopeo: {error}"))?;
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&folder)?;
    if output.status.success() {
        return Ok(seconds);
    }
    Err(format!("skopeo: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn gets(bench: &mut Bench, contestant: Contestant) -> Outcome<f64> {
    let (upstream, blob) = bench.upstream("one", &[LARGE])?;
    let target = upstream.target.clone();
    let proxy = start(bench, contestant, target.address)?.ok_or("nothing to measure")?;
    let path = format!("/v2/{}/blobs/{blob}", repository(contestant));
    let counted = format!("{}/blobs/{blob}", load::REPOSITORY);
    let before = count(&target, &counted)?;
    load::read(&proxy.target, &path, READERS)?;
    Ok((count(&target, &counted)? - before) as f64)
}

fn first_byte(bench: &mut Bench, contestant: Contestant) -> Outcome<f64> {
    let (upstream, blob) = bench.upstream("one", &[LARGE])?;
    let upstream = upstream.target.clone();
    let proxy = start(bench, contestant, upstream.address)?;
    let (target, repository) = match &proxy {
        None => (&upstream, "bench/image".to_owned()),
        Some(proxy) => (&proxy.target, repository(contestant)),
    };
    let path = format!("/v2/{repository}/blobs/{blob}");
    // The connection is there already, as it is when a client has read the manifest.
    let times = at_once(1, |_| async {
        let mut connection = Connection::open(target).await?;
        connection.ask("GET", &format!("/v2/{repository}/manifests/latest")).await?;
        connection.first_byte(&path).await
    })?;
    times.first().copied().ok_or_else(|| "nothing came".into())
}

fn count(upstream: &Target, path: &str) -> Outcome<usize> {
    let (_, body) =
        at_once(1, |_| async { Connection::open(upstream).await?.fetch("/counts").await })?
            .remove(0);
    let counts: BTreeMap<String, usize> = serde_json::from_slice(&body)?;
    Ok(counts.get(path).copied().unwrap_or_default())
}

/// A registry in front of the upstream, with nothing in it.
fn start(
    bench: &Bench,
    contestant: Contestant,
    upstream: std::net::SocketAddr,
) -> Outcome<Option<Server>> {
    let more = match contestant {
        Direct => return Ok(None),
        Distribution => format!("proxy: {{remoteurl: 'http://{upstream}'}}\n"),
        _ => format!("namespaces: [{{name: {NAMESPACE}, url: 'http://{upstream}'}}]\n"),
    };
    contestant.start_with(&bench.place, false, &more).map(Some)
}

/// What the image is called there.
fn repository(contestant: Contestant) -> String {
    match contestant {
        Process => format!("{NAMESPACE}/bench/image"),
        _ => "bench/image".to_owned(),
    }
}

/// An upstream with an image of these layers, and the digest of its last blob.
pub fn upstream(bench: &Bench, layers: &[u64]) -> Outcome<(Server, String)> {
    let image = Image::new("latest", layers);
    let server = contestants::upstream(&bench.place)?.spawn_ready()?;
    lay_out(&image, &server.folder.join("www"))?;
    let last = image.blobs.last().ok_or("an image without blobs")?;
    Ok((server, last.digest.to_string()))
}
