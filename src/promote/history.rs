use super::Promotion;
use crate::oci::{Digest, ImageReference};
use crate::zuul::{ImageArtifact, Provenance, UploadArtifact};

/// An image of which it is known what it was built for.
#[derive(Debug, Clone)]
pub struct KnownImage {
    /// The repository as the job spells it.
    pub repository: String,
    /// The image.
    pub digest: Digest,
    /// What it was built for.
    pub built_for: Provenance,
}

/// Why promoting `after` would move a tag back that holds `before`: that is of a change of the same branch
/// that merged later, or of a later patch set. What is not known is no reason.
pub(super) fn moves_back(
    known: &[KnownImage],
    promotion: &Promotion,
    before: &Digest,
    after: &Digest,
) -> Option<String> {
    let of = |digest: &Digest| {
        let digest = digest.clone();
        known.iter().filter(move |image| image.digest == digest && image.is_of(promotion))
    };
    // Of several changes that gave the same image the newest counts: it stands last.
    let own = of(after).last()?;
    let later = of(before).find(|image| image.built_for.merged_after(&own.built_for))?;
    let (own, later) = (own.built_for.name(), later.built_for.name());
    Some(format!(
        "it holds {before} of {later}, which merged after {own} on the same branch (allow it with --move-back)"
    ))
}

impl KnownImage {
    fn is_of(&self, promotion: &Promotion) -> bool {
        let to = &promotion.to;
        let place = ImageReference::with_tag(&self.repository, to.tag.clone());
        place.is_ok_and(|place| place.registry == to.registry && place.repository == to.repository)
    }

    /// The image of an artifact that names its digest.
    #[must_use]
    pub fn pushed(artifact: &ImageArtifact, built_for: Provenance) -> Option<Self> {
        let repository = artifact.metadata.repository.clone();
        Some(Self { repository, digest: artifact.metadata.digest.clone()?, built_for })
    }
}

impl From<&UploadArtifact> for KnownImage {
    fn from(artifact: &UploadArtifact) -> Self {
        Self {
            repository: artifact.metadata.repository.clone(),
            digest: artifact.metadata.digest.clone(),
            built_for: artifact.built_for.clone(),
        }
    }
}
