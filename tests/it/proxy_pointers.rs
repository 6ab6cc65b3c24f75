//! Images that are only pointed at, asked for through the forward proxy.

use bytes::Bytes;
use http::{Method, header};
use serde_json::{Value, json};
use zuul_images::oci::Digest;

use crate::support::faulty::{Fault, Faulty};
use crate::support::http::Answer;
use crate::support::proxied::Proxied;
use crate::support::sample::{Sample, image};

/// A forward proxy, a registry behind its name, and the intermediate registry that a pointer to
/// `org/img:1` leads to.
struct Pointed {
    proxied: Proxied,
    source: Faulty,
    image: Sample,
}

impl Pointed {
    async fn new() -> Self {
        let proxied =
            Proxied::start_as(|_| {}, |config| config.speculative.accept_pointers = true).await;
        let source = Faulty::start().await;
        let image = image("speculative", &[Bytes::from_static(b"speculative layer")]);
        source.memory.hold("x/img", "t", &image);
        let pointed = Self { proxied, source, image };
        pointed.point();
        pointed
    }

    fn point(&self) {
        let root = &self.image.root;
        let pointer = json!({"name": self.proxied.here("org/img"), "tag": "1", "token": "hush",
            "digest": root.digest(), "size": root.bytes().len(),
            "url": format!("http://{}/v2/x/img", self.source.address)});
        let list = json!({"pointers": [pointer]}).to_string();
        let answer = self.proxied.registry.request("PUT", "/zuul/v1/pointers", list.as_bytes());
        let taken: Value = answer.json();
        assert_eq!(taken["pointers"][0].get("refused"), None, "{taken}");
        self.source.forget_requests();
    }

    /// As a client with a token of the real host does.
    fn get(&self, path: &str) -> Answer {
        get(&self.proxied, path)
    }

    fn layer(&self) -> String {
        format!("blobs/{}", Digest::sha256(&self.image.blobs[1]))
    }
}

fn get(proxied: &Proxied, path: &str) -> Answer {
    let theirs = [("Authorization", "Bearer of-the-real-host")];
    proxied.tunnel().ask("GET", &format!("/v2/org/img/{path}"), &theirs)
}

fn said(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_source_lies_about_is_not_taken_from_elsewhere() {
    let pointed = Pointed::new().await;
    let other = image("released", &[Bytes::from_static(b"released layer")]);
    pointed.proxied.real.memory.hold("org/img", "1", &other);
    let lie = Fault::Body(other.root.bytes().clone());
    pointed.source.fault(9, Method::GET, "manifests", lie);
    let answer = pointed.get("manifests/1");
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(pointed.proxied.real.requests(), [""; 0]);
    pointed.source.forget_faults();
    assert_eq!(pointed.get("manifests/1").body, pointed.image.root.bytes()[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_source_that_has_gone_is_named_in_the_tunnel() {
    let pointed = Pointed::new().await;
    let address = pointed.source.address.to_string();
    let real = &pointed.proxied.real.memory;
    real.hold("org/img", "1", &image("released", &[Bytes::from_static(b"released layer")]));
    pointed.source.fault(9, Method::GET, "", Fault::Answer(404, Vec::new(), String::new()));
    let digest = pointed.image.root.digest().to_string();
    for path in ["manifests/1".to_owned(), format!("manifests/{digest}"), pointed.layer()] {
        let answer = pointed.get(&path);
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(said(&answer).contains(&address), "{answer:?}");
    }
    let Pointed { proxied, source, image } = pointed;
    drop(source);
    let layer = format!("blobs/{}", Digest::sha256(&image.blobs[1]));
    for path in ["manifests/1".to_owned(), format!("manifests/{digest}"), layer.clone()] {
        let answer = get(&proxied, &path);
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(said(&answer).contains(&address), "{answer:?}");
    }
    // Who has shown a login in vain has nothing else to try; who has not is told how.
    let refusal = vec![("WWW-Authenticate", "Bearer realm=\"https://r.example/\"".to_owned())];
    proxied.real.fault(2, Method::GET, "blobs", Fault::Answer(401, refusal, String::new()));
    let answer = proxied.tunnel().ask("GET", &format!("/v2/org/img/{layer}"), &[]);
    assert_eq!((answer.status, answer.header("www-authenticate").is_empty()), (401, false));
    let answer = get(&proxied, &layer);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(said(&answer).contains(&address), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn released_images_beside_pointers_are_had_though_the_source_is_down() {
    let Pointed { proxied, source, .. } = Pointed::new().await;
    let released = image("released", &[Bytes::from_static(b"released layer")]);
    proxied.real.memory.hold("org/img", "stable", &released);
    drop(source);
    assert_eq!(get(&proxied, "manifests/stable").body, released.root.bytes()[..]);
    let digest = released.root.digest();
    assert_eq!(get(&proxied, &format!("manifests/{digest}")).body, released.root.bytes()[..]);
    let layer = get(&proxied, &format!("blobs/{}", Digest::sha256(&released.blobs[1])));
    assert_eq!(layer.body, released.blobs[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_image_is_fetched_on_first_use_with_the_token_of_its_pointer_alone() {
    let pointed = Pointed::new().await;
    assert_eq!(pointed.get("manifests/1").body, pointed.image.root.bytes()[..]);
    assert_eq!(pointed.get(&pointed.layer()).body, pointed.image.blobs[1]);
    assert_eq!(pointed.source.requests().len(), 2);
    for request in pointed.source.recorded() {
        let shown = request.headers.get(header::AUTHORIZATION).unwrap();
        assert_eq!(shown, "Bearer hush", "{request:?}");
    }
    assert_eq!(pointed.proxied.real.requests(), [""; 0]);

    let Pointed { proxied, source, image } = pointed;
    drop(source);
    assert_eq!(get(&proxied, "manifests/1").body, image.root.bytes()[..]);
    let layer = get(&proxied, &format!("blobs/{}", Digest::sha256(&image.blobs[1])));
    assert_eq!(layer.body, image.blobs[1]);
    assert_eq!(proxied.real.requests(), [""; 0]);
}
