use http::Method;
use serde_json::Value;
use zuul_images::oci::{Digest, Manifest};

use super::{along, both, image, listed, run, sbom, tag};
use crate::support::faulty::{Fault, Faulty};
use crate::support::sample::{self, Sample};

/// What clients that attach something maintain where the registry does not.
fn list(referrers: &[Sample]) -> Sample {
    let children: Vec<(&str, Sample)> = referrers.iter().map(|it| ("amd64", it.clone())).collect();
    sample::index(&children)
}

fn tagged(server: &Faulty, subject: &Digest) -> Vec<Value> {
    let digest: Digest = server.memory.tag("b", &tag(subject, "")).unwrap().parse().unwrap();
    let bytes = server.memory.manifest("b", &digest).unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_tag_of_another_kind_is_not_written_over() {
    let (from, to) = both().await;
    *to.memory.lists_referrers.lock().unwrap() = false;
    let image = image("one");
    let digest = image.root.digest();
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &sbom(digest, "parts"));
    let other = super::image("other");
    to.memory.hold("b", &tag(digest, ""), &other);
    let error = run(&from, &to, &along()).await.unwrap_err();
    assert_eq!(error.kind(), "manifest", "{error}");
    assert_eq!(to.memory.tag("b", &tag(digest, "")), Some(other.root.digest().to_string()));
    assert_eq!(to.memory.tag("b", "t"), None, "an image is not tagged without what belongs to it");
}

#[tokio::test]
async fn what_a_tag_lists_at_the_source_is_listed_by_the_destination() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    *to.memory.lists_referrers.lock().unwrap() = true;
    let image = image("one");
    let digest = image.root.digest();
    from.memory.hold("a", "t", &image);
    from.memory.hold("a", &tag(digest, ""), &list(&[sbom(digest, "one"), sbom(digest, "two")]));
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(listed(&to, digest).await, 2);
    assert_eq!(to.memory.tag("b", &tag(digest, "")), None, "it lists them itself");
    let again = run(&from, &to, &along()).await.unwrap();
    assert_eq!(again.totals.manifests_written, 0);
}

#[tokio::test]
async fn a_destination_that_lists_none_gets_a_tag_that_does() {
    let (from, to) = both().await;
    *to.memory.lists_referrers.lock().unwrap() = false;
    let image = image("one");
    let digest = image.root.digest();
    let (first, second) = (sbom(digest, "first"), sbom(digest, "second"));
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &first);
    run(&from, &to, &along()).await.unwrap();
    let entries = tagged(&to, digest);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["digest"], first.root.digest().as_str());
    assert_eq!(entries[0]["artifactType"], super::SBOM);
    assert_eq!(entries[0]["annotations"]["org.example.kind"], super::SBOM);
    // Somebody else attaches something there, and more comes from the source.
    let theirs = sbom(digest, "theirs");
    to.memory.hold("b", &tag(digest, ""), &list(&[first.clone(), theirs.clone()]));
    from.memory.hold_untagged("a", &second);
    let outcome = run(&from, &to, &along()).await.unwrap();
    let entries: Vec<Value> = tagged(&to, digest).iter().map(|it| it["digest"].clone()).collect();
    let expected = [&first, &theirs, &second].map(|it| Value::from(it.root.digest().as_str()));
    assert_eq!(entries, expected);
    assert_eq!(outcome.totals.manifests_written, 2, "the new one, and the list");
    to.forget_requests();
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(to.count(Method::PUT, ""), 0);
    // That there is no list of the registry's own is found out first.
    assert_eq!(to.requests().len(), 3, "{:?}", to.requests());
}

#[tokio::test]
async fn what_was_written_but_not_listed_is_listed_by_the_next_run() {
    let (from, to) = both().await;
    *to.memory.lists_referrers.lock().unwrap() = false;
    let image = image("one");
    let digest = image.root.digest();
    from.memory.hold("a", "t", &image);
    from.memory.hold_untagged("a", &sbom(digest, "parts"));
    to.fault(usize::MAX, Method::PUT, &tag(digest, ""), Fault::Answer(403, vec![], String::new()));
    run(&from, &to, &along()).await.unwrap_err();
    assert_eq!(to.memory.tag("b", "t"), None);
    to.forget_faults();
    run(&from, &to, &along()).await.unwrap();
    assert_eq!(tagged(&to, digest).len(), 1);
}

#[tokio::test]
async fn a_lost_answer_does_not_decide_whether_the_destination_lists_referrers() {
    for lists in [true, false] {
        let (from, to) = both().await;
        *to.memory.lists_referrers.lock().unwrap() = lists;
        let image = image("one");
        let parts = sbom(image.root.digest(), "parts");
        from.memory.hold("a", "t", &image);
        from.memory.hold_untagged("a", &parts);
        to.fault(1, Method::PUT, parts.root.digest().as_str(), Fault::LoseReply);
        run(&from, &to, &along()).await.unwrap();
        let listing = to.memory.tag("b", &tag(image.root.digest(), ""));
        assert_eq!(listing.is_none(), lists);
        assert_eq!(listed(&to, image.root.digest()).await, 1);
    }
}

#[tokio::test]
async fn what_the_list_names_but_the_source_lacks_stays_behind() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let image = image("one");
    let digest = image.root.digest();
    from.memory.hold("a", "t", &image);
    let gone = list(&[sbom(digest, "gone")]);
    let (here, root) = (sbom(digest, "here"), gone.root.clone());
    let entries = [root, list(std::slice::from_ref(&here)).root];
    let entries = entries.iter().flat_map(|it| it.children()).map(
        |it| serde_json::json!({"mediaType": it.media_type, "digest": it.digest, "size": it.size}),
    );
    let text = serde_json::json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
    let both = Manifest::parse(text.to_string().into(), None).unwrap();
    from.memory.hold_untagged("a", &here);
    from.memory.hold("a", &tag(digest, ""), &Sample { root: both, below: vec![], blobs: vec![] });
    let outcome = run(&from, &to, &along()).await.unwrap();
    assert_eq!(outcome.images[0].referrers.len(), 1);
    assert_eq!(tagged(&to, digest).len(), 1);
}
