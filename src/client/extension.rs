use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, Error, token};
use crate::http::{Body, Request};
use crate::oci::Registry;
use crate::zuul::Origin;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What a registry says to a request of our own, outside the specification.
#[derive(Debug)]
pub enum Said<Answer> {
    /// It knows the request.
    Answer(Answer),
    /// It does not, or does not do it; what it answered.
    No(String),
}

fn no<Answer>(error: crate::http::Error) -> Result<Said<Answer>, crate::http::Error> {
    let words = error.answer().map(|answer| format!("it answered {answer}"));
    words.map(Said::No).ok_or(error)
}

impl Client {
    /// Sends a document to a path that only our own registries know. The login goes with the request, so
    /// that it takes no more than the one.
    ///
    /// # Errors
    /// The registry cannot be reached. Any answer of it, fit or not, is no error.
    pub async fn ask<Answer: DeserializeOwned>(
        &self,
        registry: &Registry,
        method: Method,
        path: &str,
        question: &(impl Serialize + Sync),
        origin: Option<&Origin>,
    ) -> Result<Said<Answer>, Error> {
        let doing = format!("asking {registry} for {path}");
        let failed = |source| Error::Http { doing: doing.clone(), source };
        let strange = |reason: String| Error::Protocol {
            doing: doing.clone(),
            registry: registry.clone(),
            reason,
        };
        let endpoint = self.access.http().endpoint(registry).map_err(failed)?;
        let url = endpoint.join(path).map_err(|error| strange(error.to_string()))?;
        let body = serde_json::to_vec(question).map_err(|error| strange(error.to_string()))?;
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::new(method, url).body(json, Body::Bytes(body.into()));
        let login = self.access.login_of(registry).await;
        let login = login.map_err(|source| Error::Credentials { doing: doing.clone(), source })?;
        request.authorization = login.as_ref().and_then(token::basic);
        if let Some(origin) = origin.and_then(|it| HeaderValue::from_str(&it.to_header()).ok()) {
            request = request.header(HeaderName::from_static(Origin::HEADER), origin);
        }
        let response = match self.access.http().send(request).await {
            Ok(response) => response,
            Err(error) => return no(error).map_err(failed),
        };
        if !response.status().is_success() {
            return no(response.into_error().await).map_err(failed);
        }
        // Pages for people answer every path with 200.
        let is_json = response.header(CONTENT_TYPE).is_some_and(|it| it.contains("json"));
        let bytes = response.bytes(MAX_ANSWER_BYTES).await.map_err(failed)?;
        match serde_json::from_slice(&bytes) {
            Ok(answer) if is_json => Ok(Said::Answer(answer)),
            _ => Ok(Said::No(format!("it answered {path} with something else"))),
        }
    }

    /// The same connections without any login.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self::new(self.access.http().clone(), crate::auth::CredentialStore::empty())
    }

    /// Whether this registry is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self, registry: &Registry) -> bool {
        self.access.http().is_plain(registry)
    }
}
