use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::auth::CredentialStore;
use crate::client::{self, Client};
use crate::http::{self, AddressPolicy, Http, Network, Settings};
use crate::oci::Registry;
use crate::tls::Trust;
use crate::zuul::Pointer;

/// How long a look whether an image can be had may take.
const LOOK: Duration = Duration::from_secs(15);

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

    /// Looks at the manifest through the pointer.
    pub(super) async fn check(&self, pointer: &Pointer) -> Result<(), String> {
        let source = self.repository(pointer).map_err(|error| error.to_string())?;
        let reference = pointer.digest.clone().into();
        let looked = tokio::time::timeout(LOOK, source.head(&reference)).await;
        match looked {
            Err(_) => Err(format!("{} did not answer for {} s", pointer.url, LOOK.as_secs())),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(None)) => Err(format!("{} has no {}", pointer.url, pointer.digest)),
            Ok(Ok(Some(head))) if head.size.is_some_and(|size| size != pointer.size) => {
                Err(format!("the manifest has another size than {} bytes", pointer.size))
            }
            Ok(Ok(Some(_))) => Ok(()),
        }
    }

    fn client(&self, pointer: &Pointer) -> Result<Client, client::Error> {
        let place = Place {
            registry: pointer.url.registry().clone(),
            plain: pointer.url.is_plain(),
            cert: pointer.cert.clone(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
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
