use std::time::{Duration, Instant};

use http::{HeaderValue, Method};
use serde::Deserialize;

use super::access::Effort;
use super::realm::Realm;
use super::scopes::Scopes;
use crate::auth::Credentials;
use crate::http::{Body, Error, Http, Request};

/// Far more than fits into a header.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A Bearer token and how long it does.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) authorization: HeaderValue,
    until: Instant,
}

/// Why there is no token.
pub(super) enum Failure {
    Http(Error),
    Nonsense(&'static str),
}

impl Token {
    pub(super) fn is_valid(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What a token server is asked (distribution, "Token Authentication Specification"); with an identity
/// token by form ("OAuth2 Token Authentication").
pub(super) fn request(
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
    credentials: Option<&Credentials>,
) -> Request {
    let mut request = match credentials {
        Some(credentials) if credentials.identity_token().is_some() => {
            by_form(realm, service, scopes, credentials)
        }
        _ => by_query(realm, service, scopes, credentials),
    };
    request.named_by_answer = !realm.same_place;
    request.whole(MAX_ANSWER_BYTES)
}

/// Asks for a token.
pub(super) async fn fetch(http: &Http, request: Request, effort: Effort) -> Result<Token, Failure> {
    let asked = Instant::now();
    let response = effort.send(http, request).await.map_err(Failure::Http)?;
    if !response.status().is_success() {
        return Err(Failure::Http(response.into_error().await));
    }
    let body = response.bytes(MAX_ANSWER_BYTES).await.map_err(Failure::Http)?;
    understand(&body, asked).map_err(Failure::Nonsense)
}

fn by_query(
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
    credentials: Option<&Credentials>,
) -> Request {
    let mut url = realm.url.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes.parameters() {
            query.append_pair("scope", &scope);
        }
    }
    let mut request = Request::new(Method::GET, url);
    request.authorization = credentials.and_then(basic);
    request
}

fn by_form(
    realm: &Realm,
    service: Option<&str>,
    scopes: &Scopes,
    credentials: &Credentials,
) -> Request {
    let scopes: Vec<String> = scopes.parameters().collect();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("service", service.unwrap_or_default())
        .append_pair("client_id", "zuul-images")
        .append_pair("scope", &scopes.join(" "))
        .append_pair("refresh_token", credentials.password.reveal())
        .finish();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    Request::new(Method::POST, realm.url.clone()).body(form_type, Body::Bytes(form.into()))
}

/// The header of RFC 7617; `None` if the password cannot stand in one.
pub(super) fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    use base64::Engine as _;
    let pair = format!("{}:{}", credentials.username, credentials.password.reveal());
    let text = base64::engine::general_purpose::STANDARD.encode(pair);
    HeaderValue::from_str(&format!("Basic {text}")).ok()
}

const NO_TOKEN: &str = "its answer holds no token; check that nothing in between answers for it";

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

fn understand(body: &[u8], asked: Instant) -> Result<Token, &'static str> {
    const DEFAULT_SECONDS: f64 = 60.0;
    const LONGEST_SECONDS: f64 = 24.0 * 3600.0;
    let answer: Answer = serde_json::from_slice(body).map_err(|_| NO_TOKEN)?;
    let given = |token: Option<String>| token.filter(|token| !token.is_empty());
    let token = given(answer.token).or(given(answer.access_token)).ok_or(NO_TOKEN)?;
    let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "its token cannot stand in a header")?;
    authorization.set_sensitive(true);
    let seconds = answer.expires_in.filter(|seconds| *seconds > 0.0);
    let seconds = seconds.unwrap_or(DEFAULT_SECONDS).min(LONGEST_SECONDS);
    // Used up a little early: a request takes time, and clocks go differently.
    let slack = (seconds / 4.0).min(15.0);
    Ok(Token { authorization, until: asked + Duration::from_secs_f64(seconds - slack) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nonsense_is_no_token() {
        for body in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":7}"#] {
            assert!(understand(body.as_bytes(), Instant::now()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_token_does_until_shortly_before_it_expires() {
        let left = |body: &str| {
            let now = Instant::now();
            (understand(body.as_bytes(), now).unwrap().until - now).as_secs()
        };
        assert_eq!(left(r#"{"token":"t"}"#), 45);
        assert_eq!(left(r#"{"access_token":"t","expires_in":300}"#), 285);
        assert_eq!(left(r#"{"token":"t","expires_in":4}"#), 3);
        assert_eq!(left(r#"{"token":"t","expires_in":-1}"#), 45);
        assert_eq!(left(r#"{"token":"t","expires_in":1e300}"#), 86385);
    }
}
