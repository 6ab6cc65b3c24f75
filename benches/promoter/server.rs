//! A registry that holds the same image under `v1.0` in every repository, and answers 5 ms late.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use zuul_images::oci::Digest;

use super::support::Outcome;

const LATE: Duration = Duration::from_millis(5);

pub struct Registry {
    pub address: SocketAddr,
    pub digest: String,
}

impl Registry {
    /// Serves until the benchmark ends.
    pub fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let digest = Digest::sha256(b"image").to_string();
        let held = digest.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let held = held.clone();
                thread::spawn(move || serve(&stream, &held));
            }
        });
        Ok(Self { address, digest })
    }
}

/// Answers on a connection until it ends.
fn serve(stream: &TcpStream, digest: &str) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        thread::sleep(LATE);
        let is_head = request.starts_with("HEAD");
        let (status, body) = match () {
            () if request.contains("/tags/list") => ("200 OK", "{\"tags\":[\"v1.0\"]}"),
            () if request.contains("/manifests/") && is_head => ("200 OK", ""),
            () => ("404 Not Found", "{}"),
        };
        let length = if is_head { 7 } else { body.len() };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {digest}\r\n\r\n{body}"
        );
        let mut writer = stream;
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
