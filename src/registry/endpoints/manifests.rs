use std::time::SystemTime;

use http::header::{self, HeaderName};
use http::{Method, Response, StatusCode};

use super::blobs::etag;
use crate::auth::Action;
use crate::layers::FoundManifest;
use crate::layers::Layer;
use crate::oci::{Digest, MAX_MANIFEST_BYTES, Manifest, Reference, Tag};
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::Body;
use crate::storage::{self, NewManifest, StoredManifest};
use crate::zuul::Origin;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
const ORIGIN: HeaderName = HeaderName::from_static(Origin::HEADER);
const TAGGED: HeaderName = HeaderName::from_static(Origin::TAGGED);

impl Registry {
    /// `/v2/<name>/manifests/<reference>` (distribution-spec, "Pulling manifests", "Pushing
    /// Manifests", "Deleting tags", "Deleting Manifests").
    pub(in crate::registry) async fn manifest(
        &self,
        call: &mut Call,
        repository: Repository,
        reference: Reference,
    ) -> Result<Response<Body>, Error> {
        match call.method {
            Method::GET | Method::HEAD => {
                self.demand_pull(call, &repository, &reference).await?;
                self.manifest_get(call, &repository, reference).await
            }
            Method::PUT => {
                self.access.demand(call, &repository, Action::Push)?;
                self.manifest_put(call, &repository, reference).await
            }
            Method::DELETE => {
                self.access.demand(call, &repository, Action::Delete)?;
                match reference {
                    Reference::Tag(tag) => {
                        self.storage.tag_delete(&repository.key, &tag).await?;
                        self.unlist(&repository.key, &tag);
                    }
                    Reference::Digest(digest) => {
                        self.storage.manifest_delete(&repository.key, &digest).await?;
                    }
                }
                Ok(respond::empty(StatusCode::ACCEPTED))
            }
            _ => Err(Error::Method { allowed: "GET, HEAD, PUT, DELETE" }),
        }
    }

    /// The bytes and the type are those that were pushed, whatever `Accept` says.
    async fn manifest_get(
        &self,
        call: &mut Call,
        repository: &Repository,
        reference: Reference,
    ) -> Result<Response<Body>, Error> {
        let reader = self.reader(call, repository);
        let found = self.layers.manifest(reader, &repository.key, &reference).await;
        let found = self.answered(call, repository, found)?;
        call.layer = Some(found.layer);
        if let Reference::Tag(tag) = &reference {
            self.listing.see(found.layer, &repository.key, tag);
        }
        self.speculative.demand_tenant(call, found.value.origin.as_ref())?;
        let FoundManifest { manifest, modified, origin } = found.value;
        let StoredManifest { digest, media_type, bytes } = manifest;
        let mut response = respond::full(&media_type, bytes);
        if call.has_current(&etag(&digest)) {
            response = respond::empty(StatusCode::NOT_MODIFIED);
        } else if call.method == Method::GET {
            self.listing.pulled(&repository.key, &digest);
        }
        respond::set(&mut response, header::ETAG, etag(&digest));
        respond::set(&mut response, respond::CONTENT_DIGEST, &digest);
        if let Some(modified) = modified {
            respond::set(&mut response, header::LAST_MODIFIED, http_date(modified));
            if let Ok(moment) = jiff::Timestamp::try_from(modified) {
                respond::set(&mut response, TAGGED, moment);
            }
        }
        if let Some(origin) = origin {
            respond::set(&mut response, ORIGIN, origin.to_header());
        }
        Ok(response)
    }

    async fn manifest_put(
        &self,
        call: &mut Call,
        repository: &Repository,
        reference: Reference,
    ) -> Result<Response<Body>, Error> {
        let bytes = body::read(call, MAX_MANIFEST_BYTES, self.body_idle).await?;
        let manifest =
            Manifest::parse(bytes, call.header(header::CONTENT_TYPE)).map_err(Error::Invalid)?;
        let (digest, tags) = named(call, &manifest, reference)?;
        let mut new = NewManifest {
            blobs: manifest.blobs().map(|blob| (blob.digest.clone(), blob.size)).collect(),
            referrer: manifest.referrer(&digest),
            manifest: StoredManifest {
                digest: digest.clone(),
                media_type: manifest.media_type().to_owned(),
                bytes: manifest.bytes().clone(),
            },
            tags: tags.clone(),
            origin: call.origin()?,
            keep_pushed: call.headers.contains_key(Origin::KEEP_PUSHED),
        };
        self.layers.bring_down(&repository.key, &manifest).await?;
        match self.storage.manifest_put(&repository.key, new.clone()).await {
            Err(storage::Error::BlobsMissing { digests, .. }) if self.sparse_images => {
                new.blobs.retain(|(digest, _)| !digests.contains(digest));
                self.storage.manifest_put(&repository.key, new).await?;
            }
            put => put?,
        }
        for tag in &tags {
            self.listing.note(Layer::Local, &repository.key, tag, SystemTime::now());
        }
        let mut response = respond::empty(StatusCode::CREATED);
        let location = repository.location(&format!("manifests/{digest}"));
        respond::set(&mut response, header::LOCATION, location);
        respond::set(&mut response, respond::CONTENT_DIGEST, &digest);
        respond::set(&mut response, header::CONTENT_LENGTH, 0);
        if let Some(subject) = manifest.subject() {
            respond::set(&mut response, SUBJECT, &subject.digest);
        }
        for tag in call.parameter("tag").iter().flat_map(|_| &tags) {
            respond::set(&mut response, TAG, tag);
        }
        Ok(response)
    }
}

/// The digest to store a manifest under, and its tags: the one in the path, or with a digest in the
/// path those in `tag` parameters.
fn named(
    call: &Call,
    manifest: &Manifest,
    reference: Reference,
) -> Result<(Digest, Vec<Tag>), Error> {
    match reference {
        Reference::Tag(tag) => Ok((manifest.digest().clone(), vec![tag])),
        Reference::Digest(expected) => {
            let actual = Digest::of(expected.algorithm(), manifest.bytes());
            if actual != expected {
                return Err(storage::Error::DigestMismatch { expected, actual }.into());
            }
            let tags = call.parameters("tag").map(str::parse).collect::<Result<_, _>>();
            Ok((expected, tags.map_err(Error::Invalid)?))
        }
    }
}

/// A moment as `Last-Modified` has it (RFC 9110, 5.6.7).
fn http_date(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .map(|moment| moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_http_does() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
