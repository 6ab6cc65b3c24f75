//! Pushing manifests: what is refused, and what is stored as it came.

use zuul_images::oci::{Algorithm, Digest};

use crate::support::registry::{Registry, image};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[test]
fn a_manifest_without_its_blobs_is_refused_and_not_stored() {
    let registry = Registry::start();
    registry.push_blob("a", b"config");
    registry.push_blob("b", b"elsewhere");
    for layer in [&b"missing"[..], b"elsewhere"] {
        let answer = registry.put_manifest("a", "latest", &image(b"config", layer));
        assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
        let named = answer.json()["errors"][0]["detail"]["digests"].clone();
        assert_eq!(named, serde_json::json!([Digest::sha256(layer)]));
    }
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/latest").status, 404);
    assert_eq!(registry.anonymous("GET", "/v2/a/tags/list").code(), "NAME_UNKNOWN");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let registry = Registry::start();
    for (body, content_type) in [
        ("", OCI_MANIFEST),
        ("{", OCI_MANIFEST),
        ("{}", OCI_MANIFEST),
        (r#"{"schemaVersion":1}"#, OCI_MANIFEST),
        (r#"{"schemaVersion":2,"manifests":[]}"#, OCI_MANIFEST),
        (r#"{"schemaVersion":2,"mediaType":"text/plain","manifests":[]}"#, OCI_INDEX),
        (r#"{"schemaVersion":2,"manifests":[]}"#, "text/plain"),
    ] {
        let headers = [("Content-Type", content_type)];
        let answer = registry.with("PUT", "/v2/a/manifests/1", &headers, body.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"), "{body}");
    }
}

#[test]
fn a_manifest_that_says_other_sizes_than_its_blobs_have_is_refused() {
    let registry = Registry::start();
    registry.push_blob("a", b"config");
    registry.push_blob("a", b"a layer");
    let right = String::from_utf8(image(b"config", b"a layer")).unwrap();
    for (size, other) in [(6, 5), (7, u64::MAX / 2), (7, 0)] {
        let text = |size: u64| format!(r#""size": {size}}}"#);
        let text = right.replace(&text(size), &text(other));
        let answer = registry.put_manifest("a", "latest", text.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (400, "SIZE_INVALID"), "{text}");
    }
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/latest").status, 404);
    assert_eq!(registry.put_manifest("a", "latest", right.as_bytes()).status, 201);
}

#[test]
fn a_manifest_that_is_not_utf_8_is_refused() {
    let registry = Registry::start();
    let body = b"{\"schemaVersion\":2,\"manifests\":[],\"odd\":\"\xff\"}";
    let answer = registry.put_manifest("a", "latest", body);
    assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"));
}

#[test]
fn sparse_indexes_subjects_and_foreign_layers_are_accepted() {
    let registry = Registry::start();
    let missing = Digest::sha256(b"missing");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[
        {{"mediaType":"{OCI_MANIFEST}","digest":"{missing}","size":7}}],
        "subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{missing}","size":7}}}}"#
    );
    let answer = registry.put_manifest("a", "index", index.as_bytes());
    assert_eq!((answer.status, answer.header("oci-subject")), (201, missing.as_str()));
    registry.push_blob("a", b"config");
    let image = image(b"config", b"missing");
    let image = String::from_utf8(image).unwrap().replace(
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
    );
    assert_eq!(registry.put_manifest("a", "windows", image.as_bytes()).status, 201);
}

#[test]
fn images_without_their_layers_are_accepted_only_where_the_configuration_says_so() {
    let registry = Registry::start_with(|config| config.sparse_images = true);
    registry.push_blob("a", b"config");
    let sparse = image(b"config", b"missing");
    assert_eq!(registry.put_manifest("a", "sparse", &sparse).status, 201);
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/sparse").body, sparse);
    let wrong_size = String::from_utf8(sparse).unwrap().replace("\"size\": 6", "\"size\": 5");
    let answer = registry.put_manifest("a", "wrong", wrong_size.as_bytes());
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "SIZE_INVALID"),
        "what is there is checked"
    );
}

#[test]
fn tags_given_with_a_digest_are_set() {
    let registry = Registry::start();
    let body = br#"{"schemaVersion":2,"manifests":[]}"#;
    let digest = Digest::of(Algorithm::Sha512, body);
    let answer = registry.put_manifest("a", &format!("{digest}?tag=one&tag=two"), body);
    assert_eq!((answer.status, answer.headers("oci-tag")), (201, vec!["one", "two"]));
    let answer = registry.anonymous("GET", "/v2/a/manifests/two");
    assert_eq!(answer.header("docker-content-digest"), digest.as_str());
    let answer = registry.put_manifest("a", &format!("{digest}?tag=.bad"), body);
    assert_eq!(answer.code(), "TAG_INVALID");
}
