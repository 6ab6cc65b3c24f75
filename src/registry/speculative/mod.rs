//! Images that have not merged: whose they are, tokens for one image, pointers to them.

mod issue;
mod leads;
mod pointers;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub(super) use self::leads::Leads;
use super::Error;
use super::call::Call;
use super::config::Period;
use super::service::StartError;
use crate::http::Network;
use crate::oci::Digest;
use crate::pointers::Pointers;
use crate::zuul::Origin;

/// How images that have not merged are shared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speculative {
    /// Whether `pull --lazy` may leave pointers here: the buildset's use, not a site's.
    pub accept_pointers: bool,
    /// Where pointers are kept.
    pub pointers: PathBuf,
    /// Addresses that the registries pointers lead to may redirect to, beside those of the public Internet.
    pub allow: Vec<Network>,
    /// How long a token for one image is good, at most a day.
    pub token_lifetime: Period,
    /// Whether a pull of an image that a build pushed has to name the build's tenant. One that names
    /// another is refused in any case.
    pub demand_tenant: bool,
}

impl Default for Speculative {
    fn default() -> Self {
        Self {
            accept_pointers: false,
            pointers: "pointers.json".into(),
            allow: Vec::new(),
            token_lifetime: Period(DAY),
            demand_tenant: false,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Speculative {
    /// The images that pointers name: what is fetched for them is needed as long as they are there.
    ///
    /// # Errors
    /// The file with the pointers cannot be read.
    pub fn named_images(&self) -> Result<BTreeSet<Digest>, StartError> {
        let pointers = Pointers::read(&self.pointers).map_err(|error| StartError::Config {
            file: self.pointers.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok(pointers.into_iter().map(|pointer| pointer.digest).collect())
    }

    /// How long a token for one image is good.
    fn lifetime(&self) -> Duration {
        self.token_lifetime.0.min(DAY)
    }

    /// Refuses a pull for one tenant of what a build of another has pushed.
    pub(super) fn demand_tenant(&self, call: &Call, of: Option<&Origin>) -> Result<(), Error> {
        let asking = call.origin()?.and_then(|origin| origin.tenant);
        match (of.and_then(|origin| origin.tenant.as_ref()), asking) {
            (Some(owner), Some(asking)) if *owner != asking => {
                Err(Error::Tenant { asking: asking.to_string() })
            }
            (Some(_), None) if self.demand_tenant => Err(Error::NoTenant),
            _ => Ok(()),
        }
    }
}
