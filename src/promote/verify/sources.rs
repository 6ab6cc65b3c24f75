use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::{self, Client, Repository};
use crate::oci::{Digest, ImageReference, Manifest, Reference};
use crate::promote::record::Batch;
use crate::promote::{Options, Promotion};

/// A promotion and where it takes place.
pub(super) struct Wanted<'a> {
    pub(super) promotion: &'a Promotion,
    /// That of the final tag. Asking as a writer from the start finds a wrong login before anything is
    /// written.
    pub(super) repository: Repository,
    /// That of what waits.
    pub(super) source: Repository,
    /// The digest an earlier run wrote under the final tag from the same source.
    pub(super) recorded: Option<Digest>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(
        client: &Client,
        promotion: &'a Promotion,
        options: &Options<'_>,
        recorded: Option<&Batch>,
    ) -> Self {
        let to = &promotion.to;
        let repository = client.repository(&to.registry, &to.repository).writable();
        let source = match promotion.is_carried() {
            true => client.image(&promotion.from).for_build(options.reader.as_ref()),
            false => repository.clone(),
        };
        let recorded = recorded.and_then(|batch| batch.digest(promotion)).cloned();
        Self { promotion, repository, source, recorded }
    }

    /// The digest to look for where the temporary tag is gone.
    fn known(&self) -> Option<&Digest> {
        self.promotion.expected.as_ref().or(self.recorded.as_ref())
    }
}

/// The images to promote, each read once for all the tags it is to have.
#[derive(Default)]
pub(super) struct Sources(HashMap<ImageReference, Option<Manifest>>);

/// Why there is nothing to promote.
pub(super) enum Absent {
    /// The temporary tag holds something else.
    Replaced { expected: Digest, found: Digest },
    /// Neither the temporary tag nor the digest is there.
    Lost { expected: Digest },
    /// There is no temporary tag, and nothing says what it was.
    Unknown,
}

impl Sources {
    /// Reads what the temporary tags hold, and of those that are gone the digests known otherwise.
    pub(super) async fn read<'a>(
        wanted: impl Iterator<Item = &'a Wanted<'a>> + Clone,
        parallel: usize,
    ) -> Result<Self, client::Error> {
        let mut sources = Self::default();
        let waiting = wanted.clone().map(|wanted| (wanted, wanted.promotion.from.clone()));
        sources.fetch(waiting, parallel).await?;
        let gone: Vec<_> = wanted
            .filter(|wanted| sources.get(&wanted.promotion.from).is_none())
            .filter_map(|wanted| Some((wanted, wanted.promotion.from.at(wanted.known()?.clone()))))
            .collect();
        sources.fetch(gone.into_iter(), parallel).await?;
        Ok(sources)
    }

    /// The image to promote: what the temporary tag holds, or the known digest itself when the
    /// temporary tag is gone already.
    pub(super) fn waiting(&self, wanted: &Wanted<'_>) -> Result<&Manifest, Absent> {
        let Promotion { from, expected, .. } = wanted.promotion;
        match (self.get(from), expected) {
            (Some(found), Some(expected)) if found.digest() != expected => {
                let (expected, found) = (expected.clone(), found.digest().clone());
                Err(Absent::Replaced { expected, found })
            }
            (Some(found), _) => Ok(found),
            (None, _) => {
                let known = wanted.known().ok_or(Absent::Unknown)?;
                let pinned = self.get(&from.at(known.clone()));
                pinned.ok_or_else(|| Absent::Lost { expected: known.clone() })
            }
        }
    }

    fn get(&self, image: &ImageReference) -> Option<&Manifest> {
        self.0.get(image)?.as_ref()
    }

    async fn fetch<'a>(
        &mut self,
        images: impl Iterator<Item = (&'a Wanted<'a>, ImageReference)>,
        parallel: usize,
    ) -> Result<(), client::Error> {
        let mut seen = HashSet::new();
        let once = images.filter(|(_, image)| seen.insert(image.clone()));
        let read =
            stream::iter(once).map(async |(wanted, image): (&Wanted<'_>, ImageReference)| {
                let manifest = wanted.source.manifest(&image.reference).await?;
                Ok((image, manifest))
            });
        let read: Vec<_> = read.buffer_unordered(parallel.max(1)).try_collect().await?;
        self.0.extend(read);
        Ok(())
    }
}

impl Absent {
    /// What is said of it, when the final tag holds `held`.
    pub(super) fn against(self, promotion: &Promotion, held: Option<&Digest>) -> String {
        let (from, to) = (&promotion.from.reference, &promotion.to.tag);
        match (self, from, held) {
            (Self::Replaced { expected, found }, Reference::Tag(_), _) => format!(
                "`{from}` holds {found}, but {expected} was uploaded and tested; a later upload replaced it"
            ),
            (Self::Replaced { expected, found }, Reference::Digest(_), _) => {
                format!("{found} is to be promoted, but {expected} was uploaded and tested")
            }
            (Self::Lost { expected }, ..) => format!(
                "neither `{from}` nor the uploaded {expected} is there; run the upload again"
            ),
            (Self::Unknown, _, None) => {
                format!("there is no `{from}`, and no `{to}` either; run the upload again")
            }
            (Self::Unknown, _, Some(held)) => format!(
                "there is no `{from}`: it was not uploaded, or promoted already; `{to}` holds {held} \
                 (--uploads or the --record of that promotion tell whether this is it)"
            ),
        }
    }
}
