use http::Response;
use serde::Serialize;

use super::tags::{link, paging};
use crate::oci::RepositoryName;
use crate::registry::call::Call;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [RepositoryName],
}

impl Registry {
    /// `GET /v2/_catalog`, an extension every registry has; for authenticated readers. Names are the
    /// canonical ones.
    pub(in crate::registry) async fn catalog(&self, call: &Call) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand_catalog(call)?;
        let page = self.storage.repositories(paging(call)?).await?;
        let mut response = respond::json(&Catalog { repositories: &page.entries });
        link(call, &mut response, &page, |query| format!("/v2/_catalog?{query}"));
        Ok(response)
    }
}
