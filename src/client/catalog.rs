use http::{Method, StatusCode};
use serde::Deserialize;

use super::access::Effort;
use super::pages::Pages;
use super::scopes::Scopes;
use super::{Error, Repository};
use crate::http::Request;
use crate::oci::RepositoryName;

/// Of all pages: about half a million names.
const MAX_BYTES: usize = 32 * 1024 * 1024;
const PAGE: &str = "1000";

#[derive(Deserialize)]
struct Page {
    repositories: Option<Vec<String>>,
}

impl Repository {
    /// All repositories of its registry, asked for as whoever may read this one. It is no part of the
    /// distribution-spec, but of distribution's HTTP API ("Catalog"), and not every registry has it.
    ///
    /// # Errors
    /// Any answer but success.
    pub async fn catalog(&self) -> Result<Vec<RepositoryName>, Error> {
        let doing = format!("listing the repositories of {}", self.registry());
        let scopes = Scopes::catalog();
        let purpose = self.purpose(&doing, &scopes);
        let endpoint = self.http().endpoint(self.registry());
        let endpoint = endpoint.map_err(|source| purpose.http(source))?;
        let url = endpoint.join(&format!("v2/_catalog?n={PAGE}"));
        let url = url.map_err(|error| purpose.protocol(error.to_string()))?;
        let mut names = Vec::new();
        let mut pages = Pages::new(purpose, "repositories", MAX_BYTES);
        let mut next = Some(url);
        while let Some(url) = next {
            pages.turn_to(&url)?;
            let request = Request::new(Method::GET, url.clone()).whole(MAX_BYTES);
            let response = self.send(purpose, request, Effort::Persistent).await?;
            if response.status() != StatusCode::OK {
                return Err(purpose.http(response.into_error().await));
            }
            next = pages.following(&response, &url)?;
            let body = pages.read(response, MAX_BYTES).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| purpose.protocol(format!("its catalog is none ({error})")))?;
            for name in page.repositories.unwrap_or_default() {
                let name = name.parse::<RepositoryName>();
                names.push(name.map_err(|error| purpose.protocol(error.to_string()))?);
            }
        }
        Ok(names)
    }
}
