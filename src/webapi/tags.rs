use jiff::Timestamp;

use super::{Error, Hub, Quay};
use crate::oci::{Digest, RepositoryName, Tag};

/// The web API of a registry, which tells and removes tags.
#[derive(Debug, Clone)]
pub enum TagApi {
    /// Docker Hub's.
    Hub(Hub),
    /// Quay's, on quay.io or a site's own.
    Quay(Quay),
}

/// A tag as a web API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTag {
    /// Its name.
    pub name: Tag,
    /// What it holds; old tags of Docker Hub do not say.
    pub digest: Option<Digest>,
    /// When it was pushed last.
    pub pushed: Option<Timestamp>,
}

/// An answer, and what the time was where it came from, if that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// The answer.
    pub answer: T,
    /// The server's clock, when it answered.
    pub clock: Option<Timestamp>,
}

impl TagApi {
    /// One word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hub(_) => "hub",
            Self::Quay(_) => "quay",
        }
    }

    /// Whether it is given a login, without which nobody may remove anything.
    #[must_use]
    pub fn has_login(&self) -> bool {
        match self {
            Self::Hub(hub) => hub.has_login(),
            Self::Quay(quay) => quay.has_login(),
        }
    }

    /// All tags of a repository; `None` where there is no such repository, or not for this login.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list of tags.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Told<Vec<ApiTag>>>, Error> {
        match self {
            Self::Hub(hub) => hub.tags(repository).await,
            Self::Quay(quay) => quay.tags(repository).await,
        }
    }

    /// One tag; `None` where it is not there.
    ///
    /// # Errors
    /// As [`TagApi::tags`].
    pub async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Told<ApiTag>>, Error> {
        match self {
            Self::Hub(hub) => hub.tag(repository, tag).await,
            Self::Quay(quay) => quay.tag(repository, tag).await,
        }
    }

    /// Removes a tag and nothing else; whether it was there.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool, Error> {
        match self {
            Self::Hub(hub) => hub.delete_tag(repository, tag).await,
            Self::Quay(quay) => quay.delete_tag(repository, tag).await,
        }
    }
}

/// A list that comes page by page, under numbers that are ours: nothing in an answer says where the
/// next page is asked for.
#[derive(Debug, Default)]
pub(super) struct Pages {
    tags: Vec<ApiTag>,
    clock: Option<Timestamp>,
    strange: usize,
    number: usize,
}

impl Pages {
    /// A quarter of a million tags, far more than any repository has.
    const MOST: usize = 2500;

    /// The number of the next page.
    pub(super) fn turn(&mut self) -> Option<usize> {
        self.number += 1;
        (self.number <= Self::MOST).then_some(self.number)
    }

    /// Takes the tags of a page; what cannot be a tag's name is counted. The clock that counts is that
    /// of the first page: by it everything is younger.
    pub(super) fn take(
        &mut self,
        clock: Option<Timestamp>,
        tags: impl Iterator<Item = Option<ApiTag>>,
    ) {
        self.clock = self.clock.or(clock);
        for tag in tags {
            match tag {
                Some(tag) => self.tags.push(tag),
                None => self.strange += 1,
            }
        }
    }

    pub(super) fn end(self, doing: &str) -> Told<Vec<ApiTag>> {
        if self.strange > 0 {
            tracing::warn!("{doing}: {} passed over, whose names are none of tags", self.strange);
        }
        Told { answer: self.tags, clock: self.clock }
    }
}
