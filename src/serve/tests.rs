#![allow(clippy::unwrap_used, clippy::panic)]

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LONG: Duration = Duration::from_secs(20);

/// Waits for the body, then says `ok`; answers with a tunnel, in which the same is spoken again, also
/// where none was asked for.
struct Echo;

impl Handler for Echo {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let is_connect = request.method() == http::Method::CONNECT;
        let _ = request.into_body().collect().await;
        let text = if is_connect { "" } else { "ok" };
        let body = Full::from(text).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        response.extensions_mut().insert(again(Arc::clone(self), peer));
        response
    }
}

fn again(inside: Arc<Echo>, peer: Peer) -> Tunnel {
    Tunnel::new(move |stream, line| async move { line.speak(stream, peer, &inside).await })
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

async fn start(limits: Limits, drain: Duration) -> Running {
    let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server { listeners, tls: None, limits, drain, handler: Arc::new(Echo) };
    let stopped = async { drop(stopped.await) };
    Running { address, stop, ended: tokio::spawn(server.run(stopped)) }
}

async fn ask(stream: &mut TcpStream) -> io::Result<usize> {
    stream.write_all(REQUEST).await?;
    stream.read(&mut [0; 1024]).await
}

/// Whether the other side closes within a reasonable time.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(LONG, stream.read(&mut [0; 1024])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_ended() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let running = start(limits, LONG).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut slow = TcpStream::connect(running.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut idle).await.unwrap() > 0);
    assert!(is_closed(&mut silent).await);
    assert!(is_closed(&mut idle).await);
    let mut answer = String::new();
    // It is told why, or not; the connection ends either way.
    let _ = timeout(LONG, slow.read_to_string(&mut answer)).await.unwrap();
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let running = start(limits, LONG).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut first).await.unwrap() > 0);
    let mut second = TcpStream::connect(running.address).await.unwrap();
    let waiting = timeout(Duration::from_millis(200), ask(&mut second)).await;
    assert!(waiting.is_err());
    drop(first);
    let answered = timeout(LONG, second.read(&mut [0; 1024])).await;
    assert!(answered.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_request_that_does_not_end_in_time_is_cut() {
    let running = start(Limits::default(), Duration::from_millis(200)).await;
    let mut endless = TcpStream::connect(running.address).await.unwrap();
    endless.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    assert!(ask(&mut idle).await.unwrap() > 0);
    sleep(Duration::from_millis(50)).await;
    running.stop.send(()).unwrap();
    assert_eq!(timeout(LONG, running.ended).await.unwrap().unwrap(), Drained::Cut(1));
    assert!(is_closed(&mut endless).await);
    assert!(is_closed(&mut idle).await);
}

const CONNECT: &[u8] = b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads until what was read ends with `end`.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let next = timeout(LONG, stream.read_u8()).await.unwrap();
        read.push(next.unwrap_or_else(|error| panic!("{error}: {}", read.escape_ascii())));
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_and_is_told_to_stop() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let running = start(limits, LONG).await;
    let mut tunnel = TcpStream::connect(running.address).await.unwrap();
    tunnel.write_all(CONNECT).await.unwrap();
    assert!(read_to(&mut tunnel, "\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    // The bytes of the request may come before its answer was seen, and in pieces.
    tunnel.write_all(&REQUEST[..9]).await.unwrap();
    tunnel.write_all(&REQUEST[9..]).await.unwrap();
    assert!(read_to(&mut tunnel, "ok").await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert!(timeout(Duration::from_millis(200), ask(&mut second)).await.is_err());
    drop(second);
    running.stop.send(()).unwrap();
    assert!(is_closed(&mut tunnel).await);
    assert_eq!(timeout(LONG, running.ended).await.unwrap().unwrap(), Drained::Completely);
}

#[tokio::test]
async fn what_follows_connect_at_once_is_in_the_tunnel() {
    let running = start(Limits::default(), LONG).await;
    let mut tunnel = TcpStream::connect(running.address).await.unwrap();
    tunnel.write_all(&[CONNECT, CONNECT, REQUEST].concat()).await.unwrap();
    for end in ["\r\n\r\n", "\r\n\r\n", "ok"] {
        assert!(read_to(&mut tunnel, end).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn nothing_but_connect_begins_a_tunnel() {
    let running = start(Limits::default(), LONG).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    stream.write_all(upgrade).await.unwrap();
    assert!(read_to(&mut stream, "ok").await.starts_with("HTTP/1.1 200"));
    running.stop.send(()).unwrap();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn who_was_let_in_before_the_end_is_served() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let running = start(limits, LONG).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    // The system has taken these, the server has not.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(TcpStream::connect(running.address).await.unwrap());
    }
    waiting[0].write_all(REQUEST).await.unwrap();
    running.stop.send(()).unwrap();
    sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(running.address).await.is_err());
    first.write_all(b"1").await.unwrap();
    assert!(first.read(&mut [0; 1024]).await.unwrap() > 0);
    assert!(waiting[0].read(&mut [0; 1024]).await.unwrap() > 0);
    assert!(ask(&mut waiting[1]).await.unwrap() > 0);
    // The last one says nothing, and holds nobody up.
    assert_eq!(timeout(LONG, running.ended).await.unwrap().unwrap(), Drained::Completely);
}
