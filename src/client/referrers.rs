use http::{HeaderName, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::access::Purpose;
use super::pages::Pages;
use super::{Error, Repository};
use crate::http::{Request, Response};
use crate::oci::{
    Digest, MAX_MANIFEST_BYTES, Manifest, OciErrorCode, Reference, Tag, referrers_index,
};

/// Of all pages; what is made of them in memory is several times as much.
const MAX_BYTES: usize = 2 * MAX_MANIFEST_BYTES;

/// Says that a registry lists what was pushed among the referrers of its subject.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

#[derive(Deserialize)]
struct Page {
    manifests: Option<Vec<Value>>,
}

impl Repository {
    /// The descriptors of the manifests attached to `subject` (distribution-spec, "Listing
    /// Referrers"), from the tag named after it where the registry has no such list ("Unavailable
    /// Referrers API").
    ///
    /// # Errors
    /// As [`Repository::listed_referrers`] and [`Repository::tagged_referrers`].
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Value>, Error> {
        match self.listed_referrers(subject).await? {
            Some(listed) => Ok(listed),
            None => self.tagged_referrers(subject).await,
        }
    }

    /// What the registry itself lists; `None` where it lists no referrers. That is remembered, so that it
    /// is not asked again for the next image.
    ///
    /// # Errors
    /// Any answer but success and absence, and what is no such list.
    pub async fn listed_referrers(&self, subject: &Digest) -> Result<Option<Vec<Value>>, Error> {
        if self.lists_referrers() == Some(false) {
            return Ok(None);
        }
        let doing =
            format!("listing the referrers of {}", self.shown(&Reference::Digest(subject.clone())));
        let purpose = self.purpose(&doing, self.scopes());
        let mut found = Vec::new();
        let mut pages = Pages::new(purpose, "referrers", MAX_BYTES);
        let first = self.url(purpose, &format!("referrers/{subject}"))?;
        let mut next = Some(first.clone());
        while let Some(url) = next {
            pages.turn_to(&url)?;
            let request = Request::new(Method::GET, url.clone()).whole(MAX_MANIFEST_BYTES);
            let response = self.send(purpose, request, self.effort()).await?;
            if response.status() != StatusCode::OK {
                let is_first = url == first;
                return self.refused_referrers(purpose, response, is_first).await.map(|()| None);
            }
            next = pages.following(&response, &url)?;
            let body = pages.read(response, MAX_MANIFEST_BYTES).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| {
                purpose.protocol(format!("its list of referrers is none ({error})"))
            })?;
            found.extend(page.manifests.unwrap_or_default());
        }
        self.known().learn_of_referrers(true);
        Ok(Some(found))
    }

    /// Whether the registry lists referrers, where its answers have told.
    #[must_use]
    pub fn lists_referrers(&self) -> Option<bool> {
        self.known().lists_referrers()
    }

    /// What the tag lists that is named after `subject` (distribution-spec, "Referrers Tag Schema").
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub async fn tagged_referrers(&self, subject: &Digest) -> Result<Vec<Value>, Error> {
        let tag = Tag::of_referrers(subject);
        let Some(index) = self.manifest(&Reference::Tag(tag)).await? else {
            return Ok(Vec::new());
        };
        let page: Option<Page> = serde_json::from_slice(index.bytes()).ok();
        Ok(page.and_then(|page| page.manifests).unwrap_or_default())
    }

    /// Sees to it that manifests which were pushed are found among the referrers of their subject: where
    /// the registry does not list them itself, they are added to the tag named after it (distribution-spec,
    /// "Pushing Manifests with Subject"). Says whether that tag was written.
    ///
    /// # Errors
    /// The tag is something else, or cannot be read or written.
    pub async fn list_pushed_referrers(
        &self,
        subject: &Digest,
        manifests: &[Manifest],
    ) -> Result<bool, Error> {
        // Not known where the answers to the pushes were lost.
        let listed = match self.lists_referrers() {
            Some(listed) => listed,
            None => self.listed_referrers(subject).await?.is_some(),
        };
        if listed {
            return Ok(false);
        }
        let tag = Reference::Tag(Tag::of_referrers(subject));
        let list = self.manifest(&tag).await?;
        let doing = || format!("adding to the referrers in {}", self.shown(&tag));
        let list = referrers_index(list.as_ref(), manifests)
            .map_err(|source| Error::Manifest { doing: doing(), source })?;
        match list {
            Some(list) => self.put_manifest(&tag, &list).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes in what the answer to a pushed manifest that has a subject says.
    pub(super) fn learn_of_referrers(&self, response: &Response) {
        let processed = response.headers().contains_key(SUBJECT);
        // One that was seen to list them does, whatever it leaves out of an answer.
        if processed || self.lists_referrers().is_none() {
            self.known().learn_of_referrers(processed);
        }
    }

    /// Tells a registry that lists no referrers from one that fails to.
    async fn refused_referrers(
        &self,
        purpose: Purpose<'_>,
        response: Response,
        is_first: bool,
    ) -> Result<(), Error> {
        let status = response.status();
        let error = response.into_error().await;
        match status {
            // It does not like this digest, which says nothing of others.
            StatusCode::BAD_REQUEST if is_first => Ok(()),
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
                if is_first =>
            {
                let unknown =
                    error.answer().is_some_and(|it| it.has_code(&OciErrorCode::NameUnknown));
                if !unknown {
                    self.known().learn_of_referrers(false);
                }
                Ok(())
            }
            _ => Err(purpose.http(error)),
        }
    }
}
