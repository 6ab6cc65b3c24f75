//! Where no registry is, or not one as it was said.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Output;

use http::Method;
use tokio::runtime::Runtime;

use crate::support::alone::on_a_host_of_its_own;
use crate::support::faulty::{Fault, Faulty};
use crate::support::programs::{RegistryProcess, failure, program};
use crate::support::registry::Registry;

/// What is at a place, how it is spoken to, and what is said then.
struct Place<'a> {
    what: &'a str,
    address: SocketAddr,
    plain: bool,
    kind: &'a str,
    words: &'a [&'a str],
}

#[test]
fn places_without_a_registry_are_told_apart() {
    let runtime = Runtime::new().unwrap();
    let (plain, tls) = (Registry::start(), RegistryProcess::start());
    let right = Registry::start();
    let other = runtime.block_on(Faulty::start());
    for method in [Method::GET, Method::HEAD] {
        other.fault(99, method, "", Fault::Garbage(b"SSH-2.0-OpenSSH_9.2p1\r\n"));
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for place in [
        Place {
            what: "nobody",
            address: nobody,
            plain: true,
            kind: "connect",
            words: &["no connection to", "Connection refused", "check that it runs"],
        },
        Place {
            what: "a registry without TLS, spoken to with TLS",
            address: plain.address,
            plain: false,
            kind: "tls",
            words: &["does not speak TLS", "name it with --plain-http 127.0.0.1:"],
        },
        Place {
            what: "a registry with TLS, spoken to without",
            address: tls.address.parse().unwrap(),
            plain: true,
            kind: "broken",
            words: &["does not answer in HTTP", "if it speaks TLS, leave --plain-http 127.0.0.1:"],
        },
        Place {
            what: "something else",
            address: other.address,
            plain: true,
            kind: "broken",
            words: &["does not answer in HTTP", "leave --plain-http 127.0.0.1:"],
        },
        Place {
            what: "silence where HTTP is spoken",
            address: silent.local_addr().unwrap(),
            plain: true,
            kind: "timeout",
            words: &["did not answer for 1 s", "it may be overloaded"],
        },
        Place {
            what: "silence where TLS is spoken",
            address: silent.local_addr().unwrap(),
            plain: false,
            kind: "timeout",
            words: &["for 1 s", "it may be overloaded"],
        },
    ] {
        place.check(&right);
    }
}

#[test]
fn names_without_an_address_are_told_from_those_nobody_can_be_asked_for() {
    const TEST: &str = "copy_faults::places::\
                        names_without_an_address_are_told_from_those_nobody_can_be_asked_for";
    if !on_a_host_of_its_own(TEST, &[]) {
        return;
    }
    let right = Registry::start();
    let (there, nowhere) = (format!("{}/a:t", right.address), "nowhere.example/a:t");
    let options = ["--retries", "1", "--plain-http", &right.address.to_string()];
    let unasked = said(&copy(nowhere, &there, &options));
    assert!(unasked.contains("of nowhere.example:443 cannot be resolved"), "{unasked}");
    assert!(unasked.contains("/etc/resolv.conf") && unasked.contains("trying again"), "{unasked}");
    let names = UdpSocket::bind("127.0.0.1:53").unwrap();
    std::thread::spawn(move || there_is_no_such_name(&names));
    let unknown = said(&copy(&there, nowhere, &options));
    assert!(unknown.contains("of nowhere.example:443 cannot be resolved"), "{unknown}");
    assert!(unknown.contains("check the name") && !unknown.contains("trying again"), "{unknown}");
}

impl Place<'_> {
    /// As the destination and as the source of an image whose other side is all right.
    fn check(&self, right: &Registry) {
        let (here, there) = (self.address.to_string(), right.address.to_string());
        let mut options = vec!["--retries", "1", "--idle-timeout", "1s", "--plain-http", &there];
        if self.plain {
            options.extend(["--plain-http", &here]);
        }
        let (here, there) = (format!("{here}/a:t"), format!("{there}/b:t"));
        for (from, to) in [(&there, &here), (&here, &there)] {
            let (document, said) = failure(&copy(from, to, &options), 1);
            let error = &document["error"];
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["kind"], self.kind, "{}: {message}", self.what);
            for word in self.words {
                assert!(message.contains(word), "{}: `{word}`: {message}\n{said}", self.what);
            }
        }
        assert_eq!(right.request("GET", "/v2/b/tags/list", b"").status, 404);
    }
}

fn copy(from: &str, to: &str, options: &[&str]) -> Output {
    let mut command = program("intermediate-registry-sync");
    command.args(["copy", from, to, "--no-ambient-config"]).args(options);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let (document, said) = failure(output, 1);
    assert_eq!(document["error"]["kind"], "connect", "{said}");
    said
}

/// Answers every question so (RFC 1035, section 4.1.1: a response, code 3).
fn there_is_no_such_name(names: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, asker)) = names.recv_from(&mut question) {
        let answer = &mut question[..length];
        answer[2] = 0x81;
        answer[3] = 0x83;
        let _ = names.send_to(answer, asker);
    }
}
