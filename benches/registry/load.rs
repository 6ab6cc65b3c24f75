//! What clients do while time is taken.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::Outcome;
use super::client::{Connection, Target};
use super::content::Content;

/// On how many threads clients run: half of what a machine for this has.
const THREADS: usize = 2;

/// A server that stands still is told of, not waited for.
const LIMIT: Duration = Duration::from_secs(240);

pub const REPOSITORY: &str = "/v2/bench/image";
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Runs one client for each index, all at once on few threads; the results by index.
pub fn at_once<T, F>(clients: usize, client: impl Fn(usize) -> F + Send + Sync) -> Outcome<Vec<T>>
where
    T: Send,
    F: Future<Output = Outcome<T>>,
{
    let threads = THREADS.min(clients);
    let client = &client;
    let results: Vec<Outcome<Vec<(usize, T)>>> = thread::scope(|scope| {
        let run = |first: usize| {
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let mine = (first..clients).step_by(threads);
                let all = mine.map(|index| async move {
                    let ended = tokio::time::timeout(LIMIT, client(index)).await;
                    Ok((index, ended.map_err(|_| "it took too long")??))
                });
                runtime.block_on(futures_util::future::try_join_all(all))
            }
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(run(first))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a client panicked".into())))
            .collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

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
            push_blob(&mut connection, blob).await?;
        }
        Ok(())
    })?;
    Ok(mebibytes(blobs.iter().map(|blob| blob.size).sum(), started.elapsed()))
}

/// One blob as clients push it: a session, the bytes, the digest.
pub async fn push_blob(connection: &mut Connection, blob: &Content) -> Outcome<()> {
    let answer =
        connection.send("POST", &format!("{REPOSITORY}/blobs/uploads/"), OCTETS, &empty()).await?;
    expect(answer.status, 202, "POST of an upload")?;
    let answer = connection.send("PATCH", &path(&answer.location), OCTETS, blob).await?;
    expect(answer.status, 202, "PATCH of an upload")?;
    let location = path(&answer.location);
    let separator = if location.contains('?') { '&' } else { '?' };
    let location = format!("{location}{separator}digest={}", blob.digest);
    let answer = connection.send("PUT", &location, OCTETS, &empty()).await?;
    expect(answer.status, 201, "PUT of an upload")
}

const OCTETS: &str = "application/octet-stream";

fn empty() -> Content {
    Content::of(Vec::new())
}

/// Servers name uploads by path or by URL.
fn path(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => location.to_owned(),
    }
}

/// An image as it is pushed.
pub struct Image {
    pub blobs: Vec<Content>,
    pub manifest: Content,
    pub tag: String,
}

impl Image {
    /// With layers of these sizes; the first blob is the configuration.
    pub fn new(tag: &str, layers: &[u64]) -> Self {
        let layers: Vec<Content> = layers.iter().map(|size| Content::new(*size)).collect();
        let digests: Vec<_> = layers.iter().map(|layer| layer.digest.to_string()).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": digests},
        });
        let config = Content::of(config.to_string().into_bytes());
        let describe = |media_type: &str, content: &Content| serde_json::json!({"mediaType": media_type, "digest": content.digest.to_string(), "size": content.size});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe(CONFIG_TYPE, &config),
            "layers": layers.iter().map(|layer| describe(LAYER_TYPE, layer)).collect::<Vec<_>>(),
        });
        let manifest = Content::of(manifest.to_string().into_bytes());
        let blobs = std::iter::once(config).chain(layers).collect();
        Self { blobs, manifest, tag: tag.to_owned() }
    }

    /// As clients do: asks for each blob, pushes what is not there, then the manifest.
    pub async fn push(&self, connection: &mut Connection) -> Outcome<()> {
        for blob in &self.blobs {
            let path = format!("{REPOSITORY}/blobs/{}", blob.digest);
            if connection.ask("HEAD", &path).await?.status != 200 {
                push_blob(connection, blob).await?;
            }
        }
        let path = format!("{REPOSITORY}/manifests/{}", self.tag);
        let answer = connection.send("PUT", &path, MANIFEST_TYPE, &self.manifest).await?;
        expect(answer.status, 201, "PUT of a manifest")
    }
}

/// Connections that push images, each the next that nobody has taken; images a second.
pub fn push_images(target: &Target, images: &[Image], connections: usize) -> Outcome<f64> {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    at_once(connections, |_| async {
        let mut connection = Connection::open(target).await?;
        while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
            image.push(&mut connection).await?;
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
            Ok::<_, super::Failure>(connection)
        });
        connections.extend(futures_util::future::try_join_all(opening).await?);
    }
    Ok(connections)
}

pub fn expect(status: u16, wanted: u16, what: &str) -> Outcome<()> {
    if status == wanted {
        return Ok(());
    }
    Err(format!("{what} was answered with {status}").into())
}

pub fn mebibytes(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / (1024.0 * 1024.0) / time.as_secs_f64()
}
