//! Ten thousand connections that do nothing.

use std::net::TcpStream;

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
        idle.push(TcpStream::connect(served.address).unwrap());
    }
    let text = |field: &str| connection[field].as_str().unwrap().to_owned();
    let login = basic(&text("username"), &text("password"));
    let headers = [("Authorization", login.as_str())];
    assert_eq!(send(served.address, "GET", "/v2/", &headers, b"").status, 200);
    let status = send(served.address, "GET", "/status?format=json", &headers, b"");
    let status: Value = status.json();
    let open = status["now_running"]["connections"].as_u64().unwrap();
    assert!(open > CONNECTIONS as u64, "{open} connections");
    let metrics = send(served.address, "GET", "/metrics", &headers, b"").body;
    let metrics = String::from_utf8(metrics).unwrap();
    let resident =
        metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let resident: f64 = resident.unwrap().parse().unwrap();
    assert!(resident < 150.0 * 1024.0 * 1024.0, "{resident} bytes");
    drop(idle);
    assert_eq!(send(served.address, "GET", "/healthz", &[], b"").status, 200);
}
