//! The forward proxy: where one request or answer ends and the next begins.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::Bytes;
use http::Method;
use zuul_images::oci::Digest;

use crate::support::faulty::Fault;
use crate::support::http::read_answer;
use crate::support::proxied::Proxied;
use crate::support::registry::{READER, basic};
use crate::support::sample;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_can_be_read_in_two_ways_do_not_get_through() {
    let proxied = Proxied::start().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for framing in [
        "Content-Length: 0\r\nContent-Length: 40\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
    ] {
        let mut tunnel = proxied.tunnel();
        let head = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: {}\r\n", proxied.target);
        let bytes = format!("{head}{framing}\r\n{smuggled}");
        let answer = tunnel.raw(bytes.as_bytes(), true);
        assert_eq!(answer.status, 400, "{framing}: {answer:?}");
        assert_eq!(proxied.real.requests(), [""; 0], "{framing}");
    }
    // Where both lengths are given, what was read is what is sent, and nothing follows it.
    let mut tunnel = proxied.tunnel();
    let head = format!(
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 6\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        proxied.target
    );
    tunnel.raw(head.as_bytes(), true);
    let recorded = proxied.real.recorded();
    assert!(recorded.len() <= 1 && recorded.iter().all(|one| one.body_bytes == 0), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_other_protocol_and_no_second_tunnel_begins_inside() {
    let proxied = Proxied::start().await;
    let mut tunnel = proxied.tunnel();
    assert_eq!(tunnel.ask("TRACE", "/v2/", &[]).status, 405);
    let connect = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", proxied.target);
    assert_eq!(tunnel.raw(connect.as_bytes(), true).status, 405);
    assert_eq!(proxied.real.requests(), [""; 0]);
    let switched = vec![("Upgrade", "websocket".to_owned())];
    proxied.real.fault(1, Method::GET, "/chat", Fault::Answer(101, switched, String::new()));
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let answer = proxied.tunnel().ask("GET", "/chat", &upgrade);
    assert!(matches!(answer.status, 500..=502), "{answer:?}");
    let recorded = proxied.real.recorded();
    assert!(recorded.iter().all(|one| !one.headers.contains_key("upgrade")), "{recorded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_the_host_may_have_seen_is_not_sent_again() {
    let proxied = Proxied::start().await;
    for method in [Method::POST, Method::GET] {
        proxied.real.fault(1, method.clone(), "uploads", Fault::LoseReply);
        let mut tunnel = proxied.tunnel();
        let length = [("Content-Length", "3")];
        let lost = tunnel.send(method.as_str(), "/v2/a/blobs/uploads/", &length, b"abc");
        assert_eq!(lost.status, 502, "{lost:?}");
        assert_eq!(proxied.real.count(method, "uploads"), 1);
        // The tunnel lives on.
        assert_eq!(tunnel.ask("GET", "/v2/", &[]).status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_breaks_off_there_breaks_off_here() {
    let proxied = Proxied::start().await;
    let layer = sample::bytes("layer", 1_000_000);
    proxied.real.memory.hold_blob("org/img", &layer);
    let path = format!("/v2/org/img/blobs/{}", Digest::sha256(&layer));
    proxied.real.fault(1, Method::GET, &path, Fault::CutAfter(300_000));
    let mut tunnel = proxied.tunnel();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxied.target);
    tunnel.stream.write_all(head.as_bytes()).unwrap();
    let mut received = Vec::new();
    let ended = tunnel.stream.read_to_end(&mut received);
    assert!(ended.is_err() || received.len() < layer.len(), "{}", received.len());
    assert_eq!(proxied.tunnel().ask("GET", &path, &[]).body, layer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_nobody_asked_for_is_not_taken_for_a_request() {
    let proxied = Proxied::start().await;
    proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let target = &proxied.target;
    let length = SMUGGLED.len();
    let chunked =
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
    let counted = format!("Content-Length: {length}\r\n\r\n{SMUGGLED}");
    for (method, path, status) in [
        ("GET", "/v2/org/img/manifests/t", 200),
        ("HEAD", "/v2/org/img/manifests/t", 200),
        ("GET", "/v2/org/other/manifests/t", 404),
        ("HEAD", "/v2/org/other/manifests/t", 404),
        ("GET", "/v2/", 200),
        ("DELETE", "/v2/org/other/manifests/t", 404),
    ] {
        for body in [&counted, &chunked] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: {target}\r\n{body}");
            let mut tunnel = proxied.tunnel();
            assert_eq!(tunnel.raw(head.as_bytes(), method != "HEAD").status, status, "{head}");
            // Another request, or the end; never an answer to what stood in the body.
            let next = format!("GET /next HTTP/1.1\r\nHost: {target}\r\n\r\n");
            let mut rest = Vec::new();
            if tunnel.stream.write_all(next.as_bytes()).is_ok() {
                tunnel.stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = tunnel.stream.read_to_end(&mut rest);
            }
            let rest = String::from_utf8_lossy(&rest);
            assert!(rest.matches("HTTP/1.1").count() <= 1, "{head}: {rest}");
        }
    }
    assert_eq!(proxied.real.count(Method::GET, "/smuggled"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connect_with_a_body_is_refused() {
    let proxied = Proxied::start().await;
    let (target, login) = (&proxied.target, basic(READER, "secret"));
    for (framing, status) in [
        ("Content-Length: 5\r\n\r\nhello", 400),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
        ("Content-Length: 0\r\n\r\n", 200),
    ] {
        let head = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {login}\r\n{framing}"
        );
        let mut stream = TcpStream::connect(proxied.registry.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream, true).status, status, "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_said_right_behind_a_connect_goes_through_the_tunnel() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let proxied = Proxied::start_with(|config| config.ports.push(port)).await;
    let mut stream = TcpStream::connect(proxied.registry.address).unwrap();
    let login = basic(READER, "secret");
    let head = format!(
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {login}\r\n\r\nearly"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut heard = [0; 5];
    other.accept().unwrap().0.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelined_requests_are_answered_in_turn_by_whoever_has_to() {
    let proxied = Proxied::start().await;
    let manifest = proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let released = sample::image("released", &[Bytes::from_static(b"layer")]);
    proxied.real.memory.hold("org/released", "t", &released);
    let target = &proxied.target;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let post = format!(
        "POST /v2/org/img/blobs/uploads/ HTTP/1.1\r\nHost: {target}\r\nContent-Length: 0\r\n\r\n"
    );
    let here = get("/v2/org/img/manifests/t");
    let there = get("/v2/org/released/manifests/t");
    let mut tunnel = proxied.tunnel();
    let all = [here.as_str(), &there, &post, &here, &there].concat();
    tunnel.stream.write_all(all.as_bytes()).unwrap();
    for expected in [Some(&manifest[..]), Some(released.root.bytes()), None, Some(&manifest), None]
    {
        let answer = read_answer(&mut tunnel.stream, true);
        assert!(answer.status < 300, "{answer:?}");
        if let Some(expected) = expected {
            assert_eq!(answer.body, expected);
        }
    }
    assert_eq!(proxied.real.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let proxied = Proxied::start().await;
    let layer = sample::bytes("layer", 300_000);
    let head = format!(
        "POST /v2/org/img/blobs/uploads/ HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        proxied.target,
        layer.len()
    );
    let mut tunnel = proxied.tunnel();
    assert_eq!(tunnel.raw(head.as_bytes(), false).status, 100);
    let answer = tunnel.raw(&layer, true);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(proxied.real.recorded().pop().unwrap().body_bytes, layer.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trailers_do_not_become_headers() {
    let proxied = Proxied::start().await;
    let body = "3\r\nabc\r\n0\r\nAuthorization: Basic eDp5\r\nX-Trailer: 1\r\n\r\n";
    let head = format!(
        "POST /v2/org/img/blobs/uploads/ HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
         Trailer: Authorization, X-Trailer\r\n\r\n{body}",
        proxied.target
    );
    proxied.tunnel().raw(head.as_bytes(), true);
    let recorded = proxied.real.recorded().pop().unwrap();
    assert_eq!(recorded.body_bytes, 3);
    for name in ["authorization", "x-trailer", "trailer"] {
        assert!(!recorded.headers.contains_key(name), "{recorded:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_keep_their_length_also_where_they_have_no_body() {
    let proxied = Proxied::start().await;
    let layer = sample::bytes("layer", 300_000);
    proxied.real.memory.hold_blob("org/img", &layer);
    let path = format!("/v2/org/img/blobs/{}", Digest::sha256(&layer));
    let mut tunnel = proxied.tunnel();
    for _ in 0..2 {
        let head = tunnel.ask("HEAD", &path, &[]);
        assert_eq!((head.status, head.header("content-length")), (200, "300000"));
        assert_eq!(tunnel.ask("GET", &path, &[]).body, layer);
        let same = vec![("Content-Length", "300000".to_owned()), ("ETag", "\"a\"".to_owned())];
        proxied.real.fault(1, Method::GET, "/cached", Fault::Answer(304, same, String::new()));
        let unchanged = tunnel.ask("GET", "/cached", &[("If-None-Match", "\"a\"")]);
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, "\"a\""));
    }
    // A client of HTTP/1.0 gets it up to the end of the connection.
    let old = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", proxied.target);
    let mut tunnel = proxied.tunnel();
    tunnel.stream.write_all(old.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut tunnel.stream, true).body, layer);
    assert_eq!(tunnel.stream.read(&mut [0]).unwrap_or(0), 0);
}
