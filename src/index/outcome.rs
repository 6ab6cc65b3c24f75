use serde::Serialize;

use super::input::Child;
use crate::copy::{self, Action, ImageOutcome, PlannedBlob, Totals};
use crate::oci::{Digest, ImageReference, Manifest, Platform, Reference};

/// What was published.
#[derive(Debug, Serialize)]
pub struct Published {
    /// Whether nothing was written because only a plan was wanted.
    pub dry_run: bool,
    /// The digest of the index over the images of this build.
    pub digest: Digest,
    /// Its type.
    pub media_type: String,
    /// The images it lists, in its order.
    pub members: Vec<Member>,
    /// Every tag of the index.
    pub targets: Vec<TargetOutcome>,
    /// The tags of single architectures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architecture_tags: Vec<ArchitectureTag>,
    /// Every write that would be made, in order, in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// Every blob that would be moved, in a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedBlob>,
    /// Sums.
    pub totals: Totals,
}

/// An image of the index.
#[derive(Debug, Serialize)]
pub struct Member {
    /// As it was given.
    pub architecture: String,
    /// Its name in Fedora.
    #[serde(skip)]
    pub fedora: &'static str,
    /// What it means.
    pub platform: Platform,
    /// The image.
    pub digest: Digest,
    /// Where it came from.
    pub from: String,
}

/// What became of a tag.
#[derive(Debug, Serialize)]
pub struct TargetOutcome {
    /// `HOST[:PORT]/REPO`.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What was done.
    pub state: State,
    /// What it holds, or would hold; of a tag that is left what it held before.
    pub digest: Option<Digest>,
    /// What it held before.
    pub previous: Option<Digest>,
    /// The platforms of what it holds now; none if it was refused.
    pub platforms: Vec<Platform>,
    /// Platforms that it would have lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Platform>,
    /// Platforms of which the image that it had is kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Platform>,
    /// Platforms that it lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Platform>,
    /// Why it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was written.
    Published,
    /// It would be written.
    ToPublish,
    /// It held the index.
    Unchanged,
    /// It was left as it is.
    Refused,
    /// It could not be written.
    Failed,
}

/// A tag of a single architecture.
#[derive(Debug, Serialize)]
pub struct ArchitectureTag {
    /// `HOST[:PORT]/REPO:TAG`.
    pub image: String,
    /// What it holds.
    pub digest: Digest,
    /// Whether it was written, or would be.
    pub changed: bool,
}

impl Published {
    /// What a tag holds of this publication: the index, unless all of them keep images that are not this
    /// build's. None if no tag holds anything of it.
    #[must_use]
    pub fn published_digest(&self) -> Option<&Digest> {
        let mut held =
            self.targets.iter().filter(|it| it.is_good()).filter_map(|it| it.digest.as_ref());
        let first = held.clone().next();
        held.find(|held| **held == self.digest).or(first)
    }
}

impl TargetOutcome {
    pub(super) fn of(to: &ImageReference, previous: Option<Digest>, index: &Manifest) -> Self {
        Self {
            repository: format!("{}/{}", to.registry, to.repository),
            tag: to.reference.to_string(),
            state: State::Unchanged,
            digest: Some(index.digest().clone()),
            previous,
            platforms: index.platforms(),
            missing: Vec::new(),
            kept: Vec::new(),
            dropped: Vec::new(),
            reason: None,
        }
    }

    pub(super) fn refused(
        to: &ImageReference,
        previous: Option<Digest>,
        missing: Vec<Platform>,
        reason: String,
    ) -> Self {
        Self {
            repository: format!("{}/{}", to.registry, to.repository),
            tag: to.reference.to_string(),
            state: State::Refused,
            digest: previous.clone(),
            previous,
            platforms: Vec::new(),
            missing,
            kept: Vec::new(),
            dropped: Vec::new(),
            reason: Some(reason),
        }
    }

    pub(super) fn fail(&mut self, reason: String) {
        self.state = State::Failed;
        self.digest = self.previous.clone();
        self.platforms.clear();
        self.reason = Some(reason);
    }

    /// Whether the tag holds what was published.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.state, State::Published | State::Unchanged)
    }
}

impl From<&Child> for Member {
    fn from(child: &Child) -> Self {
        Self {
            architecture: child.architecture.to_string(),
            fedora: child.architecture.fedora(),
            platform: child.architecture.platform().clone(),
            digest: child.descriptor.digest.clone(),
            from: child.source.to_string(),
        }
    }
}

/// What would be written: blobs, images by digest and by tag, and the tags of the index.
pub(super) fn writes(copied: &copy::Outcome, targets: &[TargetOutcome]) -> Vec<String> {
    let blob = |blob: &PlannedBlob| {
        let PlannedBlob { to, digest, size, .. } = blob;
        let from = blob.from.as_deref().unwrap_or_default();
        match blob.action {
            Action::Move => Some(format!("PUT {to}@{digest} ({size} bytes)")),
            Action::Mount => Some(format!("MOUNT {to}@{digest} from {from}")),
            Action::Present => None,
        }
    };
    let images = copied.images.iter().filter(|image| image.changed);
    let image = |it: &ImageOutcome| match &it.to.reference {
        Reference::Digest(_) => format!("PUT {}", it.to),
        Reference::Tag(_) => format!("PUT {} {}", it.to, it.digest),
    };
    let targets = targets.iter().filter(|target| target.state == State::ToPublish);
    let tags = targets
        .filter_map(|it| Some(format!("PUT {}:{} {}", it.repository, it.tag, it.digest.as_ref()?)));
    copied.plan.iter().filter_map(blob).chain(images.map(image)).chain(tags).collect()
}

/// The tags among what was copied; all else went by digest.
pub(super) fn architecture_tags(copied: &copy::Outcome) -> Vec<ArchitectureTag> {
    let tags = copied.images.iter().filter(|it| it.to.reference.to_string() != it.digest.as_str());
    let tags = tags.map(|it| ArchitectureTag {
        image: it.to.to_string(),
        digest: it.digest.clone(),
        changed: it.changed,
    });
    tags.collect()
}
