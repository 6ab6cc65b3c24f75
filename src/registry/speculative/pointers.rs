use std::time::SystemTime;

use http::{Method, Response};

use crate::auth::Action;
use crate::pointers;
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::Body;
use crate::storage::{self, TagState};
use crate::zuul::{Pointer, Pointers, PointersTaken, Taken};

/// The largest list of pointers; each may carry a token and a certificate.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

impl Registry {
    /// `/zuul/v1/pointers`, an extension of our own, outside the specification's paths, and not there in
    /// site use: PUT or POST leaves pointers, GET lists them without their tokens. For users who may write
    /// the repositories meant.
    pub(in crate::registry) async fn pointers(
        &self,
        call: &mut Call,
    ) -> Result<Response<Body>, Error> {
        let pointers = self.pointers.clone().ok_or(Error::NoSuchPath)?;
        self.access.demand_writer(call)?;
        match call.method {
            Method::GET | Method::HEAD => {
                let mut all = pointers.all();
                all.retain(|pointer| self.access.may_write(call, &pointer.name));
                let pointers = all.into_iter().map(Pointer::without_token).collect();
                Ok(respond::json(&Pointers { pointers }))
            }
            Method::PUT | Method::POST => {
                let bytes = body::read(call, MAX_BODY_BYTES, self.body_idle).await?;
                let given: Pointers = serde_json::from_slice(&bytes).map_err(Error::document)?;
                for pointer in &given.pointers {
                    let repository = Repository::new(pointer.name.clone(), None)?;
                    self.access.demand(call, &repository, Action::Push)?;
                }
                let taken = self.take(&pointers, given.pointers).await?;
                Ok(respond::json(&PointersTaken { pointers: taken }))
            }
            _ => Err(Error::Method { allowed: "GET, HEAD, PUT, POST" }),
        }
    }

    /// Keeps those whose images can be had from here: whoever leaves a pointer is told now, not who
    /// pulls later.
    async fn take(
        &self,
        pointers: &pointers::Pointers,
        given: Vec<Pointer>,
    ) -> Result<Vec<Taken>, Error> {
        if given.len() > pointers::MAX_POINTERS {
            return Err(pointers::Error::TooMany.into());
        }
        let looked = pointers.check(&given).await;
        let mut taken = Vec::new();
        let mut good = Vec::new();
        for (pointer, looked) in given.into_iter().zip(looked) {
            let (pushed, copied) = match self.held(&pointer).await? {
                Some(TagState { digest, origin: None, .. }) => (Some(digest), None),
                Some(TagState { digest, .. }) if digest != pointer.digest => (None, Some(digest)),
                _ => (None, None),
            };
            // What stands there is read before any pointer.
            let hidden = |digest| format!("{digest} was copied there before, under the same tag");
            let refused = looked.err().or(copied.map(hidden));
            taken.push(Taken { changed: false, refused, pushed });
            good.extend(taken.last().is_some_and(|it| it.refused.is_none()).then_some(pointer));
        }
        let names: Vec<_> = good.iter().map(|it| (it.name.clone(), it.tag.clone())).collect();
        let changed = pointers.keep(good).await?;
        let kept = taken.iter_mut().filter(|taken| taken.refused.is_none());
        for ((taken, changed), (name, tag)) in kept.zip(changed).zip(names) {
            taken.changed = changed;
            if changed {
                self.listing.point(&name, &tag, SystemTime::now());
            }
        }
        Ok(taken)
    }

    /// What stands here under a pointer's name and tag: pushed by this buildset, or copied by a pull.
    async fn held(&self, pointer: &Pointer) -> Result<Option<TagState>, Error> {
        match self.storage.tag_get(&pointer.name, &pointer.tag).await {
            Ok(state) => Ok(Some(state)),
            Err(storage::Error::ManifestUnknown { .. } | storage::Error::RepositoryUnknown(_)) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
