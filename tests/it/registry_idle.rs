//! Ten thousand connections that do nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::support::http::send;
use crate::support::process::{Served, init};
use crate::support::registry::basic;

const CONNECTIONS: usize = 10_000;

#[test]
fn ten_thousand_idle_connections_hinder_nobody_and_take_little() {
    // This side needs a file for each, and the other some more.
    let limit = getrlimit(Resource::Nofile);
    let needed = 16_000;
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("this test needs 16,000 open files: run it as root, or raise `ulimit -Hn`");

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let connection = init(&root, &["--host", "127.0.0.1"])["connection"].take();
    let text = std::fs::read_to_string(root.join("config.yaml")).unwrap();
    let (start, end) = (text.find("\ntls:").unwrap(), text.find("\nstorage:").unwrap());
    // However long it takes to open them, the first is there when the last comes.
    let plain = text[..start].to_owned() + &text[end..] + "limits: {head: 1h}\n";
    std::fs::write(root.join("config.yaml"), plain).unwrap();
    let served = Served::start(&["--root", root.to_str().unwrap()]);

    let mut idle = Vec::with_capacity(CONNECTIONS);
    while idle.len() < CONNECTIONS {
        let mut stream = TcpStream::connect(served.address).unwrap();
        // One that has been used takes more than one that never was.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_ne!(stream.read(&mut [0; 512]).unwrap(), 0);
        idle.push(stream);
    }
    let text = |field: &str| connection[field].as_str().unwrap().to_owned();
    let login = basic(&text("username"), &text("password"));
    let headers = [("Authorization", login.as_str())];
    assert_eq!(send(served.address, "GET", "/v2/", &headers, b"").status, 200);
    let status = send(served.address, "GET", "/status?format=json", &headers, b"");
    let status: Value = status.json();
    let open = status["now_running"]["connections"].as_u64().unwrap();
    assert!(open > CONNECTIONS as u64, "{open} connections");
    let resident = || -> f64 {
        let metrics = send(served.address, "GET", "/metrics", &headers, b"").body;
        let metrics = String::from_utf8(metrics).unwrap();
        let mut lines = metrics.lines();
        let resident = lines.find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        resident.unwrap().parse().unwrap()
    };
    // The last ones become quiet a moment later.
    let until = Instant::now() + Duration::from_secs(10);
    while resident() >= 150.0 * 1024.0 * 1024.0 {
        assert!(Instant::now() < until, "{} bytes", resident());
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(idle);
    assert_eq!(send(served.address, "GET", "/healthz", &[], b"").status, 200);
}
