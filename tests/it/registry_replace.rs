//! The program replaced while it is used: SIGTERM to the old one, the new one takes over.

use std::cell::OnceCell;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use zuul_images::oci::Digest;
use zuul_images::zuul::Connection;

use crate::support::http::{ask, open, receive, send};
use crate::support::images::{digest_of, push_image, repository};
use crate::support::process::{Served, init, registry};
use crate::support::registry::basic;
use crate::support::wait::wait_until;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The process id in the root, once it is not `before`.
fn pid(root: &Path, before: Option<u32>) -> u32 {
    let read = || std::fs::read_to_string(root.join("serve.pid")).ok()?.trim().parse().ok();
    wait_until(|| read().is_some_and(|pid: u32| Some(pid) != before));
    read().unwrap()
}

#[test]
fn who_waits_in_vain_is_refused_and_a_signal_ends_the_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    init(folder.path(), &["--host", "127.0.0.1"]);
    let served = Served::start(&["--root", root]);
    let output = registry(&["serve", "--root", root, "--listen", "127.0.0.1:0", "--wait", "1s"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "refused");

    let address = served.address.to_string();
    let mut waiting = registry(&["serve", "--root", root, "--listen", &address, "--wait", "1h"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    crate::support::process::terminate(waiting.id());
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    // Nothing of this hurt the one that serves.
    assert_eq!(pid(folder.path(), None), served.id());
    assert_eq!(served.terminate(), (Some(0), String::new()));
    assert!(!folder.path().join("serve.pid").exists());
}

#[test]
fn an_upload_that_runs_ends_at_the_old_one_and_goes_on_at_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(
        &config,
        "storage: {folder: storage}\ntoken_key: key\nusers: [{name: zuul, pass: p, access: write}]\n",
    )
    .unwrap();
    let options = ["--config", config.to_str().unwrap(), "--wait", "60s"];
    let old = Served::start(&options);
    let (address, login) = (old.address, basic("zuul", "p"));
    let headers = [("Authorization", login.as_str())];
    let started = send(address, "POST", "/v2/a/blobs/uploads/", &headers, b"");
    let upload = started.header("location").to_owned();
    let mut chunk = open(address, "PATCH", &upload, &[headers[0], ("Content-Length", "8")]);
    chunk.write_all(b"half").unwrap();
    let before = pid(folder.path(), None);
    let new = std::thread::scope(|scope| {
        let new = scope.spawn(|| Served::start_on(address, &options));
        let ending = scope.spawn(move || old.terminate());
        // Whichever of the two listens answers: the new one waits for the store. Between them nobody does.
        let stream = OnceCell::new();
        wait_until(|| {
            std::net::TcpStream::connect(address).is_ok_and(|new| stream.set(new).is_ok())
        });
        let asked = ask(stream.into_inner().unwrap(), address, "GET", "/healthz", &[]);
        let healthy = scope.spawn(move || receive(asked).status);
        chunk.write_all(b"+end").unwrap();
        let answer = receive(chunk);
        assert_eq!((answer.status, answer.header("range")), (202, "0-7"));
        assert_eq!(ending.join().unwrap(), (Some(0), String::new()));
        assert_eq!(healthy.join().unwrap(), 200);
        new.join().unwrap()
    });
    assert_eq!(pid(folder.path(), Some(before)), new.id());
    let digest = Digest::sha256(b"half+end");
    let finished = send(address, "PUT", &format!("{upload}?digest={digest}"), &headers, b"");
    assert_eq!(finished.status, 201, "{finished:?}");
    let blob = send(address, "GET", &format!("/v2/a/blobs/{digest}"), &[], b"");
    assert_eq!(blob.body, b"half+end");
}

/// The clients are ordinary ones: they try again where nobody listens, and never hear of an error.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_and_pulls_lose_nothing_while_the_program_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let address = free_address();
    let port = address.port().to_string();
    init(&root, &["--host", "127.0.0.1", "--port", &port]);
    let connection = Connection::read(&root.join("connection.json")).unwrap();
    let options = ["--root", root.to_str().unwrap(), "--wait", "60s"];
    let mut served = Served::start_on(address, &options);
    let stop = AtomicBool::new(false);
    let (pushed, _served) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (connection, stop) = (&connection, &stop);
                scope.spawn(move || push_and_pull(connection, stop, client))
            })
            .collect();
        for _ in 0..4 {
            std::thread::sleep(std::time::Duration::from_millis(300));
            served = std::thread::scope(|scope| {
                let next = scope.spawn(|| Served::start_on(address, &options));
                assert_eq!(served.terminate(), (Some(0), String::new()));
                next.join().unwrap()
            });
        }
        stop.store(true, Ordering::Relaxed);
        let pushed = clients.into_iter().flat_map(|client| client.join().unwrap());
        (pushed.collect::<Vec<_>>(), served)
    });
    assert!(pushed.len() >= 4, "only {} images", pushed.len());
    for (name, digest) in pushed {
        assert_eq!(digest_of(&repository(&connection, &name), "t").await, Some(digest), "{name}");
    }
}

fn push_and_pull(connection: &Connection, stop: &AtomicBool, client: u32) -> Vec<(String, Digest)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut pushed = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("client{client}/image{number}");
        let digest = runtime.block_on(async {
            let repository = repository(connection, &name);
            let seed = format!("{client} {number}");
            let image = push_image(&repository, Some("t"), &seed, "linux/amd64").await;
            assert_eq!(digest_of(&repository, "t").await.as_ref(), Some(image.digest()));
            image.digest().clone()
        });
        pushed.push((name, digest));
    }
    pushed
}
