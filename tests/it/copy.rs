//! Images from registry to registry: what is moved, in which order, with how many requests.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::client::Client;
use zuul_images::copy::{self, Builds, Error, Item, Options, Outcome, Progress};
use zuul_images::http::{Http, Settings};
use zuul_images::oci::{Descriptor, Digest, ImageReference, Registry};

use crate::support::clients::{client, settings};
use crate::support::distribution::Distribution;
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::programs::RegistryProcess;
use crate::support::sample::{self, Sample};

fn open(servers: &[&Registry]) -> Client {
    client(servers, CredentialStore::empty())
}

fn reference(registry: &Registry, image: &str) -> ImageReference {
    format!("{registry}/{image}").parse().unwrap()
}

fn item(from: &Faulty, image: &str, to: &Faulty, target: &str) -> Item {
    Item {
        name: format!("{image} as {target}"),
        from: reference(&from.registry(), image),
        to: reference(&to.registry(), target),
        expect: None,
        builds: Builds::default(),
    }
}

async fn run(from: &Faulty, to: &Faulty, items: Vec<Item>) -> Result<Outcome, Error> {
    let client = open(&[&from.registry(), &to.registry()]);
    copy::run(&client, items, &Options::default(), &()).await
}

/// Two layers that are worth a look and one that is not.
fn image(name: &str) -> Sample {
    let layer = |number: usize, size| sample::bytes(&format!("{name}-{number}"), size);
    sample::image(name, &[layer(1, 300_000), layer(2, 100_000), layer(3, 500)])
}

mod refusals {
    use super::*;

    #[tokio::test]
    async fn a_missing_image_is_named() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let error = run(&from, &to, vec![item(&from, "a:x", &to, "b:x")]).await.unwrap_err();
        assert_eq!(error.kind(), "not-found");
        assert!(error.to_string().contains(&format!("{}/a:x", from.registry())), "{error}");
        assert_eq!(to.count(Method::PUT, "") + to.count(Method::POST, ""), 0);
    }

    #[tokio::test]
    async fn another_digest_than_expected_is_refused() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        // Whether the destination has the tag or not.
        for _ in 0..2 {
            let expect = Some(Digest::sha256(b"other"));
            let wanted = Item { expect, ..item(&from, "a:t", &to, "a:t") };
            let error = run(&from, &to, vec![wanted]).await.unwrap_err();
            assert!(error.kind() == "refused", "{error}");
            to.memory.hold("a", "t", &image("one"));
        }
        assert_eq!(to.count(Method::PUT, ""), 0);
    }

    #[tokio::test]
    async fn two_images_for_one_tag_are_refused() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "one", &image("one"));
        from.memory.hold("a", "two", &image("two"));
        let items =
            |second| vec![item(&from, "a:one", &to, "b:t"), item(&from, second, &to, "b:t")];
        let error = run(&from, &to, items("a:two")).await.unwrap_err();
        assert_eq!(error.kind(), "conflict");
        assert_eq!(to.count(Method::PUT, ""), 0);
        let outcome = run(&from, &to, items("a:one")).await.unwrap();
        assert_eq!(outcome.totals.manifests_written, 1);
    }

    #[tokio::test]
    async fn an_index_is_never_rewritten_for_some_platforms() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let children =
            [("amd64", image("amd64")), ("arm64", image("arm64")), ("s390x", image("s390x"))];
        let index = sample::index(&children);
        from.memory.hold("a", "t", &index);
        from.memory.hold("a", "single", &children[0].1);
        let client = open(&[&from.registry(), &to.registry()]);
        let only = async |source: &str, platforms: &[&str]| {
            let platforms = platforms.iter().map(|text| text.parse().unwrap()).collect();
            let options = Options { platforms, ..Options::default() };
            copy::run(&client, vec![item(&from, source, &to, "b:t")], &options, &()).await
        };
        for (source, platforms) in [
            ("a:t", &["linux/amd64", "linux/arm64"][..]),
            ("a:t", &["linux/riscv64"]),
            ("a:single", &["linux/amd64"]),
        ] {
            assert_eq!(only(source, platforms).await.unwrap_err().kind(), "platform");
        }
        let one = only("a:t", &["linux/arm64"]).await.unwrap();
        assert_eq!(&one.images[0].digest, children[1].1.root.digest());
        let all = only("a:t", &["linux/amd64", "linux/arm64", "linux/s390x"]).await.unwrap();
        assert_eq!(&all.images[0].digest, index.root.digest());
    }

    #[tokio::test]
    async fn damaged_content_is_not_committed_and_nothing_is_tagged() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let (good, bad) = (image("good"), image("bad"));
        from.memory.hold("good", "t", &good);
        from.memory.hold("bad", "t", &bad);
        let layer = &bad.blobs[1];
        let mut wrong = layer.to_vec();
        wrong[200_000] ^= 1;
        let path = Digest::sha256(layer).to_string();
        from.fault(9, Method::GET, &path, Fault::Body(wrong.into()));
        let items = vec![item(&from, "good:t", &to, "good:t"), item(&from, "bad:t", &to, "bad:t")];
        let error = run(&from, &to, items).await.unwrap_err();
        assert_eq!(error.kind(), "damaged", "{error}");
        assert!(to.memory.blob("bad", &Digest::sha256(layer)).is_none());
        assert_eq!(to.count(Method::PUT, "/manifests/"), 0);
    }

    #[tokio::test]
    async fn a_registry_that_refuses_a_child_leaves_all_tags_alone() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        from.memory.hold("b", "t", &sample::index(&[("amd64", image("two"))]));
        let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"I do not like it"}]}"#;
        let refuse = Fault::Answer(400, vec![], body.to_owned());
        to.fault(1, Method::PUT, "/manifests/sha256", refuse);
        let items = vec![item(&from, "a:t", &to, "a:t"), item(&from, "b:t", &to, "b:t")];
        let error = run(&from, &to, items).await.unwrap_err();
        assert!(error.to_string().contains("I do not like it"), "{error}");
        assert!(to.memory.tag("a", "t").is_none() && to.memory.tag("b", "t").is_none());
    }
}

mod requests {
    use super::*;

    #[tokio::test]
    async fn an_unchanged_image_costs_one_head_on_each_side() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let image = image("one");
        from.memory.hold("a", "t", &image);
        to.memory.hold("b", "t", &image);
        let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
        assert!(!outcome.images[0].changed);
        assert_eq!(from.requests(), ["HEAD /v2/a/manifests/t"]);
        assert_eq!(to.requests(), ["HEAD /v2/b/manifests/t"]);
        assert_eq!(outcome.totals.requests, 2);
        // By digest the source need not be asked at all.
        let by_digest = format!("a@{}", image.root.digest());
        from.forget_requests();
        run(&from, &to, vec![item(&from, &by_digest, &to, "b:t")]).await.unwrap();
        assert_eq!(from.requests().len(), 0);
    }

    #[tokio::test]
    async fn a_new_image_costs_no_request_more_than_it_needs() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "b:t")]).await.unwrap();
        // The manifest and four blobs; no HEAD, as there is nothing to compare with.
        assert_eq!(from.requests().len(), 5, "{:?}", from.requests());
        assert_eq!(from.count(Method::HEAD, ""), 0);
        // The tag and two large blobs are looked for; four blobs are sent; the manifest is written.
        let heads = to.count(Method::HEAD, "");
        assert_eq!((heads, to.requests().len()), (3, 3 + 4 * 2 + 1), "{:?}", to.requests());
        assert_eq!(to.requests().last().unwrap(), "PUT /v2/b/manifests/t");
        let totals = outcome.totals;
        assert_eq!((totals.blobs_moved, totals.blobs_mounted, totals.blobs_present), (4, 0, 0));
        assert_eq!(totals.requests, 17);
        assert!(totals.bytes_moved > 400_000);
    }

    #[tokio::test]
    async fn a_blob_many_images_share_is_read_once_and_sent_once() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let base: Vec<Bytes> =
            (0..4).map(|n| sample::bytes(&format!("base{n}"), 200_000)).collect();
        let mut items = Vec::new();
        for number in 0..30 {
            let mut layers = base.clone();
            layers.push(sample::bytes(&format!("own{number}"), 2_000));
            let image = sample::image(&format!("image{number}"), &layers);
            from.memory.hold(&format!("i{number}"), "t", &image);
            let name = format!("i{number}:t");
            items.push(item(&from, &name, &to, &name));
        }
        let outcome = run(&from, &to, items.clone()).await.unwrap();
        for layer in &base {
            let digest = Digest::sha256(layer).to_string();
            assert_eq!(from.count(Method::GET, &digest), 1);
            assert_eq!(to.count(Method::PUT, &digest.replace(':', "%3A")), 1);
            assert_eq!(to.count(Method::HEAD, &digest), 1);
        }
        let totals = outcome.totals;
        assert_eq!((totals.blobs_moved, totals.blobs_mounted), (4 + 60, 4 * 29));
        // Each image: HEAD, GET, two own blobs (GET, POST, PUT each), PUT. The base: 4 × (HEAD,
        // GET, POST, PUT) and 4 × 29 mounts.
        assert_eq!(totals.requests, 30 * 9 + 4 * 4 + 4 * 29);
        let again = run(&from, &to, items).await.unwrap();
        assert_eq!(again.totals.requests, 60);
    }

    #[tokio::test]
    async fn where_mounts_are_declined_blobs_are_looked_for_first() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        *to.memory.declines_mounts.lock().unwrap() = true;
        let shared = sample::bytes("shared", 200_000);
        let mut items = Vec::new();
        for number in 0..4 {
            let image = sample::image(&format!("image{number}"), std::slice::from_ref(&shared));
            from.memory.hold(&format!("i{number}"), "t", &image);
            to.memory.hold_blob(&format!("i{number}"), &shared);
            let name = format!("i{number}:t");
            items.push(item(&from, &name, &to, &name));
        }
        let outcome = run(&from, &to, items).await.unwrap();
        // One is sent in vain, then it is known.
        assert_eq!(outcome.totals.blobs_present, 3);
        assert_eq!(outcome.totals.blobs_moved, 4 + 1);
    }

    #[tokio::test]
    async fn a_retag_moves_one_manifest_and_nothing_else() {
        let server = Faulty::start().await;
        server.memory.hold("a", "change_1_latest", &sample::index(&[("amd64", image("one"))]));
        let items = vec![item(&server, "a:change_1_latest", &server, "a:latest")];
        let outcome = run(&server, &server, items).await.unwrap();
        assert!(outcome.images[0].changed);
        assert_eq!(
            server.requests(),
            [
                "HEAD /v2/a/manifests/latest",
                "GET /v2/a/manifests/change_1_latest",
                "PUT /v2/a/manifests/latest"
            ]
        );
    }

    #[tokio::test]
    async fn one_image_under_many_tags_is_looked_at_once() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        let items: Vec<Item> =
            (0..5).map(|number| item(&from, "a:t", &to, &format!("b:{number}"))).collect();
        let outcome = run(&from, &to, items).await.unwrap();
        assert_eq!(from.count(Method::GET, "/manifests/"), 1);
        assert_eq!(outcome.totals.manifests_written, 5);
    }

    #[tokio::test]
    async fn within_a_registry_blobs_are_mounted_and_no_byte_moves() {
        let server = Faulty::start().await;
        server.memory.hold("a", "t", &image("one"));
        let items = vec![item(&server, "a:t", &server, "b:t")];
        let totals = run(&server, &server, items).await.unwrap().totals;
        assert_eq!((totals.blobs_mounted, totals.bytes_moved, totals.requests), (4, 0, 2 + 4 + 1));
        assert_eq!(server.count(Method::GET, "/blobs/"), 0);
    }

    #[tokio::test]
    async fn a_changed_index_moves_only_what_changed() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let same = image("same");
        let old = sample::index(&[("amd64", same.clone()), ("arm64", image("old"))]);
        let new = sample::index(&[("amd64", same.clone()), ("arm64", image("new"))]);
        from.memory.hold("a", "t", &new);
        to.memory.hold("a", "t", &old);
        let outcome = run(&from, &to, vec![item(&from, "a:t", &to, "a:t")]).await.unwrap();
        assert_eq!(outcome.totals.blobs_moved, 4);
        assert_eq!(outcome.totals.manifests_written, 2);
        assert_eq!(from.count(Method::GET, same.root.digest().as_str()), 0);
        assert_eq!(to.memory.tag("a", "t").unwrap(), new.root.digest().to_string());
    }

    #[tokio::test]
    async fn tokens_are_fetched_once_for_each_scope() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        let mut logins = CredentialStore::empty();
        for server in [&from, &to] {
            *server.memory.access.lock().unwrap() =
                Access::Bearer { user: "u".to_owned(), password: "p".to_owned(), expires_in: 300 };
            logins.add(&server.registry(), None, Credentials::new("u", "p"));
        }
        from.memory.hold("a", "t", &image("one"));
        let client = client(&[&from.registry(), &to.registry()], logins);
        let items = vec![item(&from, "a:t", &to, "b:t")];
        let outcome = copy::run(&client, items, &Options::default(), &()).await.unwrap();
        // On each side one refusal and one token more than without a login.
        assert_eq!(outcome.totals.requests, 17 + 4);
        assert_eq!((from.count(Method::GET, "/token"), to.count(Method::GET, "/token")), (1, 1));
    }

    #[tokio::test]
    async fn a_dry_run_only_looks() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        let client = open(&[&from.registry(), &to.registry()]);
        let options = Options { dry_run: true, ..Options::default() };
        let items = vec![item(&from, "a:t", &to, "b:t")];
        let outcome = copy::run(&client, items, &options, &()).await.unwrap();
        assert!(outcome.images[0].changed);
        assert_eq!((outcome.totals.blobs_moved, outcome.totals.manifests_written), (4, 1));
        assert_eq!(from.count(Method::GET, "/blobs/"), 0);
        assert_eq!(to.count(Method::HEAD, ""), to.requests().len());
    }
}

mod content {
    use super::*;

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
        server.memory.hold(
            "a",
            "t",
            &sample::index(&[("amd64", image("x")), ("arm64", image("y"))]),
        );
        let registry = server.registry();
        let mut logins = CredentialStore::empty();
        logins.add(&registry, None, Credentials::new("u", "p"));
        let narrow = Settings { per_host: 1, ..settings(&[&registry]) };
        let client = Client::new(Http::new(narrow).unwrap(), logins);
        let items =
            vec![item(&server, "a:t", &server, "b:t"), item(&server, "a:t", &server, "c:t")];
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
        let (first, second) =
            (first.login().registry().unwrap(), second.login().registry().unwrap());
        for (from, to) in [(&source.registry(), &first), (&first, &second)] {
            let item = |target: &str| Item {
                name: target.to_owned(),
                from: reference(from, "org/a:t"),
                to: reference(to, target),
                expect: Some(index.root.digest().clone()),
                builds: Builds::default(),
            };
            let items = vec![item("org/a:t"), item("org/b:u")];
            let outcome =
                copy::run(&client, items.clone(), &Options::default(), &()).await.unwrap();
            assert_eq!((outcome.totals.blobs_moved, outcome.totals.blobs_mounted), (8, 8));
            let again = copy::run(&client, items, &Options::default(), &()).await.unwrap();
            assert_eq!(again.totals.requests, 3);
        }
    }

    #[derive(Default)]
    struct Told {
        planned: Mutex<(u64, u64)>,
        bytes: AtomicU64,
        done: AtomicU64,
    }

    impl Progress for Told {
        fn planned(&self, blobs: u64, bytes: u64) {
            *self.planned.lock().unwrap() = (blobs, bytes);
        }

        fn bytes(&self, count: u64) {
            self.bytes.fetch_add(count, Ordering::Relaxed);
        }

        fn blob_done(&self, _: &Descriptor) {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn progress_is_told_to_the_byte() {
        let (from, to) = (Faulty::start().await, Faulty::start().await);
        from.memory.hold("a", "t", &image("one"));
        let client = open(&[&from.registry(), &to.registry()]);
        let told = Told::default();
        let items = vec![item(&from, "a:t", &to, "b:t")];
        let outcome = copy::run(&client, items, &Options::default(), &told).await.unwrap();
        let bytes = outcome.totals.bytes_moved;
        assert_eq!(*told.planned.lock().unwrap(), (4, bytes));
        assert_eq!(told.bytes.load(Ordering::Relaxed), bytes);
        assert_eq!(told.done.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn skopeo_finds_the_same_bytes_in_a_registry_nobody_here_wrote() {
        let source = Faulty::start().await;
        let (first, second) = (Distribution::start(), Distribution::start());
        let index = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
        source.memory.hold("org/a", "t", &index);
        let client = open(&[&source.registry(), &first.registry(), &second.registry()]);
        for (from, to) in
            [(source.registry(), first.registry()), (first.registry(), second.registry())]
        {
            let item = Item {
                name: "image".to_owned(),
                from: reference(&from, "org/a:t"),
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
}
