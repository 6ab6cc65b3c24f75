use jiff::{SignedDuration, Timestamp};

use crate::client::Repository;
use crate::oci::{Digest, Reference, Tag};
use crate::removal::Error;
use crate::webapi::{ApiTag, TagApi, Told};

/// Where the tags of a repository are read: in its registry's web API, which says how old they are, else in
/// the registry.
pub(super) struct Book<'a> {
    repository: Repository,
    api: Option<&'a TagApi>,
}

/// A tag as it was found.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) digest: Option<Digest>,
    /// When it was pushed last, if somebody knows who is believed.
    pub(super) pushed: Option<Timestamp>,
    pub(super) clock: Clock,
}

/// What the time was at a look: no earlier and no later than that. The server's clock where it said it,
/// by which it also says when a tag was pushed; it leaves out what is smaller than a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

impl<'a> Book<'a> {
    pub(super) fn of(repository: Repository, api: Option<&'a TagApi>) -> Self {
        Self { repository, api }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Who says how old a tag is.
    pub(super) fn name(&self) -> &'static str {
        self.api.map_or("registry", TagApi::name)
    }

    /// Every tag, with what the list itself says of it; `None` where there is no such repository.
    pub(super) async fn tags(&mut self) -> Result<Option<Vec<(Tag, Option<Look>)>>, Error> {
        if let Some(api) = self.api {
            let before = Timestamp::now();
            match api.tags(self.repository.name()).await {
                // Of a private repository an API tells nothing without a login of its own; its registry does.
                Err(error) if error.wants_login() && !api.has_login() => self.api = None,
                told => {
                    return Ok(told?.map(|Told { answer, clock }| {
                        let clock = Clock::at(before, clock);
                        let look = |ApiTag { name, digest, pushed }| {
                            (name, Some(Look { digest, pushed, clock }))
                        };
                        answer.into_iter().map(look).collect()
                    }));
                }
            }
        }
        match self.repository.tags().await {
            Ok(tags) => Ok(Some(tags.into_iter().map(|tag| (tag, None)).collect())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One tag as it is now; `None` where it is not there.
    pub(super) async fn look(&self, tag: &Tag) -> Result<Option<Look>, Error> {
        let before = Timestamp::now();
        if let Some(api) = self.api {
            let told = api.tag(self.repository.name(), tag).await?;
            return Ok(told.map(|told| {
                let ApiTag { digest, pushed, .. } = told.answer;
                Look { digest, pushed, clock: Clock::at(before, told.clock) }
            }));
        }
        let head = self.repository.head(&Reference::Tag(tag.clone())).await?;
        Ok(head.map(|head| {
            let clock = Clock::at(before, head.clock);
            Look { digest: Some(head.digest), pushed: head.tagged, clock }
        }))
    }
}

impl Look {
    /// How old it is at least.
    pub(super) fn age(&self) -> Option<SignedDuration> {
        Some(self.clock.earliest.duration_since(within_a_second_after(self.pushed?)))
    }

    /// Whether nothing was done to the tag between this look and the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.pushed == other.pushed
    }
}

impl Clock {
    fn at(before: Timestamp, server: Option<Timestamp>) -> Self {
        match server {
            Some(server) => Self { earliest: server, latest: within_a_second_after(server) },
            None => Self { earliest: before, latest: Timestamp::now() },
        }
    }
}

/// The end of the second that a moment stands for.
fn within_a_second_after(moment: Timestamp) -> Timestamp {
    let whole = Timestamp::from_second(moment.as_second()).unwrap_or(moment);
    whole.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn age(pushed: &str, server: &str) -> SignedDuration {
        let clock = Clock::at(Timestamp::now(), Some(server.parse().unwrap()));
        Look { digest: None, pushed: Some(pushed.parse().unwrap()), clock }.age().unwrap()
    }

    #[test]
    fn a_day_is_never_shorter_than_a_day() {
        // Pushed at the end of its second and looked at in the beginning of another.
        assert!(age("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z") < DAY);
        assert!(age("2026-01-01T00:00:00.999Z", "2026-01-02T00:00:00Z") < DAY);
        assert!(age("2026-01-01T00:00:00Z", "2026-01-02T00:00:01Z") >= DAY);
        assert!(age("2026-01-01T00:00:00.999Z", "2026-01-02T00:00:01Z") >= DAY);
        assert!(age("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z").is_negative());
    }

    #[test]
    fn moments_at_the_end_of_time_are_moments() {
        let clock = Clock { earliest: Timestamp::MIN, latest: Timestamp::MIN };
        let look = Look { digest: None, pushed: Some(Timestamp::MAX), clock };
        assert!(look.age().unwrap().is_negative());
    }
}
