use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Error;
use crate::http::{Body, Http, Request, Response};
use crate::oci::{Registry, printable};

/// Where a web API is: `https://HOST[:PORT][/PATH]`, without login, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl {
    url: Url,
    place: Registry,
}

/// One API: requests below its URL.
#[derive(Debug, Clone)]
pub(super) struct Api {
    http: Http,
    base: Url,
}

impl ApiUrl {
    /// The host and port it is at; the port only where it is not the scheme's own.
    #[must_use]
    pub fn place(&self) -> &Registry {
        &self.place
    }

    /// The same with this path at its end, if it is not there.
    pub(super) fn ending_in(&self, path: &[&str]) -> Self {
        let mut url = self.url.clone();
        let ending = format!("/{}", path.join("/"));
        if !url.path().trim_end_matches('/').ends_with(&ending)
            && let Ok(mut segments) = url.path_segments_mut()
        {
            segments.pop_if_empty().extend(path);
        }
        Self { url, place: self.place.clone() }
    }
}

impl FromStr for ApiUrl {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let wrong = |reason: &dyn fmt::Display| Error::Url {
            // It may hold a login.
            url: printable(value.rsplit('@').next().unwrap_or_default(), 200),
            reason: printable(&reason.to_string(), 200),
        };
        let url = Url::parse(value).map_err(|error| wrong(&error))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong(&"it starts neither with https:// nor with http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(&"it holds a login"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(&"it has a query or a fragment"));
        }
        let place = Registry::new(url.host_str().unwrap_or_default(), url.port());
        let place = place.map_err(|error| wrong(&error))?;
        Ok(Self { url, place })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl Api {
    /// The API at `base`. Nothing is sent.
    pub(super) fn new(http: &Http, base: &ApiUrl) -> Result<Self, Error> {
        if base.url.scheme() == "http" && !http.is_plain(&base.place) {
            let reason = format!(
                "it is without TLS; use https, or name {} with --plain-http, too",
                base.place
            );
            return Err(Error::Url { url: base.to_string(), reason });
        }
        Ok(Self { http: http.clone(), base: base.url.clone() })
    }

    /// The URL of a path below the API's own; what cannot stand in a path is escaped.
    pub(super) fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a request; what the API answers to it is an answer, whatever its status.
    pub(super) async fn send(&self, doing: &str, request: Request) -> Result<Response, Error> {
        self.http.send(request).await.map_err(|source| failed(doing, source))
    }

    /// Sends a document.
    pub(super) async fn post(
        &self,
        doing: &str,
        path: &[&str],
        document: &(impl Serialize + Sync),
    ) -> Result<Response, Error> {
        self.send(doing, self.posting(doing, path, document)?).await
    }

    /// Sends a document with a header, to an API that answers with a success or refuses.
    pub(super) async fn post_with(
        &self,
        doing: &str,
        path: &[&str],
        document: &(impl Serialize + Sync),
        (name, value): (HeaderName, HeaderValue),
    ) -> Result<Response, Error> {
        let request = self.posting(doing, path, document)?.header(name, value);
        let response = self.send(doing, request).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(failed(doing, response.into_error().await)),
        }
    }

    fn posting(
        &self,
        doing: &str,
        path: &[&str],
        document: &(impl Serialize + Sync),
    ) -> Result<Request, Error> {
        let body = serde_json::to_vec(document);
        let body = body.map_err(|error| self.strange(doing, &error.to_string()))?;
        let json = HeaderValue::from_static("application/json");
        let request = Request::new(Method::POST, self.url(path.iter().copied()));
        Ok(request.body(json, Body::Bytes(body.into())))
    }

    /// The document of an answer, which must be a success and not longer than `limit` bytes.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        doing: &str,
        response: Response,
        limit: usize,
    ) -> Result<T, Error> {
        if response.status() != StatusCode::OK {
            return Err(failed(doing, response.into_error().await));
        }
        let body = response.bytes(limit).await.map_err(|source| failed(doing, source))?;
        serde_json::from_slice(&body).map_err(|error| self.strange(doing, &error.to_string()))
    }

    /// The error of an answer that is not this API's; the reason may repeat what was answered.
    pub(super) fn strange(&self, doing: &str, reason: &str) -> Error {
        Error::Answer {
            doing: doing.to_owned(),
            host: self.base.host_str().unwrap_or_default().to_owned(),
            reason: printable(reason, 400),
        }
    }
}

/// Whether what was to be deleted was there.
pub(super) async fn deleted(doing: &str, response: Response) -> Result<bool, Error> {
    match response.status() {
        StatusCode::NOT_FOUND => {
            response.discard().await;
            Ok(false)
        }
        status if status.is_success() => {
            response.discard().await;
            Ok(true)
        }
        _ => Err(failed(doing, response.into_error().await)),
    }
}

/// A token as a request shows it, if it can.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn failed(doing: &str, source: crate::http::Error) -> Error {
    Error::Http { doing: doing.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::Settings;

    #[test]
    fn what_is_no_place_of_an_api_is_refused() {
        for url in [
            "",
            "zuul.example.org/api",
            "ftp://zuul.example.org/api",
            "https://zuul.example.org/api?tenant=x",
            "https://zuul.example.org/api#x",
            "file:///etc/passwd",
        ] {
            assert!(url.parse::<ApiUrl>().is_err(), "{url}");
        }
        let error = "https://user:hunter2@zuul.example.org/".parse::<ApiUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn without_tls_only_what_was_named_is_spoken_to() {
        let settings =
            Settings { plain_http: vec!["127.0.0.1:9000".parse().unwrap()], ..Settings::default() };
        let http = Http::new(settings).unwrap();
        for url in ["http://127.0.0.1:9001/api", "http://zuul.example.org/api"] {
            let error = Api::new(&http, &url.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("--plain-http"), "{error}");
        }
        for url in ["http://127.0.0.1:9000/api", "https://127.0.0.1:9001/api"] {
            assert!(Api::new(&http, &url.parse().unwrap()).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_path_stays_below_the_apis_own() {
        let http = Http::new(Settings::default()).unwrap();
        for base in ["https://a.example/api/tenant/t", "https://a.example/api/tenant/t/"] {
            let api = Api::new(&http, &base.parse().unwrap()).unwrap();
            let url = api.url(["a/b?c", "d", ""]);
            assert_eq!(url.as_str(), "https://a.example/api/tenant/t/a%2Fb%3Fc/d/");
        }
    }
}
