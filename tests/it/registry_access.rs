//! Access: who may do what, and how a client learns it.

use std::io::Write as _;
use std::net::TcpStream;

use zuul_images::oci::Digest;

use crate::support::http::{Answer, receive, send};
use crate::support::registry::{READER, Registry, WRITER, basic};

fn closed() -> Registry {
    Registry::start_with(|config| config.anonymous_pull = Some(false))
}

fn ask(registry: &Registry, authorization: &str, method: &str, path: &str) -> Answer {
    send(registry.address, method, path, &[("Authorization", authorization)], b"")
}

fn token(registry: &Registry, authorization: &str, query: &str) -> Answer {
    ask(registry, authorization, "GET", &format!("/auth/token?{query}"))
}

fn bearer(answer: &Answer) -> String {
    format!("Bearer {}", answer.json()["token"].as_str().expect("a token"))
}

#[test]
fn nothing_is_pushed_without_the_right_to() {
    let registry = Registry::start();
    let digest = Digest::sha256(b"content");
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/".to_owned()),
        ("POST", format!("/v2/a/blobs/uploads/?digest={digest}")),
        ("PUT", "/v2/a/manifests/latest".to_owned()),
        ("DELETE", "/v2/a/manifests/latest".to_owned()),
        ("DELETE", format!("/v2/a/blobs/{digest}")),
    ] {
        let nobody = registry.anonymous(method, &path);
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "UNAUTHORIZED"));
        for (login, status, code) in [
            (basic(WRITER, "wrong"), 401, "UNAUTHORIZED"),
            (basic("", ""), 401, "UNAUTHORIZED"),
            ("Bearer x.y.z".to_owned(), 401, "UNAUTHORIZED"),
            (basic(READER, "secret"), 403, "DENIED"),
        ] {
            let answer = ask(&registry, &login, method, &path);
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}");
        }
    }
}

#[test]
fn a_closed_registry_shows_nothing_to_strangers() {
    let registry = closed();
    let manifest = registry.push_image("a", "latest", "seed");
    let digest = Digest::sha256(&manifest);
    for path in [
        "/v2/a/manifests/latest".to_owned(),
        format!("/v2/a/manifests/{digest}"),
        format!("/v2/a/blobs/{digest}"),
        "/v2/a/tags/list".to_owned(),
        format!("/v2/a/referrers/{digest}"),
        "/v2/_catalog".to_owned(),
        "/metrics".to_owned(),
        "/v2/".to_owned(),
    ] {
        assert_eq!(registry.anonymous("GET", &path).status, 401, "{path}");
        assert_eq!(ask(&registry, &basic("hub", "user"), "GET", &path).status, 401, "{path}");
    }
    assert_eq!(registry.anonymous("GET", "/healthz").body, b"ok\n");
    let reader = basic(READER, "secret");
    assert_eq!(ask(&registry, &reader, "GET", "/v2/a/manifests/latest").body, manifest);
    assert_eq!(ask(&registry, &reader, "GET", "/v2/").status, 200);
}

#[test]
fn a_pull_ignores_credentials_that_are_not_ours_where_anybody_may_pull() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "latest", "seed");
    let hub = basic("hub-user", "hub-password");
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/latest").body, manifest);
    for login in [hub.as_str(), "Bearer of.another.registry", "Negotiate x"] {
        assert_eq!(ask(&registry, login, "GET", "/v2/a/manifests/latest").body, manifest);
        for path in ["/v2/_catalog", "/metrics"] {
            assert_eq!(ask(&registry, login, "GET", path).status, 401);
        }
    }
    let answer = token(&registry, &hub, "service=x&scope=repository:a:pull");
    let pull = ask(&registry, &bearer(&answer), "GET", "/v2/a/manifests/latest");
    assert_eq!(pull.body, manifest);
    assert_eq!(ask(&registry, &bearer(&answer), "GET", "/metrics").status, 401);
    for query in
        ["scope=repository:a:pull,push", "scope=repository:a:pull&scope=registry:catalog:*", ""]
    {
        let answer = token(&registry, &hub, query);
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHORIZED"), "{query}");
    }
}

#[test]
fn the_challenge_names_the_host_the_client_used() {
    let registry = closed();
    let ask = |version: &str| ask_as(&registry, "/v2/", version);
    let nobody = registry.anonymous("PUT", "/v2/a/b/manifests/1");
    assert_eq!(
        nobody.header("www-authenticate"),
        format!(
            "Bearer realm=\"http://{0}/auth/token\",service=\"{0}\",scope=\"repository:a/b:pull,push\"",
            registry.address
        )
    );
    for host in ["evil\"quote", "a b", "user@host"] {
        let answer = ask(&format!("HTTP/1.1\r\nHost: {host}"));
        assert_eq!(answer.status, 401);
        assert!(!answer.header("www-authenticate").contains(host));
    }
}

#[test]
fn a_request_without_exactly_one_host_is_refused() {
    let registry = closed();
    let ask = |version: &str| ask_as(&registry, "/v2/", version).status;
    assert_eq!(ask("HTTP/1.1"), 400);
    assert_eq!(ask("HTTP/1.1\r\nHost: a\r\nHost: b"), 400);
    assert_eq!(ask_as(&registry, "/healthz", "HTTP/1.1").code(), "UNSUPPORTED");
    assert_eq!(ask("HTTP/1.1\r\nHost: a"), 401);
    assert_eq!(ask("HTTP/1.0"), 401);
}

/// Sends a head with its version and host written out.
fn ask_as(registry: &Registry, path: &str, version: &str) -> Answer {
    let mut stream = TcpStream::connect(registry.address).unwrap();
    write!(stream, "GET {path} {version}\r\nConnection: close\r\n\r\n").unwrap();
    receive(stream)
}

#[test]
fn a_token_is_good_for_its_repositories_and_actions_only() {
    let registry = closed();
    registry.push_image("a", "latest", "seed");
    registry.push_image("b", "latest", "seed");
    let writer = basic(WRITER, "secret");
    let status = |login: &str, method: &str, path: &str| {
        let answer = ask(&registry, login, method, path);
        let challenge = answer.header("www-authenticate").to_owned();
        assert!(answer.status != 401 || challenge.contains("insufficient_scope"), "{challenge}");
        answer.status
    };
    let pull = bearer(&token(&registry, &writer, "scope=repository:a:pull"));
    assert_eq!(status(&pull, "GET", "/v2/a/manifests/latest"), 200);
    assert_eq!(status(&pull, "GET", "/v2/b/manifests/latest"), 401);
    assert_eq!(status(&pull, "POST", "/v2/a/blobs/uploads/"), 401);
    assert_eq!(status(&pull, "GET", "/v2/_catalog"), 401);
    assert_eq!(status(&pull, "GET", "/v2/"), 200);

    let query = "scope=repository:a:pull,push&scope=repository:b:pull&scope=repository:X:odd";
    let both = bearer(&token(&registry, &writer, query));
    assert_eq!(status(&both, "POST", "/v2/a/blobs/uploads/"), 202);
    assert_eq!(status(&both, "GET", "/v2/b/manifests/latest"), 200);
    assert_eq!(status(&both, "POST", "/v2/b/blobs/uploads/"), 401);
    assert_eq!(status(&both, "DELETE", "/v2/a/manifests/latest"), 401);

    let all = bearer(&token(&registry, &writer, "scope=repository:a:*+registry:catalog:*"));
    assert_eq!(status(&all, "GET", "/v2/_catalog"), 200);
    assert_eq!(status(&all, "DELETE", "/v2/a/manifests/latest"), 202);
}

#[test]
fn a_token_for_one_repository_does_not_show_the_others() {
    let registry = closed();
    let login = basic(READER, "secret");
    let narrow = bearer(&token(&registry, &login, "scope=repository:a:pull"));
    let wide = bearer(&token(&registry, &login, "scope=registry:catalog:*"));
    for path in ["/v2/_catalog", "/status", "/metrics"] {
        assert_eq!(ask(&registry, &narrow, "GET", path).status, 401, "{path}");
        assert_eq!(ask(&registry, &wide, "GET", path).status, 200, "{path}");
        assert_eq!(ask(&registry, &login, "GET", path).status, 200, "{path}");
    }
}

#[test]
fn a_reader_gets_no_token_for_writing() {
    let registry = closed();
    let answer = token(&registry, &basic(READER, "secret"), "scope=repository:a:pull,push");
    assert_eq!(answer.json()["scope"], "repository:a:pull");
    let push = ask(&registry, &bearer(&answer), "POST", "/v2/a/blobs/uploads/");
    assert_eq!((push.status, push.code().as_str()), (403, "DENIED"));
}

#[test]
fn a_token_is_given_for_a_form_too() {
    let registry = closed();
    registry.push_image("a", "latest", "seed");
    let post = |form: &str| {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        send(registry.address, "POST", "/auth/token", &kind, form.as_bytes())
    };
    let answer = post("grant_type=password&username=zuul&password=wrong&scope=repository:a:pull");
    assert_eq!(answer.status, 401);
    for grant in ["grant_type=refresh_token&refresh_token=x", ""] {
        let answer = post(grant);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"], "unsupported_grant_type");
    }
    let form = "grant_type=password&service=s&client_id=c&username=zuul&password=secret";
    let answer = post(&format!("{form}&scope=repository%3Aa%3Apull+repository%3Ab%3Apull"));
    assert_eq!(answer.json()["access_token"], answer.json()["token"]);
    assert!(answer.json()["expires_in"].as_u64().unwrap() >= 60);
    let pull = ask(&registry, &bearer(&answer), "GET", "/v2/a/manifests/latest");
    assert_eq!(pull.status, 200);
}

#[test]
fn a_form_longer_than_any_login_is_refused() {
    let registry = closed();
    let form = "grant_type=password&username=zuul&password=secret&scope=";
    for (length, status) in [(64 * 1024, 200), (64 * 1024 + 1, 413), (3 * 1024 * 1024, 413)] {
        let form = format!("{form}{}", "+".repeat(length - form.len()));
        assert_eq!(
            send(registry.address, "POST", "/auth/token", &[], form.as_bytes()).status,
            status
        );
    }
}

#[test]
fn a_token_is_kept_by_nobody_in_between() {
    let registry = Registry::start();
    let login = basic(WRITER, "secret");
    assert_eq!(
        token(&registry, &login, "scope=repository:a:pull").header("Cache-Control"),
        "no-store"
    );
}

#[test]
fn a_token_of_another_installation_is_refused() {
    let (here, there) = (closed(), closed());
    let query = "scope=repository:a:pull,push";
    let foreign = bearer(&token(&there, &basic(WRITER, "secret"), query));
    let answer = ask(&here, &foreign, "POST", "/v2/a/blobs/uploads/");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""));
}

#[test]
fn a_mount_takes_only_what_the_caller_may_read() {
    let registry = closed();
    let digest = registry.push_blob("private", b"content");
    let query = "scope=repository:mine:pull,push";
    let login = bearer(&token(&registry, &basic(WRITER, "secret"), query));
    for from in ["", "&from=private"] {
        let path = format!("/v2/mine/blobs/uploads/?mount={digest}{from}");
        assert_eq!(ask(&registry, &login, "POST", &path).status, 202, "{from}");
    }
    let query = format!("{query}&scope=repository:private:pull");
    let login = bearer(&token(&registry, &basic(WRITER, "secret"), &query));
    for from in ["&from=private", ""] {
        let path = format!("/v2/mine/blobs/uploads/?mount={digest}{from}");
        assert_eq!(ask(&registry, &login, "POST", &path).status, 201, "{from}");
    }
}
