//! Other registries that want to know who asks, and who may have what they gave.

use http::Method;
use zuul_images::oci::Digest;
use zuul_images::registry::config::namespaces::NamespaceConfig;

use crate::support::distribution::Distribution;
use crate::support::faulty::Fault;
use crate::support::http::send;
use crate::support::memory::Access;
use crate::support::registry::{READER, Registry, basic};
use crate::support::upstream::{Upstream, namespace, over, over_with};

const TAG: &str = "/v2/quay.io/org/img/manifests/1";

fn with_login(mut namespace: NamespaceConfig, password: &str) -> NamespaceConfig {
    namespace.username = Some("site".to_owned());
    namespace.password = Some(password.to_owned());
    namespace
}

fn bearer(upstream: &Upstream) {
    let (user, password) = ("site".to_owned(), "hunter2".to_owned());
    *upstream.faulty.memory.access.lock().unwrap() =
        Access::Bearer { user, password, expires_in: 300 };
}

/// An image behind tokens for `site`, and a registry that has this login.
fn start(public: bool) -> (Upstream, Registry, String) {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    bearer(&upstream);
    let mut namespace = with_login(upstream.namespace("quay.io"), "hunter2");
    namespace.public = public;
    let registry = over(namespace);
    let blob =
        format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(sample.blobs.last().unwrap()));
    (upstream, registry, blob)
}

fn as_reader(registry: &Registry, path: &str) -> u16 {
    let login = basic(READER, "secret");
    send(registry.address, "GET", path, &[("Authorization", &login)], b"").status
}

#[test]
fn what_the_sites_login_fetches_needs_a_login_here() {
    let (_upstream, registry, blob) = start(false);
    for path in [TAG, &blob] {
        let refused = registry.anonymous("GET", path);
        assert_eq!((refused.status, refused.code().as_str()), (401, "UNAUTHORIZED"));
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains("repository:quay.io/org/img:pull"), "{challenge}");
        let foreign = basic("somebody", "else");
        let headers = [("Authorization", foreign.as_str())];
        assert_eq!(send(registry.address, "GET", path, &headers, b"").status, 401);
        assert_eq!(registry.anonymous("HEAD", path).status, 401);
        assert_eq!(as_reader(&registry, path), 200);
        // Also now that it is kept.
        assert_eq!(registry.anonymous("GET", path).status, 401);
    }
    let list = "/v2/quay.io/org/img/tags/list";
    assert_eq!((registry.anonymous("GET", list).status, as_reader(&registry, list)), (401, 200));
    // What was pushed here is anybody's as before.
    let pushed = registry.push_image("quay.io/org/img", "mine", "mine");
    assert_eq!(registry.anonymous("GET", "/v2/quay.io/org/img/manifests/mine").body, pushed);
    assert_eq!(registry.anonymous("GET", list).json()["tags"], serde_json::json!(["mine"]));
}

#[test]
fn what_a_login_fetched_stays_private_when_the_login_is_taken_away() {
    let (upstream, registry, blob) = start(false);
    assert_eq!((as_reader(&registry, TAG), as_reader(&registry, &blob)), (200, 200));
    let (folder, _) = registry.end();
    let namespace = upstream.namespace("quay.io");
    let registry = Registry::start_in(folder, |config| config.namespaces.push(namespace));
    for path in [TAG, &blob] {
        assert_eq!(registry.anonymous("GET", path).status, 404);
    }
}

#[test]
fn a_namespace_may_be_public() {
    let (_upstream, registry, blob) = start(true);
    assert_eq!(registry.anonymous("GET", TAG).status, 200);
    assert_eq!(registry.anonymous("GET", &blob).status, 200);
}

#[test]
fn tokens_are_fetched_as_their_server_wants_them_and_kept() {
    let (upstream, registry, blob) = start(true);
    assert_eq!(registry.anonymous("GET", TAG).status, 200);
    assert_eq!(registry.anonymous("GET", &blob).status, 200);
    let recorded = upstream.faulty.recorded();
    let tokens: Vec<_> = recorded.iter().filter(|one| one.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1, "{:?}", upstream.faulty.requests());
    assert!(tokens[0].path.contains("scope=repository%3Aorg%2Fimg%3Apull"), "{}", tokens[0].path);
    assert_eq!(tokens[0].headers["authorization"], basic("site", "hunter2").as_str());
    for request in recorded.iter().filter(|one| one.path.starts_with("/v2/")) {
        let shown = request.headers.get("authorization");
        assert!(shown.is_none_or(|shown| shown.to_str().unwrap().starts_with("Bearer ")));
    }
}

#[test]
fn without_a_login_tokens_are_asked_for_anonymously_and_a_refusal_is_an_absence() {
    let upstream = Upstream::start();
    upstream.hold("org/img", "1", "seed", 1000);
    bearer(&upstream);
    let registry = over(upstream.namespace("quay.io"));
    let refused = registry.anonymous("GET", TAG);
    assert_eq!((refused.status, refused.code().as_str()), (404, "MANIFEST_UNKNOWN"), "{refused:?}");
    let asked = upstream.faulty.recorded();
    let token = asked.iter().find(|one| one.path.starts_with("/token")).unwrap();
    assert!(!token.headers.contains_key("authorization"));
}

#[test]
fn a_wrong_login_is_told_without_the_password() {
    let upstream = Upstream::start();
    upstream.hold("org/img", "1", "seed", 1000);
    bearer(&upstream);
    let mut namespace = with_login(upstream.namespace("quay.io"), "wrong-secret");
    namespace.public = true;
    let registry = over(namespace);
    let refused = registry.anonymous("GET", TAG);
    assert_eq!(refused.status, 404);
    let said = String::from_utf8(refused.body).unwrap();
    assert!(said.contains("site") && !said.contains("wrong-secret"), "{said}");
}

#[test]
fn a_registry_with_passwords_nobody_here_wrote_is_asked_with_the_login() {
    let distribution = Distribution::start_for("site", "hunter2");
    let address = format!("127.0.0.1:{}", distribution.port).parse().unwrap();
    let login = basic("site", "hunter2");
    let push = |method: &str, path: &str, body: &[u8]| {
        let kind = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
        send(address, method, path, &[("Authorization", &login), kind], body)
    };
    let digest = Digest::sha256(b"content");
    for content in [b"content".as_slice(), b"config"] {
        let started = push("POST", "/v2/org/img/blobs/uploads/", b"");
        let location = started.header("location").to_owned();
        let path = location.split_once(&format!("127.0.0.1:{}", distribution.port)).unwrap().1;
        let path = format!("{path}&digest={}", Digest::sha256(content));
        assert_eq!(push("PUT", &path, content).status, 201);
    }
    let manifest = crate::support::registry::image(b"config", b"content");
    assert_eq!(push("PUT", "/v2/org/img/manifests/1", &manifest).status, 201);
    let mut namespace = with_login(namespace("quay.io", address), "hunter2");
    namespace.public = true;
    let registry = over(namespace);
    for _ in 0..2 {
        assert_eq!(registry.anonymous("GET", TAG).body, manifest);
        let blob = format!("/v2/quay.io/org/img/blobs/{digest}");
        assert_eq!(registry.anonymous("GET", &blob).body, b"content");
        assert_eq!(registry.anonymous("HEAD", &blob).status, 200);
    }
    let list = registry.anonymous("GET", "/v2/quay.io/org/img/tags/list");
    assert_eq!(list.json()["tags"], serde_json::json!(["1"]));
    drop(distribution);
    assert_eq!(registry.anonymous("GET", TAG).body, manifest);
}

#[test]
fn a_redirect_is_followed_without_the_login_and_only_to_where_it_may_lead() {
    let (upstream, store) = (Upstream::start(), Upstream::start());
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    store.hold("org/img", "1", "seed", 1000);
    let (user, password) = ("site".to_owned(), "hunter2".to_owned());
    *upstream.faulty.memory.access.lock().unwrap() = Access::Basic { user, password };
    let digest = Digest::sha256(sample.blobs.last().unwrap());
    let path = format!("/v2/quay.io/org/img/blobs/{digest}");
    let location = format!("http://{}/v2/org/img/blobs/{digest}", store.faulty.address);
    let redirect = || Fault::Answer(307, vec![("Location", location.clone())], String::new());
    let namespace = || with_login(upstream.namespace("quay.io"), "hunter2");
    // Addresses that are not public are not gone to.
    let registry = over(namespace());
    assert_eq!(as_reader(&registry, TAG), 200, "the login is learnt");
    upstream.faulty.fault(1, Method::GET, "/blobs/", redirect());
    assert_eq!(as_reader(&registry, &path), 502);
    assert!(store.faulty.recorded().is_empty());
    let allowing = over_with(namespace(), |config| {
        config.cache.allow.push("127.0.0.1".parse().unwrap());
    });
    assert_eq!(as_reader(&allowing, TAG), 200);
    upstream.faulty.fault(1, Method::GET, "/blobs/", redirect());
    assert_eq!(as_reader(&allowing, &path), 200);
    let recorded = store.faulty.recorded();
    assert_eq!(recorded.len(), 1);
    assert!(!recorded[0].headers.contains_key("authorization"));
}
