//! Docker Hub's web API as its documentation has it: logins, tags page by page, their deletion.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use zuul_images::oci::{Digest, Registry};

use super::web::{Web, document, nothing, parameter, shows};

pub const USER: &str = "robot";
pub const PASSWORD: &str = "hub-hunter2";

/// The API with one repository, `org/a`.
pub struct Hub {
    pub web: Web,
    state: Arc<Mutex<State>>,
}

/// What can be set before anything is asked, and looked at afterwards.
#[derive(Debug, Default)]
pub struct State {
    pub tags: Vec<HubTag>,
    /// Nobody sees it who did not log in.
    pub private: bool,
    /// Knows `users/login` only.
    pub old_login: bool,
    /// What the time is there, if not what it is here.
    pub clock: Option<Timestamp>,
    /// Where the next page is said to be, if not here.
    pub next_at: Option<String>,
    /// Says that there is always another page.
    pub endless: bool,
    /// Deletions that are answered with this status.
    pub refused: Vec<(String, u16)>,
    /// So many requests of tags are one too many.
    pub limited: usize,
    /// A tag that is pushed again once the list was read.
    pub moves: Option<String>,
    /// The token that is good.
    token: Option<String>,
    tokens: usize,
}

/// A tag of the repository.
#[derive(Debug, Clone)]
pub struct HubTag {
    pub name: String,
    pub digest: Option<Digest>,
    pub pushed: String,
}

impl Hub {
    pub fn start(tags: &[(&str, Timestamp)]) -> Self {
        let tags = tags.iter().map(|(name, pushed)| HubTag {
            name: (*name).to_owned(),
            digest: Some(Digest::sha256(name.as_bytes())),
            pushed: pushed.to_string(),
        });
        let state = Arc::new(Mutex::new(State { tags: tags.collect(), ..State::default() }));
        let serving = Arc::clone(&state);
        let web = Web::start(move |request| {
            let mut state = serving.lock().unwrap();
            let mut answer = state.answer(request);
            if let Some(clock) = state.clock {
                let clock = clock.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                answer.headers_mut().insert(header::DATE, HeaderValue::from_str(&clock).unwrap());
            }
            answer
        });
        Self { web, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn tags(&self) -> Vec<String> {
        self.state().tags.iter().map(|tag| tag.name.clone()).collect()
    }

    /// Its token is good no longer.
    pub fn forget_token(&self) {
        self.state().token = Some("another".to_owned());
    }

    /// `container_registry_credentials` of a registry that has this API.
    pub fn credentials(&self, registry: &Registry) -> Value {
        json!({ registry.to_string(): {
            "username": USER, "password": PASSWORD, "type": "docker", "api_url": self.web.url()}})
    }
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        let tags = path.strip_prefix("/v2/repositories/org/a/tags");
        match (request.method(), path, tags) {
            (&Method::POST, "/v2/auth/token", _) if !self.old_login => {
                self.log_in(request, ["identifier", "secret"], "access_token")
            }
            (&Method::POST, "/v2/users/login", _) => {
                self.log_in(request, ["username", "password"], "token")
            }
            (method, _, Some(rest)) => self.tags(request, method, rest.trim_matches('/')),
            _ => document(404, &json!({"message": "object not found"})),
        }
    }

    fn log_in(
        &mut self,
        request: &Request<Bytes>,
        names: [&str; 2],
        token: &str,
    ) -> Response<Bytes> {
        let asked: Value = serde_json::from_slice(request.body()).unwrap();
        if names.map(|name| asked[name].as_str().unwrap()) != [USER, PASSWORD] {
            return document(401, &json!({"detail": "Incorrect authentication credentials"}));
        }
        self.tokens += 1;
        let issued = format!("token-{}", self.tokens);
        self.token = Some(issued.clone());
        document(200, &json!({token: issued}))
    }

    fn tags(&mut self, request: &Request<Bytes>, method: &Method, tag: &str) -> Response<Bytes> {
        let known = self.token.as_ref().is_some_and(|token| shows(request, token));
        if !known && request.headers().contains_key(header::AUTHORIZATION) {
            return document(401, &json!({"message": "token is expired"}));
        }
        if self.limited > 0 {
            self.limited -= 1;
            let now = (Timestamp::now().as_second() + 1).to_string();
            let mut answer = document(429, &json!({"detail": "Rate limit exceeded"}));
            answer.headers_mut().insert("x-retry-after", now.parse().unwrap());
            return answer;
        }
        if self.private && !known {
            return document(404, &json!({"message": "object not found"}));
        }
        let position = self.tags.iter().position(|held| held.name == tag);
        match (method, tag, position) {
            (&Method::GET, "", _) => self.page(request),
            (&Method::GET, _, Some(position)) => document(200, &entry(&self.tags[position])),
            (&Method::DELETE, ..) if !known => {
                document(403, &json!({"message": "access to the resource is forbidden"}))
            }
            (&Method::DELETE, _, Some(position)) => {
                if let Some((_, status)) = self.refused.iter().find(|(name, _)| name == tag) {
                    return document(*status, &json!({"message": "not now"}));
                }
                self.tags.remove(position);
                nothing(StatusCode::NO_CONTENT)
            }
            _ => document(404, &json!({"message": "object not found"})),
        }
    }

    fn page(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let number = |name| parameter(request, name).map(|value| value.parse::<usize>().unwrap());
        let (page, size) =
            (number("page").unwrap_or(1), number("page_size").unwrap_or(10).min(100));
        let shown: Vec<Value> =
            self.tags.iter().skip((page - 1) * size).take(size).map(entry).collect();
        let more = self.endless || self.tags.len() > page * size;
        let host = self.next_at.clone().unwrap_or_else(|| "https://hub.docker.com".to_owned());
        let next = format!("{host}/v2/repositories/org/a/tags?page={}&page_size={size}", page + 1);
        let shown = if self.endless { vec![entry(&self.tags[0])] } else { shown };
        if let Some(name) = self.moves.take() {
            let moved = self.tags.iter_mut().find(|tag| tag.name == name).unwrap();
            moved.digest = Some(Digest::sha256(b"pushed again"));
        }
        document(
            200,
            &json!({
            "count": self.tags.len(), "next": more.then_some(next), "previous": null, "results": shown}),
        )
    }
}

fn entry(tag: &HubTag) -> Value {
    json!({
        "id": 1, "name": tag.name, "digest": tag.digest, "last_updated": tag.pushed,
        "tag_last_pushed": tag.pushed, "tag_last_pulled": null, "tag_status": "active", "v2": true,
        "media_type": "application/vnd.oci.image.index.v1+json", "full_size": 1, "images": []})
}
