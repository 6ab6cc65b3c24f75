use std::sync::Arc;

use async_trait::async_trait;

use crate::layers::{self, Lead};
use crate::oci::{RepositoryName, Tag};
use crate::pointers::Pointers;
use crate::zuul::Pointer;

/// Where the layers learn which images can be had through pointers.
pub(in crate::registry) struct Leads(pub(in crate::registry) Arc<Pointers>);

#[async_trait]
impl layers::Pointers for Leads {
    async fn at_tag(&self, repository: &RepositoryName, tag: &Tag) -> Option<Lead> {
        self.lead(&self.0.at(repository, tag)?)
    }

    async fn of_repository(&self, repository: &RepositoryName) -> Vec<Lead> {
        self.0.of(repository).iter().filter_map(|pointer| self.lead(pointer)).collect()
    }
}

impl Leads {
    /// Nothing where its certificate cannot be used, which was looked at when the pointer came.
    fn lead(&self, pointer: &Pointer) -> Option<Lead> {
        let source = self.0.source(pointer);
        let source = source.inspect_err(|error| tracing::warn!(%error, "a pointer leads nowhere"));
        Some(Lead {
            tag: pointer.tag.clone(),
            digest: pointer.digest.clone(),
            source: source.ok()?,
            confined: pointer.token.is_some(),
            origin: pointer.origin.clone(),
        })
    }
}
