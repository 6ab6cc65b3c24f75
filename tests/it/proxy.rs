//! The forward proxy, spoken to byte by byte: who may use it, where it leads, what it answers itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;

use bytes::Bytes;
use zuul_images::oci::Digest;

use crate::support::documents::documented;
use crate::support::http::send;
use crate::support::memory::Access;
use crate::support::process::{Served, init, registry, try_init};
use crate::support::programs::{failure, file, program};
use crate::support::proxied::{Proxied, Tunnel, connect, credulous_config};
use crate::support::registry::{READER, Registry, basic};
use crate::support::sample;
use crate::support::wait::wait_until;

#[test]
fn connect_leads_nowhere_where_no_proxy_is_configured() {
    let plain = Registry::start();
    let login = basic(READER, "secret");
    let (answer, _) = connect(plain.address, "quay.io:443", &[("Proxy-Authorization", &login)]);
    assert_eq!(answer.status, 405, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_passes_without_the_login_of_a_user() {
    let proxied = Proxied::start().await;
    let right = basic(READER, "secret");
    for headers in [
        vec![],
        vec![("Proxy-Authorization", basic(READER, "wrong"))],
        vec![("Proxy-Authorization", basic("nobody", "secret"))],
        vec![("Proxy-Authorization", "Basic ====".to_owned())],
        vec![("Proxy-Authorization", right.replace("Basic", "Bearer"))],
        // That is for this registry, not for its proxy.
        vec![("Authorization", right.clone())],
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (answer, _) = connect(proxied.registry.address, &proxied.target, &headers);
        assert_eq!(answer.status, 407, "{headers:?}");
        assert!(answer.header("proxy-authenticate").starts_with("Basic "), "{answer:?}");
    }
    assert_eq!(proxied.connect(&proxied.target).0.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn targets_that_are_not_public_are_refused() {
    let proxied = Proxied::start_with(|config| {
        config.allow.clear();
        config.ports.push(8443);
    })
    .await;
    for (authority, status, said) in [
        ("127.0.0.1:443", 403, "127.0.0.1 is a loopback address"),
        ("127.8.9.1:8443", 403, "loopback"),
        ("localhost:443", 403, "loopback"),
        ("[::1]:443", 403, "loopback"),
        ("[::ffff:127.0.0.1]:443", 403, "written as IPv6"),
        ("[64:ff9b::7f00:1]:443", 403, "written as IPv6"),
        ("[2002:7f00:1::]:443", 403, "written as IPv6"),
        ("[fe80::1]:443", 403, "link-local"),
        ("[fd00::1]:443", 403, "private"),
        ("169.254.169.254:443", 403, "link-local"),
        ("10.0.0.1:443", 403, "private"),
        ("172.16.0.1:443", 403, "private"),
        ("192.168.0.1:443", 403, "private"),
        ("100.64.0.1:443", 403, "private"),
        ("0.0.0.0:443", 403, "unspecified"),
        ("224.0.0.1:443", 403, "multicast"),
        ("8.8.8.8:22", 403, "port 22"),
        ("8.8.8.8:80", 403, "port 80"),
        ("quay.io", 400, "a host and a port"),
        ("user@quay.io:443", 400, "a host and a port"),
        ("quay.io.:443", 400, "a host and a port"),
    ] {
        let (answer, _) = proxied.connect(authority);
        assert_eq!(answer.status, status, "{authority}: {answer:?}");
        // Engines show nothing but the status line.
        assert!(answer.reason.contains(said), "{authority}: {answer:?}");
    }
    // A listed registry is no exception; what is here of it can still be had.
    proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let mut tunnel = proxied.tunnel();
    assert_eq!(tunnel.ask("GET", "/v2/org/other/manifests/t", &[]).status, 403);
    assert_eq!(tunnel.ask("GET", "/v2/org/img/manifests/t", &[]).status, 200);
    assert_eq!(tunnel.ask("GET", "/v2/", &[]).status, 200);
    assert_eq!(proxied.real.requests(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_hosts_are_tunnelled_blind_and_each_side_ends_for_itself() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let proxied = Proxied::start_with(|config| config.ports.push(port)).await;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        // The client has ended its side; the answer comes all the same.
        stream.write_all(&received).unwrap();
        received.len()
    });
    let (answer, mut stream) = proxied.connect(&format!("127.0.0.1:{port}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut echoed = Vec::new();
    stream.read_to_end(&mut echoed).unwrap();
    assert_eq!(server.join().unwrap(), sent.len());
    assert!(echoed == sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_named_inside_has_to_be_what_connect_named() {
    let proxied = Proxied::start().await;
    proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let path = "/v2/org/img/manifests/t";
    for name in ["quay.io", "localhost.evil.example"] {
        let (_, stream) = proxied.connect(&proxied.target);
        let mut tunnel = Tunnel::secure(stream, name, credulous_config(), &proxied.target);
        assert_eq!(tunnel.ask("GET", path, &[]).status, 421, "{name}");
    }
    // A handshake that names nothing names another: clients name what they want.
    let (_, stream) = proxied.connect(&proxied.target);
    let mut tunnel = Tunnel::secure(stream, "127.0.0.1", credulous_config(), &proxied.target);
    assert_eq!(tunnel.ask("GET", path, &[]).status, 421);

    let target = &proxied.target;
    for head in [
        format!("GET {path} HTTP/1.1\r\nHost: quay.io\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nHost: {target}.evil.example\r\n\r\n"),
        format!("GET https://quay.io{path} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        format!("GET https://u@{target}{path} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        format!("GET https://{target}{path} HTTP/1.1\r\nHost: quay.io\r\n\r\n"),
    ] {
        let mut tunnel = proxied.tunnel();
        assert_eq!(tunnel.raw(head.as_bytes(), true).status, 421, "{head}");
    }
    for head in [
        format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nHost: {target}\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\n\r\n"),
        format!("GET {path} HTTP/1.0\r\n\r\n"),
    ] {
        let mut tunnel = proxied.tunnel();
        assert_eq!(tunnel.raw(head.as_bytes(), true).status, 400, "{head}");
    }
    assert_eq!(proxied.real.requests(), [""; 0]);
    let head = format!("GET https://{target}{path} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(proxied.tunnel().raw(head.as_bytes(), true).status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn images_that_are_here_are_answered_here_whatever_the_client_says_of_itself() {
    let proxied = Proxied::start().await;
    let manifest = proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let (digest, layer) = (Digest::sha256(&manifest), Digest::sha256(b"layer speculative"));
    let mut tunnel = proxied.tunnel();
    let theirs = ("Authorization", "Bearer of-the-real-host");
    for reference in ["t", digest.as_str()] {
        let path = format!("/v2/org/img/manifests/{reference}");
        let answer = tunnel.ask("GET", &path, &[theirs]);
        assert_eq!((answer.status, answer.body), (200, manifest.clone()));
        assert_eq!(tunnel.ask("HEAD", &path, &[]).header("docker-content-digest"), digest.as_str());
    }
    let blob = tunnel.ask("GET", &format!("/v2/org/img/blobs/{layer}"), &[theirs]);
    assert_eq!((blob.status, &*blob.body), (200, &b"layer speculative"[..]));
    let part = tunnel.ask("GET", &format!("/v2/org/img/blobs/{layer}"), &[("Range", "bytes=6-8")]);
    assert_eq!((part.status, &*part.body), (206, &b"spe"[..]));
    assert_eq!(proxied.real.requests(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_that_looks_like_another_registry_is_one_of_the_real_host() {
    let proxied = Proxied::start().await;
    proxied.registry.push_image("quay.io/org/img", "t", "another registry");
    proxied.registry.push_image(&proxied.here("org/img"), "t", "speculative");
    let own = proxied.here("org/img");
    let mut tunnel = proxied.tunnel();
    for path in [
        "/v2/quay.io/org/img/manifests/t".to_owned(),
        format!("/v2/{own}/manifests/t"),
        "/v2/img/manifests/t?ns=quay.io/org".to_owned(),
        "/v2/org/img/manifests/t/".to_owned(),
        "//v2/org/img/manifests/t".to_owned(),
        "/v2/org/img/tags/list".to_owned(),
    ] {
        assert_eq!(tunnel.ask("GET", &path, &[]).status, 404, "{path}");
        assert_eq!(proxied.real.requests(), [format!("GET {path}")]);
        proxied.real.forget_requests();
    }
    // Where a client names a mirror's namespace, the tunnel decides.
    assert_eq!(tunnel.ask("GET", "/v2/org/img/manifests/t?ns=quay.io", &[]).status, 200);
    // As with gcr.io/google.com/project/img.
    let manifest = proxied.registry.push_image(&proxied.here("google.com/img"), "t", "named so");
    assert_eq!(tunnel.ask("GET", "/v2/google.com/img/manifests/t", &[]).body, manifest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_else_reaches_the_real_host_unchanged() {
    let proxied = Proxied::start().await;
    *proxied.real.memory.access.lock().unwrap() =
        Access::Basic { user: "theirs".to_owned(), password: "right".to_owned() };
    let image = sample::image("private", &[Bytes::from_static(b"layer")]);
    proxied.real.memory.hold("org/private", "t", &image);
    let mut tunnel = proxied.tunnel();
    let refused = tunnel.ask("GET", "/v2/", &[]);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Basic realm=\"test\""));
    let login = basic("theirs", "right");
    let answer = tunnel.ask(
        "GET",
        "/v2/org/private/manifests/t",
        &[
            ("Authorization", &login),
            ("Accept", "application/x-a"),
            ("Accept", "application/x-b"),
            ("X-Odd", "\"  two  blanks\t\""),
            ("User-Agent", "docker/20.10"),
            ("Connection", "keep-alive, X-Mine"),
            ("X-Mine", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", &basic(READER, "secret")),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
        ],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let recorded = proxied.real.recorded().pop().unwrap();
    let mut seen: Vec<(String, String)> = recorded
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    seen.sort();
    let expected = [
        ("accept", "application/x-a"),
        ("accept", "application/x-b"),
        ("authorization", &login),
        ("host", &proxied.target),
        ("user-agent", "docker/20.10"),
        ("x-odd", "\"  two  blanks\t\""),
    ];
    assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // Not even a path that no registry knows is tidied up.
    for path in ["/token?scope=a%2Fb:pull&x=%zz", "/a/../b//c;d", "/v2/A%2fb/manifests/%41"] {
        tunnel.ask("GET", path, &[("Authorization", &login)]);
        assert_eq!(proxied.real.recorded().pop().unwrap().path, path);
    }
    tunnel.ask("OPTIONS", "*", &[("Authorization", &login)]);
    assert_eq!(proxied.real.requests().pop().unwrap(), "OPTIONS *");
    // Few have a body with a GET, and it is theirs to know what it means.
    let body =
        tunnel.send("GET", "/x", &[("Transfer-Encoding", "chunked")], b"1\r\na\r\n0\r\n\r\n");
    assert_eq!(proxied.real.recorded().pop().unwrap().body_bytes, 1, "{body:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_push_goes_to_the_real_host_though_its_blobs_are_here() {
    let proxied = Proxied::start().await;
    let layer = sample::bytes("layer", 5_000_000);
    let digest = proxied.registry.push_blob(&proxied.here("org/img"), &layer);
    let mut tunnel = proxied.tunnel();
    // Told that it is there, a client would not send it.
    assert_eq!(tunnel.ask("HEAD", &format!("/v2/org/img/blobs/{digest}"), &[]).status, 404);
    let started =
        tunnel.send("POST", "/v2/org/img/blobs/uploads/", &[("Content-Length", "0")], b"");
    assert_eq!(started.status, 202, "{started:?}");
    let location = started.header("location").to_owned();
    let place = location.strip_prefix(&format!("https://{}", proxied.target));
    let place = place.unwrap_or(&location);
    let chunked = format!("{:x}\r\n", layer.len()).into_bytes();
    let chunked = [&chunked, &layer[..], b"\r\n0\r\n\r\n"].concat();
    let join = if place.contains('?') { '&' } else { '?' };
    let put = format!("{place}{join}digest={digest}");
    let answer = tunnel.send("PUT", &put, &[("Transfer-Encoding", "chunked")], &chunked);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(proxied.real.memory.blob("org/img", &digest), Some(layer));
    let nothing = proxied.registry.anonymous("GET", "/v2/org/img/tags/list");
    assert_eq!(nothing.status, 404, "nothing of it was kept here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pulls_through_the_proxy_are_counted_with_the_others() {
    let proxied = Proxied::start().await;
    proxied.registry.push_image(&proxied.here("org/own"), "t", "pushed");
    let mut tunnel = proxied.tunnel();
    assert_eq!(tunnel.ask("GET", "/v2/org/own/manifests/t", &[]).status, 200);
    assert_eq!(tunnel.ask("GET", "/v2/org/own/manifests/t", &[]).status, 200);
    let login = basic(READER, "secret");
    let headers = [("Authorization", login.as_str())];
    let address = proxied.registry.address;
    let report = send(address, "GET", "/status?format=json", &headers, b"").json();
    assert_eq!(report["images"]["entries"][0]["pulls"], 2, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn idle_tunnels_do_not_hold_up_the_end() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let proxied = Proxied::start_with(|config| config.ports.push(port)).await;
    let (_, mut blind) = proxied.connect(&format!("127.0.0.1:{port}"));
    let mut opened = proxied.tunnel();
    assert_eq!(opened.ask("GET", "/v2/", &[]).status, 200);
    let (_, drained) = proxied.registry.end();
    assert_eq!(drained, zuul_images::serve::Drained::Completely);
    assert_eq!(blind.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(opened.stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn tunnels_leave_files_for_everything_else() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let made = init(&root, &["--host", "127.0.0.1", "--proxy-registry", "quay.io"]);
    let text = std::fs::read_to_string(root.join("config.yaml")).unwrap();
    let (start, end) = (text.find("\ntls:").unwrap(), text.find("\nstorage:").unwrap());
    let port = other.local_addr().unwrap().port();
    let reached = format!("  allow: [127.0.0.0/8]\n  ports: [{port}]\n");
    std::fs::write(root.join("config.yaml"), text[..start].to_owned() + &text[end..] + &reached)
        .unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$@\"", "sh"]);
    command.arg(assert_cmd::cargo::cargo_bin("buildset-registry"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--root"]).arg(&root);
    let served = Served::start_as(command);

    let login = |field: &str| made["connection"][field].as_str().unwrap();
    let login = basic(login("username"), login("password"));
    let mut open = Vec::new();
    let refused = loop {
        let headers = [("Proxy-Authorization", login.as_str())];
        let (answer, stream) = connect(served.address, &format!("127.0.0.1:{port}"), &headers);
        match answer.status {
            200 => open.push(stream),
            _ => break answer,
        }
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(b"blob"));
    let headers = [("Authorization", login.as_str())];
    assert_eq!(send(served.address, "POST", &path, &headers, b"blob").status, 201);
    // With their ends tunnels make room for others, also where those are refused there.
    drop((open, other));
    let again = || {
        let headers = [("Proxy-Authorization", login.as_str())];
        connect(served.address, &format!("127.0.0.1:{port}"), &headers).0.status
    };
    wait_until(|| again() == 502);
}

#[test]
fn a_proxy_that_cannot_work_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let made = try_init(&root, &["--host", "127.0.0.1", "--proxy-registry", "quay.io"]);
    assert!(made.status.success(), "{made:?}");
    let file = root.join("config.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    assert!(config.contains("forward_proxy:\n  registries: [\"quay.io\"]\n"), "{config}");
    let user = config.lines().position(|line| line == "users:").unwrap();
    let without_users: Vec<&str> = config
        .lines()
        .enumerate()
        .filter(|(at, _)| !(user..user + 4).contains(at))
        .map(|(_, line)| line)
        .collect();
    for (text, said) in [
        (config.replace("[\"quay.io\"]", "[\"quay.io\", \"ghcr.io\"]"), "--proxy-registry ghcr.io"),
        (config.replace("[\"quay.io\"]", "[\"quay.io/org\"]"), "line"),
        (config.replace("[\"quay.io\"]", "[\"quay.io\"]\n  allow: [10.0.0.0/99]"), "line"),
        (config.replace("[\"quay.io\"]", "[\"quay.io\"]\n  alow: []"), "alow"),
        (config.clone() + "  certificates: {ghcr.io: config.yaml}\n", "`registries`"),
        (without_users.join("\n"), "users"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let output = registry(&["serve", "--listen", "127.0.0.1:0", "--root"]).arg(&root).output();
        let output = output.unwrap();
        let heard = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && heard.contains(said), "{said}: {heard}");
    }
}

#[test]
fn a_root_becomes_a_forward_proxy_by_another_init() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let plain = init(&root, &["--host", "127.0.0.1"]);
    assert_eq!(plain["connection"].get("proxied"), None);
    let options = ["--host", "127.0.0.1", "--proxy-registry", "quay.io"];
    let made = init(&root, &options);
    documented(&made);
    assert_eq!(made["connection"]["proxied"], serde_json::json!(["quay.io"]));
    assert_eq!(made["connection"]["password"], plain["connection"]["password"]);
    assert_ne!(made["connection"]["cert"], plain["connection"]["cert"]);
    assert_eq!(init(&root, &options)["changed"], false);

    let file = root.join("config.yaml");
    let edited = std::fs::read_to_string(&file).unwrap() + "# mine\n";
    std::fs::write(&file, &edited).unwrap();
    let refused = try_init(
        &root,
        &["--host", "127.0.0.1", "--proxy-registry", "quay.io", "--proxy-registry", "ghcr.io"],
    );
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("config.yaml") && said.contains("ghcr.io"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
}

#[test]
fn a_host_is_not_given_a_proxy_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(&folder.path().join("root"), &["--host", "192.0.2.7"]);
    let connection = file(folder.path(), "connection.json", &made["connection"].to_string());
    let output = program("buildset-registry")
        .args(["configure-client", "--proxy", "--user", "root", "--connection"])
        .arg(connection)
        .arg("--sysroot")
        .arg(folder.path())
        .output()
        .unwrap();
    let (_, said) = failure(&output, 2);
    assert!(said.contains("--proxy-registry"), "{said}");
    assert!(!folder.path().join("etc").exists());
}
