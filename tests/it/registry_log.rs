//! The log of the registry: one line a request, written when its answer has left.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Digest;

use crate::support::http::{Answer, open, receive, send};
use crate::support::process::Served;
use crate::support::registry::basic;

/// A registry whose log is read.
struct Logged {
    served: Served,
    folder: TempDir,
}

impl Logged {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = "storage: {folder: storage}\ntoken_key: token.key\n\
            users: [{name: zuul, pass: hunter2, access: write}]\n\
            speculative: {accept_pointers: true, pointers: pointers.json}\n";
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let options = ["--log-format", "json", "--config", file.to_str().unwrap()];
        Self { served: Served::start_logging(&options, log), folder }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the log says of the request with this id, once it says something.
    fn line(&self, id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = std::fs::read_to_string(self.log()).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let of_id: Vec<Value> = lines
                .map(|mut line| line["fields"].take())
                .filter(|fields| fields["message"] == "request" && fields["id"] == id)
                .collect();
            assert!(of_id.len() < 2, "{of_id:?}");
            if let Some(fields) = of_id.into_iter().next() {
                return fields;
            }
            assert!(Instant::now() < deadline, "no line for {id}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, method: &str, path: &str, id: &str, body: &[u8]) -> Answer {
        let login = basic("zuul", "hunter2");
        let headers = [("Authorization", login.as_str()), ("X-Request-Id", id)];
        send(self.served.address, method, path, &headers, body)
    }

    fn push(&self, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        assert_eq!(self.ask("POST", &path, "push", content).status, 201);
        digest
    }
}

#[test]
fn a_client_that_vanishes_is_named_with_the_bytes_it_took() {
    let registry = Logged::start();
    let content = vec![7; 48 * 1024 * 1024];
    let digest = registry.push(&content);
    let path = format!("/v2/a/blobs/{digest}");
    let mut stream = open(registry.served.address, "GET", &path, &[("X-Request-Id", "gone")]);
    stream.read_exact(&mut vec![0; 1024 * 1024]).unwrap();
    assert!(!std::fs::read_to_string(registry.log()).unwrap().contains("gone"));
    drop(stream);
    let line = registry.line("gone");
    assert_eq!((&line["status"], &line["vanished"]), (&200.into(), &true.into()));
    let sent = line["sent"].as_u64().unwrap();
    // The head is not counted, and what was read is.
    assert!(sent > 1024 * 1024 - 1000 && sent < content.len() as u64, "{sent}");
}

#[test]
fn pointers_that_cannot_be_kept_are_a_fault_that_is_named() {
    let registry = Logged::start();
    let index = r#"{"schemaVersion":2,"manifests":[],
        "mediaType":"application/vnd.oci.image.index.v1+json"}"#;
    assert_eq!(registry.ask("PUT", "/v2/a/manifests/1", "push", index.as_bytes()).status, 201);
    std::fs::create_dir(registry.folder.path().join("pointers.json")).unwrap();
    let url = format!("http://{}/v2/a", registry.served.address);
    let pointer = json!({"name": "q.io/a", "tag": "1", "size": index.len(), "url": url,
        "digest": Digest::sha256(index.as_bytes())});
    let list = json!({ "pointers": [pointer] }).to_string();
    assert_eq!(registry.ask("PUT", "/zuul/v1/pointers", "keep", list.as_bytes()).status, 500);
    registry.line("keep");
    let text = std::fs::read_to_string(registry.log()).unwrap();
    let fault = text.lines().find(|line| line.contains("ERROR") && line.contains("\"keep\""));
    assert!(fault.is_some_and(|line| line.contains("pointers.json")), "{text}");
}

#[test]
fn a_client_that_vanishes_while_it_pushes_leaves_a_line_too() {
    let registry = Logged::start();
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(b"content"));
    let login = basic("zuul", "hunter2");
    let headers =
        [("Authorization", login.as_str()), ("X-Request-Id", "half"), ("Content-Length", "7")];
    let mut stream = open(registry.served.address, "POST", &path, &headers);
    stream.write_all(b"con").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(stream);
    let line = registry.line("half");
    assert_eq!((&line["vanished"], &line["user"]), (&true.into(), &"zuul".into()));
    assert!(line["status"].as_u64().unwrap() >= 400, "{line}");
    assert_eq!(line["received"], 3);
}

#[test]
fn a_line_says_who_got_what_from_which_layer() {
    let registry = Logged::start();
    let digest = registry.push(b"content");
    let line = registry.line("push");
    assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/v2/a/blobs/uploads/".into()));
    assert_eq!((&line["status"], &line["received"]), (&201.into(), &7.into()));
    let answer = registry.ask("GET", &format!("/v2/a/blobs/{digest}"), "pull-1", b"");
    assert_eq!(answer.header("x-request-id"), "pull-1");
    let line = registry.line("pull-1");
    for (field, expected) in [
        ("user", Value::from("zuul")),
        ("status", 200.into()),
        ("layer", "local".into()),
        ("sent", 7.into()),
        ("received", 0.into()),
        ("vanished", Value::Null),
    ] {
        assert_eq!(line[field], expected, "{field}: {line}");
    }
    assert!(line["milliseconds"].as_f64().unwrap() > 0.0);
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    // An answer without a body, and one that is an error.
    registry.ask("HEAD", &format!("/v2/a/blobs/{digest}"), "head", b"");
    assert_eq!(registry.line("head")["sent"], 0);
    let answer = registry.ask("GET", "/v2/a/manifests/none", "none", b"");
    let line = registry.line("none");
    assert_eq!((&line["status"], &line["sent"]), (&404.into(), &answer.body.len().into()));
    let text = std::fs::read_to_string(registry.log()).unwrap();
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_request_id_that_is_long_or_not_clean_is_replaced() {
    let registry = Logged::start();
    let long = "x".repeat(65);
    for id in [long.as_str(), "a b", "a\"}", "<script>", ""] {
        let answer = registry.ask("GET", "/v2/", id, b"");
        let given = answer.header("x-request-id");
        assert!(given != id && given.len() > 8, "{id:?} became {given:?}");
        assert_eq!(registry.line(given)["status"], 200);
    }
    let text = std::fs::read_to_string(registry.log()).unwrap();
    assert!(!text.contains(&long) && !text.contains("script"));
}

#[test]
fn every_request_of_a_connection_has_its_line() {
    let registry = Logged::start();
    let address = registry.served.address;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut requests = String::new();
    for number in 0..20 {
        let end = if number == 19 { "Connection: close\r\n" } else { "" };
        requests.push_str(&format!(
            "GET /v2/a/manifests/none HTTP/1.1\r\nHost: x\r\nX-Request-Id: n-{number}\r\n{end}\r\n"
        ));
    }
    stream.write_all(requests.as_bytes()).unwrap();
    assert_eq!(receive(stream).status, 404);
    for number in 0..20 {
        let line = registry.line(&format!("n-{number}"));
        assert_eq!((&line["status"], &line["vanished"]), (&404.into(), &Value::Null), "{line}");
    }
}
