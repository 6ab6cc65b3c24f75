use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;

use super::current::Current;
use super::input::Child;
use super::{Error, OnMissing, Publication, compose};
use crate::client::{Client, Sight};
use crate::oci::{Descriptor, Digest, ImageReference, Manifest, Platform, Reference};

/// A tag that was looked at.
pub(super) struct Planned {
    /// The tag.
    pub(super) to: ImageReference,
    pub(super) seen: Sight,
    pub(super) decision: Decision,
    /// Platforms of which the image that the tag had is kept.
    pub(super) kept: Vec<Platform>,
    /// Platforms that are lost.
    pub(super) dropped: Vec<Platform>,
}

/// What becomes of it.
pub(super) enum Decision {
    /// It holds the index.
    Equal(Manifest),
    /// It gets this index.
    Write(Manifest),
    /// It is left as it is.
    Refused { missing: Vec<Platform>, reason: String },
}

/// Looks at every tag of a repository: one HEAD each, and of what is not the index its manifests and
/// configurations, once however many tags hold it.
pub(super) async fn all(
    client: &Client,
    repository: &ImageReference,
    publication: &Publication,
    children: &[Child],
    index: &Manifest,
) -> Result<Vec<Planned>, Error> {
    let at = client.image(repository).writable();
    let mut read: HashMap<Digest, Current> = HashMap::new();
    let mut planned = Vec::new();
    for tag in &publication.tags {
        let to = ImageReference { tag: None, ..repository.at(tag.clone()) };
        let failed = |source| Error::client(&to.to_string(), source);
        let looked = Instant::now();
        let held = at.head(&Reference::Tag(tag.clone())).await.map_err(failed)?;
        let held = held.map(|held| held.digest);
        let current = match held.as_ref().filter(|held| *held != index.digest()) {
            None => None,
            Some(digest) => {
                if !read.contains_key(digest) {
                    let current = Current::read(&at, digest).await.map_err(failed)?;
                    let current = current.ok_or_else(|| Error::NoImage {
                        item: to.to_string(),
                        given: digest.to_string(),
                        reason: "the tag points at it; delete the tag, or push it again".to_owned(),
                    })?;
                    read.insert(digest.clone(), current);
                }
                read.get(digest)
            }
        };
        let judge = Judge { publication, children, index };
        let Judged { decision, kept, dropped } = judge.judge(current, held.is_some())?;
        planned.push(Planned { to, seen: Sight::new(held, looked), decision, kept, dropped });
    }
    Ok(planned)
}

struct Judge<'a> {
    publication: &'a Publication,
    children: &'a [Child],
    index: &'a Manifest,
}

struct Judged {
    decision: Decision,
    kept: Vec<Platform>,
    dropped: Vec<Platform>,
}

impl Judge<'_> {
    /// `current` is what the tag holds, if that is something else than the index.
    fn judge(&self, current: Option<&Current>, exists: bool) -> Result<Judged, Error> {
        let alone = |decision| Judged { decision, kept: Vec::new(), dropped: Vec::new() };
        let Some(current) = current else {
            return Ok(alone(match exists {
                true => Decision::Equal(self.index.clone()),
                false => Decision::Write(self.index.clone()),
            }));
        };
        let rules = &self.publication.rules;
        let new = self.children.iter().map(|it| it.architecture.platform().clone().usual());
        let new: Vec<Platform> = new.collect();
        let lacking = current.platforms().into_iter().filter(|platform| !new.contains(platform));
        let (allowed, missing): (Vec<Platform>, Vec<Platform>) = lacking.partition(|platform| {
            rules.allow_drop.iter().any(|it| it.platform().clone().usual() == *platform)
        });
        if !missing.is_empty() && rules.on_missing == OnMissing::Refuse {
            let reason = refusal(current, &missing);
            return Ok(alone(Decision::Refused { missing, reason }));
        }
        let (kept, dropped) = match rules.on_missing {
            OnMissing::Hybrid => (missing, allowed),
            OnMissing::Drop | OnMissing::Refuse => (Vec::new(), [allowed, missing].concat()),
        };
        let index = match kept.is_empty() {
            true => self.index.clone(),
            false => self.with_kept(current, &kept)?,
        };
        if *index.digest() == current.digest {
            return Ok(Judged { decision: Decision::Equal(index), kept, dropped });
        }
        if let Some(reason) = self.goes_back(current).filter(|_| !rules.move_back) {
            return Ok(alone(Decision::Refused { missing: Vec::new(), reason }));
        }
        Ok(Judged { decision: Decision::Write(index), kept, dropped })
    }

    fn with_kept(&self, current: &Current, kept: &[Platform]) -> Result<Manifest, Error> {
        let is_kept = |image: &&Descriptor| {
            image.platform.clone().is_some_and(|platform| kept.contains(&platform.usual()))
        };
        let old = current.images.iter().filter(is_kept);
        let new = self.children.iter().map(|child| &child.descriptor);
        compose::index(new.chain(old), &self.publication.annotations)
    }

    /// An image that does not say when it was built stops nobody.
    fn goes_back(&self, current: &Current) -> Option<String> {
        let ours = self.children.iter().filter_map(|child| child.created).max()?;
        let theirs = current.created.filter(|theirs| *theirs > ours)?;
        Some(format!(
            "it holds {}, built at {theirs}, and this build is older, of {ours}; move it back with --move-back",
            current.digest
        ))
    }
}

fn refusal(current: &Current, missing: &[Platform]) -> String {
    let has: Vec<String> = current.platforms().iter().map(ToString::to_string).collect();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let age = match current.created {
        Some(created) => format!(", built at {created}, {}", age(created)),
        None => String::new(),
    };
    format!(
        "the current manifest ({}{age}) has {}, this build lacks {}; build it too, or say --allow-drop ARCH or \
         --on-missing",
        current.digest,
        has.join(", "),
        missing.join(", ")
    )
}

/// `3 d ago`
fn age(created: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(created).as_secs().max(0);
    match seconds {
        ..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

impl Planned {
    /// Whether the images of this build must be there for it.
    pub(super) fn lists_new_images(&self, force: bool) -> bool {
        match self.decision {
            Decision::Write(_) => true,
            Decision::Equal(_) => force,
            Decision::Refused { .. } => false,
        }
    }
}
