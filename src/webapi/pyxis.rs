use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::api::{Api, failed};
use super::{ApiUrl, Error};
use crate::auth::Secret;
use crate::http::{Http, Request};
use crate::oci::Digest;

const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// As many as it gives at once; it may give fewer.
const PAGE_SIZE: &str = "100";
/// A filter leaves a handful of images.
const MAX_PAGES: u32 = 100;
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Red Hat's catalog: the images of a certification project.
#[derive(Debug, Clone)]
pub struct Pyxis {
    api: Api,
    key: HeaderValue,
}

/// What the catalog knows of one image, which is one architecture.
#[derive(Debug, Clone)]
pub struct PyxisImage {
    /// Its name there.
    pub id: String,
    /// Whether it passed.
    pub certified: bool,
    /// Whether anybody can pull it.
    pub published: bool,
    /// Whether its scan has not come to an end.
    pub scanning: bool,
}

/// What became of something that the catalog was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PyxisRequest {
    /// It was done.
    Completed,
    /// It was given up.
    Failed,
    /// It may still be done.
    Open,
}

impl Pyxis {
    /// Where it is.
    pub const URL: &str = "https://catalog.redhat.com/api/containers/v1";

    /// The API at `base` for the owner of a key. Nothing is sent.
    ///
    /// # Errors
    /// A URL without TLS whose host was not named to be so, and a key that cannot be sent.
    pub fn new(http: &Http, base: &ApiUrl, key: &Secret) -> Result<Self, Error> {
        let mut key = HeaderValue::from_str(key.reveal()).map_err(|_| Error::Token)?;
        key.set_sensitive(true);
        Ok(Self { api: Api::new(http, base)?, key })
    }

    /// The images of a project that have this manifest.
    ///
    /// # Errors
    /// The API cannot be asked, or answers something else.
    pub async fn images(&self, project: &str, manifest: &Digest) -> Result<Vec<PyxisImage>, Error> {
        let doing = format!("looking for the image {manifest} of the project {project} in Pyxis");
        let path = ["projects", "certification", "id", project, "images"];
        let filter = format!("docker_image_digest=={manifest};deleted==false");
        let (mut found, mut seen) = (Vec::new(), 0);
        for page in 0..MAX_PAGES {
            let page: Page<Image> = self.page(&doing, &path, &filter, page).await?;
            seen += page.data.len() as u64;
            let is_last = page.data.is_empty() || page.total.is_none_or(|total| seen >= total);
            // What a filter leaves through that does not work is not believed.
            let own = page.data.into_iter().filter(|image| image.is(manifest));
            for image in own {
                let image = image.known();
                let image = image.ok_or_else(|| self.api.strange(&doing, "an image has no name"));
                found.push(image?);
            }
            if is_last {
                return Ok(found);
            }
        }
        Err(self.api.strange(&doing, "its list of images does not end"))
    }

    /// Asks it to show the tags that the registry has, and returns the name of the request.
    ///
    /// # Errors
    /// The API cannot be asked, or refuses.
    pub async fn sync_tags(&self, project: &str, image: &str) -> Result<String, Error> {
        let doing = format!("asking Pyxis to synchronise the tags of the image {image}");
        let path = ["projects", "certification", "id", project, "requests", "images"];
        let document = Operation { image_id: image, operation: "sync-tags" };
        let response = self.api.post_with(&doing, &path, &document, (API_KEY, self.key.clone()));
        let body = response.await?.bytes(MAX_ANSWER_BYTES).await;
        let body = body.map_err(|source| failed(&doing, source))?;
        let asked: Result<Asked, _> = serde_json::from_slice(&body);
        Ok(asked.map_err(|error| self.api.strange(&doing, &error.to_string()))?.id)
    }

    /// How far a request of [`Pyxis::sync_tags`] is.
    ///
    /// # Errors
    /// The API cannot be asked, or answers something else.
    pub async fn tags_synced(&self, image: &str, request: &str) -> Result<PyxisRequest, Error> {
        let doing = format!("asking Pyxis whether the tags of the image {image} are synchronised");
        let path = ["images", "id", image, "requests"];
        for page in 0..MAX_PAGES {
            let page: Page<Asked> = self.page(&doing, &path, "operation==sync-tags", page).await?;
            if let Some(asked) = page.data.iter().find(|asked| asked.id == request) {
                return Ok(match asked.status.as_deref().unwrap_or_default() {
                    "completed" => PyxisRequest::Completed,
                    "failed" | "aborted" => PyxisRequest::Failed,
                    _ => PyxisRequest::Open,
                });
            }
            if page.data.is_empty() {
                return Ok(PyxisRequest::Open);
            }
        }
        Ok(PyxisRequest::Open)
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        doing: &str,
        path: &[&str],
        filter: &str,
        page: u32,
    ) -> Result<Page<T>, Error> {
        let mut url = self.api.url(path.iter().copied());
        url.query_pairs_mut()
            .append_pair("filter", filter)
            .append_pair("page_size", PAGE_SIZE)
            .append_pair("page", &page.to_string());
        let request = Request::new(Method::GET, url).header(API_KEY, self.key.clone());
        let response = self.api.send(doing, request).await?;
        self.api.document(doing, response, MAX_ANSWER_BYTES).await
    }
}

#[derive(Serialize)]
struct Operation<'a> {
    image_id: &'a str,
    operation: &'a str,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "_id")]
    id: String,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "_id")]
    id: String,
    certified: Option<bool>,
    deleted: Option<bool>,
    docker_image_digest: Option<String>,
    repositories: Option<Vec<Place>>,
    container_grades: Option<Grades>,
    /// What it was called before there were grades.
    scan_status: Option<String>,
}

#[derive(Deserialize)]
struct Place {
    published: Option<bool>,
}

#[derive(Deserialize)]
struct Grades {
    status: Option<String>,
}

impl Image {
    fn is(&self, manifest: &Digest) -> bool {
        self.deleted != Some(true) && self.docker_image_digest.as_deref() == Some(manifest.as_str())
    }

    /// None if its name is none that could be asked for.
    fn known(self) -> Option<PyxisImage> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=64).contains(&self.id.len()) && self.id.bytes().all(named);
        let scan = self.container_grades.and_then(|grades| grades.status).or(self.scan_status);
        let published =
            self.repositories.into_iter().flatten().any(|place| place.published == Some(true));
        is_name.then_some(PyxisImage {
            id: self.id,
            certified: self.certified == Some(true),
            published,
            scanning: scan.is_some_and(|it| matches!(it.as_str(), "pending" | "in progress")),
        })
    }
}
