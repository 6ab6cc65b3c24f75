use http::Response;
use serde::Serialize;

use super::base::demand_read;
use super::call::Call;
use super::tags::{link, paging};
use super::{Error, Registry, respond};
use crate::oci::RepositoryName;
use crate::serve::Body;

#[derive(Serialize)]
struct Catalog<'a> {
    repositories: &'a [RepositoryName],
}

impl Registry {
    /// `GET /v2/_catalog`, an extension every registry has; for authenticated readers. Names are the
    /// canonical ones.
    pub(super) async fn catalog(&self, call: &Call) -> Result<Response<Body>, Error> {
        demand_read(call)?;
        self.access.demand_catalog(call)?;
        let page = self.storage.repositories(paging(call)?).await?;
        let mut response = respond::json(&Catalog { repositories: &page.entries });
        link(call, &mut response, &page, |query| format!("/v2/_catalog?{query}"));
        Ok(response)
    }
}
