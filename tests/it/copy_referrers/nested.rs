use http::Method;

use super::{all, along, both, image, listed, run, sbom, signature, tag};
use crate::support::faulty::Faulty;
use crate::support::sample;

#[tokio::test]
async fn a_chain_without_end_is_given_up() {
    let (from, to) = both().await;
    let image = image("one");
    from.memory.hold("a", "t", &image);
    let mut subject = image.root.digest().clone();
    for step in 0..20 {
        let next = sbom(&subject, &format!("step {step}"));
        from.memory.hold_untagged("a", &next);
        subject = next.root.digest().clone();
    }
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(outcome.images[0].referrers.len(), 8);
    assert!(to.memory.tag("b", "t").is_some());
}

#[tokio::test]
async fn signatures_that_lead_to_each_other_are_followed_once() {
    let (from, to) = both().await;
    let image = image("one");
    let (first, second) = (signature(&["first"]), signature(&["second"]));
    from.memory.hold("a", "t", &image);
    from.memory.hold("a", &tag(image.root.digest(), ".sig"), &first);
    from.memory.hold("a", &tag(first.root.digest(), ".sig"), &second);
    from.memory.hold("a", &tag(second.root.digest(), ".sig"), &first);
    from.memory.hold("a", &tag(second.root.digest(), ".att"), &image);
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(outcome.images[0].referrers.len(), 4);
    assert_eq!(
        to.memory.tag("b", &tag(second.root.digest(), ".sig")),
        Some(first.root.digest().to_string())
    );
}

#[tokio::test]
async fn what_is_attached_to_a_referrer_travels_with_it() {
    let (from, to) = both().await;
    let image = image("one");
    let parts = sbom(image.root.digest(), "parts");
    let signed = sbom(parts.root.digest(), "signature of the parts");
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &parts);
    from.memory.hold_untagged("a", &signed);
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(outcome.images[0].referrers.len(), 2);
    assert_eq!(outcome.images[0].referrers[1].subject, *parts.root.digest());
    let puts = to.requests();
    let at = |what: &str| puts.iter().position(|it| it.starts_with("PUT") && it.contains(what));
    assert!(at(parts.root.digest().as_str()) < at(signed.root.digest().as_str()));
    // One more is signed when everything else is in place.
    let later = sbom(parts.root.digest(), "later");
    from.memory.hold_untagged("a", &later);
    from.forget_requests();
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(from.count(Method::GET, "/referrers/"), 1);
    assert_eq!(listed(&to, parts.root.digest()).await, 1, "that is not asked for each time");
    run(&from, &to, &all()).await.unwrap();
    assert_eq!(listed(&to, parts.root.digest()).await, 2);
}

#[tokio::test]
async fn an_index_that_refers_brings_what_it_lists() {
    let (from, to) = both().await;
    let image = image("one");
    let below = super::image("below");
    from.memory.hold("a", "t", &image);
    let plain = sample::index(&[("amd64", below.clone())]);
    let text = String::from_utf8(plain.root.bytes().to_vec()).unwrap();
    let subject =
        format!(r#"{{"subject":{{"mediaType":"x","digest":"{}","size":1}},"#, image.root.digest());
    let root = zuul_images::oci::Manifest::parse(text.replacen('{', &subject, 1).into(), None);
    let index = sample::Sample { root: root.unwrap(), ..plain };
    from.memory.hold_untagged("a", &index);
    run(&from, &to, &along()).await.unwrap();
    assert!(to.memory.manifest("b", below.root.digest()).is_some());
    assert_eq!(listed(&to, image.root.digest()).await, 1);
}

#[tokio::test]
async fn signatures_of_platforms_are_found_by_their_tags() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let (amd64, arm64) = (image("amd64"), image("arm64"));
    let index = sample::index(&[("amd64", amd64.clone()), ("arm64", arm64.clone())]);
    from.memory.hold("a", "t", &index);
    from.memory.hold("a", &tag(amd64.root.digest(), ".sig"), &signature(&["s"]));
    run(&from, &to, &along()).await.unwrap();
    assert!(to.memory.tag("b", &tag(amd64.root.digest(), ".sig")).is_some());
    // Signed later, when the image is in place already; the other way, too.
    from.memory.hold("a", &tag(arm64.root.digest(), ".sig"), &signature(&["later"]));
    let parts = sbom(arm64.root.digest(), "parts");
    let list = sample::index(&[("amd64", parts.clone())]);
    from.memory.hold("a", &tag(arm64.root.digest(), ""), &list);
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert!(!outcome.images[0].changed);
    assert!(to.memory.tag("b", &tag(arm64.root.digest(), ".sig")).is_some());
    assert_eq!(listed(&to, arm64.root.digest()).await, 1);
    // Tags of images that are not carried bring nothing.
    let other = image("other");
    from.memory.hold("a", &tag(other.root.digest(), ".sig"), &signature(&["other"]));
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(to.memory.tag("b", &tag(other.root.digest(), ".sig")), None);
}
