use http::Response;
use http::header::HeaderName;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Action;
use crate::oci::{Digest, media_type};
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;
use crate::storage;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersIndex<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: Vec<Value>,
}

impl Registry {
    /// `GET /v2/<name>/referrers/<digest>` (distribution-spec, "Listing Referrers"). A subject that is
    /// not there has referrers all the same, or an empty list.
    pub(in crate::registry) async fn referrers(
        &self,
        call: &Call,
        repository: Repository,
        subject: Digest,
    ) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand(call, &repository, Action::Pull)?;
        let reader = self.reader(call, &repository);
        let descriptors = self.layers.referrers(reader, &repository.key, &subject).await?;
        let wanted = call.parameter("artifactType");
        let mut manifests = Vec::new();
        for descriptor in descriptors {
            let descriptor: Value = serde_json::from_slice(&descriptor).map_err(|error| {
                storage::Error::Damaged(format!("a referrer of {subject}: {error}"))
            })?;
            if wanted.is_none_or(|wanted| descriptor["artifactType"] == wanted) {
                manifests.push(descriptor);
            }
        }
        let index =
            ReferrersIndex { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        let mut response = respond::full(media_type::OCI_INDEX, bytes);
        if wanted.is_some() {
            respond::set(&mut response, FILTERS_APPLIED, "artifactType");
        }
        Ok(response)
    }
}
