//! A door for the fuzz target alone: journals and images of others.
#![allow(clippy::expect_used, missing_docs)]

use super::image::without_attestations;
use super::journal::Journal;
use crate::oci::{Digest, Manifest};

/// A journal written down again says the same, and gives back only bytes that are what it says.
pub fn journal(data: &[u8]) {
    let Ok(journal) = serde_json::from_slice::<Journal>(data) else { return };
    let text = serde_json::to_string(&journal).expect("it was read as one");
    let again: Journal = serde_json::from_str(&text).expect("it was one before");
    assert_eq!(serde_json::to_string(&again).expect("it is one"), text);
    for previous in journal.floating.iter().filter_map(|floating| floating.previous.as_ref()) {
        if let Ok(manifest) = previous.manifest() {
            assert_eq!(Digest::sha256(manifest.bytes()), previous.digest);
        }
    }
    if let Ok(unique) = journal.unique() {
        assert!(unique.as_str().ends_with(&format!("-{}", journal.number)));
    }
}

/// An index without attestations has all else in its order, and there is nothing left to take away.
pub fn index(data: &[u8]) {
    let Ok(index) = Manifest::parse(data.to_vec().into(), None) else { return };
    let Ok(bare) = without_attestations(index.clone()) else { return };
    let kept = index
        .children()
        .iter()
        .filter(|child| child.platform.as_ref().is_none_or(|platform| platform.os != "unknown"));
    let kept: Vec<_> = kept.map(|child| &child.digest).collect();
    assert_eq!(bare.children().iter().map(|child| &child.digest).collect::<Vec<_>>(), kept);
    let again = without_attestations(bare.clone()).expect("it was an index before");
    assert_eq!(again.bytes(), bare.bytes());
}
