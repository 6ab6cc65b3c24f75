use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::pages::Pages;
use super::{Error, Repository};
use crate::http::Request;
use crate::oci::{Digest, Tag};

/// Google tells of every manifest, and of ten thousand of them on a page.
const MAX_BYTES: usize = 128 * 1024 * 1024;
const PAGE: &str = "1000";
/// More than others take.
const GOOGLE_PAGE: &str = "10000";

/// What a repository holds, as far as the list of its tags tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What only Google's registries tell in the same list.
    pub extended: Option<Extended>,
}

/// What Google's registries tell beside the tags (`child` and `manifest`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extended {
    /// Every manifest of the repository.
    pub manifests: Vec<ListedManifest>,
    /// The repositories right below it, each by its last component.
    pub children: Vec<String>,
}

/// One manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its media type, where it is told.
    pub media_type: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
    child: Option<Vec<String>>,
    manifest: Option<BTreeMap<String, About>>,
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    tag: Option<Vec<String>>,
    #[serde(rename = "mediaType", default)]
    media_type: Option<String>,
}

impl Repository {
    /// The list of tags with all that it tells; `None` only when the registry says 404.
    ///
    /// # Errors
    /// Any other answer, and names that are none.
    pub async fn listing(&self) -> Result<Option<Listing>, Error> {
        let doing = format!("listing {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let mut listing = Listing::default();
        let mut url = self.url(purpose, "tags/list")?;
        let page = if is_googles(self.registry().host()) { GOOGLE_PAGE } else { PAGE };
        url.query_pairs_mut().append_pair("n", page);
        let mut pages = Pages::new(purpose, "tags", MAX_BYTES);
        let mut next = Some(url);
        let mut is_first = true;
        while let Some(url) = next {
            pages.turn_to(&url)?;
            let request = Request::new(Method::GET, url.clone()).whole(MAX_BYTES);
            let response = self.send(purpose, request, self.effort()).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if is_first => {
                    response.discard().await;
                    return Ok(None);
                }
                _ => return Err(purpose.http(response.into_error().await)),
            }
            next = pages.following(&response, &url)?;
            let body = pages.read(response, MAX_BYTES).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| purpose.protocol(format!("its list of tags is none ({error})")))?;
            listing.add(page).map_err(|error| purpose.protocol(error.to_string()))?;
            is_first = false;
        }
        Ok(Some(listing))
    }
}

/// Google Container Registry and Artifact Registry.
fn is_googles(host: &str) -> bool {
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev")
}

impl Listing {
    fn add(&mut self, page: Page) -> Result<(), crate::oci::Error> {
        let tags = |tags: Option<Vec<String>>| -> Result<Vec<Tag>, crate::oci::Error> {
            tags.unwrap_or_default().into_iter().map(|tag| tag.parse()).collect()
        };
        self.tags.extend(tags(page.tags)?);
        if page.manifest.is_none() && page.child.is_none() {
            return Ok(());
        }
        let extended = self.extended.get_or_insert_default();
        extended.children.extend(page.child.unwrap_or_default());
        for (digest, about) in page.manifest.unwrap_or_default() {
            let media_type = about.media_type.filter(|media_type| !media_type.is_empty());
            let (digest, tags) = (digest.parse()?, tags(about.tag)?);
            extended.manifests.push(ListedManifest { digest, tags, media_type });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_googles_hosts_are_asked_for_more_at_once() {
        for host in ["gcr.io", "eu.gcr.io", "us-docker.pkg.dev"] {
            assert!(is_googles(host), "{host}");
        }
        for host in ["evilgcr.io", "gcr.io.example", "pkg.dev.example", "quay.io"] {
            assert!(!is_googles(host), "{host}");
        }
    }
}
