//! What people look at: `/status`, a page and its JSON twin.

mod details;
mod entries;
mod listing;
mod page;
mod query;
mod report;
mod text;
mod upstreams;

use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{Response, header};
use sha2::{Digest as _, Sha256};

use self::details::Details;
use self::entries::Entry;
pub(super) use self::listing::Listing;
use self::query::Query;
use self::report::{Bytes, Count, Image, Images, Report, Requests, Running, Saved, Sent, Store};
use super::call::Call;
use super::{Error, Registry, respond};
use crate::layers::Layer;
use crate::oci::{RepositoryName, Tag};
use crate::serve::Body;
use crate::storage::{self, Paging, Storage};
use crate::zuul::Pointer;

impl Registry {
    /// `GET /status`, for authenticated readers.
    pub(super) async fn status(&self, call: &Call) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand_catalog(call).map_err(Error::asking_a_person)?;
        let query = Query::of(call)?;
        let report = self.report(&query).await?;
        let mut response = if query.json {
            respond::json(&report)
        } else {
            respond::page(page::page(&report, &query), &policy())
        };
        respond::set(&mut response, header::CACHE_CONTROL, "no-store");
        if let Some(seconds) = query.refresh.filter(|_| !query.json) {
            respond::set(&mut response, header::REFRESH, seconds);
        }
        Ok(response)
    }

    /// Lists what is in the stores already, and what pointers name. Ends when it has seen everything.
    pub(super) async fn look_through(&self) {
        for (layer, store) in self.layers.stores() {
            if layer == Layer::Speculative {
                self.list_pointers();
            } else if let Err(error) = look_through(&self.listing, layer, &*store).await {
                tracing::warn!(layer = layer.as_str(), %error, "not every image could be listed");
            }
        }
        self.listing.completed();
    }

    /// A tag is gone. What a pointer names under it comes to light again.
    pub(super) fn unlist(&self, repository: &RepositoryName, tag: &Tag) {
        self.listing.forget(repository, tag);
        if self.pointer(repository, tag).is_some() {
            self.listing.point(repository, tag, SystemTime::now());
        }
    }

    fn list_pointers(&self) {
        let pointers = self.pointers.as_ref().map(|pointers| pointers.all());
        for pointer in pointers.unwrap_or_default() {
            let Pointer { name, tag, .. } = &pointer;
            self.listing.find_old(Layer::Speculative, name, tag, SystemTime::now());
        }
    }

    fn pointer(&self, repository: &RepositoryName, tag: &Tag) -> Option<Pointer> {
        self.pointers.as_ref()?.at(repository, tag)
    }

    async fn report(&self, query: &Query) -> Result<Report, Error> {
        let verdict = self.health.of(&*self.storage).await;
        let images = self.images(query).await?;
        let counted = self.metrics.totals();
        let count = |(blobs, bytes)| Count { blobs, bytes };
        let sent = |layer| self.metrics.bytes_out(layer).get();
        let sent = Sent {
            local: sent(Layer::Local),
            speculative: sent(Layer::Speculative),
            cache: sent(Layer::Cache),
            upstream: sent(Layer::Upstream),
        };
        Ok(Report {
            version: env!("CARGO_PKG_VERSION"),
            now: SystemTime::now(),
            started: self.metrics.started,
            store: Store { usable: verdict.is_ok(), reason: verdict.err() },
            now_running: Running {
                requests: counted.running,
                uploads: counted.uploads,
                connections: counted.connections,
            },
            requests: Requests { total: counted.requests, failed: counted.failed },
            saved: Saved {
                answered_here: sent.local + sent.speculative + sent.cache,
                known: count(counted.known),
                mounted: count(counted.mounted),
            },
            bytes: Bytes { received: counted.received, sent },
            upstreams: self.layers.health(),
            images,
        })
    }

    /// One page of images. Those that are gone since they were listed are left out, and forgotten.
    async fn images(&self, query: &Query) -> Result<Images, Error> {
        // Asked first: what is found after it is complete then.
        let complete = self.listing.is_complete();
        let found = self.listing.find(&query.filter(), query.from, query.limit).await;
        let mut entries = Vec::new();
        for entry in &found.entries {
            match self.image(entry).await? {
                Some(image) => entries.push(image),
                None => self.listing.forget(&entry.repository, &entry.tag),
            }
        }
        let place = |entry: Option<&Entry>| entry.map(|entry| entry.place.to_string());
        let (listed, left_out) = self.listing.count();
        Ok(Images {
            listed,
            left_out,
            complete,
            entries,
            newer: place(found.entries.first()).filter(|_| found.newer),
            older: place(found.entries.last()).filter(|_| found.older),
        })
    }

    /// What the uppermost layer that has the tag says of it.
    async fn image(&self, entry: &Entry) -> Result<Option<Image>, Error> {
        let repository = &*entry.repository;
        for (layer, store) in self.layers.stores() {
            let found = match layer {
                Layer::Speculative => self.image_behind_pointer(entry).await,
                _ => image_in(&*store, layer, entry).await.map(Some),
            };
            match found {
                Ok(Some(mut image)) => {
                    image.pulls = self.listing.pulls(repository, &image.digest);
                    return Ok(Some(image));
                }
                Ok(None)
                | Err(
                    storage::Error::ManifestUnknown { .. } | storage::Error::RepositoryUnknown(_),
                ) => {}
                // One bad image does not hide the others.
                Err(error) => {
                    tracing::warn!(%repository, tag = %entry.tag, %error, "an image cannot be shown");
                }
            }
        }
        Ok(None)
    }

    /// The image that a pointer names, with what its manifest says where that was fetched.
    async fn image_behind_pointer(&self, entry: &Entry) -> Result<Option<Image>, storage::Error> {
        let Some(pointer) = self.pointer(&entry.repository, &entry.tag) else { return Ok(None) };
        let Pointer { name: repository, tag, digest, origin, .. } = pointer;
        let mut details = None;
        for (layer, store) in self.layers.stores() {
            if details.is_some() || layer == Layer::Cache {
                break;
            }
            if let Ok(stored) = store.manifest_get(&repository, &digest).await {
                details = Some(details::of(&*store, &repository, stored).await?);
            }
        }
        Ok(Some(Image {
            repository,
            tag,
            layer: Layer::Speculative.as_str(),
            digest,
            fetched: details.is_some(),
            pushed: None,
            pulls: 0,
            origin,
            details: details.unwrap_or_else(Details::unknown),
        }))
    }
}

async fn image_in(
    store: &dyn Storage,
    layer: Layer,
    entry: &Entry,
) -> Result<Image, storage::Error> {
    let repository = &*entry.repository;
    let state = store.tag_get(repository, &entry.tag).await?;
    let stored = store.manifest_get(repository, &state.digest).await?;
    Ok(Image {
        repository: repository.clone(),
        tag: entry.tag.clone(),
        layer: layer.as_str(),
        digest: state.digest,
        fetched: true,
        pushed: Some(state.modified),
        pulls: 0,
        origin: state.origin,
        details: details::of(store, repository, stored).await?,
    })
}

async fn look_through(
    listing: &Listing,
    layer: Layer,
    store: &dyn Storage,
) -> Result<(), storage::Error> {
    for repository in store.repositories(Paging::default()).await?.entries {
        let tags = match store.tags(&repository, Paging::default()).await {
            Ok(tags) => tags.entries,
            Err(storage::Error::RepositoryUnknown(_)) => continue,
            Err(error) => return Err(error),
        };
        for tag in tags {
            match store.tag_get(&repository, &tag).await {
                Ok(state) => listing.find_old(layer, &repository, &tag, state.modified),
                Err(error) => tracing::debug!(%repository, %tag, %error, "a tag cannot be read"),
            }
        }
    }
    Ok(())
}

/// Nothing is loaded from anywhere, nothing runs, and nobody shows the page inside another.
fn policy() -> String {
    let style = BASE64_STANDARD.encode(Sha256::digest(page::STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}
