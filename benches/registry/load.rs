//! What clients do while time is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};

use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::content::Content;
use super::support::image::{Image, expect, push_blob};

pub const REPOSITORY: &str = "/v2/bench/image";

/// Readers that each read the whole once; MiB a second together.
pub fn read(target: &Target, path: &str, readers: usize) -> Outcome<f64> {
    let started = Instant::now();
    let lengths = at_once(readers, |_| async {
        let answer = Connection::open(target).await?.ask("GET", path).await?;
        expect(answer.status, 200, path)?;
        Ok(answer.length)
    })?;
    Ok(mebibytes(lengths.iter().sum(), started.elapsed()))
}

/// Clients that push blobs, each the next that nobody has taken; MiB a second together.
pub fn push(target: &Target, blobs: &[Content], clients: usize) -> Outcome<f64> {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    at_once(clients, |_| async {
        let mut connection = Connection::open(target).await?;
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            push_blob(&mut connection, REPOSITORY, blob).await?;
        }
        Ok(())
    })?;
    Ok(mebibytes(blobs.iter().map(|blob| blob.size).sum(), started.elapsed()))
}

/// Connections that push images, each the next that nobody has taken; images a second.
pub fn push_images(target: &Target, images: &[Image], connections: usize) -> Outcome<f64> {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    at_once(connections, |_| async {
        let mut connection = Connection::open(target).await?;
        while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            image.push(&mut connection, REPOSITORY).await?;
        }
        Ok(())
    })?;
    Ok(images.len() as f64 / started.elapsed().as_secs_f64())
}

/// Connections that ask for one thing again and again; requests a second.
pub fn hammer(target: &Target, path: &str, connections: usize, time: Duration) -> Outcome<f64> {
    let started = Instant::now();
    let counts = at_once(connections, |_| async {
        let mut connection = Connection::open(target).await?;
        let head = Connection::head(target, "GET", path, "");
        let mut count = 0_u64;
        while started.elapsed() < time {
            let answer = connection.exchange(&head, false).await?;
            expect(answer.status, 200, path)?;
            count += 1;
        }
        Ok(count)
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64())
}

/// The same at a given rate; every answer's time in milliseconds, sorted. A request that has to wait for
/// the answer before it counts from when it was due.
pub fn pace(
    target: &Target,
    path: &str,
    connections: usize,
    rate: f64,
    time: Duration,
) -> Outcome<Vec<f64>> {
    let period = Duration::from_secs_f64(connections as f64 / rate);
    let started = tokio::time::Instant::now();
    let times = at_once(connections, |index| async move {
        let mut connection = Connection::open(target).await?;
        let head = Connection::head(target, "GET", path, "");
        let mut due = started + period.mul_f64(index as f64 / connections as f64);
        let mut times = Vec::new();
        while due < started + time {
            let from = if tokio::time::Instant::now() < due {
                sleep_until(due).await;
                // That the client's own timer is coarse is not the server's fault.
                tokio::time::Instant::now()
            } else {
                due
            };
            expect(connection.exchange(&head, false).await?.status, 200, path)?;
            times.push(from.elapsed().as_secs_f64() * 1000.0);
            due += period;
        }
        Ok(times)
    })?;
    let mut times = times.concat();
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// What a server may take to answer the first request of a connection beside many idle ones. One that
/// gives each connection a thread never does, once it has no more.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// Opens connections that have asked once and stay; they end when the value is dropped.
pub async fn idle(target: &Target, count: usize) -> Outcome<Vec<Connection>> {
    let target = Arc::new(target.clone());
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        let batch = (count - connections.len()).min(64);
        let opening = (0..batch).map(|_| async {
            let mut connection = Connection::open(&target).await?;
            connection.ask("GET", "/v2/").await?;
            connection.slim();
            Ok::<_, super::support::Failure>(connection)
        });
        let opened = timeout(FIRST_ANSWER, futures_util::future::try_join_all(opening)).await;
        connections.extend(opened.map_err(|_| {
            format!("it answers no more than about {} connections at once", connections.len())
        })??);
    }
    Ok(connections)
}

pub fn mebibytes(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / (1024.0 * 1024.0) / time.as_secs_f64()
}
