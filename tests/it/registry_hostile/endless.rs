use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use zuul_images::oci::Digest;
use zuul_images::registry::config::{Period, Size};

use super::{LONG, serves, uploads};
use crate::support::http::{open, receive, send};
use crate::support::registry::{READER, Registry, basic};

const SECOND: Period = Period(Duration::from_secs(1));

#[test]
fn an_upload_that_never_ends_is_cut_at_the_largest_blob() {
    let registry = Registry::start_with(|config| config.limits.blob = Size(100_000));
    let location = registry.start_upload("a");
    for (method, path) in [
        ("PATCH", location.as_str()),
        ("POST", &format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(b""))),
    ] {
        let mut stream = registry.open(method, path, &[("Transfer-Encoding", "chunked")]);
        stream.set_write_timeout(Some(LONG)).unwrap();
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
        let deadline = Instant::now() + LONG;
        while stream.write_all(&chunk).is_ok() {
            assert!(Instant::now() < deadline, "it is never cut");
        }
    }
    assert_eq!(registry.request("GET", &location, b"").status, 404);
    assert_eq!(uploads(&registry), 0);
    // What says it is too large is not read, and what is small enough all together is taken.
    let location = registry.start_upload("a");
    let answer = registry.request("PATCH", &location, &[b'x'; 60_000]);
    assert_eq!(answer.status, 202);
    let answer = registry.request("PATCH", &location, &[b'x'; 60_000]);
    assert_eq!((answer.status, answer.code().as_str()), (413, "SIZE_INVALID"));
    let digest = Digest::sha256(&[b'x'; 100_000]);
    let finish = format!("{location}?digest={digest}");
    assert_eq!(registry.request("PUT", &finish, &[b'x'; 40_000]).status, 201);
}

#[test]
fn a_push_that_drips_is_ended_and_can_go_on() {
    let registry = Registry::start_with(|config| config.limits.push = SECOND);
    let location = registry.start_upload("a");
    let mut stream = registry.open("PATCH", &location, &[("Content-Length", "1000000")]);
    let mut sent: u64 = 0;
    while stream.write_all(b"x").is_ok() {
        sent += 1;
        assert!(sent < 1000, "it is never ended");
        std::thread::sleep(Duration::from_millis(50));
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        if answered {
            break;
        }
    }
    assert_eq!(receive(stream).status, 408);
    // What was sent while the answer was on its way came too late.
    let range = registry.request("GET", &location, b"").header("range").to_owned();
    let kept = 1 + range.strip_prefix("0-").unwrap().parse::<u64>().unwrap();
    assert!((1..=sent).contains(&kept), "{range} of {sent}");
    let whole = vec![b'x'; usize::try_from(sent + 10).unwrap()];
    let finish = format!("{location}?digest={}", Digest::sha256(&whole));
    let rest = &whole[usize::try_from(kept).unwrap()..];
    assert_eq!(registry.request("PUT", &finish, rest).status, 201);
}

#[test]
fn slow_heads_bodies_and_readers_are_ended() {
    let registry = Registry::start_with(|config| {
        config.limits.head = SECOND;
        config.limits.stall = SECOND;
        config.body_idle = SECOND;
    });
    // More than sockets and TLS keep for a reader.
    let digest = registry.push_blob("a", &vec![7; 32 * 1024 * 1024]);
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut head = TcpStream::connect(registry.address).unwrap();
        head.write_all(b"GET /v2/ HTTP/1.1\r\nHo").unwrap();
        let body = registry.open("PUT", "/v2/a/manifests/x", &[("Content-Length", "9")]);
        let reader = open(registry.address, "GET", &format!("/v2/a/blobs/{digest}"), &[]);
        kept.extend([TcpStream::connect(registry.address).unwrap(), head, body, reader]);
    }
    wait_until_alone(&registry);
    serves(&registry);
    drop(kept);
}

#[test]
fn manifest_bombs_are_refused_or_stored_and_harm_nobody() {
    let registry = Registry::start();
    let deep = "[".repeat(4_000_000);
    let nested =
        format!(r#"{{"schemaVersion":2,"manifests":[],"x":{}"#, r#"{"x":"#.repeat(700_000));
    let million = format!(r#"{{"schemaVersion":2,"manifests":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    for bomb in [&deep, &nested, &million] {
        let answer = registry.put_manifest("a", "bomb", bomb.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"));
    }
    let digest = Digest::sha256(b"x");
    let entry = format!(r#"{{"mediaType":"m","digest":"{digest}","size":1}}"#);
    let many = vec![entry.as_str(); 35_000].join(",");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
    assert_eq!(registry.put_manifest("a", "index", index.as_bytes()).status, 201);
    assert!(registry.anonymous("GET", "/v2/a/manifests/index").body == index.as_bytes());
    let layers = format!(r#"{{"schemaVersion":2,"config":{entry},"layers":[{many}]}}"#);
    let answer = registry.put_manifest("a", "layers", layers.as_bytes());
    assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    // The page shows some of it, not all.
    let reader = basic(READER, "secret");
    let page = send(registry.address, "GET", "/status", &[("Authorization", &reader)], b"");
    assert!(page.status == 200 && page.body.len() < 100_000);
    serves(&registry);
}

#[test]
fn compressed_bodies_are_taken_as_they_are() {
    let registry = Registry::start();
    // gzip of nothing much; what it would become is never looked at.
    let packed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let digest = Digest::sha256(packed);
    let coding = [("Content-Encoding", "gzip")];
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(registry.with("POST", &path, &coding, packed).status, 201);
    let headers = [("Accept-Encoding", "gzip, br, zstd")];
    let path = format!("/v2/a/blobs/{digest}");
    let answer = send(registry.address, "GET", &path, &headers, b"");
    assert_eq!((answer.body.as_slice(), answer.header("content-encoding")), (&packed[..], ""));
    let answer = registry.with("PUT", "/v2/a/manifests/x", &coding, packed);
    assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"));
}

/// Waits until only the connection that asks is open.
fn wait_until_alone(registry: &Registry) {
    let deadline = Instant::now() + LONG;
    loop {
        let reader = basic(READER, "secret");
        let headers = [("Authorization", reader.as_str())];
        let text = send(registry.address, "GET", "/metrics", &headers, b"").body;
        let text = String::from_utf8(text).unwrap();
        if text.contains("\nregistry_connections 1\n") {
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
