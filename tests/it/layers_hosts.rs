//! Registries that have tokens and blobs at other hosts, over TLS, each host under its own name: Docker Hub
//! as it is in the world, and one with an authority of its own.

use std::process::Output;
use std::sync::Arc;

use http::Method;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zuul_images::oci::Digest;
use zuul_images::tls::Subject;

use crate::support::alone::on_a_host_of_its_own;
use crate::support::faulty::{Fault, Faulty, Recorded};
use crate::support::http::{Answer, send};
use crate::support::memory::{Access, Memory};
use crate::support::process::{Served, registry, tool};
use crate::support::proxied::write_certificate;
use crate::support::registry::basic;
use crate::support::sample::{Sample, bytes, image};

const REGISTRY: &str = "127.0.0.2";
const AUTH: &str = "127.0.0.3";
const STORE: &str = "127.0.0.4";
const THIEF: &str = "127.0.0.5";

const HUB: [(&str, &str); 4] = [
    ("registry-1.docker.io", REGISTRY),
    ("auth.docker.io", AUTH),
    ("production.cloudflare.docker.com", STORE),
    ("auth.docker.example", THIEF),
];
const OWN: [(&str, &str); 3] = [
    ("registry.gitlab.example", REGISTRY),
    ("gitlab.example", AUTH),
    ("storage.gitlab.example", STORE),
];

/// The hosts of one registry; blobs are given out by the store alone.
struct Hosts {
    registry: Faulty,
    auth: Faulty,
    store: Faulty,
    thief: Faulty,
    folder: TempDir,
    _runtime: Runtime,
}

impl Hosts {
    /// At these names, with the registry on this port.
    fn start(names: &[(&str, &str)], port: u16, realm: &str, service: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subjects: Vec<Subject> = names.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let (certificate, key) = write_certificate(folder.path(), &subjects);
        let memory: Arc<Memory> = Arc::default();
        *memory.access.lock().unwrap() = Access::Elsewhere {
            realm: realm.to_owned(),
            service: service.to_owned(),
            user: "site".to_owned(),
            password: "hunter2".to_owned(),
        };
        let runtime = Runtime::new().unwrap();
        let start = |address: &str, port: u16, memory: &Arc<Memory>| {
            let place = format!("{address}:{port}");
            runtime.block_on(Faulty::start_tls_at(&place, memory, &certificate, &key))
        };
        let hosts = Self {
            registry: start(REGISTRY, port, &memory),
            auth: start(AUTH, 443, &memory),
            store: start(STORE, 443, &Arc::default()),
            thief: start(THIEF, 443, &memory),
            folder,
            _runtime: runtime,
        };
        let store = names.iter().find(|(_, address)| *address == STORE).unwrap().0;
        let away = Fault::RedirectTo(format!("https://{store}"));
        hosts.registry.fault(usize::MAX, Method::GET, "/blobs/", away);
        hosts
    }

    fn hub() -> Self {
        Self::start(&HUB, 443, "https://auth.docker.io/token", "registry.docker.io")
    }

    fn hold(&self, repository: &str) -> Sample {
        let sample = image(repository, &[bytes(repository, 100_000)]);
        self.registry.memory.hold(repository, "1", &sample);
        self.store.memory.hold(repository, "1", &sample);
        sample
    }

    /// A registry over this one, which takes the hosts' authority for one of the system's if it is told so.
    fn over(&self, namespace: &str, is_known: bool) -> Served {
        let file = self.folder.path().join("config.yaml");
        let text = format!(
            "storage: {{folder: storage}}\ntoken_key: key\nanonymous_pull: true\n\
             users: [{{name: reader, pass: secret, access: read}}]\n\
             namespaces: [{{{namespace}}}]\ncache: {{allow: [127.0.0.0/8]}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = registry(&["serve", "--listen", "127.0.0.1:0", "--config"]);
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        command.arg(&file).stderr(log);
        if is_known {
            command.env("SSL_CERT_FILE", self.folder.path().join("ca.pem"));
        }
        Served::start_as(command)
    }

    /// skopeo pulls an image as the reader.
    fn pull(&self, from: &Served, image: &str) -> Output {
        let mut skopeo = tool("skopeo");
        skopeo.env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", self.folder.path());
        skopeo.args(["--insecure-policy", "copy", "--src-tls-verify=false"]);
        skopeo.args(["--src-creds", "reader:secret", "--preserve-digests"]);
        let place = self.folder.path().join("pulled");
        let (from, to) =
            (format!("docker://{}/{image}", from.address), format!("dir:{}", place.display()));
        skopeo.args([from, to]).output().unwrap()
    }

    /// What skopeo pulled is this image.
    fn pulled(&self, sample: &Sample) {
        let place = self.folder.path().join("pulled");
        assert_eq!(std::fs::read(place.join("manifest.json")).unwrap(), sample.root.bytes()[..]);
        for blob in &sample.blobs {
            assert_eq!(std::fs::read(place.join(Digest::sha256(blob).hex())).unwrap(), blob[..]);
        }
    }
}

fn as_reader(served: &Served, path: &str) -> Answer {
    send(served.address, "GET", path, &[("Authorization", &basic("reader", "secret"))], b"")
}

fn shown(request: &Recorded) -> Option<&str> {
    Some(request.headers.get("authorization")?.to_str().unwrap())
}

/// The login was shown to the token server alone, tokens to the registry alone.
fn everybody_was_shown_what_is_theirs(hosts: &Hosts, login: Option<&str>) {
    let auth = hosts.auth.recorded();
    assert!(!auth.is_empty() && auth.iter().all(|one| shown(one) == login), "{auth:?}");
    let registry = hosts.registry.recorded();
    let only_tokens =
        |one: &Recorded| shown(one).is_none_or(|shown| shown.starts_with("Bearer token-"));
    assert!(!registry.is_empty() && registry.iter().all(only_tokens), "{registry:?}");
    let store = hosts.store.recorded();
    assert!(!store.is_empty() && store.iter().all(|one| shown(one).is_none()), "{store:?}");
}

#[test]
fn docker_hubs_public_images_are_read_with_anybodys_tokens() {
    if !on_a_host_of_its_own(
        "layers_hosts::docker_hubs_public_images_are_read_with_anybodys_tokens",
        &HUB,
    ) {
        return;
    }
    let hub = Hosts::hub();
    let sample = hub.hold("library/x");
    hub.hold("private/x");
    let served = hub.over("name: docker.io", true);
    let refused = as_reader(&served, "/v2/private/x/manifests/1");
    assert_eq!((refused.status, refused.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    hub.auth.forget_requests();
    let pulled = hub.pull(&served, "x:1");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    hub.pulled(&sample);
    everybody_was_shown_what_is_theirs(&hub, None);
    let asked = hub.auth.requests();
    let token =
        "GET /token?service=registry.docker.io&scope=repository%3Alibrary%2Fx%3Apull".to_owned();
    assert_eq!(asked, [token]);
    assert_eq!(hub.store.recorded().len(), sample.blobs.len());
}

#[test]
fn docker_hubs_login_goes_to_its_token_server_alone() {
    if !on_a_host_of_its_own("layers_hosts::docker_hubs_login_goes_to_its_token_server_alone", &HUB)
    {
        return;
    }
    let hub = Hosts::hub();
    let sample = hub.hold("private/x");
    let served = hub.over("name: docker.io, username: site, password: hunter2, ttl: 0s", true);
    let path = "/v2/private/x/manifests/1";
    // Whoever says that tokens are had elsewhere learns nothing.
    let challenge = "Bearer realm=\"https://auth.docker.example/token\",service=\"x\"".to_owned();
    let misled = Fault::Answer(401, vec![("WWW-Authenticate", challenge)], String::new());
    hub.registry.fault(1, Method::GET, "/manifests/", misled);
    let refused = as_reader(&served, path);
    assert_eq!(refused.status, 502, "{refused:?}");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains("auth.docker.example") && !message.contains("hunter2"), "{message}");

    drop(served);
    let served = hub.over("name: docker.io, username: site, password: hunter2, ttl: 0s", true);
    let pulled = hub.pull(&served, "private/x:1");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    hub.pulled(&sample);
    everybody_was_shown_what_is_theirs(&hub, Some(&basic("site", "hunter2")));
    assert_eq!(hub.thief.requests(), Vec::<String>::new());
    let nobody = send(served.address, "GET", path, &[], b"");
    assert_eq!(nobody.status, 401, "what the site's login fetched is not anybody's");
}

#[test]
fn a_token_server_that_is_down_is_stood_in_for_and_left_alone_for_a_while() {
    if !on_a_host_of_its_own(
        "layers_hosts::a_token_server_that_is_down_is_stood_in_for_and_left_alone_for_a_while",
        &HUB,
    ) {
        return;
    }
    let hub = Hosts::hub();
    let sample = hub.hold("library/x");
    let served = hub.over("name: docker.io, ttl: 0s", true);
    let path = "/v2/x/manifests/1";
    assert_eq!(as_reader(&served, path).body, sample.root.bytes()[..]);
    hub.registry.memory.forget_tokens();
    hub.auth.fault(usize::MAX, Method::GET, "/token", Fault::Answer(503, vec![], String::new()));
    hub.auth.forget_requests();
    for _ in 0..2 {
        assert_eq!(as_reader(&served, path).body, sample.root.bytes()[..]);
    }
    assert_eq!(hub.auth.requests().len(), 1, "{:?}", hub.auth.requests());
}

#[test]
fn an_authority_counts_for_the_registry_its_token_server_and_its_store() {
    if !on_a_host_of_its_own(
        "layers_hosts::an_authority_counts_for_the_registry_its_token_server_and_its_store",
        &OWN,
    ) {
        return;
    }
    let own = Hosts::start(&OWN, 5050, "https://gitlab.example/jwt/auth", "container_registry");
    let sample = own.hold("private/x");
    let namespace = "name: 'registry.gitlab.example:5050', username: site, password: hunter2";
    let strangers = own.over(namespace, false);
    let path = "/v2/private/x/manifests/1?ns=registry.gitlab.example:5050";
    let refused = as_reader(&strangers, path);
    assert_eq!(refused.status, 502, "{refused:?}");
    let message = refused.json()["errors"][0]["message"].to_string();
    let log = std::fs::read_to_string(own.folder.path().join("log")).unwrap();
    for told in ["registry.gitlab.example:5050", "CA that is not trusted", "`ca`"] {
        assert!(message.contains(told) && log.contains(told), "{message}\n{log}");
    }

    drop(strangers);
    let served = own.over(&format!("{namespace}, ca: ca.pem"), false);
    let pulled = own.pull(&served, "registry.gitlab.example_5050/private/x:1");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    own.pulled(&sample);
    everybody_was_shown_what_is_theirs(&own, Some(&basic("site", "hunter2")));
}
