//! `kill -9` of the real program at any moment: what was acknowledged is served afterwards, bit for bit,
//! nothing is damaged, and nothing is left of what was under way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zuul_images::oci::Digest;
use zuul_images::storage::{Durability, Filesystem, Verifying};

use crate::support::process::Served;
use crate::support::registry::{basic, image};

const STORES: u64 = 20;
const KILLS_OF_A_STORE: u64 = 10;
const WRITERS: usize = 4;

/// The longest time a process pushes before it is killed.
const MILLISECONDS: u64 = 60;

/// What one writer was told.
#[derive(Default)]
struct Told {
    /// Paths and what they must give.
    acknowledged: Vec<(String, Vec<u8>)>,
    /// What the moving tag held when that was last acknowledged, and what it may hold.
    latest: Vec<u8>,
    tried: Vec<u8>,
}

#[test]
#[allow(clippy::print_stdout, reason = "with the seed the moments come again")]
fn nothing_acknowledged_is_lost_at_200_moments_of_death() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = u64::from(now.subsec_nanos());
    println!("seed {seed}");
    let count: usize = std::thread::scope(|scope| {
        let lanes = [0, 1].map(|lane| {
            let stores = (lane..STORES).step_by(2);
            scope.spawn(move || stores.map(|store| live_and_die(store, seed)).sum::<usize>())
        });
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    println!("{count} things were acknowledged in {} lives", STORES * KILLS_OF_A_STORE);
    assert!(count > 50, "only {count} writes");
}

/// The life of a store; returns how much was acknowledged.
fn live_and_die(store: u64, seed: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let durability = if store % 4 < 2 { "process" } else { "commit" };
    let text = format!(
        "storage: {{folder: storage, durability: {durability}}}\ntoken_key: key\nusers: [{{name: zuul, pass: p, access: write}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut dice = seed ^ (store + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let told: Vec<Mutex<Told>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    for life in 0..=KILLS_OF_A_STORE {
        let served = Served::start(&["--config", config.to_str().unwrap()]);
        let what = format!("seed {seed}, store {store}, life {life}");
        look_at(&folder.path().join("storage"), &what);
        for writer in &told {
            check(served.address, &mut writer.lock().unwrap(), &what);
        }
        if life == KILLS_OF_A_STORE {
            break;
        }
        std::thread::scope(|scope| {
            for (writer, told) in told.iter().enumerate() {
                let address = served.address;
                scope.spawn(move || push_until_killed(address, told, life, writer));
            }
            let pause = Duration::from_micros(throw(&mut dice) % (MILLISECONDS * 1000));
            std::thread::sleep(pause);
            served.kill();
        });
    }
    told.iter().map(|told| told.lock().unwrap().acknowledged.len()).sum()
}

/// Nothing is left of what was under way, and nothing is damaged.
fn look_at(storage: &Path, what: &str) {
    for folder in ["uploads", "temporary"] {
        let left = || -> Vec<_> {
            storage.join(folder).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        assert!(left().is_empty(), "{what}: {:?}", left());
    }
    let store = Filesystem::beside(storage, Durability::Process).unwrap();
    let verified = store.verify(Verifying::default(), &|_| {}).unwrap();
    assert!(verified.damage.is_empty(), "{what}: {:?}", verified.damage);
}

fn push_until_killed(address: SocketAddr, told: &Mutex<Told>, life: u64, writer: usize) {
    let repository = format!("r{writer}/x");
    for number in 0.. {
        let seed = format!("{life}-{writer}-{number}");
        let config = seed.repeat(1 + (number % 5) * 10_000);
        // A layer that all writers push at the same time.
        let layer = format!("shared {life} {number}").repeat(100);
        for (content, chunked) in [(&config, number % 2 == 0), (&layer, number % 3 == 0)] {
            let digest = Digest::sha256(content.as_bytes());
            if push(address, &repository, content.as_bytes(), &digest, chunked).is_none() {
                return;
            }
            let path = format!("/v2/{repository}/blobs/{digest}");
            told.lock().unwrap().acknowledged.push((path, content.clone().into_bytes()));
        }
        let manifest = image(config.as_bytes(), layer.as_bytes());
        for tag in [seed.as_str(), "latest"] {
            if tag == "latest" {
                told.lock().unwrap().tried.clone_from(&manifest);
            }
            let path = format!("/v2/{repository}/manifests/{tag}");
            match send(address, "PUT", &path, &manifest) {
                Some((201, _)) => {}
                Some((status, _)) => panic!("{path}: {status}"),
                None => return,
            }
            let mut told = told.lock().unwrap();
            match tag {
                "latest" => told.latest.clone_from(&manifest),
                _ => told.acknowledged.push((path, manifest.clone())),
            }
        }
    }
}

/// Pushes a blob; nothing once the server is gone.
fn push(
    address: SocketAddr,
    repository: &str,
    content: &[u8],
    digest: &Digest,
    chunked: bool,
) -> Option<()> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let status = if chunked {
        let (_, location) = send(address, "POST", &path, b"")?;
        let (start, end) = content.split_at(content.len() / 2);
        send(address, "PATCH", &location, start)?;
        send(address, "PUT", &format!("{location}?digest={digest}"), end)?.0
    } else {
        send(address, "POST", &format!("{path}?digest={digest}"), content)?.0
    };
    assert_eq!(status, 201, "{path}");
    Some(())
}

/// The status and the location, or nothing once the server is gone.
fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
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
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    Some((status, location.unwrap_or_default().to_owned()))
}

fn check(address: SocketAddr, told: &mut Told, what: &str) {
    let mut connection = BufReader::new(TcpStream::connect(address).unwrap());
    for (path, content) in &told.acknowledged {
        let (status, body) = get(&mut connection, path);
        assert_eq!(status, 200, "{what}: {path}");
        assert!(body == *content, "{what}: {path}");
    }
    if told.tried.is_empty() {
        return;
    }
    let path = told.acknowledged.last().unwrap().0.split("/x/").next().unwrap().to_owned();
    let (status, body) = get(&mut connection, &format!("{path}/x/manifests/latest"));
    let never = status == 404 && told.latest.is_empty();
    assert!(never || body == told.latest || body == told.tried, "{what}: {path} latest");
    if !never {
        told.latest = body;
    }
}

/// One request of many on a connection.
fn get(connection: &mut BufReader<TcpStream>, path: &str) -> (u16, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if let Some(code) = line.strip_prefix("HTTP/1.1 ") {
            status = code[..3].parse().unwrap();
        } else if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    (status, body)
}

fn throw(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 11
}
