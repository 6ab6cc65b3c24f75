//! The forward proxy: who may use it, and what of a listed registry is answered here.
//!
//! CONNECT needs the login of a user who may read. In the tunnel to a listed registry the layers that
//! hold what this buildset made answer reads of manifests and blobs; whatever they do not have, and
//! everything else, goes to the real host with what the client said of itself.

mod inside;

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use self::inside::Inside;
use super::call::Call;
use super::users::{Caller, Login, proxy_login};
use super::{Error, Registry, respond};
use crate::oci;
use crate::proxy::{self, Destination, Passage, Proxy, Target, relay};
use crate::serve::{Body, Line, Peer, Tunnel};

/// What the registry needs to be a forward proxy.
pub(super) struct Forward {
    proxy: Arc<Proxy>,
    /// This registry without what it fetches from elsewhere.
    upper: Arc<Registry>,
}

impl Forward {
    pub(super) fn new(proxy: Proxy, upper: Registry) -> Self {
        Self { proxy: Arc::new(proxy), upper: Arc::new(upper) }
    }

    /// Answers CONNECT (RFC 9110, section 9.3.6).
    pub(super) async fn connect(&self, call: &mut Call) -> Result<Response<Body>, Error> {
        call.caller = self.caller(call).await?;
        if call.has_body() {
            // Part of it could be taken for what goes through the tunnel.
            return Err(proxy::Error::Ambiguous("CONNECT and a body").into());
        }
        let target: Target = call.path.parse()?;
        let place = self.proxy.place()?;
        let tunnel = match self.proxy.destination(&target)? {
            Destination::Listed(registry) => self.opening(call, target, registry, place),
            Destination::Other => {
                let other = self.proxy.dial(&target).await?;
                Tunnel::new(async move |stream, line: Line| {
                    let ended = relay(stream, other, &line).await;
                    drop(place);
                    tracing::debug!(%target, ?ended, "a tunnel ended");
                })
            }
        };
        let mut response = respond::empty(StatusCode::OK);
        response.extensions_mut().insert(tunnel);
        Ok(response)
    }

    /// The user of `Proxy-Authorization`. Without users nobody passes: a proxy open to all would be
    /// everybody's way into this network.
    async fn caller(&self, call: &Call) -> Result<Caller, Error> {
        let (name, password) = proxy_login(&call.headers).ok_or(Error::ProxyLogin)?;
        match self.upper.access.logins.login(&name, &password).await {
            Login::Known(account) => Ok(Caller::User(account)),
            Login::Unknown => Err(Error::ProxyLogin),
            Login::Busy => Err(Error::LoginsBusy),
        }
    }

    fn opening(
        &self,
        call: &Call,
        target: Target,
        registry: oci::Registry,
        place: impl Send + 'static,
    ) -> Tunnel {
        let proxy = Arc::clone(&self.proxy);
        let peer = call.peer();
        let mut inside = Inside {
            upper: Arc::clone(&self.upper),
            caller: call.caller.clone(),
            passage: Passage::new(Arc::clone(&proxy), target.clone()),
            target,
            registry,
            named_target: false,
        };
        Tunnel::new(async move |stream: TokioIo<Upgraded>, line: Line| {
            let _place = place;
            let opened = tokio::select! {
                opened = proxy.open(&inside.target, stream) => opened,
                () = line.aborted() => return,
            };
            match opened {
                Ok(opened) => {
                    inside.named_target = opened.named_target;
                    let peer = Peer { secure: true, ..peer };
                    line.speak(opened.stream, peer, &Arc::new(inside)).await;
                }
                Err(error) => tracing::debug!(target = %inside.target, %error, "no tunnel"),
            }
        })
    }
}
