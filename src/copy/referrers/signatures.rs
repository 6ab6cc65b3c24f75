//! Tags of the form `sha256-HEX.sig`, by which cosign finds what belongs to a digest.

use std::collections::HashSet;

use crate::copy::Error;
use crate::copy::resolve::Resolved;
use crate::oci::{Content, Digest, Manifest, Tag};

const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// What cosign may have left for a digest. None for digests that are too long for a tag.
pub(super) fn tags(subject: &Digest) -> impl Iterator<Item = Tag> {
    let (algorithm, hex) = (subject.algorithm().as_str(), subject.hex());
    SUFFIXES.iter().filter_map(move |suffix| format!("{algorithm}-{hex}.{suffix}").parse().ok())
}

/// The digest that a tag belongs to, also that of a list of referrers.
pub(super) fn subject(tag: &Tag) -> Option<Digest> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let (hex, suffix) = rest.split_once('.').map_or((rest, None), |(hex, it)| (hex, Some(it)));
    let digest = format!("{algorithm}:{hex}").parse().ok()?;
    suffix.is_none_or(|suffix| SUFFIXES.contains(&suffix)).then_some(digest)
}

/// Looks at what the destination has under the same tag. If that has all entries of the source's it
/// stays: others may have added signatures of their own. Else the source's takes its place, or – if
/// nothing may get lost – only where it has all entries of the destination's.
pub(super) async fn beside_others(
    resolved: Resolved,
    keep_others: bool,
) -> Result<Resolved, Error> {
    let Some(content) = resolved.content.as_ref().filter(|content| !content.fresh) else {
        return Ok(resolved);
    };
    let there = resolved.to.manifest(&resolved.reference).await;
    let there = there.map_err(|error| Error::client(&resolved.name, error))?;
    let Some(there) = there else {
        return Ok(resolved);
    };
    let (ours, theirs) = (entries(&content.root), entries(&there));
    let has_all = ours.is_subset(&theirs);
    let loses = !theirs.is_subset(&ours);
    if !has_all && loses {
        let what = if keep_others { "is left as it is" } else { "is replaced" };
        let place = &resolved.name;
        tracing::warn!("{place}: the destination has other entries under this tag, which {what}");
    }
    if has_all || (loses && keep_others) {
        let digest = there.digest().clone();
        return Ok(Resolved { digest, kept: true, content: None, ..resolved });
    }
    Ok(resolved)
}

/// Each signature, attestation or document is a layer.
fn entries(manifest: &Manifest) -> HashSet<Digest> {
    match manifest.content() {
        Content::Image(image) => image.layers.iter().map(|layer| layer.digest.clone()).collect(),
        Content::Index(index) => index.manifests.iter().map(|it| it.digest.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn a_tag_of_other_kinds_belongs_to_no_digest() {
        let hex = "0".repeat(64);
        for tag in [
            "latest".to_owned(),
            "sha256-1".to_owned(),
            format!("sha256-{hex}.exe"),
            format!("sha256-{hex}.sig.sig"),
            format!("md5-{hex}.sig"),
            format!("x-sha256-{hex}.sig"),
        ] {
            assert_eq!(subject(&tag.parse().unwrap()), None, "{tag}");
        }
    }

    #[test]
    fn every_tag_leads_back_to_its_digest() {
        let digest = Digest::sha256(b"x");
        let tags: Vec<Tag> = tags(&digest).chain([Tag::of_referrers(&digest)]).collect();
        assert_eq!(tags.len(), 4);
        assert!(tags.iter().all(|tag| subject(tag).as_ref() == Some(&digest)));
        let long = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(super::tags(&long).count(), 0);
    }
}
