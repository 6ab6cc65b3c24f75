//! Pulling: bytes as they were pushed, parts of them, every spelling of a name, lists.

use serde_json::json;
use zuul_images::oci::Digest;

use crate::support::http::Answer;
use crate::support::registry::Registry;

#[test]
fn what_is_not_there_is_404_with_the_right_code() {
    let registry = Registry::start();
    registry.push_image("a", "latest", "seed");
    let digest = Digest::sha256(b"missing");
    for (path, code) in [
        (format!("/v2/a/blobs/{digest}"), "BLOB_UNKNOWN"),
        (format!("/v2/a/manifests/{digest}"), "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/other".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/b/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("/v2/b/manifests/latest".to_owned(), "MANIFEST_UNKNOWN"),
    ] {
        let answer = registry.anonymous("GET", &path);
        assert_eq!((answer.status, answer.code().as_str()), (404, code), "{path}");
        let answer = registry.anonymous("HEAD", &path);
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{path}");
    }
}

#[test]
fn a_blob_of_another_repository_is_not_readable() {
    let registry = Registry::start();
    let digest = registry.push_blob("secret/app", b"content");
    for repository in ["a", "secret", "secret/app/x"] {
        let answer = registry.request("GET", &format!("/v2/{repository}/blobs/{digest}"), b"");
        assert_eq!(answer.code(), "BLOB_UNKNOWN");
    }
}

#[test]
fn a_manifest_comes_back_as_it_was_pushed_whatever_accept_says() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "latest", "seed");
    let digest = Digest::sha256(&manifest);
    for accept in ["", "application/vnd.docker.distribution.manifest.v2+json", "text/html"] {
        for reference in ["latest", digest.as_str()] {
            let path = format!("/v2/a/manifests/{reference}");
            let answer = registry.with("GET", &path, &[("Accept", accept)], b"");
            assert_eq!(answer.body, manifest);
            let kind = answer.header("content-type");
            assert_eq!(kind, "application/vnd.oci.image.manifest.v1+json");
            assert_eq!(answer.header("docker-content-digest"), digest.as_str());
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        }
    }
    let head = registry.anonymous("HEAD", "/v2/a/manifests/latest");
    assert_eq!(head.header("content-length"), manifest.len().to_string());
    assert!(head.header("last-modified").ends_with(" GMT"), "{head:?}");
    assert!(head.body.is_empty());
}

#[test]
fn what_a_client_has_already_is_not_sent_again() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "latest", "seed");
    let digest = Digest::sha256(&manifest);
    let blob = registry.push_blob("a", b"content");
    for (path, digest) in
        [("/v2/a/manifests/latest".to_owned(), &digest), (format!("/v2/a/blobs/{blob}"), &blob)]
    {
        let etag = format!("\"{digest}\"");
        assert_eq!(registry.anonymous("GET", &path).header("etag"), etag);
        let ask = |tags: &str| registry.with("GET", &path, &[("If-None-Match", tags)], b"");
        for tags in [etag.as_str(), "*", &format!("\"x\", W/{etag}")] {
            let answer = ask(tags);
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{tags}");
            assert_eq!(answer.header("etag"), etag);
        }
        assert_eq!(ask("\"other\"").status, 200);
    }
}

#[test]
fn parts_of_a_blob_are_sent_as_asked() {
    let registry = Registry::start();
    let content: Vec<u8> = (0..1_000_000_u32).map(|position| (position % 251) as u8).collect();
    let path = format!("/v2/a/blobs/{}", registry.push_blob("a", &content));
    let part = |range: &str| registry.with("GET", &path, &[("Range", range)], b"");
    for range in ["bytes=1000000-", "bytes=9-8", "bytes=-0"] {
        let answer = part(range);
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */1000000"));
    }
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=500-700000", 500..700_001),
        ("bytes=999999-", 999_999..1_000_000),
        ("bytes=999990-5000000", 999_990..1_000_000),
        ("bytes=-300000", 700_000..1_000_000),
    ] {
        let answer = part(range);
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == content[expected.clone()], "{range}");
        let shown = format!("bytes {}-{}/1000000", expected.start, expected.end - 1);
        assert_eq!(answer.header("content-range"), shown);
    }
    for range in ["bytes=0-1,5-6", "lines=1-2", "x"] {
        assert!(part(range).body == content, "{range}");
    }
    let other = [("Range", "bytes=0-0"), ("If-Range", "\"other\"")];
    assert_eq!(registry.with("GET", &path, &other, b"").status, 200);
}

#[test]
fn every_spelling_of_a_name_is_one_image() {
    let registry = Registry::start();
    let hub = registry.push_image("library/x", "1", "hub");
    for path in [
        "/v2/x/manifests/1",
        "/v2/docker.io/library/x/manifests/1",
        "/v2/docker.io/x/manifests/1?ns=docker.io",
        "/v2/library/x/manifests/1?ns=docker.io",
        "/v2/library/x/manifests/1?ns=registry-1.docker.io",
    ] {
        assert_eq!(registry.anonymous("GET", path).body, hub, "{path}");
    }
    let quay = registry.push_image("quay.io/org/x", "1", "quay");
    for path in [
        "/v2/quay.io/org/x/manifests/1",
        "/v2/quay.io/org/x/manifests/1?ns=quay.io",
        "/v2/org/x/manifests/1?ns=quay.io",
    ] {
        assert_eq!(registry.anonymous("GET", path).body, quay, "{path}");
    }
    for path in ["/v2/org/x/manifests/1", "/v2/library/x/manifests/1?ns=quay.io"] {
        assert_eq!(registry.anonymous("GET", path).status, 404, "{path}");
    }
    let list = registry.anonymous("GET", "/v2/docker.io/library/x/tags/list");
    assert_eq!(list.json(), json!({"name": "docker.io/library/x", "tags": ["1"]}));
}

#[test]
fn an_upload_under_a_namespace_goes_on_there() {
    let registry = Registry::start();
    let started = registry.request("POST", "/v2/org/x/blobs/uploads/?ns=host.example:5000", b"");
    let location = started.header("location").to_owned();
    assert!(location.ends_with("?ns=host.example%3A5000"), "{location}");
    let digest = Digest::sha256(b"content");
    let finished = registry.request("PUT", &format!("{location}&digest={digest}"), b"content");
    assert_eq!(finished.status, 201, "{finished:?}");
    let path = format!("/v2/host.example_5000/org/x/blobs/{digest}");
    assert_eq!(registry.anonymous("GET", &path).body, b"content");
    assert_eq!(registry.anonymous("GET", finished.header("location")).body, b"content");
}

#[test]
fn lists_go_on_where_their_link_says() {
    let registry = Registry::start();
    let manifest = registry.push_image("org/app", "b", "seed");
    for tag in ["a", "C", "d", "e"] {
        registry.put_manifest("org/app", tag, &manifest);
    }
    registry.push_image("x", "1", "seed");
    let entries = |answer: &Answer, key: &str| answer.json()[key].clone();
    let mut path = "/v2/org/app/tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    while !path.is_empty() {
        let answer = registry.request("GET", &path, b"");
        pages.push(entries(&answer, "tags"));
        let link = answer.header("link");
        path = link.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        assert!(path.is_empty() || link.ends_with("; rel=\"next\""));
    }
    assert_eq!(pages, [json!(["C", "a"]), json!(["b", "d"]), json!(["e"])]);
    let rest = registry.anonymous("GET", "/v2/org/app/tags/list?last=b");
    assert_eq!(entries(&rest, "tags"), json!(["d", "e"]));
    let none = registry.anonymous("GET", "/v2/org/app/tags/list?n=0");
    assert_eq!((entries(&none, "tags"), none.header("link")), (json!([]), ""));
    let catalog = registry.request("GET", "/v2/_catalog?n=1", b"");
    assert_eq!(entries(&catalog, "repositories"), json!(["org/app"]));
    assert_eq!(catalog.header("link"), "</v2/_catalog?n=1&last=org%2Fapp>; rel=\"next\"");
}

#[test]
fn referrers_are_listed_and_filtered() {
    let registry = Registry::start();
    let empty = registry.push_blob("a", b"{}");
    let subject = Digest::sha256(&registry.push_image("a", "latest", "seed"));
    let path = format!("/v2/a/referrers/{subject}");
    let answer = registry.anonymous("GET", &path);
    assert_eq!(answer.json()["manifests"], json!([]));
    assert_eq!(answer.header("content-type"), "application/vnd.oci.image.index.v1+json");
    let attach = |kind: &str, config: &str| {
        let body =
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind, "annotations": {"kind": kind}, "layers": [],
            "config": {"mediaType": config, "digest": empty, "size": 2},
            "subject": {"mediaType": "x", "digest": subject, "size": 1}})
            .to_string();
        let answer = registry.put_manifest("a", &format!("t{}", kind.len()), body.as_bytes());
        assert_eq!(answer.header("oci-subject"), subject.as_str());
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::sha256(body.as_bytes()), "size": body.len(),
            "artifactType": if kind.is_empty() { config } else { kind },
            "annotations": {"kind": kind}})
    };
    let (sbom, config) = (attach("text/sbom", "x/y"), attach("", "text/config"));
    let all = registry.anonymous("GET", &path).json()["manifests"].clone();
    assert_eq!(all.as_array().unwrap().len(), 2);
    for (kind, expected) in [("text/sbom", sbom), ("text/config", config)] {
        let answer = registry.anonymous("GET", &format!("{path}?artifactType={kind}"));
        assert_eq!(answer.json()["manifests"], json!([expected]));
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
    }
}
