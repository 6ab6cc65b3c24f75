use http::Method;
use zuul_images::oci::{Digest, Reference};

use crate::support::clients::{repository, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample;

#[tokio::test]
async fn an_absent_one_is_none_and_a_refused_one_an_error() {
    let server = Faulty::start().await;
    let repository = repository(&server, "a/b");
    assert!(repository.head(&tag("x")).await.unwrap().is_none());
    assert!(repository.manifest(&tag("x")).await.unwrap().is_none());
    let body = r#"{"errors":[{"code":"DENIED","message":"not \u001b[31myou"}]}"#;
    server.fault(1, Method::GET, "x", Fault::Answer(403, vec![], body.to_owned()));
    let error = repository.manifest(&tag("x")).await.unwrap_err();
    assert_eq!(error.kind(), "denied");
    let text = error.to_string();
    assert!(text.contains("a/b:x") && text.contains("DENIED: not \\u{1b}[31myou"), "{text}");
}

#[tokio::test]
async fn wrong_content_is_not_believed() {
    let server = Faulty::start().await;
    let image = sample::image("one", &[]);
    let other = sample::image("two", &[]);
    server.memory.hold("a", "t", &image);
    let repository = repository(&server, "a");
    for reference in [tag("t"), image.root.digest().clone().into()] {
        server.fault(1, Method::GET, "/manifests/", Fault::Body(other.root.bytes().clone()));
        let error = repository.manifest(&reference).await.unwrap_err();
        assert_eq!(error.kind(), "damaged", "{error}");
    }
    let lie = Some(other.root.digest().to_string());
    server.fault(1, Method::HEAD, "sha256:", Fault::Header("docker-content-digest", lie));
    let reference = Reference::from(image.root.digest().clone());
    assert_eq!(repository.head(&reference).await.unwrap_err().kind(), "damaged");
    server.fault(1, Method::GET, "/t", Fault::Body("x".repeat(5 << 20).into()));
    assert_eq!(repository.manifest(&tag("t")).await.unwrap_err().kind(), "too-large");
}

#[tokio::test]
async fn head_tells_digest_size_and_type_also_without_the_header() {
    let server = Faulty::start().await;
    let image = sample::image("one", &[]);
    server.memory.hold("a", "t", &image);
    let repository = repository(&server, "a");
    for _ in 0..2 {
        let head = repository.head(&tag("t")).await.unwrap().unwrap();
        assert_eq!(&head.digest, image.root.digest());
        assert_eq!(head.size, Some(image.root.bytes().len() as u64));
        assert_eq!(head.media_type.as_deref(), Some(image.root.media_type()));
        server.fault(1, Method::HEAD, "/t", Fault::Header("docker-content-digest", None));
    }
    let read = repository.manifest(&tag("t")).await.unwrap().unwrap();
    assert_eq!(read.bytes(), image.root.bytes());
}

#[tokio::test]
async fn one_whose_blobs_are_missing_for_good_is_refused_in_the_registrys_words() {
    let server = Faulty::start().await;
    let image = sample::image("one", &[]);
    let repository = repository(&server, "a");
    let error = repository.put_manifest(&tag("t"), &image.root).await.unwrap_err();
    assert_eq!(error.kind(), "incomplete");
    assert!(error.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
    assert_eq!(server.count(Method::PUT, ""), 4);
}

#[tokio::test]
async fn a_lost_reply_to_a_put_is_settled_by_head() {
    let server = Faulty::start().await;
    let image = sample::image("one", &[]);
    server.memory.hold("a", "old", &image);
    server.fault(1, Method::PUT, "/manifests/", Fault::LoseReply);
    let repository = repository(&server, "a");
    repository.put_manifest(&tag("new"), &image.root).await.unwrap();
    assert_eq!(server.requests(), ["PUT /v2/a/manifests/new", "HEAD /v2/a/manifests/new"]);
    // Cut before it was done, it is sent again.
    server.fault(1, Method::PUT, "/manifests/", Fault::CutRequest(1));
    repository.put_manifest(&tag("newer"), &image.root).await.unwrap();
    assert_eq!(server.count(Method::PUT, "newer"), 2);
    assert!(server.memory.tag("a", "newer").is_some());
}

#[tokio::test]
async fn a_registry_that_takes_something_else_is_an_error() {
    let server = Faulty::start().await;
    let image = sample::image("one", &[]);
    server.memory.hold("a", "t", &image);
    let lie = Fault::Header("docker-content-digest", Some(Digest::sha256(b"else").to_string()));
    server.fault(1, Method::PUT, "", lie.clone());
    server.fault(1, Method::HEAD, "", lie);
    let error = repository(&server, "a").put_manifest(&tag("t"), &image.root).await;
    assert_eq!(error.unwrap_err().kind(), "damaged");
}
