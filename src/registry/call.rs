use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use super::Error;
use super::names::Repository;
use super::users::Caller;
use super::watch::{id_of, new_id};
use crate::layers::Layer;
use crate::oci::RepositoryName;
use crate::serve::Peer;
use crate::zuul::Origin;

/// How much of a body nobody wanted is read so that the client sees its answer: twice the longest document.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// One request while it is answered.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) caller: Caller,
    /// The layer that answered, once one has.
    pub(super) layer: Option<Layer>,
    /// When it came.
    pub(super) started: Instant,
    /// What it is called in the log.
    pub(super) id: Arc<str>,
    /// Who sent it.
    pub(super) peer: SocketAddr,
    /// Bytes of its body that have come.
    pub(super) received: Arc<AtomicU64>,
    query: Vec<(String, String)>,
    version: Version,
    authority: Option<String>,
    secure: bool,
    body: Option<Incoming>,
}

impl Call {
    pub(super) fn new(request: Request<Incoming>, peer: Peer) -> Self {
        let (parts, body) = request.into_parts();
        Self { body: Some(body), ..Self::of(parts, peer) }
    }

    /// A request that may still go elsewhere: its body stays with it.
    pub(super) fn about(request: &Request<Incoming>, peer: Peer) -> Self {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = request.headers().clone();
        Self::of(parts, peer)
    }

    fn of(parts: Parts, peer: Peer) -> Self {
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let named = parts.uri.authority().map(Authority::as_str);
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = named
            .or(host)
            .and_then(|text| text.parse::<Authority>().ok())
            .filter(|authority| !authority.as_str().contains(['@', '"', '\\']));
        // CONNECT names no path but a host (RFC 9112, section 3.2.3).
        let path = match &parts.method {
            &Method::CONNECT => named.unwrap_or_default(),
            _ => parts.uri.path(),
        };
        let path = path.to_owned();
        let id = id_of(&parts.headers).unwrap_or_else(new_id);
        Self {
            query: query.into_owned().collect(),
            authority: authority.map(|authority| authority.to_string()),
            path,
            method: parts.method,
            version: parts.version,
            headers: parts.headers,
            caller: Caller::Anonymous,
            layer: None,
            started: Instant::now(),
            id,
            peer: peer.address,
            received: Arc::default(),
            secure: peer.secure,
            body: None,
        }
    }

    /// Refuses a request without a host, or with two: clients before HTTP/1.1 need none.
    pub(super) fn demand_host(&self) -> Result<(), Error> {
        let given = self.headers.get_all(header::HOST).iter().count();
        if given == 1 || given == 0 && self.version < Version::HTTP_11 {
            return Ok(());
        }
        Err(Error::Host)
    }

    /// Refuses every method but GET and HEAD.
    pub(super) fn demand_read(&self) -> Result<(), Error> {
        match self.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(Error::Method { allowed: "GET, HEAD" }),
        }
    }

    /// The repository that the name in the path means.
    pub(super) fn repository(&self, name: RepositoryName) -> Result<Repository, Error> {
        Repository::new(name, self.parameter("ns"))
    }

    /// The first parameter of this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    /// Every parameter of this name.
    pub(super) fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header, if it is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The build that asks, where it says so.
    pub(super) fn origin(&self) -> Result<Option<Origin>, Error> {
        let mut values = self.headers.get_all(Origin::HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        // What cannot be read must not pass for a request that names nobody.
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        let origin = Origin::from_header(text.unwrap_or("tenant=")).map_err(Error::Origin)?;
        Ok(Some(origin).filter(|origin| !origin.is_empty()))
    }

    /// The length of the body, where the client says it.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok())
    }

    /// Whether bytes come with the request.
    pub(super) fn has_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.is_end_stream())
    }

    /// The body, for whoever reads it.
    pub(super) fn take_body(&mut self) -> Option<Incoming> {
        self.body.take()
    }

    /// The URL of a path here, as the client reaches us.
    pub(super) fn url(&self, path: &str) -> Option<String> {
        let scheme = if self.secure { "https" } else { "http" };
        self.authority.as_ref().map(|authority| format!("{scheme}://{authority}{path}"))
    }

    /// Where it came from.
    pub(super) fn peer(&self) -> Peer {
        Peer { address: self.peer, secure: self.secure }
    }

    /// The host the client says it talks to.
    pub(super) fn host(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Whether a validator the client has is still good (RFC 9110, 13.1.2).
    pub(super) fn has_current(&self, etag: &str) -> bool {
        let known = self.header(header::IF_NONE_MATCH).unwrap_or_default();
        known
            .split(',')
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
    }

    /// Reads a small body nobody wanted: a client that is still writing when the connection closes may
    /// never see why.
    pub(super) async fn drain(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        let read = async {
            let mut length = 0;
            while length < DRAIN_BYTES {
                match body.frame().await {
                    Some(Ok(frame)) => length += frame.data_ref().map_or(0, bytes::Bytes::len),
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, read).await;
    }
}
