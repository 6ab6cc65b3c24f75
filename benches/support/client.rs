//! The load client, the same for every contestant: HTTP/1.1 over a socket, written by hand so that it
//! costs next to nothing beside the server it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Outcome;
use super::content::Content;

/// What is asked for of manifests; zuul-registry answers nothing without.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*";

const BUFFER: usize = 256 * 1024;

/// Where requests go, and with which login.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub authorization: Option<String>,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// What a server answered; the body is dropped unless it was asked for.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub length: u64,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection, kept open.
pub struct Connection {
    target: Target,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// The head of an answer and where the body starts in the buffer.
struct Head {
    answer: Answer,
    end: usize,
    close: bool,
}

impl Connection {
    pub async fn open(target: &Target) -> Outcome<Self> {
        let stream = connect(target).await?;
        Ok(Self { target: target.clone(), stream, buffer: vec![0; BUFFER] })
    }

    /// The bytes of a request's head, made once for many requests.
    pub fn head(target: &Target, method: &str, path: &str, more: &str) -> Vec<u8> {
        let login = target.authorization.as_deref().unwrap_or_default();
        let login =
            if login.is_empty() { String::new() } else { format!("Authorization: {login}\r\n") };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: {ACCEPT}\r\n{login}{more}\r\n",
            target.address
        )
        .into_bytes()
    }

    /// Sends a request without a body and drops the body of the answer.
    pub async fn ask(&mut self, method: &str, path: &str) -> Outcome<Answer> {
        let head = Self::head(&self.target, method, path, "");
        self.exchange(&head, method == "HEAD").await
    }

    /// Sends a request with content.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        content: &Content,
    ) -> Outcome<Answer> {
        let more = format!("Content-Length: {}\r\nContent-Type: {content_type}\r\n", content.size);
        let mut head = Self::head(&self.target, method, path, &more);
        if content.size <= 64 * 1024 {
            content.slices().for_each(|slice| head.extend_from_slice(slice));
            self.stream.write_all(&head).await?;
        } else {
            self.stream.write_all(&head).await?;
            for slice in content.slices() {
                self.stream.write_all(slice).await?;
            }
        }
        self.stream.flush().await?;
        self.receive(false, None).await
    }

    /// Sends a head made before and drops the body of the answer.
    pub async fn exchange(&mut self, head: &[u8], bodiless: bool) -> Outcome<Answer> {
        self.stream.write_all(head).await?;
        self.stream.flush().await?;
        self.receive(bodiless, None).await
    }

    /// A GET whose body is kept.
    pub async fn fetch(&mut self, path: &str) -> Outcome<(Answer, Vec<u8>)> {
        let head = Self::head(&self.target, "GET", path, "");
        self.stream.write_all(&head).await?;
        self.stream.flush().await?;
        let mut body = Vec::new();
        let answer = self.receive(false, Some(&mut body)).await?;
        Ok((answer, body))
    }

    /// Milliseconds until the first byte of a body; the rest is not read.
    pub async fn first_byte(&mut self, path: &str) -> Outcome<f64> {
        let head = Self::head(&self.target, "GET", path, "");
        let started = Instant::now();
        self.stream.write_all(&head).await?;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            filled += count;
            match parse(&self.buffer[..filled])? {
                Some(head) if head.answer.status != 200 => {
                    return Err(format!("answered with {}", head.answer.status).into());
                }
                Some(head) if head.end < filled => {
                    return Ok(started.elapsed().as_secs_f64() * 1000.0);
                }
                _ => {}
            }
        }
    }

    /// Keeps no more memory than an idle connection needs.
    pub fn slim(&mut self) {
        self.buffer = vec![0; 4096];
    }

    async fn receive(&mut self, bodiless: bool, mut keep: Option<&mut Vec<u8>>) -> Outcome<Answer> {
        let mut filled = 0;
        let head = loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            filled += count;
            if let Some(head) = parse(&self.buffer[..filled])? {
                break head;
            }
        };
        let bodiless = bodiless || matches!(head.answer.status, 204 | 304);
        let mut rest = if bodiless { 0 } else { head.answer.length };
        let mut part = head.end..filled;
        loop {
            if let Some(keep) = keep.as_deref_mut() {
                keep.extend_from_slice(&self.buffer[part.clone()]);
            }
            rest = rest.checked_sub(part.len() as u64).ok_or("more bytes than announced")?;
            if rest == 0 {
                break;
            }
            let count = self.stream.read(&mut self.buffer).await?;
            if count == 0 {
                return Err("the server closed the connection half way".into());
            }
            part = 0..count;
        }
        if head.close {
            self.stream = connect(&self.target).await?;
        }
        Ok(head.answer)
    }
}

async fn connect(target: &Target) -> Outcome<Box<dyn Stream>> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    Ok(match &target.tls {
        None => Box::new(stream),
        Some(config) => {
            let name = ServerName::IpAddress(target.address.ip().into());
            Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
        }
    })
}

fn parse(bytes: &[u8]) -> Outcome<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).ok_or("no status line")?;
    let mut head = Head {
        answer: Answer { status: status.parse()?, ..Answer::default() },
        end: end + 4,
        close: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.answer.length = value.parse()?;
        } else if name.eq_ignore_ascii_case("location") {
            value.clone_into(&mut head.answer.location);
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("a chunked answer is not measured".into());
        }
    }
    Ok(Some(head))
}
