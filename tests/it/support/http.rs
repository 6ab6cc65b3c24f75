//! A client that sends exactly what a test says and shows exactly what came back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// What stands behind the status.
    pub reason: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// Every value of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the error document.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends one request on a connection of its own.
pub fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if !body.is_empty() || ["PUT", "POST", "PATCH"].contains(&method) {
        headers.push(("Content-Length", &length));
    }
    let mut stream = open(to, method, path, &headers);
    stream.write_all(body).unwrap();
    receive(stream)
}

/// Sends the head of a request; the test goes on with the body, or does not.
pub fn open(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    ask(TcpStream::connect(to).unwrap(), to, method, path, headers)
}

/// The same on a connection that is there already.
pub fn ask(
    mut stream: TcpStream,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads one answer of several on a connection: its body by length or chunks, or none after HEAD.
pub fn read_answer(stream: &mut impl Read, has_body: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let ended = stream.read_exact(&mut byte);
        ended.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
    }
    let mut answer = head_of(std::str::from_utf8(&head).unwrap().trim_end());
    if !has_body || answer.status == 304 {
        return answer;
    }
    if answer.header("transfer-encoding") == "chunked" {
        loop {
            let length = usize::from_str_radix(&read_line(stream), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk).unwrap();
            answer.body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                return answer;
            }
        }
    }
    answer.body = vec![0; answer.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut answer.body).unwrap();
    answer
}

fn read_line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

fn head_of(head: &str) -> Answer {
    let mut lines = head.split("\r\n");
    let (_, status) = lines.next().unwrap().split_once(' ').unwrap();
    let (status, reason) = status.split_once(' ').unwrap_or((status, ""));
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    Answer {
        status: status.parse().unwrap(),
        reason: reason.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Vec::new(),
    }
}

/// Reads an answer to its end, which is the end of the connection.
pub fn receive(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer { body: bytes[end + 4..].to_vec(), ..head_of(&head) }
}
