//! Pulls of what is there.

use super::contestants::Contestant::{self, Distribution, Nginx, Process, Zuul};
use super::load;
use super::scenario::{Bench, Goal, HAMMER, Scenario};
use super::support::Outcome;

const AS_NGINX: &[&[Goal]] = &[&[Goal::Times(Process, 1.0, Nginx)]];
const REQUESTS: &[&[Goal]] = &[&[Goal::Times(Process, 15.0, Distribution)]];
const P99: &[&[Goal]] = &[&[Goal::Below(Process, 5.0)]];
const ALL: &[Contestant] = &[Process, Distribution, Zuul, Nginx];

/// Connections that ask at once.
const CONNECTIONS: usize = 16;

pub fn scenarios() -> Vec<Scenario> {
    let throughput = |name, title, contestants, run| Scenario {
        name,
        title,
        unit: "MiB/s",
        contestants,
        goals: AS_NGINX,
        rounds: usize::MAX,
        run,
    };
    let requests = |name, title, run| Scenario {
        name,
        title,
        unit: "requests/s",
        contestants: ALL,
        goals: REQUESTS,
        rounds: usize::MAX,
        run,
    };
    let times = |name, title, run| Scenario {
        name,
        title,
        unit: "ms",
        contestants: &[Process],
        goals: P99,
        rounds: usize::MAX,
        run,
    };
    vec![
        throughput("blob-get-1", "blob of 512 MiB, 1 reader", ALL, |b, c| large(b, c, false, 1)),
        throughput("blob-get-4", "blob of 512 MiB, 4 readers", ALL, |b, c| large(b, c, false, 4)),
        throughput("blob-get-tls-1", "blob of 512 MiB, 1 reader, TLS", ALL, |b, c| {
            large(b, c, true, 1)
        }),
        throughput("blob-get-tls-4", "blob of 512 MiB, 4 readers, TLS", ALL, |b, c| {
            large(b, c, true, 4)
        }),
        requests("manifest-tag", "manifest by tag, 16 connections", |b, c| {
            hammer(b, c, &b.manifest("latest"))
        }),
        times("manifest-tag-p99", "the same at half that rate, 99th percentile", |b, c| {
            paced(b, c, &b.manifest("latest"))
        }),
        requests("manifest-digest", "manifest by digest, 16 connections", |b, c| {
            hammer(b, c, &by_digest(b))
        }),
        times("manifest-digest-p99", "the same at half that rate, 99th percentile", |b, c| {
            paced(b, c, &by_digest(b))
        }),
        requests("blob-12k", "blob of 12 KiB, 16 connections", |b, c| {
            hammer(b, c, &b.small_blob())
        }),
        times("blob-12k-p99", "the same at half that rate, 99th percentile", |b, c| {
            paced(b, c, &b.small_blob())
        }),
    ]
}

fn by_digest(bench: &Bench) -> String {
    bench.manifest(bench.library.manifest.digest.as_str())
}

fn large(bench: &mut Bench, contestant: Contestant, tls: bool, readers: usize) -> Outcome<f64> {
    let path = bench.large_blob();
    load::read(&bench.reader(contestant, tls)?.target, &path, readers)
}

fn hammer(bench: &mut Bench, contestant: Contestant, path: &str) -> Outcome<f64> {
    let target = bench.reader(contestant, false)?.target.clone();
    load::hammer(&target, path, CONNECTIONS, HAMMER)
}

/// At half of what it gives now.
fn paced(bench: &mut Bench, contestant: Contestant, path: &str) -> Outcome<f64> {
    let target = bench.reader(contestant, false)?.target.clone();
    let most = load::hammer(&target, path, CONNECTIONS, HAMMER / 3)?;
    let times = load::pace(&target, path, CONNECTIONS, most / 2.0, HAMMER)?;
    let at = times.len() * 99 / 100;
    times.get(at).copied().ok_or_else(|| "nothing was answered".into())
}
