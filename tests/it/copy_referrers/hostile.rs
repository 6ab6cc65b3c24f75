use http::Method;
use serde_json::{Value, json};
use zuul_images::oci::{Digest, media_type};

use super::{along, both, image, run, sbom, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

fn descriptor(sample: &Sample) -> Value {
    json!({"mediaType": sample.root.media_type(), "digest": sample.root.digest(),
        "size": sample.root.bytes().len()})
}

/// A source whose list of referrers is `manifests`, whatever it holds.
async fn telling(manifests: &[Value]) -> (Faulty, Faulty) {
    let (from, to) = both().await;
    from.memory.hold("a", "t", &image("one"));
    let body = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
    from.fault(1, Method::GET, "/referrers/", Fault::Body(body.into()));
    (from, to)
}

#[tokio::test]
async fn more_referrers_than_anybody_has_are_refused() {
    let many: Vec<Value> = (0..6_000)
        .map(|number: usize| {
            json!({"mediaType": media_type::OCI_MANIFEST, "size": 1,
                "digest": Digest::sha256(&number.to_le_bytes())})
        })
        .collect();
    let (from, to) = telling(&many).await;
    let error = run(&from, &to, &along()).await.unwrap_err();
    assert_eq!(error.kind(), "unsupported");
    assert!(error.to_string().contains("--referrers false"), "{error}");
    assert_eq!(from.count(Method::GET, "/manifests/sha256:"), 0);
    assert_eq!(to.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn referrers_do_not_fill_the_memory() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    for number in 0..12 {
        let kind = number.to_string().repeat(3 * 1024 * 1024 / number.to_string().len());
        let parts = sample::referrer(image.root.digest(), "text/x", &sample::bytes(&kind, 10));
        let text = String::from_utf8(parts.root.bytes().to_vec()).unwrap();
        let text = text.replacen('{', &format!(r#"{{"padding":"{kind}","#), 1);
        let root = zuul_images::oci::Manifest::parse(text.into(), None).unwrap();
        from.memory.hold_untagged("a", &Sample { root, ..parts });
    }
    let error = run(&from, &to, &along()).await.unwrap_err();
    assert!(error.to_string().contains("32 MiB"), "{error}");
    assert_eq!(to.count(Method::PUT, ""), 0);
}

#[tokio::test]
async fn a_list_without_end_or_sense_is_an_error() {
    for fault in [Fault::NextPage(1024 * 1024), Fault::Body("no list".into())] {
        let (from, to) = both().await;
        from.memory.hold("a", "t", &image("one"));
        from.fault(usize::MAX, Method::GET, "/referrers/", fault);
        let error = run(&from, &to, &along()).await.unwrap_err();
        assert_eq!(error.kind(), "protocol", "{error}");
    }
}

#[tokio::test]
async fn what_is_no_referrer_of_the_image_stays_behind() {
    let (other, own) = (image("other"), sbom(image("one").root.digest(), "own"));
    let foreign = sbom(other.root.digest(), "foreign");
    let strange = json!({"mediaType": "application/vnd.oci.artifact.manifest.v1+json",
        "digest": Digest::sha256(b"artifact"), "size": 8});
    let large = json!({"mediaType": media_type::OCI_MANIFEST, "size": 1u64 << 40,
        "digest": Digest::sha256(b"large")});
    let manifests = [
        json!({"digest": "sha256:../../x"}),
        json!(7),
        json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::sha256(b"gone"), "size": -1}),
        json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::sha256(b"gone"), "size": 4}),
        descriptor(&other),
        descriptor(&foreign),
        descriptor(&image("one")),
        strange,
        large,
        descriptor(&own),
        descriptor(&own),
    ];
    let (from, to) = telling(&manifests).await;
    for sample in [&other, &foreign, &own] {
        from.memory.hold_untagged("a", sample);
    }
    let outcome = run(&from, &to, &along()).await.unwrap();
    let along = &outcome.images[0].referrers;
    assert_eq!(along.len(), 1);
    assert_eq!(along[0].reference, own.root.digest().as_str());
    for stayed in [&other, &foreign] {
        assert_eq!(to.memory.manifest("b", stayed.root.digest()), None);
    }
}

#[tokio::test]
async fn a_referrer_that_is_not_what_its_digest_says_stops_the_copy() {
    let (from, to) = both().await;
    let image = image("one");
    let parts = sbom(image.root.digest(), "parts");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &parts);
    let forged = sbom(image.root.digest(), "forged").root.bytes().clone();
    from.fault(1, Method::GET, parts.root.digest().as_str(), Fault::Body(forged));
    let error = run(&from, &to, &along()).await.unwrap_err();
    assert_eq!(error.kind(), "damaged", "{error}");
    assert_eq!(to.memory.tag("b", "t"), None);
}

#[tokio::test]
async fn a_list_of_the_destination_that_is_not_understood_stops_the_copy() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &sbom(image.root.digest(), "parts"));
    to.memory.hold("b", "t", &image);
    to.fault(1, Method::GET, "/referrers/", Fault::Body("[]".into()));
    let error = run(&from, &to, &along()).await.unwrap_err();
    assert_eq!(error.kind(), "protocol", "{error}");
    assert_eq!(to.memory.tag("b", &tag(image.root.digest(), "")), None);
}
