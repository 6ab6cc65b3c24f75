//! The route by which pointers enter a buildset registry.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zuul_images::oci::Digest;

use crate::support::faulty::Fault;
use crate::support::http::send;
use crate::support::registry::{READER, Registry, basic};
use crate::support::sample::Sample;
use crate::support::upstream::Upstream;
use crate::support::wait::wait_until;

const POINTERS: &str = "/zuul/v1/pointers";

fn taking() -> Registry {
    Registry::start_with(|config| config.speculative.accept_pointers = true)
}

fn list(pointers: &Value) -> Vec<u8> {
    json!({ "pointers": pointers }).to_string().into_bytes()
}

/// A pointer to an image of another registry here, whoever asks for it.
fn pointer(source: &Registry, name: &str, tag: &str, manifest: &[u8]) -> Value {
    json!({"name": name, "tag": tag, "digest": Digest::sha256(manifest), "size": manifest.len(),
           "url": format!("http://{}/v2/a", source.address), "token": "hush"})
}

#[test]
fn a_registry_for_a_site_knows_no_pointers() {
    let registry = Registry::start();
    for method in ["GET", "PUT", "POST"] {
        assert_eq!(registry.request(method, POINTERS, b"{}").status, 404, "{method}");
    }
}

#[test]
fn only_who_may_write_leaves_or_lists_pointers() {
    let registry = taking();
    assert_eq!(registry.anonymous("GET", POINTERS).status, 401);
    let reader = basic(READER, "secret");
    for method in ["GET", "PUT"] {
        let headers = [("Authorization", reader.as_str())];
        let body = list(&json!([]));
        assert_eq!(send(registry.address, method, POINTERS, &headers, &body).status, 403);
    }
    assert_eq!(registry.request("DELETE", POINTERS, b"").status, 405);
    for body in ["", "[]", r#"{"pointers": [{"token": "hush"}]}"#, r#"{"pointer": []}"#] {
        let answer = registry.request("PUT", POINTERS, body.as_bytes());
        assert_eq!(answer.status, 400, "{body}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("hush"));
    }
    let large = vec![b' '; 8 * 1024 * 1024 + 1];
    assert_eq!(registry.request("PUT", POINTERS, &large).status, 413);
}

#[test]
fn a_writer_of_some_repositories_leaves_pointers_there_only() {
    let source = Registry::start();
    let manifest = source.push_image("a", "t", "one");
    let registry = Registry::start_with(|config| {
        config.speculative.accept_pointers = true;
        config.users[0].repositories = Some(vec!["own/*".to_owned().try_into().unwrap()]);
    });
    let mut own = pointer(&source, "own/x", "1", &manifest);
    own["token"].take();
    let others = pointer(&source, "others/x", "1", &manifest);
    let both = list(&json!([own, others]));
    assert_eq!(registry.request("PUT", POINTERS, &both).status, 403);
    assert_eq!(registry.request("PUT", POINTERS, &list(&json!([own]))).status, 200);
    let listed = registry.request("GET", POINTERS, b"").json();
    assert_eq!(listed["pointers"].as_array().unwrap().len(), 1);
}

#[test]
fn a_pointer_is_taken_only_if_the_image_can_be_had() {
    let source = Registry::start();
    let manifest = source.push_image("a", "t", "one");
    let registry = taking();
    let good = pointer(&source, "docker.io/library/x", "1", &manifest);
    let mut dead = good.clone();
    dead["url"] = "http://127.0.0.1:1/v2/a".into();
    let mut absent = good.clone();
    absent["digest"] = Digest::sha256(b"absent").to_string().into();
    let mut longer = good.clone();
    longer["size"] = 7.into();
    let mut secure = good.clone();
    secure["url"] = format!("https://{}/v2/a", source.address).into();
    let all = list(&json!([dead, absent, good, longer, secure]));
    let answer = registry.request("PUT", POINTERS, &all).json();
    let refused: Vec<bool> = answer["pointers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.get("refused").is_some())
        .collect();
    assert_eq!(refused, [true, true, false, true, true], "{answer}");
    assert!(!answer.to_string().contains("hush"));
    let listed = registry.request("GET", POINTERS, b"").json();
    assert_eq!(listed["pointers"].as_array().unwrap().len(), 1);
    assert_eq!(listed["pointers"][0]["name"], "x");
    assert_eq!(listed["pointers"][0].get("token"), None);

    // The newer one stands, also after a restart; a restart without pointers forgets none.
    let newer = source.push_image("a", "t", "two");
    let again = list(&json!([pointer(&source, "x", "1", &newer)]));
    assert_eq!(registry.request("PUT", POINTERS, &again).json()["pointers"][0]["changed"], true);
    let (folder, _) = registry.end();
    let (folder, _) = Registry::start_in(folder, |_| {}).end();
    let registry = Registry::start_in(folder, |config| config.speculative.accept_pointers = true);
    let listed = registry.request("GET", POINTERS, b"").json();
    assert_eq!(listed["pointers"][0]["digest"], Digest::sha256(&newer).as_str());
    assert_eq!(registry.request("PUT", POINTERS, &again).json()["pointers"][0]["changed"], false);
}

#[test]
fn a_registry_that_does_not_answer_is_not_asked_for_each_of_many_pointers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    // It goes as soon as somebody comes.
    std::thread::spawn(move || {
        while listener.accept().is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let source = Registry::start();
    let manifest = source.push_image("a", "t", "one");
    let registry = taking();
    let mut pointers: Vec<Value> = (0..300)
        .map(|number| {
            let mut pointer = pointer(&source, "x", &number.to_string(), &manifest);
            pointer["url"] = format!("http://{dead}/v2/a").into();
            pointer
        })
        .collect();
    pointers.push(pointer(&source, "y", "1", &manifest));
    let answer = registry.request("PUT", POINTERS, &list(&pointers.into())).json();
    let taken = answer["pointers"].as_array().unwrap();
    let (good, dead) = taken.split_last().unwrap();
    assert_eq!(good.get("refused"), None);
    for taken in dead {
        assert!(taken["refused"].as_str().unwrap().contains("127.0.0.1"), "{taken}");
    }
    // Each of those that are looked at together, and each look with two more attempts.
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 16 * 3, "{asked}");
}

/// A pointer to `x` at an image of another registry.
fn pointer_at(at: &Upstream, tag: &str, image: &Sample) -> Value {
    json!({"name": "x", "tag": tag, "digest": image.root.digest(), "token": "hush",
           "size": image.root.bytes().len(), "url": format!("http://{}/v2/a", at.faulty.address)})
}

#[test]
fn a_read_by_digest_through_another_pointer_does_not_fail_a_read_by_tag() {
    let (slow, source) = (Upstream::start(), Upstream::start());
    let other = slow.hold("a", "1", "other", 10);
    let wanted = source.hold("a", "2", "wanted", 10);
    let registry = taking();
    let both = json!([pointer_at(&slow, "1", &other), pointer_at(&source, "2", &wanted)]);
    let taken = registry.request("PUT", POINTERS, &list(&both)).json();
    assert_eq!(taken["pointers"][1].get("refused"), None, "{taken}");
    // The first does not have it and takes its time to say so.
    let digest = wanted.root.digest().to_string();
    slow.faulty.fault(9, Method::GET, &digest, Fault::Delay(Duration::from_secs(3)));
    let by_digest = format!("/v2/x/manifests/{digest}");
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| registry.anonymous("GET", &by_digest).status);
        wait_until(|| slow.gets(&digest) + source.gets(&digest) > 0);
        assert_eq!(registry.anonymous("GET", "/v2/x/manifests/2").status, 200);
        assert_eq!(reading.join().unwrap(), 200);
    });
}

#[test]
fn a_blob_is_asked_for_only_through_a_pointer_whose_image_it_may_be_of() {
    let sources = [Upstream::start(), Upstream::start()];
    let images = [sources[0].hold("a", "1", "one", 10), sources[1].hold("a", "2", "two", 10)];
    let registry = taking();
    let pointers =
        json!([pointer_at(&sources[0], "1", &images[0]), pointer_at(&sources[1], "2", &images[1])]);
    assert_eq!(registry.request("PUT", POINTERS, &list(&pointers)).status, 200);
    let blob = |bytes: &[u8]| format!("blobs/{}", Digest::sha256(bytes));
    let get = |path: &str| registry.anonymous("GET", &format!("/v2/x/{path}"));
    // As long as nothing is known of the first image it may be there.
    assert_eq!(get("manifests/2").status, 200);
    let layer = blob(&images[1].blobs[0]);
    assert_eq!(get(&layer).status, 200);
    assert_eq!((sources[0].gets(&layer), sources[1].gets(&layer)), (0, 1));
    let strange = blob(b"strange");
    assert_eq!(get(&strange).status, 404);
    assert_eq!((sources[0].gets(&strange), sources[1].gets(&strange)), (1, 0));

    assert_eq!(get("manifests/1").status, 200);
    let stranger = blob(b"stranger");
    assert_eq!(get(&stranger).status, 404);
    assert_eq!(registry.anonymous("HEAD", &format!("/v2/x/{stranger}")).status, 404);
    for (source, image) in sources.iter().zip(&images) {
        assert_eq!(source.gets(&stranger) + source.heads(&stranger), 0);
        let config = blob(&image.blobs[1]);
        assert_eq!(get(&config).status, 200);
    }
    assert_eq!(sources[0].gets("blobs/") + sources[1].gets("blobs/"), 4);
}
