use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use serde::Serialize;

use super::expected::{Expected, Repository};
use crate::client::Client;
use crate::promoter::Error;
use crate::promoter::inventory::{Contents, Details};
use crate::promoter::listing::{Listing, Manifest};
use crate::promoter::sha256::Sha256;

/// What registries hold beside or against what manifests say.
#[derive(Debug, Default, Serialize)]
pub struct Audited {
    /// How many repositories there are.
    pub repositories: usize,
    /// Digests that no manifest knows, and that are in no index that one knows.
    pub unknown: Vec<Unknown>,
    /// Tags that are another digest than a manifest says.
    pub moved_tags: Vec<MovedTag>,
    /// What is not there.
    pub missing: Vec<Missing>,
}

/// A digest, or tags of one, that no manifest knows.
#[derive(Debug, Serialize)]
pub struct Unknown {
    /// Where it is.
    pub repository: String,
    /// Which it is.
    pub digest: Sha256,
    /// Its tags that no manifest knows.
    pub tags: Vec<String>,
    /// Whether a manifest knows the digest, but not the tags.
    pub known_digest: bool,
}

/// A tag that is not what a manifest says.
#[derive(Debug, Serialize)]
pub struct MovedTag {
    /// `REPOSITORY:TAG`.
    pub tag: String,
    /// What it is to be.
    pub expected: Sha256,
    /// What it is.
    pub found: Sha256,
}

/// Something that is to be there.
#[derive(Debug, Serialize)]
pub struct Missing {
    /// Where.
    pub repository: String,
    /// Which digest.
    pub digest: Sha256,
    /// Which tag of it, if it is only that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl Audited {
    /// Whether everything is as manifests say.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.unknown.is_empty() && self.moved_tags.is_empty() && self.missing.is_empty()
    }
}

/// Compares all that is below these registries with what is expected there.
///
/// # Errors
/// A registry or file that does not tell it.
pub async fn audit(
    client: &Client,
    inventory: Option<&Path>,
    registries: &BTreeSet<String>,
    expected: &Expected,
    parallel: usize,
) -> Result<Audited, Error> {
    let mut audited = Audited::default();
    let mut seen = HashSet::new();
    let read = Contents::default();
    for registry in outermost(registries) {
        let listing = match inventory {
            Some(file) => Listing::read(file, registry)?,
            None => Listing::ask(client, registry, parallel, Details::All(&read)).await?,
        };
        for (image, digests) in listing.images() {
            let path = match image.as_str() {
                "" => registry.to_owned(),
                image => format!("{registry}/{image}"),
            };
            audited.repository(&path, digests, expected.repository(&path));
            seen.insert(path);
        }
    }
    let mut unseen: Vec<&str> =
        expected.paths().into_iter().filter(|it| !seen.contains(*it)).collect();
    unseen.sort_unstable();
    audited.repositories = seen.len();
    for path in unseen {
        audited.repository(path, &BTreeMap::new(), expected.repository(path));
    }
    Ok(audited)
}

/// Registries that are below others are listed with them.
fn outermost(registries: &BTreeSet<String>) -> Vec<&str> {
    let mut outermost: Vec<&str> = Vec::new();
    for registry in registries {
        let is_below =
            |outer: &str| registry.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        if !outermost.iter().any(|outer| is_below(outer)) {
            outermost.push(registry);
        }
    }
    outermost
}

impl Audited {
    fn repository(
        &mut self,
        path: &str,
        held: &BTreeMap<Sha256, Manifest>,
        expected: Option<&Repository>,
    ) {
        let none = Repository::default();
        let expected = expected.unwrap_or(&none);
        let tags_to_be: BTreeMap<&str, Sha256> = expected
            .digests
            .iter()
            .flat_map(|(digest, tags)| tags.iter().map(move |tag| (tag.as_str(), *digest)))
            .collect();
        let parts = parts(held, expected);
        for (digest, manifest) in held {
            let known_digest = expected.digests.contains_key(digest);
            let mut tags = Vec::new();
            for tag in manifest.tags.iter().map(|tag| tag.as_str()) {
                match tags_to_be.get(tag) {
                    Some(expected) if expected == digest => {}
                    Some(expected) => self.moved_tags.push(MovedTag {
                        tag: format!("{path}:{tag}"),
                        expected: *expected,
                        found: *digest,
                    }),
                    None if is_attached(tag, &parts) => {}
                    None => tags.push(tag.to_owned()),
                }
            }
            // What travels with an image has a tag that names it, or a subject.
            let is_known = known_digest
                || parts.contains(digest)
                || manifest.tags.iter().any(|tag| is_attached(tag.as_str(), &parts))
                || manifest.subject.is_some_and(|subject| parts.contains(&subject));
            if !tags.is_empty() || (!is_known && manifest.tags.is_empty()) {
                let repository = path.to_owned();
                self.unknown.push(Unknown { repository, digest: *digest, tags, known_digest });
            }
        }
        for (digest, tags) in &expected.digests {
            let repository = || path.to_owned();
            let Some(manifest) = held.get(digest) else {
                // A registry that tells only tags does not tell of it.
                self.missing.push(Missing { repository: repository(), digest: *digest, tag: None });
                continue;
            };
            let lacks =
                |tag: &&String| !manifest.tags.iter().any(|held| held.as_str() == tag.as_str());
            for tag in tags.iter().filter(lacks) {
                let moved = held.values().any(|it| it.tags.iter().any(|held| held.as_str() == tag));
                if !moved {
                    let tag = Some(tag.clone());
                    self.missing.push(Missing { repository: repository(), digest: *digest, tag });
                }
            }
        }
    }
}

/// What manifests know, and all that is below it.
fn parts(held: &BTreeMap<Sha256, Manifest>, expected: &Repository) -> HashSet<Sha256> {
    let mut all: HashSet<Sha256> = expected.digests.keys().copied().collect();
    let mut waiting: Vec<Sha256> = all.iter().copied().collect();
    while let Some(digest) = waiting.pop() {
        for child in held.get(&digest).into_iter().flat_map(|manifest| &manifest.children) {
            if all.insert(*child) {
                waiting.push(*child);
            }
        }
    }
    all
}

/// A tag of cosign's, or the one that lists referrers (distribution-spec, "Referrers Tag Schema").
fn is_attached(tag: &str, parts: &HashSet<Sha256>) -> bool {
    let named = tag.strip_prefix("sha256-").and_then(|rest| rest.split_at_checked(64));
    named.is_some_and(|(hex, kind)| {
        matches!(kind, "" | ".sig" | ".att" | ".sbom")
            && format!("sha256:{hex}").parse().is_ok_and(|it| parts.contains(&it))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_tags_that_tools_attach_belong_to_what_is_known() {
        let hex = "a".repeat(64);
        let parts = HashSet::from([format!("sha256:{hex}").parse().unwrap()]);
        for end in ["anything", ".evil", ".sig.evil", "-1", "a"] {
            assert!(!is_attached(&format!("sha256-{hex}{end}"), &parts), "{end}");
        }
        for tag in [format!("sha256-{}.sig", "b".repeat(64)), "sha256-aa.sig".to_owned()] {
            assert!(!is_attached(&tag, &parts), "{tag}");
        }
        for end in ["", ".sig", ".att", ".sbom"] {
            assert!(is_attached(&format!("sha256-{hex}{end}"), &parts), "{end}");
        }
    }
}
