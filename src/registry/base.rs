use http::{Method, Response};

use super::call::Call;
use super::{Error, Registry, respond};
use crate::serve::Body;

impl Registry {
    /// `GET /v2/`: where clients learn how to log in and whether their login works. It asks for one
    /// even where anybody may pull: a client that is let in here never logs in for a push.
    pub(super) fn base(&self, call: &Call) -> Result<Response<Body>, Error> {
        demand_read(call)?;
        self.access.demand_login(call)?;
        Ok(respond::full("application/json", "{}"))
    }
}

/// Refuses every method but GET and HEAD.
pub(super) fn demand_read(call: &Call) -> Result<(), Error> {
    match call.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Error::Method { allowed: "GET, HEAD" }),
    }
}
