//! What machines watch: `/metrics` and `/healthz`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::http::{receive, send};
use crate::support::process::tool;
use crate::support::registry::{READER, Registry, basic};

fn metrics(registry: &Registry, more: &[(&str, &str)]) -> String {
    let login = basic(READER, "secret");
    let mut headers = vec![("Authorization", login.as_str())];
    headers.extend_from_slice(more);
    let answer = send(registry.address, "GET", "/metrics", &headers, b"");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

/// The text once it has this line: a request is counted when its answer has left, not before.
fn metrics_with(registry: &Registry, line: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = metrics(registry, &[]);
        if text.lines().any(|found| found == line) {
            return text;
        }
        assert!(Instant::now() < deadline, "{line}\n{text}");
    }
}

#[test]
fn metrics_are_for_readers_only() {
    let registry = Registry::start();
    assert_eq!(registry.anonymous("GET", "/metrics").status, 401);
    assert_eq!(registry.request("POST", "/metrics", b"").status, 405);
}

#[test]
fn metrics_count_requests_bytes_and_time() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"content");
    for _ in 0..3 {
        registry.anonymous("GET", &format!("/v2/a/blobs/{digest}"));
    }
    for line in [
        r#"registry_blob_bytes_total{direction="in",layer="local"} 7"#,
        r#"registry_blob_bytes_total{direction="out",layer="local"} 21"#,
        r#"registry_requests_total{method="GET",route="blob",code="200"} 3"#,
        r#"registry_requests_total{method="POST",route="uploads",code="201"} 1"#,
        r#"registry_request_duration_seconds_count{method="GET",route="blob"} 3"#,
        r#"registry_request_duration_seconds_bucket{le="+Inf",method="GET",route="blob"} 3"#,
    ] {
        metrics_with(&registry, line);
    }
}

#[test]
fn an_upload_is_seen_while_it_runs() {
    let registry = Registry::start();
    metrics_with(&registry, "registry_uploads_running 0");
    let location = registry.start_upload("a");
    let mut stream = registry.open("PATCH", &location, &[("Content-Length", "7")]);
    stream.write_all(b"con").unwrap();
    metrics_with(&registry, "registry_uploads_running 1");
    // Those of the requests before may end a moment later.
    metrics_with(&registry, "registry_connections 2");
    stream.write_all(b"tent").unwrap();
    assert_eq!(receive(stream).status, 202);
    metrics_with(&registry, "registry_uploads_running 0");
}

#[test]
fn prometheus_itself_has_nothing_against_the_names() {
    let registry = Registry::start();
    registry.push_image("a", "latest", "x");
    registry.anonymous("GET", "/v2/a/manifests/latest");
    registry.anonymous("GET", "/nowhere");
    let text = metrics(&registry, &[]);
    for name in [
        "# TYPE registry_requests_total counter",
        "# TYPE registry_request_duration_seconds histogram",
        "# TYPE process_resident_memory_bytes gauge",
        "# TYPE process_cpu_seconds_total counter",
        "# TYPE registry_build_info gauge",
    ] {
        assert!(text.lines().any(|line| line == name), "{name}\n{text}");
    }
    let mut check = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn who_asks_for_open_metrics_gets_them() {
    let registry = Registry::start();
    let accept = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5";
    let text = metrics(&registry, &[("Accept", accept)]);
    assert!(text.ends_with("# EOF\n") && text.contains("# UNIT "), "{text}");
    assert!(!metrics(&registry, &[]).contains("# EOF"));
}

#[test]
fn a_store_that_has_vanished_is_unhealthy() {
    let registry = Registry::start();
    let answer = registry.anonymous("GET", "/healthz");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok\n"[..]));
    assert_eq!(registry.anonymous("POST", "/healthz").status, 405);
    std::fs::remove_dir_all(registry.folder.path().join("storage")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        let answer = registry.anonymous("GET", "/healthz");
        if answer.status != 200 {
            break answer;
        }
        assert!(Instant::now() < deadline, "it stays healthy");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    let said = String::from_utf8(answer.body).unwrap();
    assert!(said.contains("the store is not there") && !said.contains("storage"), "{said}");
}
