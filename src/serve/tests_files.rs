#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// As the body says what the file says in capitals, a test sees which of them was sent.
const BODY: u8 = b'a';
const FILE: u8 = b'A';

/// Answers `/N` with a file of N bytes, beside a body of the same length.
struct Files {
    file: Arc<File>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Handler for Files {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let length: u64 = request.uri().path()[1..].parse().unwrap();
        let body = Full::from(vec![BODY; usize::try_from(length).unwrap()]);
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        let extensions = response.extensions_mut();
        extensions.insert(FileBody::new(Arc::clone(&self.file), 0..length, |_| {}));
        let sent = Arc::clone(&self.sent);
        extensions.insert(OnSent::new(move |how| sent.lock().unwrap().push(how)));
        response
    }
}

/// The address of a server with a file of so many bytes, and what it says of its answers.
async fn start(size: usize, limits: Limits) -> (SocketAddr, Arc<Mutex<Vec<Sent>>>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![FILE; size]).unwrap();
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let sent = Arc::default();
    let handler = Arc::new(Files { file: Arc::new(file), sent: Arc::clone(&sent) });
    let server = Server { listeners, tls: None, limits, drain: LONG, handler };
    tokio::spawn(server.run(std::future::pending()));
    (address, sent)
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

fn get(length: usize, more: &str) -> String {
    format!("GET /{length} HTTP/1.1\r\nHost: x\r\n{more}\r\n")
}

/// The bytes of the next answer's body.
async fn receive(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
    let mut body = vec![0; length];
    timeout(LONG, stream.read_exact(&mut body)).await.unwrap().unwrap();
    body
}

#[tokio::test]
async fn a_file_that_became_shorter_breaks_the_answer_off() {
    let (address, sent) = start(1000, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &get(2000, "")).await;
    let mut answer = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer.iter().filter(|byte| **byte == FILE).count(), 1000);
    assert!(answer.ends_with(b"A"), "nothing else was sent in its place");
    assert_eq!(*sent.lock().unwrap(), [Sent { bytes: 1000, whole: false }]);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_of_a_file_is_cut() {
    let limits = Limits { stall: Duration::from_millis(200), ..Limits::default() };
    let (address, sent) = start(64 << 20, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, &get(64 << 20, "")).await;
    while sent.lock().unwrap().is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(!sent.lock().unwrap()[0].whole);
    let mut answer = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.len() < 64 << 20);
}

#[tokio::test]
async fn files_and_what_is_asked_behind_them_arrive_in_order() {
    const SIZE: usize = 5_000_000;
    let (address, sent) = start(SIZE, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // All at once: the second and third come while the first is being sent.
    let all = [get(SIZE, ""), get(3, ""), get(SIZE, ""), get(0, "")].concat();
    send(&mut stream, &all).await;
    for length in [SIZE, 3, SIZE, 0] {
        assert!(receive(&mut stream, length).await == vec![FILE; length], "{length}");
    }
    send(&mut stream, &get(2, "Connection: close\r\n")).await;
    assert_eq!(receive(&mut stream, 2).await, b"AA");
    assert_eq!(timeout(LONG, stream.read(&mut [0; 9])).await.unwrap().unwrap(), 0);
    assert_eq!(sent.lock().unwrap().len(), 5);
    assert!(sent.lock().unwrap().iter().all(|sent| sent.whole));
}

#[tokio::test]
async fn what_comes_with_a_request_is_not_taken_for_the_next_one() {
    let (address, _) = start(9, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let inside = get(7, "");
    let more = format!("Content-Length: {}\r\n", inside.len());
    send(&mut stream, &format!("{}{inside}", get(5, &more))).await;
    assert_eq!(receive(&mut stream, 5).await, [BODY; 5]);
    send(&mut stream, &format!("HEAD {}", &get(6, "")[4..])).await;
    let mut rest = String::new();
    // Either the body was read, and HEAD is answered, or the connection ends.
    let _ = timeout(Duration::from_secs(1), stream.read_to_string(&mut rest)).await;
    assert!(!rest.contains("content-length: 7"), "{rest}");
}

#[tokio::test]
async fn a_connection_that_was_quiet_for_a_while_is_answered() {
    let (address, _) = start(9, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for pause in [0, 300, 900] {
        sleep(Duration::from_millis(pause)).await;
        let (first, second) = ("GET /4 HTTP/1.1\r\nHo", "st: x\r\n\r\n");
        send(&mut stream, first).await;
        sleep(Duration::from_millis(pause)).await;
        send(&mut stream, second).await;
        assert_eq!(receive(&mut stream, 4).await, b"AAAA");
    }
}
