//! A registry that answers 5 ms late. It holds the same image under `v1.0` in every repository; below one it lists
//! as Google's registries do.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use zuul_images::oci::Digest;

use super::support::Outcome;

const LATE: Duration = Duration::from_millis(5);

/// What is below this is told with its digests.
pub const GOOGLE: &str = "google";

pub struct Registry {
    pub address: SocketAddr,
    pub digest: String,
}

/// What is answered.
struct Held {
    digest: String,
    /// The list of [`GOOGLE`], and those of the repositories below it.
    root: String,
    lists: Vec<String>,
}

impl Registry {
    /// Serves until the benchmark ends.
    pub fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let digest = Digest::sha256(b"image").to_string();
        let held = Arc::new(Held::new(&digest));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let held = Arc::clone(&held);
                thread::spawn(move || serve(&stream, &held));
            }
        });
        Ok(Self { address, digest })
    }
}

impl Held {
    /// 50 repositories, each of 1,000 digests with one tag.
    fn new(digest: &str) -> Self {
        let manifest = |repository: usize, number: usize| {
            let digest = Digest::sha256(format!("{repository}/{number}").as_bytes()).to_string();
            let about = json!({
                "imageSizeBytes": "123456", "layerId": "", "timeCreatedMs": "1501774217070",
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "tag": [format!("v1.{number}")], "timeUploadedMs": "1552917295327"});
            (digest, about)
        };
        let list = |repository| {
            let manifests: serde_json::Map<_, _> =
                (0..1000).map(|number| manifest(repository, number)).collect();
            json!({"child": [], "manifest": manifests, "tags": []}).to_string()
        };
        let children: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let root = json!({"child": children, "manifest": {}, "tags": []}).to_string();
        Self { digest: digest.to_owned(), root, lists: (0..50).map(list).collect() }
    }

    fn answer(&self, request: &str) -> Option<&str> {
        let path = request.split(' ').nth(1)?.strip_prefix("/v2/")?;
        let Some((name, _)) = path.split_once("/tags/list") else {
            return (path.contains("/manifests/") && request.starts_with("HEAD")).then_some("");
        };
        match name.strip_prefix(GOOGLE) {
            None => Some("{\"tags\":[\"v1.0\"]}"),
            Some("") => Some(&self.root),
            Some(number) => Some(self.lists.get(number.strip_prefix('/')?.parse::<usize>().ok()?)?),
        }
    }
}

/// Answers on a connection until it ends.
fn serve(stream: &TcpStream, held: &Held) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        thread::sleep(LATE);
        let (status, body) =
            held.answer(&request).map_or(("404 Not Found", "{}"), |it| ("200 OK", it));
        let is_head = request.starts_with("HEAD");
        let length = if is_head { 7 } else { body.len() };
        let body = if is_head { "" } else { body };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {}\r\n\r\n{body}",
            held.digest
        );
        let mut writer = stream;
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
