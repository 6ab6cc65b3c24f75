use std::collections::HashSet;

use super::search::Search;
use super::{Referrers, signatures};
use crate::copy::Error;
use crate::copy::resolve::Resolved;
use crate::oci::{Digest, Manifest, Tag};

/// Something that others may refer to.
pub(super) struct Subject {
    pub(super) digest: Digest,
    /// The destination does not have it yet.
    pub(super) is_new: bool,
    /// Its referrers are worth a request.
    pub(super) is_asked: bool,
}

impl Search<'_> {
    /// The image itself, and the manifests it lists.
    pub(super) async fn subjects(
        &self,
        tags: Option<&HashSet<Tag>>,
    ) -> Result<Vec<Subject>, Error> {
        let Resolved { digest, content, is_index, .. } = self.image;
        let image = Subject { digest: digest.clone(), is_new: content.is_some(), is_asked: true };
        let is_asked = self.run.options.referrers == Referrers::All;
        let mut subjects = vec![image];
        let mut manifests = Vec::new();
        match content {
            Some(content) => {
                manifests.push((digest, &content.root));
                let below = content.below.iter().map(|below| (&below.digest, &below.manifest));
                manifests.extend(below);
            }
            // It was not read, as it is in place: only worth it if something may belong to its children.
            None if *is_index && (is_asked || self.has_tags_of_others(tags)) => {
                let root = self.look().manifest(&digest.clone().into()).await?;
                subjects.extend(children(&root, |_| false, is_asked));
            }
            None => {}
        }
        let new: HashSet<&Digest> = manifests.iter().map(|(digest, _)| *digest).collect();
        for (_, manifest) in manifests {
            subjects.extend(children(manifest, |child| new.contains(child), is_asked));
        }
        Ok(subjects)
    }

    /// Whether there are tags that belong to something else than the images of the run.
    fn has_tags_of_others(&self, tags: Option<&HashSet<Tag>>) -> bool {
        let mut subjects = tags.into_iter().flatten().filter_map(signatures::subject);
        subjects.any(|subject| !self.run.roots.contains(&subject))
    }
}

impl Subject {
    /// Whether a tag is worth a look. Where tags cannot be listed, those of what is asked for are tried.
    pub(super) fn may_have(&self, tag: &Tag, tags: Option<&HashSet<Tag>>) -> bool {
        tags.map_or(self.is_asked, |tags| tags.contains(tag))
    }
}

fn children(
    manifest: &Manifest,
    is_new: impl Fn(&Digest) -> bool,
    is_asked: bool,
) -> impl Iterator<Item = Subject> {
    let manifests = manifest.children().iter().filter(|child| child.is_manifest());
    manifests.map(move |child| {
        let digest = child.digest.clone();
        Subject { is_new: is_new(&digest), digest, is_asked }
    })
}
