//! Quay's web API as its documentation has it: tags page by page, their deletion.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use zuul_images::oci::{Digest, Registry};

use super::web::{Web, document, nothing, parameter, shows};

pub const TOKEN: &str = "quay-hunter2";

/// The API with one repository, `org/a`.
pub struct Quay {
    pub web: Web,
    state: Arc<Mutex<State>>,
}

/// What can be set before anything is asked, and looked at afterwards.
#[derive(Debug, Default)]
pub struct State {
    pub tags: Vec<(String, Timestamp)>,
    /// Nobody sees it without a token.
    pub private: bool,
    /// Says that there is always another page.
    pub endless: bool,
}

impl Quay {
    pub fn start(tags: &[(&str, Timestamp)]) -> Self {
        let tags = tags.iter().map(|(name, pushed)| ((*name).to_owned(), *pushed)).collect();
        let state = Arc::new(Mutex::new(State { tags, ..State::default() }));
        let serving = Arc::clone(&state);
        let web = Web::start(move |request| serving.lock().unwrap().answer(request));
        Self { web, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn tags(&self) -> Vec<String> {
        self.state().tags.iter().map(|(name, _)| name.clone()).collect()
    }

    /// `container_registry_credentials` of a registry that has this API.
    pub fn credentials(&self, registry: &Registry) -> Value {
        json!({ registry.to_string(): {
            "username": "org+robot", "password": "not-for-the-api", "type": "quay",
            "api_url": self.web.url(), "api_token": TOKEN}})
    }
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let known = shows(request, TOKEN);
        let Some(tag) = request.uri().path().strip_prefix("/api/v1/repository/org/a/tag/") else {
            return document(404, &json!({"detail": "Not Found", "status": 404}));
        };
        if !known && (self.private || request.method() != Method::GET) {
            return document(401, &json!({"detail": "Requires authentication", "status": 401}));
        }
        let position = self.tags.iter().position(|(name, _)| name == tag);
        match (request.method(), position) {
            (&Method::GET, None) if tag.is_empty() => self.page(request),
            (&Method::DELETE, Some(position)) => {
                self.tags.remove(position);
                nothing(StatusCode::NO_CONTENT)
            }
            _ => document(404, &json!({"detail": "Not Found", "status": 404})),
        }
    }

    fn page(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let number = |name| parameter(request, name).map(|value| value.parse::<usize>().unwrap());
        let (page, size) = (number("page").unwrap_or(1), number("limit").unwrap_or(50).min(100));
        let wanted = parameter(request, "specificTag");
        let found: Vec<&(String, Timestamp)> = self
            .tags
            .iter()
            .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == name))
            .collect();
        let shown = found
            .iter()
            .skip((page - 1) * size)
            .take(size)
            .map(|(name, pushed)| entry(name, *pushed));
        let shown: Vec<Value> = match self.endless {
            false => shown.collect(),
            true => vec![entry("x", Timestamp::UNIX_EPOCH)],
        };
        let more = self.endless || found.len() > page * size;
        document(200, &json!({"tags": shown, "page": page, "has_additional": more}))
    }
}

fn entry(name: &str, pushed: Timestamp) -> Value {
    json!({
        "name": name, "reversion": false, "start_ts": pushed.as_second(),
        "manifest_digest": Digest::sha256(name.as_bytes()), "is_manifest_list": false, "size": 1,
        "last_modified": pushed.strftime("%a, %d %b %Y %H:%M:%S -0000").to_string()})
}
