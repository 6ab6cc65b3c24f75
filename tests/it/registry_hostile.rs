//! Clients that mean harm: endless, slow, malformed, misleading. Each is stopped, and others are served.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zuul_images::oci::Digest;
use zuul_images::registry::config::{Period, Size};

use crate::support::http::{open, receive, send};
use crate::support::registry::{READER, Registry, basic, image};

const SECOND: Period = Period(Duration::from_secs(1));
const LONG: Duration = Duration::from_secs(40);

/// A registry that soon closes a connection on which nothing comes.
fn impatient() -> Registry {
    Registry::start_with(|config| config.limits.head = SECOND)
}

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

fn serves(registry: &Registry) {
    assert_eq!(registry.anonymous("GET", "/healthz").status, 200);
}

fn login() -> String {
    basic("zuul", "secret")
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

fn uploads(registry: &Registry) -> usize {
    registry.folder.path().join("storage/uploads").read_dir().unwrap().count()
}

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
    let range = registry.request("GET", &location, b"").header("range").to_owned();
    assert_eq!(range, format!("0-{}", sent - 1));
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

#[test]
fn a_request_with_two_lengths_ends_its_connection() {
    let registry = impatient();
    let login = login();
    for head in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nTransfer-Encoding: identity",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: 4, 5",
        "Content-Length: +4",
        "Content-Length: -1",
        "Content-Length: 0x4",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: identity",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
    ] {
        let request = format!(
            "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n{head}\r\n\r\n\
             0\r\n\r\nGET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let found = raw(&registry, request.as_bytes());
        let found = statuses(&found);
        assert!(
            found.iter().all(|status| *status == 400) && found.len() < 2,
            "{head:?}: {found:?}"
        );
    }
    assert_eq!(uploads(&registry), 0);
    // Chunks win, and nothing behind them is taken for a request (RFC 9112, section 6.1).
    for head in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: chunked\r\nContent-Length: 64",
    ] {
        let digest = Digest::sha256(b"con");
        let request = format!(
            "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\
             {head}\r\n\r\n3\r\ncon\r\n0\r\n\r\nGET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let found = raw(&registry, request.as_bytes());
        assert!(matches!(statuses(&found)[..], [201 | 400]), "{head:?}: {found}");
    }
}

#[test]
fn odd_chunks_are_refused_and_no_blob_comes_of_them() {
    let registry = impatient();
    let (login, digest) = (login(), Digest::sha256(b"con"));
    let endless = "x".repeat(100_000);
    for chunks in [
        "-3\r\ncon\r\n0\r\n\r\n",
        "0x3\r\ncon\r\n0\r\n\r\n",
        "+3\r\ncon\r\n0\r\n\r\n",
        "3\ncon\r\n0\r\n\r\n",
        "3\r\nconx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\ncon\r\n0\r\n\r\n",
        "ffffffffffffffff\r\ncon\r\n0\r\n\r\n",
        "g\r\ncon\r\n0\r\n\r\n",
        "\r\ncon\r\n0\r\n\r\n",
        "3\r\ncon\r\n",
        &format!("3;{endless}\r\ncon\r\n0\r\n\r\n"),
        &format!("3\r\ncon\r\n0\r\nX: {endless}\r\n\r\n"),
    ] {
        let request = format!(
            "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        let found = raw(&registry, request.as_bytes());
        let short: String = chunks.chars().take(30).collect();
        assert!(!found.contains(" 201 "), "{short:?}: {found}");
    }
    assert_eq!(registry.anonymous("HEAD", &format!("/v2/a/blobs/{digest}")).status, 404);
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nc\r\n02\r\non\r\n0\r\nX: y\r\n\r\n"
    );
    assert_eq!(statuses(&raw(&registry, request.as_bytes())), [201]);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let registry = impatient();
    let (login, digest) = (login(), Digest::sha256(b"content"));
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\
         Content-Length: 7\r\n\r\ncontentGET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n\
         HEAD /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /v2/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(registry.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(statuses(&answer), [201, 200, 200, 404]);
    assert!(answer.contains("\r\n\r\ncontentHTTP/1.1 200"), "{answer}");
}

#[test]
fn what_is_no_http_is_refused() {
    let registry = impatient();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /v2/\r\n\r\n",
        b"G\0T /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        &[b'A'; 200_000],
    ] {
        let found = statuses(&raw(&registry, bytes));
        assert!(found.iter().all(|status| (400..500).contains(status)), "{bytes:.40?}: {found:?}");
    }
    serves(&registry);
}

#[test]
fn tricks_in_paths_and_parameters_reach_nothing_outside_the_store() {
    let registry = Registry::start();
    registry.push_image("a", "latest", "x");
    let digest = Digest::sha256(b"layer x");
    let before = files_of(registry.folder.path());
    let id = "0123456789abcdef0123456789abcdef";
    let tricks = [
        "..",
        "../..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "..%2f",
        "%252e%252e",
        "..%5c..",
        "%00",
        "a%00b",
        "%0d%0aX:%20y",
        "%c0%ae%c0%ae",
        "%ff",
        "_tags",
        "_blobs",
        "%5fmanifests",
        ".",
        "%2f",
        "%2fetc",
        "a%20b",
        "a%3fb",
        "con%2f",
        "~",
        "%e2%80%ae",
        "a;b",
        "a%23b",
    ];
    for trick in tricks {
        for (method, path) in [
            ("GET", format!("/v2/{trick}/tags/list")),
            ("GET", format!("/v2/a/{trick}/tags/list")),
            ("PUT", format!("/v2/a/{trick}/manifests/latest")),
            ("PUT", format!("/v2/a/manifests/{trick}")),
            ("DELETE", format!("/v2/a/manifests/{trick}")),
            ("GET", format!("/v2/a/blobs/{trick}")),
            ("GET", format!("/v2/a/blobs/sha256:{trick}")),
            ("DELETE", format!("/v2/a/blobs/sha256:{trick}")),
            ("GET", format!("/v2/a/referrers/{trick}")),
            ("POST", format!("/v2/{trick}/blobs/uploads/")),
            ("PATCH", format!("/v2/a/blobs/uploads/{trick}")),
            ("PATCH", format!("/v2/a/blobs/uploads/{trick}{id}")),
            ("PUT", format!("/v2/a/blobs/uploads/{id}{trick}?digest={digest}")),
            ("POST", format!("/v2/b/blobs/uploads/?mount={trick}&from=a")),
            ("GET", format!("/v2/a/tags/list?ns={trick}")),
            ("POST", format!("/v2/b/blobs/uploads/?digest={digest}&ns={trick}")),
            ("POST", format!("/v2/b/blobs/uploads/?digest=sha256:{trick}")),
        ] {
            let path = path.replace('\\', "%5c");
            let answer = registry.request(method, &path, b"layer x");
            let answered = answer.status;
            assert!((400..500).contains(&answered), "{method} {path}: {answered}");
        }
        let from = format!("/v2/b/blobs/uploads/?mount={digest}&from={trick}");
        let answer = registry.request("POST", &from, b"");
        assert!(answer.status >= 400, "{from}: {}", answer.status);
    }
    assert_eq!(files_of(registry.folder.path()), before);
    // In place of a path.
    for target in
        ["http://other.example/v2/", "*", "other.example:443", "/v2/../../etc/passwd", "//v2//"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let found = statuses(&raw(&registry, request.as_bytes()));
        assert!(found.iter().all(|status| (400..500).contains(status)), "{target}: {found:?}");
    }
}

#[test]
fn two_finish_one_upload_and_one_wins() {
    let registry = Registry::start();
    for _ in 0..10 {
        let location = registry.start_upload("a");
        assert_eq!(registry.request("PATCH", &location, b"content").status, 202);
        let finish = format!("{location}?digest={}", Digest::sha256(b"content"));
        let found: Vec<u16> = std::thread::scope(|scope| {
            let each = || scope.spawn(|| registry.request("PUT", &finish, b"").status);
            let running: Vec<_> = (0..6).map(|_| each()).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(found.iter().filter(|status| **status == 201).count(), 1, "{found:?}");
        assert!(found.iter().all(|status| [201, 404, 409].contains(status)), "{found:?}");
    }
    assert_eq!(uploads(&registry), 0);
}

#[test]
fn one_tag_pushed_by_many_at_once_is_one_of_theirs() {
    let registry = Registry::start();
    let manifests: Vec<Vec<u8>> = (0..8)
        .map(|number| {
            let layer = format!("layer {number}");
            registry.push_blob("a", b"config");
            registry.push_blob("a", layer.as_bytes());
            image(b"config", layer.as_bytes())
        })
        .collect();
    std::thread::scope(|scope| {
        for manifest in &manifests {
            let registry = &registry;
            scope.spawn(move || assert_eq!(registry.put_manifest("a", "t", manifest).status, 201));
        }
    });
    let held = registry.anonymous("GET", "/v2/a/manifests/t").body;
    assert!(manifests.contains(&held));
}

/// Every file below a folder, with its size.
fn files_of(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in folder.read_dir().into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_of(&path));
        } else {
            // What is only there for a moment may be gone.
            let size = path.metadata().map(|file| file.len());
            found.extend(size.map(|size| (path, size)));
        }
    }
    found
}
