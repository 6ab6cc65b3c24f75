//! The forward proxy: where one request or answer ends and the next begins.

use std::io::{Read, Write};

use http::Method;
use zuul_images::oci::Digest;

use crate::support::faulty::Fault;
use crate::support::proxied::Proxied;
use crate::support::sample;

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
