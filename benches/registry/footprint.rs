//! Start, memory and connections.

use std::fs;
use std::time::{Duration, Instant};

use super::contestants::Contestant::{self, Distribution, Process, Zuul};
use super::load;
use super::scenario::{Bench, Goal, Scenario};
use super::support::Outcome;
use super::support::client::Connection;
use super::support::clients::at_once;
use super::support::content::Content;
use super::support::image::{expect, push_blob};

/// Pushes and pulls at once, half of each.
const BUSY: usize = 64;
const BUSY_SIZE: u64 = 32 * 1024 * 1024;
const IDLE_CONNECTIONS: usize = 10_000;

/// How long connections have been idle when they are looked at.
const REST: Duration = Duration::from_secs(3);

pub fn scenarios() -> Vec<Scenario> {
    let memory = |name, title, contestants, goals, rounds, run| Scenario {
        name,
        title,
        unit: "MiB",
        contestants,
        goals,
        rounds,
        run,
    };
    let idle: &[&[Goal]] = &[&[Goal::Below(Process, 15.0)]];
    let busy: &[&[Goal]] = &[&[Goal::Below(Process, 64.0)]];
    let crowd: &[&[Goal]] = &[&[Goal::Below(Process, 150.0)]];
    let all: &[Contestant] = &[Process, Distribution, Zuul];
    vec![
        Scenario {
            name: "start",
            title: "start to the first answer",
            unit: "ms",
            contestants: all,
            goals: &[&[Goal::Below(Process, 30.0)]],
            rounds: 5,
            run: start,
        },
        memory("idle-memory", "memory (RSS) after the first answer", all, idle, 3, idle_memory),
        memory("busy-memory", "peak memory, 64 pushes and pulls", all, busy, 1, |b, c| {
            busy_memory(b, c, false)
        }),
        memory("busy-memory-tls", "the same with TLS", &[Process], busy, 1, |b, c| {
            busy_memory(b, c, true)
        }),
        memory("idle-connections", "memory, 10,000 idle connections", all, crowd, 1, |b, c| {
            idle_connections(b, c, false)
        }),
        memory("idle-connections-tls", "the same with TLS", &[Process], crowd, 1, |b, c| {
            idle_connections(b, c, true)
        }),
    ]
}

/// On a store that has been there before: the first start makes keys and folders.
fn start(bench: &mut Bench, contestant: Contestant) -> Outcome<f64> {
    let prepared = contestant.prepare(&bench.place, false, "")?;
    let started = Instant::now();
    let mut server = prepared.spawn()?;
    server.wait_until_ready()?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

fn idle_memory(bench: &mut Bench, contestant: Contestant) -> Outcome<f64> {
    contestant.start(&bench.place, true)?.memory("VmRSS")
}

/// The peak that the system recorded for the process.
fn busy_memory(bench: &mut Bench, contestant: Contestant, tls: bool) -> Outcome<f64> {
    let server = contestant.start(&bench.place, tls)?;
    let pulled = Content::new(BUSY_SIZE);
    load::push(&server.target, std::slice::from_ref(&pulled), 1)?;
    let pushed: Vec<Content> = (0..BUSY / 2).map(|_| Content::new(BUSY_SIZE)).collect();
    let path = format!("{}/blobs/{}", load::REPOSITORY, pulled.digest);
    // What came before is forgotten (proc(5)).
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5")?;
    let target = &server.target;
    at_once(BUSY, |index| {
        let blob = pushed.get(index);
        let path = &path;
        async move {
            let mut connection = Connection::open(target).await?;
            match blob {
                Some(blob) => push_blob(&mut connection, load::REPOSITORY, blob).await,
                None => expect(connection.ask("GET", path).await?.status, 200, path),
            }
        }
    })?;
    server.memory("VmHWM")
}

fn idle_connections(bench: &mut Bench, contestant: Contestant, tls: bool) -> Outcome<f64> {
    let server = contestant.start(&bench.place, tls)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connections = load::idle(&server.target, IDLE_CONNECTIONS).await?;
        tokio::time::sleep(REST).await;
        let memory = server.memory("VmRSS");
        drop(connections);
        memory
    })
}
