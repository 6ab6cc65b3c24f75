use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use crate::auth::CredentialStore;
use crate::client::{self, Client};
use crate::http::{self, AddressPolicy, Http, Network, Settings};
use crate::oci::Registry;
use crate::tls::Trust;
use crate::zuul::Pointer;

/// How long a look whether an image can be had may take.
const LOOK: Duration = Duration::from_secs(15);

/// How many images are looked at at once.
const PARALLEL: usize = 16;

/// How many registries are remembered at once; pointers lead to one, or very few.
const MAX_CLIENTS: usize = 32;

/// The registries that pointers lead to. None of them is ever shown a login: a pointer has its token, or
/// its registry is open to everybody.
pub(super) struct Sources {
    allowed: Vec<Network>,
    clients: Mutex<HashMap<Place, Client>>,
}

/// A registry, and how it is spoken to.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    registry: Registry,
    plain: bool,
    cert: Option<String>,
}

/// Why an image cannot be had, for people.
enum Failed {
    /// It is not there, or not for us.
    Image(String),
    /// Nothing can be had from its registry now.
    Registry(String),
}

impl Sources {
    pub(super) fn new(allowed: Vec<Network>) -> Self {
        Self { allowed, clients: Mutex::default() }
    }

    pub(super) fn repository(
        &self,
        pointer: &Pointer,
    ) -> Result<client::Repository, client::Error> {
        let url = &pointer.url;
        let repository = self.client(pointer)?.repository(url.registry(), url.repository());
        Ok(match &pointer.token {
            Some(token) => repository.bearing(token),
            None => repository,
        })
    }

    /// Looks at the manifest through each pointer; says why one cannot be had. A registry that does not
    /// answer for one is not asked for the others.
    pub(super) async fn check(&self, pointers: &[Pointer]) -> Vec<Result<(), String>> {
        let down: &Mutex<HashMap<Place, String>> = &Mutex::default();
        let look = |pointer| async move {
            let place = Place::of(pointer);
            if let Some(reason) = lock(down).get(&place) {
                return Err(reason.clone());
            }
            self.look(pointer).await.map_err(|failed| match failed {
                Failed::Image(reason) => reason,
                Failed::Registry(reason) => lock(down).entry(place).or_insert(reason).clone(),
            })
        };
        let looks: Vec<_> = pointers.iter().map(look).collect();
        stream::iter(looks).buffered(PARALLEL).collect().await
    }

    async fn look(&self, pointer: &Pointer) -> Result<(), Failed> {
        let source = self.repository(pointer).map_err(Failed::of)?;
        let reference = pointer.digest.clone().into();
        let Ok(looked) = tokio::time::timeout(LOOK, source.head(&reference)).await else {
            let silent = format!("{} did not answer for {} s", pointer.url, LOOK.as_secs());
            return Err(Failed::Registry(silent));
        };
        let reason = match looked.map_err(Failed::of)? {
            None => format!("{} has no {}", pointer.url, pointer.digest),
            Some(head) if head.size.is_some_and(|size| size != pointer.size) => {
                format!("the manifest has another size than {} bytes", pointer.size)
            }
            Some(_) => return Ok(()),
        };
        Err(Failed::Image(reason))
    }

    fn client(&self, pointer: &Pointer) -> Result<Client, client::Error> {
        let place = Place::of(pointer);
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&place) {
            return Ok(client.clone());
        }
        let failed =
            |source| client::Error::Http { doing: format!("reading from {}", pointer.url), source };
        let client = self.connect(&place).map_err(failed)?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(place, client.clone());
        Ok(client)
    }

    fn connect(&self, place: &Place) -> Result<Client, http::Error> {
        let mut trust = Trust::system();
        if let Some(pem) = &place.cert {
            trust.add(&place.registry, pem.as_bytes())?;
        }
        let settings = Settings {
            trust,
            plain_http: place.plain.then(|| place.registry.clone()).into_iter().collect(),
            reach: Some(AddressPolicy::allowing(self.allowed.clone())),
            connect_timeout: Duration::from_secs(5),
            retries: 2,
            longest_pause: Duration::from_secs(5),
            ..Settings::default()
        };
        Ok(Client::new(Http::new(settings)?, CredentialStore::empty()))
    }
}

impl Place {
    fn of(pointer: &Pointer) -> Self {
        Self {
            registry: pointer.url.registry().clone(),
            plain: pointer.url.is_plain(),
            cert: pointer.cert.clone(),
        }
    }
}

impl Failed {
    fn of(error: client::Error) -> Self {
        let reason = error.to_string();
        match error {
            client::Error::Http { source, .. }
                if source.answer().is_none() || source.is_transient() =>
            {
                Self::Registry(reason)
            }
            _ => Self::Image(reason),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
