use http::Response;

use crate::registry::call::Call;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;

impl Registry {
    /// `GET /v2/`: where clients learn how to log in and whether their login works. It asks for one
    /// even where anybody may pull: a client that is let in here never logs in for a push.
    pub(in crate::registry) fn base(&self, call: &Call) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.access.demand_login(call)?;
        Ok(respond::full("application/json", "{}"))
    }
}
