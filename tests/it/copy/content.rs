use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::client::Client;
use zuul_images::copy::{self, Builds, Item, Moving, Options, Progress};
use zuul_images::http::{Http, Settings};
use zuul_images::oci::{Algorithm, Descriptor, Digest, media_type};

use super::{image, item, open, reference, run};
use crate::support::clients::{client, login, settings};
use crate::support::distribution::Distribution;
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::programs::RegistryProcess;
use crate::support::registry::{Registry, WRITER};
use crate::support::sample::{self, Sample};

#[tokio::test]
async fn children_come_before_parents_and_tags_last() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let shared = image("shared");
    let inner = sample::index(&[("amd64", shared.clone()), ("arm64", image("arm64"))]);
    let middle = sample::index(&[("amd64", inner.clone())]);
    let outer = sample::index(&[("amd64", shared.clone()), ("arm64", middle.clone())]);
    from.memory.hold("a", "outer", &outer);
    // The same manifest at another depth of another image.
    let other = sample::index(&[("amd64", inner.clone()), ("s390x", image("s390x"))]);
    from.memory.hold("a", "other", &other);
    let items = vec![item(&from, "a:outer", &to, "b:1"), item(&from, "a:other", &to, "b:2")];
    run(&from, &to, items).await.unwrap();
    let written = to.requests();
    let at = |what: &str| written.iter().position(|one| one.contains(what)).unwrap();
    let put = |image: &Sample| at(&format!("PUT /v2/b/manifests/{}", image.root.digest()));
    assert!(put(&shared) < put(&inner) && put(&inner) < put(&middle));
    let tags = at("PUT /v2/b/manifests/1").min(at("PUT /v2/b/manifests/2"));
    assert_eq!(tags, written.len() - 2);
    assert_eq!(to.memory.manifest("b", outer.root.digest()).unwrap(), outer.root.bytes());
    for image in [&shared, &inner] {
        assert_eq!(from.count(Method::GET, image.root.digest().as_str()), 1);
    }
}

#[tokio::test]
async fn what_an_index_lists_goes_under_the_digest_that_it_says() {
    let (from, to) = (Registry::start(), Registry::start());
    let child = image("child");
    child.blobs.iter().for_each(|blob| drop(from.push_blob("a", blob)));
    let put = |reference: &str, bytes: &[u8]| {
        assert_eq!(from.put_manifest("a", reference, bytes).status, 201);
    };
    let index_of = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(Algorithm::Sha512, bytes);
        put(digest.as_str(), bytes);
        let listed = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
            "manifests": [listed]});
        (digest, index.to_string())
    };
    let (image, inner) = index_of(media_type::OCI_MANIFEST, child.root.bytes());
    let (middle, outer) = index_of(media_type::OCI_INDEX, inner.as_bytes());
    put("t", outer.as_bytes());
    let registry = |registry: &Registry| registry.address.to_string().parse().unwrap();
    let (source, target) = (registry(&from), registry(&to));
    let client = client(&[&source, &target], login(&target, WRITER, "secret"));
    let item = Item {
        name: "outer".to_owned(),
        from: reference(&source, "a:t").into(),
        to: reference(&target, "b:t"),
        expect: None,
        builds: Builds::default(),
    };
    let outcome = copy::run(&client, vec![item.clone()], &Options::default(), &()).await.unwrap();
    assert_eq!(outcome.totals.manifests_written, 3);
    for (digest, bytes) in [(&image, child.root.bytes().as_ref()), (&middle, inner.as_bytes())] {
        let answer = to.anonymous("GET", &format!("/v2/b/manifests/{digest}"));
        assert!(answer.status == 200 && answer.body == bytes, "{digest}: {}", answer.status);
    }
    // By its digest at the source to its digest here.
    let (source, target) = (format!("a@{middle}"), format!("c@{middle}"));
    let item = Item {
        from: reference(&registry(&from), &source).into(),
        to: reference(&registry(&to), &target),
        ..item
    };
    for changed in [true, false] {
        let items = vec![item.clone()];
        let outcome = copy::run(&client, items, &Options::default(), &()).await.unwrap();
        assert_eq!((outcome.images[0].changed, &outcome.images[0].digest), (changed, &middle));
    }
}

#[tokio::test]
async fn layers_kept_elsewhere_are_left_alone() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let plain = image("windows");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let text = String::from_utf8(plain.root.bytes().to_vec()).unwrap();
    let text = text.replacen(sample::LAYER, foreign, 1);
    let root = zuul_images::oci::Manifest::parse(text.into(), None).unwrap();
    let mut blobs = plain.blobs.clone();
    blobs.remove(1);
    from.memory.hold("a", "t", &Sample { root, below: Vec::new(), blobs });
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert_eq!(outcome.totals.blobs_moved, 3);
}

#[tokio::test]
async fn broken_connections_on_both_sides_are_outlasted() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = image("one");
    from.memory.hold("a", "t", &image);
    let large = Digest::sha256(&image.blobs[1]).to_string();
    from.fault(1, Method::GET, &large, Fault::CutAfter(120_000));
    from.fault(1, Method::GET, "/manifests/", Fault::Answer(503, vec![], String::new()));
    to.fault(1, Method::POST, "", Fault::Answer(429, vec![], String::new()));
    to.fault(1, Method::PUT, "/blobs/", Fault::CutRequest(1));
    to.fault(1, Method::PUT, "/manifests/", Fault::LoseReply);
    let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
    assert_eq!(outcome.totals.retries, 4);
    for blob in &image.blobs {
        assert_eq!(to.memory.blob("b", &Digest::sha256(blob)).unwrap(), *blob);
    }
    assert_eq!(to.memory.tag("b", "t").unwrap(), image.root.digest().to_string());
}

#[tokio::test]
async fn one_connection_to_a_registry_is_enough_to_copy_within_it() {
    let server = Faulty::start().await;
    *server.memory.declines_mounts.lock().unwrap() = true;
    *server.memory.access.lock().unwrap() =
        Access::Bearer { user: "u".to_owned(), password: "p".to_owned(), expires_in: 1 };
    server.memory.hold("a", "t", &sample::index(&[("amd64", image("x")), ("arm64", image("y"))]));
    let registry = server.registry();
    let mut logins = CredentialStore::empty();
    logins.add(&registry, None, Credentials::new("u", "p"));
    let narrow = Settings { per_host: 1, ..settings(&[&registry]) };
    let client = Client::new(Http::new(narrow).unwrap(), logins);
    let items = vec![item(&server, "a:t", &server, "b:t"), item(&server, "a:t", &server, "c:t")];
    let options = Options::default();
    let copying = copy::run(&client, items, &options, &());
    let limit = std::time::Duration::from_secs(20);
    let outcome = tokio::time::timeout(limit, copying).await.unwrap().unwrap();
    assert_eq!(outcome.totals.blobs_moved, 16);
}

/// Over TLS with its own CA, with tokens, between two of our own registries.
#[tokio::test]
async fn our_own_registries_give_and_take() {
    let source = Faulty::start().await;
    let (first, second) = (RegistryProcess::start(), RegistryProcess::start());
    let index = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    source.memory.hold("org/a", "t", &index);
    let mut logins = CredentialStore::empty();
    let mut settings = settings(&[&source.registry()]);
    for registry in [&first, &second] {
        let login = registry.login();
        let name = login.registry().unwrap();
        settings.trust.add(&name, login.certificate().unwrap().as_bytes()).unwrap();
        logins.add(&name, None, Credentials::new(login.username, login.password));
    }
    let client = Client::new(Http::new(settings).unwrap(), logins);
    let (first, second) = (first.login().registry().unwrap(), second.login().registry().unwrap());
    for (from, to) in [(&source.registry(), &first), (&first, &second)] {
        let item = |target: &str| Item {
            name: target.to_owned(),
            from: reference(from, "org/a:t").into(),
            to: reference(to, target),
            expect: Some(index.root.digest().clone()),
            builds: Builds::default(),
        };
        let items = vec![item("org/a:t"), item("org/b:u")];
        let outcome = copy::run(&client, items.clone(), &Options::default(), &()).await.unwrap();
        assert_eq!((outcome.totals.blobs_moved, outcome.totals.blobs_mounted), (8, 8));
        let again = copy::run(&client, items, &Options::default(), &()).await.unwrap();
        assert_eq!(again.totals.requests, 3);
    }
}

#[derive(Default)]
struct Told {
    planned: Mutex<(u64, u64)>,
    spared: AtomicU64,
    bytes: Arc<AtomicU64>,
    placed: AtomicU64,
}

struct At(Arc<AtomicU64>, AtomicU64);

impl Progress for Told {
    fn planned(&self, blobs: u64, bytes: u64) {
        let mut planned = self.planned.lock().unwrap();
        *planned = (planned.0 + blobs, planned.1 + bytes);
    }

    fn spared(&self, bytes: u64) {
        self.spared.fetch_add(bytes, Ordering::Relaxed);
    }

    fn moving(&self, _: &Descriptor) -> Box<dyn Moving> {
        Box::new(At(Arc::clone(&self.bytes), AtomicU64::new(0)))
    }

    fn placed(&self, _: &Descriptor) {
        self.placed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Moving for At {
    fn at(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        self.0.fetch_sub(self.1.swap(bytes, Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn progress_is_told_to_the_byte() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = image("one");
    from.memory.hold("a", "t", &image);
    // One is there already, and one has to be sent twice.
    to.memory.hold_blob("b", &image.blobs[2]);
    to.fault(1, Method::PUT, "/blobs/", Fault::CutRequest(200_000));
    let client = open(&[&from.registry(), &to.registry()]);
    let told = Told::default();
    let items = vec![item(&from, "a:t", &to, "b:t")];
    let totals = copy::run(&client, items, &Options::default(), &told).await.unwrap().totals;
    assert_eq!(totals.bytes_present, image.blobs[2].len() as u64);
    let all: usize = image.blobs.iter().map(Bytes::len).sum();
    assert_eq!(*told.planned.lock().unwrap(), (4, all as u64));
    assert_eq!(told.spared.load(Ordering::Relaxed), totals.bytes_present);
    assert_eq!(told.bytes.load(Ordering::Relaxed), totals.bytes_moved);
    assert_eq!(told.placed.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn skopeo_finds_the_same_bytes_in_a_registry_nobody_here_wrote() {
    let source = Faulty::start().await;
    let (first, second) = (Distribution::start(), Distribution::start());
    let index = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    source.memory.hold("org/a", "t", &index);
    let client = open(&[&source.registry(), &first.registry(), &second.registry()]);
    for (from, to) in [(source.registry(), first.registry()), (first.registry(), second.registry())]
    {
        let item = Item {
            name: "image".to_owned(),
            from: reference(&from, "org/a:t").into(),
            to: reference(&to, "org/a:t"),
            expect: Some(index.root.digest().clone()),
            builds: Builds::default(),
        };
        let outcome = copy::run(&client, vec![item], &Options::default(), &()).await.unwrap();
        assert_eq!(outcome.totals.blobs_moved, 8);
        let platforms: Vec<String> =
            outcome.images[0].platforms.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    }
    let shown = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{}/org/a:t", second.registry()))
        .output()
        .unwrap();
    assert_eq!(
        shown.stdout.as_slice(),
        index.root.bytes().as_ref(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
}
