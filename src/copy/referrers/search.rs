use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::subject::Subject;
use super::{Attached, Referrers, signatures};
use crate::client::{self, Client, Repository};
use crate::copy::resolve::{Content, Look, Resolved, resolve};
use crate::copy::source::Sources;
use crate::copy::{Error, Item, Options};
use crate::oci::{Descriptor, Digest, ImageReference, MAX_MANIFEST_BYTES, Reference, Tag};

/// How far referrers of referrers are followed.
const MAX_DEPTH: usize = 8;

/// How many referrers an image may have, and how many bytes of manifests they may bring into memory.
const MAX_REFERRERS: usize = 5_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What all searches of a run share.
pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) sources: &'a Sources,
    pub(super) options: Options,
    /// Tags that items write anyway.
    pub(super) taken: HashSet<&'a ImageReference>,
    /// All images.
    pub(super) roots: HashSet<&'a Digest>,
}

/// Looks for what is attached to one image.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) item: &'a Item,
    /// Where it comes from.
    pub(super) source: &'a ImageReference,
    pub(super) from: &'a Repository,
    pub(super) image: &'a Resolved,
}

/// What has been found so far.
#[derive(Default)]
struct Finds {
    attached: Vec<Attached>,
    /// The image and its platforms, too: tags can lead in a circle.
    seen: HashSet<Digest>,
    bytes: usize,
}

impl Search<'_> {
    pub(super) async fn all(self) -> Result<Vec<Attached>, Error> {
        let tags = self.run.sources.tags(self.from).await;
        let tags = tags.map_err(|error| self.failed(error))?;
        let mut finds = Finds::default();
        let mut subjects = self.subjects(tags.as_deref()).await?;
        subjects.retain(|subject| finds.seen.insert(subject.digest.clone()));
        for depth in 1..=MAX_DEPTH {
            let mut next = Vec::new();
            for subject in &subjects {
                let listed = self.listed(subject, tags.as_deref()).await?;
                next.extend(self.take_listed(&mut finds, subject, depth, listed).await?);
            }
            next.extend(self.take_tagged(&mut finds, &subjects, depth, tags.as_deref()).await?);
            if next.is_empty() {
                return Ok(finds.attached);
            }
            subjects = next;
        }
        let name = &self.image.name;
        tracing::warn!("{name}: what refers to its referrers over {MAX_DEPTH} steps stays behind");
        Ok(finds.attached)
    }

    /// What the source lists as attached to `subject`.
    async fn listed(
        &self,
        subject: &Subject,
        tags: Option<&HashSet<Tag>>,
    ) -> Result<Vec<Descriptor>, Error> {
        let (from, sources) = (self.from, self.run.sources);
        let by_itself = match subject.is_asked {
            true => sources.listed_referrers(from, &subject.digest).await,
            false => Ok(None),
        };
        let by_itself = by_itself.map_err(|error| self.failed(error))?;
        // A list of the registry's own is the whole truth.
        let is_tagged = by_itself.is_none()
            && from.lists_referrers() != Some(true)
            && subject.may_have(&Tag::of_referrers(&subject.digest), tags);
        let listed = match by_itself {
            Some(listed) => listed,
            None if is_tagged => {
                let listed = sources.tagged_referrers(from, &subject.digest).await;
                listed.map_err(|error| self.failed(error))?
            }
            None => Arc::default(),
        };
        let read = |value| {
            Descriptor::from_json(value).inspect_err(|error| {
                self.leave(&subject.digest, &format!("one of its referrers is {error}"));
            })
        };
        Ok(listed.iter().filter_map(|value| read(value).ok()).collect())
    }

    /// Takes what is listed: what the destination has is only noted, the rest is read.
    async fn take_listed(
        &self,
        finds: &mut Finds,
        subject: &Subject,
        depth: usize,
        listed: Vec<Descriptor>,
    ) -> Result<Vec<Subject>, Error> {
        let mut listed = listed;
        listed.retain(|referrer| finds.seen.insert(referrer.digest.clone()));
        self.limit(finds, listed.len())?;
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let there = self.there(subject).await?;
        let all = self.run.options.referrers == Referrers::All;
        let mut next = Vec::new();
        let reads = listed.into_iter().map(|referrer| {
            let is_there = there.contains(&referrer.digest);
            async move {
                let read = match is_there {
                    true => Some(None),
                    false => self.read(&referrer, subject).await?.map(Some),
                };
                Ok::<_, Error>((referrer, read))
            }
        });
        let reads: Vec<_> = reads.collect();
        let mut reads = stream::iter(reads).buffered(self.run.options.parallel.max(1));
        while let Some(read) = reads.try_next().await? {
            let (referrer, Some(content)) = read else { continue };
            let is_new = content.is_some();
            let is_asked = all || is_new;
            next.push(Subject { digest: referrer.digest.clone(), is_new, is_asked });
            finds.bytes += content.as_ref().map_or(0, Content::bytes);
            finds.attached.push(Attached {
                resolved: self.resolved(&referrer.digest, content),
                subject: subject.digest.clone(),
                depth,
                artifact_type: referrer.artifact_type,
            });
            self.limit(finds, 0)?;
        }
        Ok(next)
    }

    /// Takes what cosign's tags hold.
    async fn take_tagged(
        &self,
        finds: &mut Finds,
        subjects: &[Subject],
        depth: usize,
        tags: Option<&HashSet<Tag>>,
    ) -> Result<Vec<Subject>, Error> {
        let wanted = subjects.iter().flat_map(|subject| {
            let tags =
                signatures::tags(&subject.digest).filter(move |tag| subject.may_have(tag, tags));
            tags.map(move |tag| (&subject.digest, tag))
        });
        let wanted =
            wanted.filter(|(_, tag)| !self.run.taken.contains(&self.item.to.at(tag.clone())));
        let looks: Vec<_> = wanted.map(|(subject, tag)| self.tagged(subject, tag)).collect();
        let mut looks = stream::iter(looks).buffered(self.run.options.parallel.max(1));
        let mut next = Vec::new();
        while let Some(found) = looks.try_next().await? {
            let Some((subject, resolved)) = found else { continue };
            let is_new = resolved.content.is_some();
            if finds.seen.insert(resolved.digest.clone()) {
                next.push(Subject { digest: resolved.digest.clone(), is_new, is_asked: false });
            }
            finds.bytes += resolved.content.as_ref().map_or(0, Content::bytes);
            let subject = subject.clone();
            finds.attached.push(Attached { resolved, subject, depth, artifact_type: None });
            self.limit(finds, 0)?;
        }
        Ok(next)
    }

    async fn tagged<'d>(
        &self,
        subject: &'d Digest,
        tag: Tag,
    ) -> Result<Option<(&'d Digest, Resolved)>, Error> {
        let item = Item {
            name: self.item.name.clone(),
            from: self.source.at(tag.clone()).into(),
            to: self.item.to.at(tag),
            expect: None,
            builds: self.item.builds.clone(),
        };
        match resolve(
            self.run.client,
            self.run.sources,
            (self.image.image, &item),
            &self.run.options,
        )
        .await
        {
            Ok(resolved) => {
                let keep_others = self.run.options.keep_signatures;
                let resolved = signatures::beside_others(resolved, keep_others).await?;
                Ok(Some((subject, resolved)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the destination has of what is attached to `subject`.
    async fn there(&self, subject: &Subject) -> Result<HashSet<Digest>, Error> {
        if subject.is_new {
            return Ok(HashSet::new());
        }
        let there = self.image.to.referrers(&subject.digest).await;
        let there = there.map_err(|error| self.failed(error))?;
        let there = there.iter().filter_map(|value| Descriptor::from_json(value).ok());
        Ok(there.map(|referrer| referrer.digest).collect())
    }

    /// A referrer with everything below it; `None` if it is none that can be carried.
    async fn read(
        &self,
        referrer: &Descriptor,
        subject: &Subject,
    ) -> Result<Option<Content>, Error> {
        let leave = |reason: &str| {
            self.leave(&subject.digest, &format!("its referrer {} {reason}", referrer.digest));
            Ok(None)
        };
        if !referrer.is_manifest() || referrer.size > MAX_MANIFEST_BYTES as u64 {
            return leave("is no manifest that this program carries");
        }
        let reference = Reference::from(referrer.digest.clone());
        let manifest = match self.run.sources.manifest(self.from, &reference).await {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return leave("is listed, but not there"),
            Err(client::Error::Manifest { source, .. }) => return leave(&source.to_string()),
            Err(error) => return Err(self.failed(error)),
        };
        if manifest.subject().is_none_or(|it| it.digest != subject.digest) {
            return leave("refers to something else");
        }
        self.look().content(manifest, true).await.map(Some)
    }

    fn resolved(&self, digest: &Digest, content: Option<Content>) -> Resolved {
        let Resolved { from, to, .. } = self.image;
        let reference = Reference::from(digest.clone());
        let (source, target) = (self.source.at(reference.clone()), self.item.to.at(reference));
        Resolved {
            name: format!("{source} to {target}"),
            from: from.clone(),
            to: to.clone(),
            reference: target.reference,
            digest: digest.clone(),
            image: self.image.image,
            platforms: Vec::new(),
            is_index: false,
            kept: false,
            content,
            free: None,
        }
    }

    pub(super) fn look(&self) -> Look<'_> {
        let Resolved { name, from, to, .. } = self.image;
        Look { name, sources: self.run.sources, from, to, options: &self.run.options }
    }

    fn limit(&self, finds: &Finds, more: usize) -> Result<(), Error> {
        if finds.attached.len() + more <= MAX_REFERRERS && finds.bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(Error::Unsupported {
            item: self.image.name.clone(),
            reason: format!(
                "it has more than {MAX_REFERRERS} referrers, or {} MiB of them; \
                 `--referrers false` leaves them behind",
                MAX_BYTES / 1024 / 1024
            ),
        })
    }

    fn leave(&self, subject: &Digest, reason: &str) {
        tracing::warn!("{}: of {subject} something stays behind: {reason}", self.image.name);
    }

    fn failed(&self, source: client::Error) -> Error {
        Error::client(&self.image.name, source)
    }
}
