use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use zuul_images::oci::Digest;
use zuul_images::registry::config::Period;

use super::{LONG, raw, serves, statuses, uploads};
use crate::support::registry::{Registry, basic};

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

/// A registry that soon closes a connection on which nothing comes.
fn impatient() -> Registry {
    Registry::start_with(|config| config.limits.head = Period(Duration::from_secs(1)))
}

fn login() -> String {
    basic("zuul", "secret")
}
