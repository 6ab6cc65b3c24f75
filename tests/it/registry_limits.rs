//! Limits and endings: what is too large, too slow, or still running when the registry stops.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use zuul_images::oci::Digest;
use zuul_images::registry::config::Period;
use zuul_images::serve::Drained;

use crate::support::http::{receive, send};
use crate::support::registry::Registry;

const FOUR_MIB: usize = 4 * 1024 * 1024;

#[test]
fn a_manifest_over_4_mib_is_refused() {
    let registry = Registry::start();
    let body = vec![b' '; FOUR_MIB + 1];
    let answer = registry.put_manifest("a", "latest", &body);
    assert_eq!((answer.status, answer.code().as_str()), (413, "SIZE_INVALID"));
    // Without a length it is counted.
    let mut stream =
        registry.open("PUT", "/v2/a/manifests/latest", &[("Transfer-Encoding", "chunked")]);
    stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    assert_eq!(receive(stream).status, 413);
}

#[test]
fn a_manifest_of_4_mib_is_stored() {
    let registry = Registry::start();
    let mut body = br#"{"schemaVersion":2,"manifests":[]"#.to_vec();
    body.resize(FOUR_MIB - 1, b' ');
    body.push(b'}');
    assert_eq!(registry.put_manifest("a", "latest", &body).status, 201);
    assert!(registry.anonymous("GET", "/v2/a/manifests/latest").body == body);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let registry = Registry::start();
    let many: Vec<(String, String)> =
        (0..200).map(|number| (format!("X-{number}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(send(registry.address, "GET", "/v2/", &many, b"").status, 431);
    let long = "x".repeat(60_000);
    let longer = [("X-1", long.as_str()), ("X-2", &long)];
    assert_eq!(send(registry.address, "GET", "/v2/", &longer, b"").status, 431);
    let path = format!("/v2/{}/manifests/latest", "a/".repeat(5000));
    assert_eq!(registry.anonymous("GET", &path).code(), "NAME_INVALID");
}

#[test]
fn a_push_that_brings_no_bytes_is_ended_and_can_go_on() {
    let registry = Registry::start_with(|config| config.body_idle = Period(Duration::from_secs(1)));
    let location = registry.start_upload("a");
    let mut stream = registry.open("PATCH", &location, &[("Content-Length", "7")]);
    stream.write_all(b"con").unwrap();
    assert_eq!(receive(stream).status, 408);
    let state = registry.request("GET", &location, b"");
    assert_eq!(state.header("range"), "0-2");
    let finish = format!("{location}?digest={}", Digest::sha256(b"content"));
    assert_eq!(registry.request("PUT", &finish, b"tent").status, 201);
}

#[test]
fn an_upload_of_a_killed_client_is_removed_while_another_goes_on() {
    let registry = Registry::start_forgetting(Duration::from_secs(1));
    let digest = Digest::sha256(b"content");
    let slow = registry.start_upload("a");
    let path = format!("{slow}?digest={digest}");
    let mut stream = registry.open("PUT", &path, &[("Content-Length", "7")]);
    stream.write_all(b"con").unwrap();
    // It begins later and is gone while the other has had nothing new for longer.
    let abandoned = registry.start_upload("a");
    let mut killed = registry.open("PATCH", &abandoned, &[("Content-Length", "7")]);
    killed.write_all(b"con").unwrap();
    drop(killed);
    let uploads = registry.folder.path().join("storage/uploads");
    let deadline = Instant::now() + Duration::from_secs(20);
    let file = uploads.join(abandoned.rsplit('/').next().unwrap());
    while file.exists() || registry.request("GET", &abandoned, b"").status != 404 {
        assert!(Instant::now() < deadline, "it is never removed");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(registry.request("GET", &slow, b"").status, 204);
    stream.write_all(b"tent").unwrap();
    assert_eq!(receive(stream).status, 201);
    assert_eq!(uploads.read_dir().unwrap().count(), 0);
}

#[test]
fn a_refusal_is_heard_by_a_client_that_is_still_sending() {
    let registry = Registry::start();
    let body = vec![0; 3_000_000];
    let answer = send(registry.address, "POST", "/v2/a/blobs/uploads/", &[], &body);
    assert_eq!(answer.status, 401);
    let location = registry.start_upload("a");
    let range = [("Content-Range", "5-3000004")];
    assert_eq!(registry.with("PATCH", &location, &range, &body).status, 416);
}

#[test]
fn a_running_push_ends_well_when_the_registry_stops() {
    let mut registry = Registry::start();
    let digest = Digest::sha256(b"content");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}");
    let mut stream = registry.open("POST", &path, &[("Content-Length", "7")]);
    stream.write_all(b"con").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    registry.stop();
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect(registry.address).is_err(), "it still accepts connections");
    stream.write_all(b"tent").unwrap();
    assert_eq!(receive(stream).status, 201);
    let (folder, drained) = registry.end();
    assert_eq!(drained, Drained::Completely);
    let registry = Registry::start_in(folder, |_| {});
    assert_eq!(registry.anonymous("GET", &format!("/v2/a/blobs/{digest}")).body, b"content");
}

#[test]
fn an_upload_goes_on_after_a_restart() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    registry.request("PATCH", &location, b"con");
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |_| {});
    let finish = format!("{location}?digest={}", Digest::sha256(b"content"));
    assert_eq!(registry.request("PUT", &finish, b"tent").status, 201);
}

#[test]
fn a_damaged_blob_is_an_error_and_never_wrong_bytes() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"content");
    let hex = digest.hex();
    let file = format!("storage/content/sha256/{}/{hex}/+data", &hex[..2]);
    std::fs::write(registry.folder.path().join(file), b"conten").unwrap();
    let answer = registry.anonymous("GET", &format!("/v2/a/blobs/{digest}"));
    assert_eq!((answer.status, answer.code().as_str()), (500, "UNKNOWN"));
    let said = String::from_utf8(answer.body).unwrap();
    assert!(!said.contains("storage/"), "{said}");
}
