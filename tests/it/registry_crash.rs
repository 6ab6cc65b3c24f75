//! `kill -9` of the real program: what was acknowledged is served afterwards, bit for bit.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use zuul_images::oci::Digest;

use crate::support::http::send;
use crate::support::process::Served;
use crate::support::registry::{basic, image};

const ROUNDS: u64 = 12;
const WRITERS: usize = 4;

/// Something the registry said it has.
struct Acknowledged {
    path: String,
    content: Vec<u8>,
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_half_done_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(
        &config,
        "storage: {folder: storage}\ntoken_key: key\nusers: [{name: zuul, pass: p, access: write}]\n",
    )
    .unwrap();
    let acknowledged = Mutex::new(Vec::new());
    for round in 0..ROUNDS {
        let served = Served::start(&["--config", config.to_str().unwrap()]);
        check(served.address, &acknowledged.lock().unwrap());
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (address, acknowledged) = (served.address, &acknowledged);
                scope.spawn(move || push_until_killed(address, acknowledged, round, writer));
            }
            // A different moment in each round.
            std::thread::sleep(Duration::from_millis(10 + 37 * round % 300));
            served.kill();
        });
    }
    let served = Served::start(&["--config", config.to_str().unwrap()]);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 50, "only {} writes", acknowledged.len());
    check(served.address, &acknowledged);
    no_leftovers(&folder.path().join("storage"));
}

fn push_until_killed(
    address: SocketAddr,
    acknowledged: &Mutex<Vec<Acknowledged>>,
    round: u64,
    writer: usize,
) {
    for number in 0.. {
        let seed = format!("{round}-{writer}-{number}");
        let content = seed.repeat(1 + (number % 5) * 40_000);
        let layer = Digest::sha256(content.as_bytes());
        let repository = format!("r{writer}/x");
        let upload = format!("/v2/{repository}/blobs/uploads/?digest={layer}");
        let manifest = image(content.as_bytes(), content.as_bytes());
        let digest = Digest::sha256(&manifest);
        let done = [
            ("POST", upload, content.as_bytes(), vec![format!("blobs/{layer}")]),
            (
                "PUT",
                format!("/v2/{repository}/manifests/{seed}"),
                manifest.as_slice(),
                vec![format!("manifests/{seed}"), format!("manifests/{digest}")],
            ),
        ];
        for (method, path, body, gives) in done {
            match try_send(address, method, &path, body) {
                Some(201) => {
                    let gives = gives.into_iter().map(|path| Acknowledged {
                        path: format!("/v2/{repository}/{path}"),
                        content: body.to_vec(),
                    });
                    acknowledged.lock().unwrap().extend(gives);
                }
                Some(status) => panic!("{method} {path}: {status}"),
                None => return,
            }
        }
    }
}

/// The status, or nothing once the server is gone.
fn try_send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<u16> {
    use std::io::Read as _;

    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        basic("zuul", "p"),
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    // A reset after the answer came is no answer lost.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split(' ').nth(1)?.parse().ok()
}

fn check(address: SocketAddr, acknowledged: &[Acknowledged]) {
    for Acknowledged { path, content } in acknowledged {
        let answer = send(address, "GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body == *content, "{path}");
    }
}

fn no_leftovers(storage: &Path) {
    for folder in ["uploads", "temporary"] {
        let left = storage.join(folder).read_dir().unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
}
