//! Servers of the harness's own, run as processes like every contestant: a receiver that writes what it
//! is sent, and an upstream registry that counts what it is asked for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_blocking;

use super::support::Outcome;
use super::support::image::MANIFEST_TYPE;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What is served.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Role {
    /// Takes uploads, writes their bytes.
    Receiver,
    /// And syncs them before it answers.
    SyncingReceiver,
    /// Serves the files of a folder and says under `/counts` how often.
    Upstream,
}

struct Service {
    role: Role,
    folder: PathBuf,
    next: AtomicUsize,
    counts: Mutex<BTreeMap<String, usize>>,
}

/// Serves until the process is ended.
pub fn run(role: Role, folder: &Path, address: SocketAddr) -> Outcome<()> {
    let service = Arc::new(Service {
        role,
        folder: folder.to_owned(),
        next: AtomicUsize::new(0),
        counts: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let service = Arc::clone(&service);
                    async move { Ok::<_, Infallible>(service.answer(request).await) }
                });
                // As big as the registry reads.
                let builder = http1::Builder::new().max_buf_size(512 * 1024).clone();
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = match self.role {
            Role::Upstream => self.upstream(&request).await,
            Role::Receiver => self.receive(request, false).await,
            Role::SyncingReceiver => self.receive(request, true).await,
        };
        answered.unwrap_or_else(|error| {
            let mut response = full(error.to_string());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }

    async fn receive(&self, request: Request<Incoming>, sync: bool) -> Outcome<Response<Body>> {
        let path = request.uri().path().to_owned();
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut response = full("");
        match *request.method() {
            Method::POST => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let location = format!("{path}{number}");
                response.headers_mut().insert(header::LOCATION, location.parse()?);
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            Method::PATCH => {
                let file = File::create(self.folder.join(name))?;
                write_down(request.into_body(), file, sync).await?;
                response.headers_mut().insert(header::LOCATION, path.parse()?);
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            Method::PUT => *response.status_mut() = StatusCode::CREATED,
            _ => {}
        }
        Ok(response)
    }

    async fn upstream(&self, request: &Request<Incoming>) -> Outcome<Response<Body>> {
        let path = request.uri().path();
        if path == "/v2/" {
            return Ok(full("{}"));
        }
        if path == "/counts" {
            let counts = self.counts.lock().map_err(|_| "poisoned")?;
            return Ok(full(serde_json::to_vec(&*counts)?));
        }
        let file = self.folder.join("www").join(path.trim_start_matches('/'));
        let Ok(file) = File::open(file) else {
            let mut response = full("");
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        let size = file.metadata()?.len();
        let head = request.method() == Method::HEAD;
        if !head {
            let mut counts = self.counts.lock().map_err(|_| "poisoned")?;
            *counts.entry(path.to_owned()).or_default() += 1;
        }
        let mut response = if head { full("") } else { Response::new(whole_file(file, size)) };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, size.into());
        let manifest = path.contains("/manifests/");
        let media_type = if manifest { MANIFEST_TYPE } else { "application/octet-stream" };
        headers.insert(header::CONTENT_TYPE, media_type.parse()?);
        if manifest {
            let bytes = std::fs::read(self.folder.join("www").join(path.trim_start_matches('/')))?;
            let digest = zuul_images::oci::Digest::sha256(&bytes).to_string();
            headers.insert("docker-content-digest", digest.parse()?);
        }
        Ok(response)
    }
}

fn full(bytes: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync())
}

/// One batch is written while the next is gathered, as a registry would at its best.
async fn write_down(mut body: Incoming, file: File, sync: bool) -> Outcome<()> {
    let mut file = file;
    let mut ended = false;
    let mut writing = None;
    while !ended {
        let mut parts = Vec::new();
        let mut length = 0;
        while length < 256 * 1024 {
            let Some(frame) = body.frame().await else {
                ended = true;
                break;
            };
            if let Ok(bytes) = frame?.into_data() {
                length += bytes.len();
                parts.push(bytes);
            }
        }
        if let Some(writing) = writing.take() {
            file = joined(writing).await?;
        }
        let mut writer = file.try_clone()?;
        writing = Some(spawn_blocking(move || {
            parts.iter().try_for_each(|part| writer.write_all(part))?;
            if sync && ended {
                writer.sync_data()?;
            }
            Ok(writer)
        }));
    }
    if let Some(writing) = writing {
        joined(writing).await?;
    }
    Ok(())
}

async fn joined(writing: tokio::task::JoinHandle<std::io::Result<File>>) -> Outcome<File> {
    Ok(writing.await??)
}

fn whole_file(file: File, size: u64) -> Body {
    use std::os::unix::fs::FileExt as _;

    const CHUNK: u64 = 256 * 1024;
    let file = Arc::new(file);
    let chunks = stream::iter((0..size).step_by(CHUNK as usize)).then(move |at| {
        let file = Arc::clone(&file);
        async move {
            let length = (size - at).min(CHUNK) as usize;
            let read = spawn_blocking(move || {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, at).map(|()| Frame::data(Bytes::from(buffer)))
            });
            read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}
