//! Clients that mean harm: endless, slow, malformed, misleading, racing each other. Each is stopped, and
//! others are served.

mod endless;
mod malformed;
mod misleading;
mod racing;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::registry::Registry;

const LONG: Duration = Duration::from_secs(40);

/// Sends these bytes and returns all that comes back until the other side closes.
fn raw(registry: &Registry, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(registry.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    let heads = answer.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head[..3].parse().unwrap()).collect()
}

fn uploads(registry: &Registry) -> usize {
    registry.folder.path().join("storage/uploads").read_dir().unwrap().count()
}

fn serves(registry: &Registry) {
    assert_eq!(registry.anonymous("GET", "/healthz").status, 200);
}
