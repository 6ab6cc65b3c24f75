use http::Method;
use zuul_images::copy::Options;

use super::{along, both, image, run, signature, tag};
use crate::support::faulty::{Fault, Faulty};

/// Signatures at the source, at the destination before, and – with nothing to get lost or not – after.
async fn after(source: &[&str], destination: &[&str], keep_signatures: bool) -> String {
    let (from, to) = both().await;
    let image = image("one");
    let name = tag(image.root.digest(), ".sig");
    from.memory.hold("a", "t", &image);
    from.memory.hold("a", &name, &signature(source));
    to.memory.hold("b", "t", &image);
    to.memory.hold("b", &name, &signature(destination));
    let outcome = run(&from, &to, &Options { keep_signatures, ..along() }).await.unwrap();
    let held = to.memory.tag("b", &name).unwrap();
    let was = signature(destination).root.digest().to_string();
    assert_eq!(outcome.images[0].referrers[0].changed, held != was);
    held
}

#[tokio::test]
async fn signatures_that_a_site_added_are_not_lost() {
    let own = signature(&["publisher", "site"]).root.digest().to_string();
    assert_eq!(after(&["publisher"], &["publisher", "site"], false).await, own);
    assert_eq!(after(&["publisher"], &["publisher", "site"], true).await, own);
}

#[tokio::test]
async fn a_new_signature_of_the_source_replaces_what_it_contains() {
    let new = signature(&["old", "new"]).root.digest().to_string();
    assert_eq!(after(&["old", "new"], &["old"], false).await, new);
    assert_eq!(after(&["old", "new"], &["old"], true).await, new);
}

#[tokio::test]
async fn other_signatures_are_replaced_by_a_mirror_but_never_by_an_upload() {
    let theirs = signature(&["theirs"]).root.digest().to_string();
    assert_eq!(after(&["other"], &["theirs"], true).await, theirs);
    let other = signature(&["other"]).root.digest().to_string();
    assert_eq!(after(&["other"], &["theirs"], false).await, other);
}

#[tokio::test]
async fn signatures_are_tried_by_name_where_tags_are_not_listed() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = image("one");
    let name = tag(image.root.digest(), ".att");
    from.memory.hold("a", "t", &image);
    from.memory.hold("a", &name, &signature(&["s"]));
    from.fault(usize::MAX, Method::GET, "/tags/list", Fault::Answer(405, vec![], String::new()));
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(outcome.images[0].referrers.len(), 1);
    assert!(to.memory.tag("b", &name).is_some());
}

#[tokio::test]
async fn a_signature_that_vanishes_meanwhile_is_no_failure() {
    let (from, to) = both().await;
    let image = image("one");
    let name = tag(image.root.digest(), ".sig");
    from.memory.hold("a", "t", &image);
    from.memory.hold("a", &name, &signature(&["s"]));
    from.fault(usize::MAX, Method::GET, &name, Fault::Answer(404, vec![], String::new()));
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert!(outcome.images[0].referrers.is_empty());
    assert!(to.memory.tag("b", "t").is_some());
}
