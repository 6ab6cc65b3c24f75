//! What a pull leaves alone, refuses and says, whatever happens at the same time.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use zuul_images::auth::Credentials;
use zuul_images::copy::{Options, Progress};
use zuul_images::oci::{Digest, Registry as Place};
use zuul_images::sync::{self, Pull, Pulled};
use zuul_images::zuul::ImageArtifact;

use crate::support::clients::{client, login};
use crate::support::faulty::{Fault, Faulty};
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, json};
use crate::support::registry::{Registry, WRITER};
use crate::support::site::{BUILD, Site, pull};

const REPOSITORY: &str = "quay.io/a/b";

/// Something that happens when a pull has looked at everything and written nothing.
struct Meanwhile<Work>(Work);

impl<Work: Fn() + Sync> Progress for Meanwhile<Work> {
    fn planned(&self, _: u64, _: u64) {
        (self.0)();
    }
}

/// Pulls `REPOSITORY:1` of a build.
async fn pull_between(
    places: [SocketAddr; 2],
    build: &str,
    lazy: bool,
    meanwhile: impl Fn() + Sync,
) -> Pulled {
    pull_tags(places, build, &["1".to_owned()], lazy, meanwhile).await
}

/// Pulls these tags of `REPOSITORY` of a build.
async fn pull_tags(
    [from, to]: [SocketAddr; 2],
    build: &str,
    tags: &[String],
    lazy: bool,
    meanwhile: impl Fn() + Sync,
) -> Pulled {
    let [from, to] = [from, to].map(|it| it.to_string().parse::<Place>().unwrap());
    let mut logins = login(&from, WRITER, "secret");
    logins.add(&to, None, Credentials::new(WRITER, "secret"));
    let client = client(&[&from, &to], logins);
    let artifact = |tag: &String| {
        let url = format!("docker://{from}/{REPOSITORY}:{build}_{tag}");
        let artifact = json!({"name": "a", "url": url,
            "metadata": {"type": "container_image", "repository": REPOSITORY, "tag": tag}});
        serde_json::from_value(artifact).unwrap()
    };
    let artifacts: Vec<ImageArtifact> = tags.iter().map(artifact).collect();
    let wanted =
        Pull { artifacts: &artifacts, from: &from, to: &to, tenant: None, lazy, cert: None };
    sync::pull(&client, &wanted, &Options::default(), &Meanwhile(meanwhile)).await.unwrap()
}

fn held(registry: &Registry) -> Vec<u8> {
    registry.request("GET", &format!("/v2/{REPOSITORY}/manifests/1"), b"").body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_while_a_pull_runs_stays() {
    let (intermediate, node) = (Registry::start(), Registry::start());
    let places = [intermediate.address, node.address];
    intermediate.push_image(REPOSITORY, &format!("{BUILD}_1"), "theirs");
    let push = || drop(node.push_image(REPOSITORY, "1", "its own"));
    let pulled = pull_between(places, BUILD, false, push).await;
    let own = held(&node);
    assert_eq!(own, node.push_image(REPOSITORY, "other", "its own"), "the push was overwritten");
    let image = &pulled.images[0].image;
    assert!(image.kept && !image.changed, "{image:?}");
    assert_eq!(image.digest, Digest::sha256(&own));

    // What an earlier pull brought is replaced, and not what was pushed over it in the meantime.
    let node = Registry::start();
    let places = [intermediate.address, node.address];
    let other = BUILD.replace('0', "f");
    let newer = intermediate.push_image(REPOSITORY, &format!("{other}_1"), "newer");
    pull_between(places, BUILD, false, || {}).await;
    let pulled = pull_between(places, &other, false, || {}).await;
    assert!(pulled.images[0].image.changed && held(&node) == newer);
    let push = || drop(node.push_image(REPOSITORY, "1", "theirs"));
    let pulled = pull_between(places, BUILD, false, push).await;
    assert_eq!((pulled.images[0].image.kept, pulled.images[0].image.changed), (true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_copied_where_no_answer_to_the_pointers_comes() {
    let (intermediate, node) = (Registry::start(), Faulty::start().await);
    let manifest = intermediate.push_image(REPOSITORY, &format!("{BUILD}_1"), "theirs");
    node.fault(9, Method::PUT, "/zuul/v1/pointers", Fault::LoseReply);
    let pulled = pull_between([intermediate.address, node.address], BUILD, true, || {}).await;
    let digest = Digest::sha256(&manifest).to_string();
    assert_eq!(node.memory.tag(REPOSITORY, "1"), Some(digest));
    let reason = pulled.images[0].eager_because.as_deref().unwrap();
    assert!(reason.contains("takes no pointers") && reason.contains("broke"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pointers_are_left_in_requests_of_250() {
    let (intermediate, node) = (Registry::start(), Faulty::start().await);
    let manifest = intermediate.push_image(REPOSITORY, "theirs", "theirs");
    let tags: Vec<String> = (0..251).map(|number| number.to_string()).collect();
    for tag in &tags {
        let put = intermediate.put_manifest(REPOSITORY, &format!("{BUILD}_{tag}"), &manifest);
        assert_eq!(put.status, 201);
    }
    // An answer for another number of pointers is none, and the images are copied.
    for count in [250, 1] {
        let taken = json!({"pointers": vec![json!({"changed": true}); count]}).to_string();
        let headers = vec![("content-type", "application/json".to_owned())];
        let answer = Fault::Answer(200, headers, taken);
        node.fault(1, Method::PUT, "/zuul/v1/pointers", answer);
    }
    let places = [intermediate.address, node.address];
    let pulled = pull_tags(places, BUILD, &tags, true, || {}).await;
    assert_eq!((pulled.images.len(), node.count(Method::PUT, "")), (251, 2));
    for image in &pulled.images {
        assert_eq!(image.eager_because, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_image_is_refused_also_where_it_was_pulled_before() {
    let site = Site::new().await;
    let node = RegistryProcess::start();
    // Nobody said for whom.
    json(&site.pull(&site.artifacts, &node, &[]));
    let (document, said) = failure(&site.pull(&site.artifacts, &node, &["--tenant", "two"]), 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(said.contains("another tenant"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_pull_without_the_right_login_is_refused_another_tenants_image_too() {
    let site = Site::with(RegistryProcess::start_for_site("anonymous_pull: true\n")).await;
    let mut connection: Value =
        serde_json::from_slice(&std::fs::read(site.intermediate.connection()).unwrap()).unwrap();
    connection["password"] = "wrong".into();
    let from = site.folder.path().join("wrong.json");
    std::fs::write(&from, connection.to_string()).unwrap();
    let node = RegistryProcess::start();
    let more = ["--lazy", "--tenant", "two"];
    let output = pull(&site.folder, &site.artifacts, from, node.connection(), &more);
    let (document, _) = failure(&output, 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(!node.root().join("pointers.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_older_build_does_not_hide_a_newer_pointer() {
    let site = Site::new().await;
    let node = RegistryProcess::start();
    json(&site.pull(&site.artifacts, &node, &[]));
    let newer = "f".repeat(32);
    let source = repository(&site.intermediate.login(), "q.io/a");
    let expected = push_index(&source, &format!("{newer}_1"), "two", &["linux/amd64"]).await;
    let mut artifacts = site.artifacts.clone();
    let url = artifacts[0]["url"].as_str().unwrap().replace(BUILD, &newer);
    artifacts[0]["url"] = url.into();
    artifacts[0]["metadata"]["digest"] = expected.to_string().into();
    let pulled = json(&site.pull(&artifacts, &node, &["--lazy"]));
    let there = repository(&node.login(), "q.io/a");
    assert_eq!(digest_of(&there, "1").await, Some(expected), "{pulled}");
    assert_eq!(
        (&pulled["images"][0]["lazy"], &pulled["images"][0]["changed"]),
        (&json!(false), &json!(true))
    );
    let reason = pulled["images"][0]["eager_because"].as_str().unwrap();
    assert!(reason.contains("was copied there before"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pointers_with_a_long_certificate_are_left_all_the_same() {
    let site = Site::new().await;
    let mut connection: Value =
        serde_json::from_slice(&std::fs::read(site.intermediate.connection()).unwrap()).unwrap();
    // As long as the certificates of all authorities of a system are together.
    let own = connection["cert"].as_str().unwrap().to_owned();
    connection["cert"] = own.repeat(250_000 / own.len()).into();
    let from = site.folder.path().join("long.json");
    std::fs::write(&from, connection.to_string()).unwrap();
    let source = repository(&site.intermediate.login(), "q.io/a");
    let index = source.manifest(&site.digest.clone().into()).await.unwrap().unwrap();
    let mut artifacts = Vec::new();
    for number in 0..40 {
        let tag = format!("{BUILD}_t{number}");
        source.put_manifest(&tag.parse().unwrap(), &index).await.unwrap();
        let url = format!("docker://{}/q.io/a:{tag}", site.intermediate.address);
        artifacts.push(json!({"name": "q.io/a", "url": url, "metadata":
            {"type": "container_image", "repository": "q.io/a", "tag": format!("t{number}")}}));
    }
    let node = RegistryProcess::start();
    let pulled = json(&pull(&site.folder, &artifacts.into(), from, node.connection(), &["--lazy"]));
    for image in pulled["images"].as_array().unwrap() {
        assert_eq!(image["lazy"], true, "{image}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_artifact_neither_floods_nor_forges_what_is_said() {
    let site = Site::new().await;
    let node = RegistryProcess::start();
    let long = "a".repeat(1_000_000);
    let good = site.artifacts[0].clone();
    for (pointer, value) in [
        ("/url", format!("docker://{long}")),
        ("/name", long.clone()),
        ("/metadata/repository", format!("q.io/{long}")),
        ("/metadata/repository", "q.io/a\u{202e}b\u{2028}error: forged".to_owned()),
        ("/url", "docker://q.io/a\u{202e}b\u{2028}error: forged".to_owned()),
    ] {
        let mut wrong = good.clone();
        // What is wrong, whichever field is long.
        wrong["url"] = "docker://evil.example/a:1".into();
        *wrong.pointer_mut(pointer).unwrap() = value.into();
        let (document, said) = failure(&site.pull(&json!([wrong]), &node, &[]), 3);
        let document = document.to_string();
        for text in [&said, &document] {
            assert!(text.len() < 4000, "{pointer}: {} bytes", text.len());
            assert!(!text.contains(['\u{202e}', '\u{2028}']), "{pointer}: {text}");
        }
    }
}
