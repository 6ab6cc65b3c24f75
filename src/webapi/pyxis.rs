use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::{ApiUrl, Error};
use crate::auth::Secret;
use crate::http::{Http, Request};
use crate::oci::Digest;

const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
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
    /// As the catalog spells it.
    pub architecture: Option<String>,
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
        let mut url = self.api.url(["projects", "certification", "id", project, "images"]);
        let filter = format!("docker_image_digest=={manifest};deleted==false");
        url.query_pairs_mut().append_pair("filter", &filter).append_pair("page_size", "100");
        let request = Request::new(Method::GET, url).header(API_KEY, self.key.clone());
        let response = self.api.send(&doing, request).await?;
        let page: Page = self.api.document(&doing, response, MAX_ANSWER_BYTES).await?;
        // What a filter leaves through that does not work is not believed.
        let own = page.data.into_iter().filter(|image| {
            !image.deleted && image.docker_image_digest.as_deref() == Some(manifest.as_str())
        });
        Ok(own.map(Image::known).collect())
    }

    /// Asks it to show the tags that the registry has.
    ///
    /// # Errors
    /// The API cannot be asked, or refuses.
    pub async fn sync_tags(&self, project: &str, image: &str) -> Result<(), Error> {
        let doing = format!("asking Pyxis to synchronise the tags of the image {image}");
        let path = ["projects", "certification", "id", project, "requests", "images"];
        let document = Operation { image_id: image, operation: "sync-tags" };
        let response = self.api.post_with(&doing, &path, &document, (API_KEY, self.key.clone()));
        response.await?.discard().await;
        Ok(())
    }
}

#[derive(Serialize)]
struct Operation<'a> {
    image_id: &'a str,
    operation: &'a str,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    certified: bool,
    #[serde(default)]
    deleted: bool,
    architecture: Option<String>,
    docker_image_digest: Option<String>,
    #[serde(default)]
    repositories: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    published: bool,
}

impl Image {
    fn known(self) -> PyxisImage {
        let published = self.repositories.iter().any(|place| place.published);
        let Self { id, certified, architecture, .. } = self;
        PyxisImage { id, certified, published, architecture }
    }
}
