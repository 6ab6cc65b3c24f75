use std::time::SystemTime;

use http::{Method, Response, header};

use crate::auth::Action;
use crate::oci::{Digest, Reference};
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::Body;
use crate::storage::{self, Belongs};
use crate::zuul::{ImageWanted, Issued, Refusal, TokensIssued, TokensWanted};

/// The largest list of images, and how many may be in it.
const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_IMAGES: usize = 2_000;

impl Registry {
    /// `POST /zuul/v1/pull-tokens`: for every image of a list a token that pulls it and nothing else. An
    /// extension of our own, outside the specification's paths; for users who may read the images, by their
    /// password.
    pub(in crate::registry) async fn pull_tokens(
        &self,
        call: &mut Call,
    ) -> Result<Response<Body>, Error> {
        if call.method != Method::POST {
            return Err(Error::Method { allowed: "POST" });
        }
        self.access.demand_password(call)?;
        let bytes = body::read(call, MAX_BODY_BYTES, self.body_idle).await?;
        let wanted: TokensWanted = serde_json::from_slice(&bytes).map_err(Error::document)?;
        if wanted.images.len() > MAX_IMAGES {
            return Err(Error::TooMany { what: "images in one request", limit: MAX_IMAGES });
        }
        let mut images = Vec::new();
        for image in wanted.images {
            images.push(match self.pull_token(call, image).await {
                Ok(issued) => issued,
                Err(error) => refused(&error),
            });
        }
        let mut response = respond::json(&TokensIssued { images });
        // As all tokens (RFC 6749, section 5.1).
        respond::set(&mut response, header::CACHE_CONTROL, "no-store");
        Ok(response)
    }

    async fn pull_token(&self, call: &Call, wanted: ImageWanted) -> Result<Issued, Error> {
        let repository = Repository::new(wanted.repository, None)?;
        self.access.demand(call, &repository, Action::Pull)?;
        let user = self.access.demand_password(call)?;
        // Only what was pushed here: what is fetched from elsewhere has no build.
        let state = self.storage.tag_get(&repository.key, &wanted.tag).await?;
        self.speculative.demand_tenant(call, state.origin.as_ref())?;
        let stored = self.storage.manifest_get(&repository.key, &state.digest).await?;
        let lifetime = self.speculative.lifetime();
        let (name, digest) = (&repository.key, &state.digest);
        let signer = &self.access.signer;
        let (token, expires) = signer.sign_image(user, name, digest, lifetime, SystemTime::now());
        Ok(Issued::Token {
            digest: state.digest.clone(),
            size: stored.bytes.len() as u64,
            token: token.try_into().map_err(|_| Error::NoSuchPath)?,
            expires,
            origin: state.origin,
        })
    }

    /// Lets in who may pull from a repository, and a token for one image to what it is made of.
    pub(in crate::registry) async fn demand_pull(
        &self,
        call: &Call,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(), Error> {
        match (self.access.image(call, repository), reference) {
            (Some(image), Reference::Digest(wanted)) => {
                self.demand_part(repository, image, wanted).await
            }
            _ => self.access.demand(call, repository, Action::Pull),
        }
    }

    /// Refuses what is neither the image nor a part of it.
    async fn demand_part(
        &self,
        repository: &Repository,
        image: &Digest,
        wanted: &Digest,
    ) -> Result<(), Error> {
        match self.reach.has(&*self.storage, &repository.key, image, wanted).await? {
            Belongs::Yes => Ok(()),
            Belongs::No | Belongs::Unknown => {
                Err(Error::OutsideImage { image: image.clone(), wanted: wanted.clone() })
            }
        }
    }
}

fn refused(error: &Error) -> Issued {
    let refused = match error {
        Error::Tenant { .. } | Error::NoTenant => Refusal::Tenant,
        Error::Denied { .. } | Error::Unauthorized { .. } => Refusal::Denied,
        Error::Invalid(_)
        | Error::Storage(
            storage::Error::ManifestUnknown { .. } | storage::Error::RepositoryUnknown(_),
        ) => Refusal::Absent,
        _ => Refusal::Failed,
    };
    let message = match refused {
        Refusal::Failed => "the store failed".to_owned(),
        _ => error.to_string(),
    };
    Issued::Refused { refused, message }
}
