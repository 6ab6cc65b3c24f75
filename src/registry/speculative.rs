use std::time::Duration;

use serde::Deserialize;

use super::Error;
use super::call::Call;
use super::config::Period;
use crate::zuul::Origin;

/// How images that have not merged are shared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speculative {
    /// Whether `pull --lazy` may leave pointers here: the buildset's use, not a site's.
    pub accept_pointers: bool,
    /// How long a token for one image is good, at most a day.
    pub token_lifetime: Period,
    /// Whether a pull of an image that a build pushed has to name the build's tenant. One that names
    /// another is refused in any case.
    pub demand_tenant: bool,
}

impl Default for Speculative {
    fn default() -> Self {
        Self { accept_pointers: false, token_lifetime: Period(DAY), demand_tenant: false }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Speculative {
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
