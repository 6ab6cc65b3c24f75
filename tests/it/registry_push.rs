//! Pushing: blobs in every way the specification knows, mounts, deletion.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use zuul_images::oci::{Algorithm, Digest};

use crate::support::http::receive;
use crate::support::registry::Registry;

#[test]
fn a_wrong_digest_is_refused_and_ends_the_upload() {
    let registry = Registry::start();
    let wrong = Digest::sha256(b"other");
    let location = registry.start_upload("a");
    let answer = registry.request("PUT", &format!("{location}?digest={wrong}"), b"content");
    assert_eq!((answer.status, answer.code().as_str()), (400, "DIGEST_INVALID"));
    assert_eq!(registry.request("GET", &location, b"").code(), "BLOB_UPLOAD_UNKNOWN");

    let path = format!("/v2/a/blobs/uploads/?digest={wrong}");
    assert_eq!(registry.request("POST", &path, b"content").code(), "DIGEST_INVALID");
    let answer =
        registry.put_manifest("a", wrong.as_str(), br#"{"schemaVersion":2,"manifests":[]}"#);
    assert_eq!((answer.status, answer.code().as_str()), (400, "DIGEST_INVALID"));
    for digest in [wrong, Digest::sha256(b"content")] {
        assert_eq!(registry.anonymous("HEAD", &format!("/v2/a/blobs/{digest}")).status, 404);
    }
    let left = registry.folder.path().join("storage/uploads").read_dir().unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn names_tags_and_digests_outside_the_grammar_are_refused() {
    let registry = Registry::start();
    let digest = Digest::sha256(b"");
    for (method, path, status, code) in [
        ("POST", "/v2/A/blobs/uploads/", 400, "NAME_INVALID"),
        ("GET", "/v2/a/../../etc/manifests/passwd", 400, "NAME_INVALID"),
        ("PUT", "/v2/a/manifests/.tag", 400, "TAG_INVALID"),
        ("GET", "/v2/a/manifests/.tag", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/blobs/sha256:12", 400, "DIGEST_INVALID"),
        ("POST", "/v2/a/blobs/uploads/?digest=md5:12", 400, "DIGEST_INVALID"),
        ("POST", "/v2/a/blobs/uploads/?mount=x", 400, "DIGEST_INVALID"),
        ("PATCH", "/v2/a/blobs/uploads/../../x", 404, "NOT_FOUND"),
        ("PATCH", "/v2/a/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", "/v2/a/blobs", 404, "NOT_FOUND"),
        ("POST", "/v2/a/tags/list", 405, "UNSUPPORTED"),
        ("GET", "/v2/a/tags/list?n=x", 400, "UNSUPPORTED"),
        ("GET", "/v2/quay.io/a/tags/list?ns=docker.io", 400, "NAME_INVALID"),
    ] {
        let answer = registry.request(method, path, b"");
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}");
    }
    let path = format!("/v2/a/blobs/uploads/?mount={digest}&from=..");
    assert_eq!(registry.request("POST", &path, b"").code(), "NAME_INVALID");
}

#[test]
fn an_interrupted_push_leaves_nothing_a_reader_can_see() {
    let registry = Registry::start();
    let content = b"content that never arrives whole";
    let digest = Digest::sha256(content);
    let length = content.len().to_string();
    let location = registry.start_upload("a");
    for (method, path) in [
        ("PATCH", location.clone()),
        ("PUT", format!("{location}?digest={digest}")),
        ("POST", format!("/v2/a/blobs/uploads/?digest={digest}")),
        ("PUT", "/v2/a/manifests/latest".to_owned()),
    ] {
        let mut stream = registry.open(method, &path, &[("Content-Length", &length)]);
        stream.write_all(&content[..7]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // Whether there is an answer or the end of the connection is the server's choice.
        drop(stream);
    }
    assert_eq!(registry.anonymous("HEAD", &format!("/v2/a/blobs/{digest}")).status, 404);
    assert_eq!(registry.anonymous("HEAD", "/v2/a/manifests/latest").status, 404);
    assert_eq!(registry.anonymous("GET", "/v2/a/tags/list").status, 404);
}

#[test]
fn a_second_writer_at_the_same_time_is_refused() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let content = vec![7; 1_000_000];
    let length = content.len().to_string();
    let (early, late) = content.split_at(900_000);
    let mut first = registry.open("PATCH", &location, &[("Content-Length", &length)]);
    first.write_all(early).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while registry.request("GET", &location, b"").header("range") == "0-0" {
        assert!(Instant::now() < deadline, "the first writer does not start");
    }
    let second = registry.request("PATCH", &location, b"x");
    assert_eq!((second.status, second.code().as_str()), (409, "BLOB_UPLOAD_INVALID"));
    let finish = format!("{location}?digest={}", Digest::sha256(&content));
    for method in ["PUT", "DELETE"] {
        assert_eq!(registry.request(method, &finish, b"").status, 409);
    }
    first.write_all(late).unwrap();
    assert_eq!(receive(first).status, 202);
    assert_eq!(registry.request("PUT", &finish, b"").status, 201);
}

#[test]
fn a_chunk_at_the_wrong_place_is_told_where_to_go_on() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let chunk = |range: &str, body: &[u8]| {
        registry.with("PATCH", &location, &[("Content-Range", range)], body)
    };
    for range in ["", "x", "5-1", "0-99"] {
        let answer = chunk(range, b"con");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "BLOB_UPLOAD_INVALID"),
            "{range}"
        );
    }
    let first = chunk("0-2", b"con");
    assert_eq!((first.status, first.header("range")), (202, "0-2"));
    for range in ["0-2", "4-6"] {
        let answer = chunk(range, b"xxx");
        assert_eq!((answer.status, answer.header("range")), (416, "0-2"), "{range}");
        assert_eq!(answer.header("location"), location);
    }
    assert_eq!(chunk("3-5", b"ten").status, 202);
    let state = registry.request("GET", &location, b"");
    assert_eq!((state.status, state.header("range")), (204, "0-5"));
    let digest = Digest::sha256(b"content");
    let last = [("Content-Range", "6-6")];
    let answer = registry.with("PUT", &format!("{location}?digest={digest}"), &last, b"t");
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("/v2/a/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), digest.as_str());
}

#[test]
fn a_chunk_without_a_place_is_appended() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    for chunk in [&b"con"[..], b"tent"] {
        assert_eq!(registry.request("PATCH", &location, chunk).status, 202);
    }
    assert_eq!(registry.request("PUT", &location, b"").code(), "DIGEST_INVALID");
    let digest = Digest::of(Algorithm::Sha512, b"content");
    assert_eq!(registry.request("PUT", &format!("{location}?digest={digest}"), b"").status, 201);
    assert_eq!(registry.anonymous("GET", &format!("/v2/a/blobs/{digest}")).body, b"content");
}

#[test]
fn a_cancelled_upload_is_gone() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    assert_eq!(registry.request("PATCH", &location, b"content").status, 202);
    assert_eq!(registry.request("DELETE", &location, b"").status, 204);
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(registry.request(method, &location, b"").code(), "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_declined_mount_is_an_upload_that_works() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"content");
    for from in ["&from=nowhere", "&from=a/b"] {
        let path = format!("/v2/c/blobs/uploads/?mount={digest}{from}");
        let answer = registry.request("POST", &path, b"");
        assert_eq!(answer.status, 202);
        let finish = format!("{}?digest={digest}", answer.header("location"));
        assert_eq!(registry.request("PUT", &finish, b"content").status, 201);
        let delete = registry.request("DELETE", &format!("/v2/c/blobs/{digest}"), b"");
        assert_eq!(delete.status, 202);
    }
    for from in ["&from=a", ""] {
        let path = format!("/v2/d{}/blobs/uploads/?mount={digest}{from}", from.len());
        let answer = registry.request("POST", &path, b"");
        assert_eq!(answer.status, 201);
        assert_eq!(registry.anonymous("GET", answer.header("location")).body, b"content");
    }
}

#[test]
fn many_pushes_of_one_blob_at_once_all_succeed() {
    let registry = Registry::start();
    let content = vec![7; 3_000_000];
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (registry, content) = (&registry, &content);
            scope.spawn(move || registry.push_blob(&format!("a{}", number % 3), content));
        }
    });
    let digest = Digest::sha256(&content);
    for repository in ["a0", "a1", "a2"] {
        let answer = registry.anonymous("GET", &format!("/v2/{repository}/blobs/{digest}"));
        assert!(answer.body == content);
    }
}

#[test]
fn a_tag_is_deleted_alone_and_a_manifest_with_its_tags() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "one", "seed");
    let digest = Digest::sha256(&manifest);
    registry.put_manifest("a", "two", &manifest);
    assert_eq!(registry.request("DELETE", "/v2/a/manifests/one", b"").status, 202);
    assert_eq!(registry.request("DELETE", "/v2/a/manifests/one", b"").status, 404);
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/two").body, manifest);
    let by_digest = format!("/v2/a/manifests/{digest}");
    assert_eq!(registry.request("DELETE", &by_digest, b"").status, 202);
    for reference in ["two", digest.as_str()] {
        let answer = registry.anonymous("GET", &format!("/v2/a/manifests/{reference}"));
        assert_eq!((answer.status, answer.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    }
    let list = registry.anonymous("GET", "/v2/a/tags/list");
    assert_eq!(list.json(), serde_json::json!({"name": "a", "tags": []}));
}
