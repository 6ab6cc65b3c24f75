//! Tokens for one image, which an intermediate registry gives to `pull --lazy`.

use serde_json::{Value, json};
use zuul_images::oci::Digest;
use zuul_images::registry::config::Period;

use crate::support::http::{Answer, send};
use crate::support::registry::{READER, Registry, basic, image};

const TOKENS: &str = "/zuul/v1/pull-tokens";
const REPOSITORY: &str = "quay.io/a/b";

fn closed() -> Registry {
    Registry::start_with(|config| config.anonymous_pull = Some(false))
}

fn ask(registry: &Registry, headers: &[(&str, &str)], images: &Value) -> Answer {
    let body = json!({ "images": images }).to_string();
    send(registry.address, "POST", TOKENS, headers, body.as_bytes())
}

/// What a reader is answered about one image.
fn issued(registry: &Registry, tag: &str) -> Value {
    let login = basic(READER, "secret");
    let images = json!([{"repository": REPOSITORY, "tag": tag}]);
    let answer = ask(registry, &[("Authorization", &login)], &images);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["images"][0].take()
}

fn bearing(registry: &Registry, token: &Value, method: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    send(registry.address, method, path, &[("Authorization", &bearer)], b"")
}

/// An index over two images, tagged `t`; another image beside it, tagged `other`.
fn push(registry: &Registry) -> (Digest, Vec<Digest>, Vec<Digest>) {
    registry.push_image(REPOSITORY, "other", "other");
    let children = ["amd64", "arm64"].map(|seed| registry.push_image(REPOSITORY, seed, seed));
    let listed = children.each_ref().map(|child| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
               "digest": Digest::sha256(child), "size": child.len()})
    });
    let index = json!({"schemaVersion": 2, "manifests": listed,
        "mediaType": "application/vnd.oci.image.index.v1+json"})
    .to_string();
    let answer = registry.with(
        "PUT",
        &format!("/v2/{REPOSITORY}/manifests/t"),
        &[("Zuul-Origin", "tenant=one&change=7")],
        index.as_bytes(),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    let layers = ["amd64", "arm64"].map(|seed| Digest::sha256(format!("layer {seed}").as_bytes()));
    let children = children.map(|child| Digest::sha256(&child));
    (Digest::sha256(index.as_bytes()), children.into(), layers.into())
}

#[test]
fn nobody_gets_a_token_for_what_he_may_not_read() {
    let registry = closed();
    push(&registry);
    let images = json!([{"repository": REPOSITORY, "tag": "t"}]);
    assert_eq!(ask(&registry, &[], &images).status, 401);
    let wrong = basic(READER, "wrong");
    assert_eq!(ask(&registry, &[("Authorization", &wrong)], &images).status, 401);
    let token = issued(&registry, "t");
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    assert_eq!(ask(&registry, &[("Authorization", &bearer)], &images).status, 401, "renewed");

    let login = basic(READER, "secret");
    let of_two = [("Authorization", login.as_str()), ("Zuul-Origin", "tenant=two")];
    let answer = ask(&registry, &of_two, &images).json();
    assert_eq!(answer["images"][0]["refused"], "tenant");
    assert_eq!(answer["images"][0].get("token"), None);
    assert_eq!(issued(&registry, "none")["refused"], "absent");
    for body in ["", "{", "[]", r#"{"images": [{"repository": "../x", "tag": "t"}]}"#] {
        let headers = [("Authorization", login.as_str())];
        let answer = send(registry.address, "POST", TOKENS, &headers, body.as_bytes());
        assert_eq!(answer.status, 400, "{body}");
    }
    let many: Vec<Value> = (0..2001).map(|_| json!({"repository": "a", "tag": "t"})).collect();
    let headers = [("Authorization", login.as_str())];
    assert_eq!(ask(&registry, &headers, &many.into()).status, 413);
    assert_eq!(registry.request("GET", TOKENS, b"").status, 405);
}

#[test]
fn a_token_opens_its_image_and_nothing_else() {
    let registry = closed();
    let (index, children, layers) = push(&registry);
    let other = Digest::sha256(&image(b"config other", b"layer other"));
    registry.push_image("quay.io/a/c", "t", "amd64");
    let token = issued(&registry, "t");
    assert_eq!(token["digest"], index.as_str());
    assert_eq!(token["origin"], json!({"tenant": "one", "change": "7"}));

    let at = |path: &str| format!("/v2/{REPOSITORY}/{path}");
    let other_layer = Digest::sha256(b"layer other");
    for (method, path, status) in [
        ("GET", at(&format!("manifests/{other}")), 403),
        ("HEAD", at(&format!("manifests/{other}")), 403),
        ("GET", at(&format!("blobs/{other_layer}")), 403),
        ("GET", at(&format!("blobs/{}", Digest::sha256(b"nowhere"))), 403),
        ("GET", at("manifests/t"), 401),
        ("GET", at("manifests/other"), 401),
        ("GET", at("tags/list"), 401),
        ("GET", at(&format!("referrers/{index}")), 401),
        ("POST", at("blobs/uploads/"), 401),
        ("PUT", at("manifests/t"), 401),
        ("PUT", at(&format!("manifests/{index}")), 401),
        ("DELETE", at(&format!("manifests/{index}")), 401),
        ("DELETE", at(&format!("blobs/{}", layers[0])), 401),
        ("GET", format!("/v2/quay.io/a/c/blobs/{}", layers[0]), 401),
        ("GET", format!("/v2/a/b/manifests/{index}?ns=ghcr.io"), 401),
        ("GET", "/v2/_catalog".to_owned(), 401),
        ("GET", "/metrics".to_owned(), 401),
        ("GET", "/zuul/v1/pointers".to_owned(), 404),
    ] {
        let answer = bearing(&registry, &token, method, &path);
        assert!(
            answer.status == status || answer.status == 403,
            "{method} {path}: {}",
            answer.status
        );
    }
    for path in [index.as_str(), children[0].as_str(), children[1].as_str()] {
        let answer = bearing(&registry, &token, "GET", &at(&format!("manifests/{path}")));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(Digest::sha256(&answer.body).as_str(), path);
    }
    for layer in &layers {
        assert_eq!(bearing(&registry, &token, "GET", &at(&format!("blobs/{layer}"))).status, 200);
        assert_eq!(bearing(&registry, &token, "HEAD", &at(&format!("blobs/{layer}"))).status, 200);
    }
    let spelled = format!("/v2/a/b/manifests/{index}?ns=quay.io");
    assert_eq!(bearing(&registry, &token, "GET", &spelled).status, 200);
}

#[test]
fn a_token_for_one_repository_does_not_open_one_of_the_same_path_in_another_registry() {
    let registry = closed();
    let image = registry.push_image("org/img", "t", "amd64");
    registry.push_image("ghcr.io/org/img", "t", "amd64");
    let login = basic(READER, "secret");
    let images = json!([{"repository": "org/img", "tag": "t"}]);
    let token = ask(&registry, &[("Authorization", &login)], &images).json()["images"][0].take();
    let path = format!("/v2/org/img/manifests/{}", Digest::sha256(&image));
    assert_eq!(bearing(&registry, &token, "GET", &format!("{path}?ns=ghcr.io")).status, 401);
    assert_eq!(bearing(&registry, &token, "GET", &format!("{path}?ns=docker.io")).status, 200);
    assert_eq!(bearing(&registry, &token, "GET", &path).status, 200);
}

#[test]
fn a_token_that_lasts_an_hour_is_not_traded_for_one_that_lasts_a_day() {
    let registry = closed();
    push(&registry);
    let login = basic(READER, "secret");
    let path = format!("/auth/token?scope=repository:{REPOSITORY}:pull");
    let token = send(registry.address, "GET", &path, &[("Authorization", &login)], b"").json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let images = json!([{"repository": REPOSITORY, "tag": "t"}]);
    assert_eq!(ask(&registry, &[("Authorization", &bearer)], &images).status, 401);
}

#[test]
fn tokens_for_images_are_kept_by_nobody_in_between() {
    let registry = closed();
    push(&registry);
    let login = basic(READER, "secret");
    let images = json!([{"repository": REPOSITORY, "tag": "t"}]);
    let answer = ask(&registry, &[("Authorization", &login)], &images);
    assert_eq!(answer.header("Cache-Control"), "no-store");
}

#[test]
fn what_is_pushed_into_an_index_later_belongs_to_it() {
    let registry = closed();
    let late = image(b"config late", b"layer late");
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                       "digest": Digest::sha256(&late), "size": late.len()}]})
    .to_string();
    assert_eq!(registry.put_manifest(REPOSITORY, "t", index.as_bytes()).status, 201);
    let token = issued(&registry, "t");
    let layer = format!("/v2/{REPOSITORY}/blobs/{}", Digest::sha256(b"layer late"));
    assert_eq!(bearing(&registry, &token, "GET", &layer).status, 403);
    registry.push_image(REPOSITORY, "late", "late");
    assert_eq!(bearing(&registry, &token, "GET", &layer).status, 200);
}

#[test]
fn a_token_ends() {
    let registry = Registry::start_with(|config| {
        config.anonymous_pull = Some(false);
        config.speculative.token_lifetime = Period(std::time::Duration::ZERO);
    });
    let (index, ..) = push(&registry);
    let token = issued(&registry, "t");
    let path = format!("/v2/{REPOSITORY}/manifests/{index}");
    assert_eq!(bearing(&registry, &token, "GET", &path).status, 401);
    // No configuration makes one that is good for more than a day.
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |config| {
        config.anonymous_pull = Some(false);
        config.speculative.token_lifetime = "7d".parse().unwrap();
    });
    let token = issued(&registry, "t");
    assert_eq!(bearing(&registry, &token, "GET", &path).status, 200);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = token["expires"].as_u64().unwrap().saturating_sub(now.as_secs());
    assert!((86_000..=86_400).contains(&left), "{left}");
    // The user it was given to is gone.
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |config| {
        config.anonymous_pull = Some(false);
        config.users.retain(|user| user.name != READER);
    });
    assert_eq!(bearing(&registry, &token, "GET", &path).status, 401);
}
