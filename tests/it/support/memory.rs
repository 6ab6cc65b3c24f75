//! The least registry that tells right from wrong: manifests, blobs, uploads, tags, tokens.

mod google;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use zuul_images::auth::Scope;
use zuul_images::oci::{Descriptor, Digest, Manifest, media_type};

use super::sample::Sample;

/// How readers and writers must show who they are.
#[derive(Debug, Clone, Default)]
pub enum Access {
    #[default]
    Open,
    Basic {
        user: String,
        password: String,
    },
    /// Tokens from `/token`, for exactly the scopes asked for.
    Bearer {
        user: String,
        password: String,
        expires_in: u64,
    },
    /// As Docker Hub: tokens from another host, its realm, that knows the registry as a service. Who logs
    /// in gets what is asked for, anybody else what pulls outside `private/`.
    Elsewhere {
        realm: String,
        service: String,
        user: String,
        password: String,
    },
}

#[derive(Debug, Default)]
pub struct Memory {
    pub access: Mutex<Access>,
    /// Answer mounts with an upload session.
    pub declines_mounts: Mutex<bool>,
    /// Take a blob with the POST that begins its upload.
    pub takes_single_posts: Mutex<bool>,
    /// Have the list of referrers of distribution-spec 1.1.
    pub lists_referrers: Mutex<bool>,
    /// Refuse what refers to something that is not there.
    pub demands_subjects: Mutex<bool>,
    /// Tell of manifests and repositories with the list of tags, as Google's registries do.
    pub tells_manifests: Mutex<bool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By repository, then by digest.
    blobs: HashMap<String, HashMap<String, Bytes>>,
    manifests: HashMap<String, HashMap<String, (String, Bytes)>>,
    tags: HashMap<String, BTreeMap<String, String>>,
    uploads: HashSet<String>,
    tokens: HashMap<String, Vec<String>>,
    counter: u64,
}

impl Memory {
    /// Puts an image there, as if it had been pushed.
    pub fn hold(&self, repository: &str, tag: &str, sample: &Sample) {
        self.hold_untagged(repository, sample);
        let digest = sample.root.digest().to_string();
        let mut state = self.state.lock().unwrap();
        state.tags.entry(repository.to_owned()).or_default().insert(tag.to_owned(), digest);
    }

    pub fn hold_untagged(&self, repository: &str, sample: &Sample) {
        for blob in &sample.blobs {
            self.hold_blob(repository, blob);
        }
        let mut state = self.state.lock().unwrap();
        let manifests = state.manifests.entry(repository.to_owned()).or_default();
        for manifest in sample.below.iter().chain([&sample.root]) {
            let held = (manifest.media_type().to_owned(), manifest.bytes().clone());
            manifests.insert(manifest.digest().to_string(), held);
        }
    }

    pub fn hold_blob(&self, repository: &str, bytes: &Bytes) {
        let mut state = self.state.lock().unwrap();
        let blobs = state.blobs.entry(repository.to_owned()).or_default();
        blobs.insert(Digest::sha256(bytes).to_string(), bytes.clone());
    }

    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.state.lock().unwrap().tags.get(repository)?.get(tag).cloned()
    }

    pub fn forget_tag(&self, repository: &str, tag: &str) {
        self.state.lock().unwrap().tags.get_mut(repository).and_then(|tags| tags.remove(tag));
    }

    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        self.state.lock().unwrap().blobs.get(repository)?.get(digest.as_str()).cloned()
    }

    pub fn manifest(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        let state = self.state.lock().unwrap();
        Some(state.manifests.get(repository)?.get(digest.as_str())?.1.clone())
    }

    /// Forgets all tokens, as if they had run out.
    pub fn forget_tokens(&self) {
        self.state.lock().unwrap().tokens.clear();
    }

    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let query: HashMap<String, String> = self.query(request).into_iter().collect();
        if self.is_realm(&path) {
            return self.token(request);
        }
        if let Some(refusal) = self.refusal(request, &path, &query) {
            return refusal;
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path");
        };
        if rest.is_empty() {
            return reply(StatusCode::OK, "{}");
        }
        for (mark, serve) in [
            ("/blobs/uploads/", Self::upload as Serve),
            ("/manifests/", Self::manifests),
            ("/blobs/", Self::blobs),
            ("/tags/list", Self::tags),
            ("/referrers/", Self::referrers),
        ] {
            if let Some((name, rest)) = rest.split_once(mark) {
                return serve(self, request, name, rest, &query);
            }
        }
        error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path")
    }

    fn query(&self, request: &Request<Bytes>) -> Vec<(String, String)> {
        let query = request.uri().query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    fn manifests(
        &self,
        request: &Request<Bytes>,
        name: &str,
        reference: &str,
        _: &HashMap<String, String>,
    ) -> Response<Bytes> {
        let mut state = self.state.lock().unwrap();
        let digest = match state.tags.get(name).and_then(|tags| tags.get(reference)) {
            Some(digest) => digest.clone(),
            None => reference.to_owned(),
        };
        match *request.method() {
            Method::PUT => {
                let kind = request.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap();
                let referrers = Referrers {
                    listed: *self.lists_referrers.lock().unwrap(),
                    demanded: *self.demands_subjects.lock().unwrap(),
                };
                put_manifest(&mut state, name, reference, (kind, request.body()), referrers)
            }
            Method::DELETE => {
                let gone = if reference.contains(':') {
                    state.manifests.get_mut(name).and_then(|held| held.remove(reference)).is_some()
                } else {
                    state.tags.get_mut(name).and_then(|tags| tags.remove(reference)).is_some()
                };
                match gone {
                    true => reply(StatusCode::ACCEPTED, ""),
                    false => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "not there"),
                }
            }
            _ => match state.manifests.get(name).and_then(|held| held.get(&digest)) {
                None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "not there"),
                Some((kind, bytes)) => Response::builder()
                    .header(header::CONTENT_TYPE, kind)
                    .header("Docker-Content-Digest", &digest)
                    .body(bytes.clone())
                    .unwrap(),
            },
        }
    }

    fn blobs(
        &self,
        request: &Request<Bytes>,
        name: &str,
        digest: &str,
        _: &HashMap<String, String>,
    ) -> Response<Bytes> {
        let state = self.state.lock().unwrap();
        let Some(bytes) = state.blobs.get(name).and_then(|held| held.get(digest)) else {
            return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "not there");
        };
        let range = request.headers().get(header::RANGE).and_then(|range| {
            range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        let answer = Response::builder().header("Docker-Content-Digest", digest);
        match range {
            None => answer.body(bytes.clone()).unwrap(),
            Some(from) => answer
                .status(StatusCode::PARTIAL_CONTENT)
                .header(
                    header::CONTENT_RANGE,
                    format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()),
                )
                .body(bytes.slice(from..))
                .unwrap(),
        }
    }

    fn upload(
        &self,
        request: &Request<Bytes>,
        name: &str,
        session: &str,
        query: &HashMap<String, String>,
    ) -> Response<Bytes> {
        let mut state = self.state.lock().unwrap();
        if *request.method() == Method::POST {
            let mounted = query.get("mount").zip(query.get("from")).and_then(|(digest, from)| {
                Some((digest.clone(), state.blobs.get(from)?.get(digest)?.clone()))
            });
            if let Some((digest, bytes)) =
                mounted.filter(|_| !*self.declines_mounts.lock().unwrap())
            {
                state.blobs.entry(name.to_owned()).or_default().insert(digest, bytes);
                return reply(StatusCode::CREATED, "");
            }
            if let Some(digest) = query.get("digest")
                && *self.takes_single_posts.lock().unwrap()
            {
                return put_blob(&mut state, name, Some(digest), request.body());
            }
            state.counter += 1;
            let location = format!("/v2/{name}/blobs/uploads/{}", state.counter);
            state.uploads.insert(location.clone());
            return Response::builder()
                .status(StatusCode::ACCEPTED)
                .header(header::LOCATION, format!("{location}?_state=a%2Bb"))
                .body(Bytes::new())
                .unwrap();
        }
        let location = format!("/v2/{name}/blobs/uploads/{session}");
        if query.get("_state").map(String::as_str) != Some("a+b")
            || !state.uploads.remove(&location)
        {
            return error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        }
        put_blob(&mut state, name, query.get("digest"), request.body())
    }

    fn tags(
        &self,
        request: &Request<Bytes>,
        name: &str,
        _: &str,
        query: &HashMap<String, String>,
    ) -> Response<Bytes> {
        if *self.tells_manifests.lock().unwrap() {
            return self.extended(name);
        }
        let state = self.state.lock().unwrap();
        let Some(tags) = state.tags.get(name) else {
            return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such repository");
        };
        // Pages are short and the mark of the next is opaque, whatever was asked for.
        let after = query.get("next").cloned().unwrap_or_default();
        let page: Vec<&String> = tags.keys().filter(|tag| **tag > after).take(2).collect();
        let mut answer = Response::builder();
        if let Some(last) = page.last().filter(|last| tags.keys().next_back() != Some(**last)) {
            let link = format!("<{}?next={last}>; rel=\"next\"", request.uri().path());
            answer = answer.header(header::LINK, link);
        }
        let body = serde_json::json!({ "name": name, "tags": page });
        answer.body(body.to_string().into()).unwrap()
    }

    fn referrers(
        &self,
        request: &Request<Bytes>,
        name: &str,
        subject: &str,
        query: &HashMap<String, String>,
    ) -> Response<Bytes> {
        if !*self.lists_referrers.lock().unwrap() {
            return reply(StatusCode::NOT_FOUND, "404 page not found");
        }
        let state = self.state.lock().unwrap();
        let held = state.manifests.get(name).into_iter().flat_map(HashMap::values);
        let mut listed = BTreeMap::new();
        for (kind, bytes) in held {
            let manifest = Manifest::parse(bytes.clone(), Some(kind)).unwrap();
            if let Some((of, json)) = manifest.referrer(manifest.digest())
                && of.as_str() == subject
            {
                let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
                listed.insert(manifest.digest().to_string(), json);
            }
        }
        // Pages are short here, too.
        let after = query.get("next").cloned().unwrap_or_default();
        let page: Vec<_> = listed.iter().filter(|(it, _)| **it > after).take(2).collect();
        let mut answer = Response::builder().header(header::CONTENT_TYPE, media_type::OCI_INDEX);
        if let Some((last, _)) = page.last()
            && listed.keys().next_back() != Some(last)
        {
            let link = format!("<{}?next={last}>; rel=\"next\"", request.uri().path());
            answer = answer.header(header::LINK, link);
        }
        let page: Vec<_> = page.into_iter().map(|(_, json)| json).collect();
        let body = serde_json::json!({ "schemaVersion": 2, "manifests": page });
        answer.body(body.to_string().into()).unwrap()
    }

    fn is_realm(&self, path: &str) -> bool {
        match &*self.access.lock().unwrap() {
            Access::Elsewhere { realm, .. } => realm.ends_with(path) && path.len() > 1,
            _ => path == "/token",
        }
    }

    fn token(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let access = self.access.lock().unwrap().clone();
        let query = self.query(request);
        let (user, password, expires_in) = match &access {
            Access::Bearer { user, password, expires_in } => (user, password, *expires_in),
            Access::Elsewhere { service, user, password, .. } => {
                if !query.contains(&("service".to_owned(), service.clone())) {
                    return error(StatusCode::BAD_REQUEST, "UNSUPPORTED", "no such service");
                }
                (user, password, 300)
            }
            _ => return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no tokens here"),
        };
        let known = request.headers().contains_key(header::AUTHORIZATION);
        if known && !is_basic(request.headers(), user, password) {
            return reply(
                StatusCode::UNAUTHORIZED,
                r#"{"details":"incorrect username or password"}"#,
            );
        }
        let anybodys = |scope: &String| {
            matches!(access, Access::Elsewhere { .. }) && !scope.starts_with("repository:private/")
        };
        let scopes = query.into_iter().filter(|(name, _)| name == "scope");
        let scopes = scopes.map(|(_, scope)| scope).filter(|scope| known || anybodys(scope));
        let scopes = scopes.collect();
        let mut state = self.state.lock().unwrap();
        state.counter += 1;
        let token = format!("token-{}", state.counter);
        state.tokens.insert(token.clone(), scopes);
        let body = serde_json::json!({ "token": token, "expires_in": expires_in });
        reply(StatusCode::OK, &body.to_string())
    }

    /// 401 unless the request may do what it wants.
    fn refusal(
        &self,
        request: &Request<Bytes>,
        path: &str,
        query: &HashMap<String, String>,
    ) -> Option<Response<Bytes>> {
        let challenge = match self.access.lock().unwrap().clone() {
            Access::Open => return None,
            Access::Basic { user, password } => {
                if is_basic(request.headers(), &user, &password) {
                    return None;
                }
                "Basic realm=\"test\"".to_owned()
            }
            Access::Bearer { .. } => {
                if self.token_allows(request, path, query) {
                    return None;
                }
                let host = request.headers().get(header::HOST).unwrap().to_str().unwrap();
                format!("Bearer realm=\"http://{host}/token\",service=\"test\"")
            }
            Access::Elsewhere { realm, service, .. } => {
                if self.token_allows(request, path, query) {
                    return None;
                }
                format!("Bearer realm=\"{realm}\",service=\"{service}\"")
            }
        };
        let mut refusal = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "log in");
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        Some(refusal)
    }

    fn token_allows(
        &self,
        request: &Request<Bytes>,
        path: &str,
        query: &HashMap<String, String>,
    ) -> bool {
        let state = self.state.lock().unwrap();
        let shown = request.headers().get(header::AUTHORIZATION);
        let token = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(scopes) = token.and_then(|token| state.tokens.get(token)) else {
            return false;
        };
        let rest = path.strip_prefix("/v2/").unwrap_or_default();
        let name = ["/blobs/", "/manifests/", "/tags/", "/referrers/"]
            .iter()
            .find_map(|mark| Some(rest.split_once(mark)?.0))
            .unwrap_or_default();
        let action = match *request.method() {
            Method::GET | Method::HEAD => "pull",
            Method::DELETE => "delete",
            _ => "push",
        };
        let grants = |name: &str, action: &str| {
            scopes.iter().any(|scope| {
                let Ok(Scope::Repository(granted, actions)) = scope.parse() else {
                    return false;
                };
                let one = Scope::Repository(granted, actions).to_string();
                one.starts_with(&format!("repository:{name}:")) && one.contains(action)
            })
        };
        grants(name, action) && query.get("from").is_none_or(|from| grants(from, "pull"))
    }
}

type Serve = fn(&Memory, &Request<Bytes>, &str, &str, &HashMap<String, String>) -> Response<Bytes>;

fn put_blob(
    state: &mut State,
    name: &str,
    asked: Option<&String>,
    body: &Bytes,
) -> Response<Bytes> {
    let digest = Digest::sha256(body).to_string();
    if asked != Some(&digest) {
        return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "not this digest");
    }
    state.blobs.entry(name.to_owned()).or_default().insert(digest, body.clone());
    reply(StatusCode::CREATED, "")
}

/// How a registry treats manifests with a subject.
#[derive(Clone, Copy)]
struct Referrers {
    listed: bool,
    demanded: bool,
}

fn put_manifest(
    state: &mut State,
    name: &str,
    reference: &str,
    (kind, body): (&str, &Bytes),
    referrers: Referrers,
) -> Response<Bytes> {
    let Ok(manifest) = Manifest::parse(body.clone(), Some(kind)) else {
        return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "not understood");
    };
    let digest = manifest.digest().to_string();
    let blobs = state.blobs.entry(name.to_owned()).or_default();
    let has_blobs = manifest.blobs().all(|blob| blobs.contains_key(blob.digest.as_str()));
    let manifests = state.manifests.entry(name.to_owned()).or_default();
    // As distribution has it, what an index lists may be a blob.
    let is_there = |child: &Descriptor| {
        let digest = child.digest.as_str();
        manifests.contains_key(digest) || blobs.contains_key(digest)
    };
    if !has_blobs || !manifest.children().iter().all(is_there) {
        return error(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", "something is missing");
    }
    let subject = manifest.subject().map(|subject| subject.digest.to_string());
    if referrers.demanded && subject.as_ref().is_some_and(|it| !manifests.contains_key(it)) {
        return error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "the subject is missing");
    }
    if reference.contains(':') && reference != digest {
        return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "not this digest");
    }
    manifests.insert(digest.clone(), (kind.to_owned(), body.clone()));
    if !reference.contains(':') {
        let tags = state.tags.entry(name.to_owned()).or_default();
        tags.insert(reference.to_owned(), digest.clone());
    }
    let mut answer = reply(StatusCode::CREATED, "");
    answer.headers_mut().insert("Docker-Content-Digest", digest.parse().unwrap());
    if let Some(subject) = subject.filter(|_| referrers.listed) {
        answer.headers_mut().insert("OCI-Subject", subject.parse().unwrap());
    }
    answer
}

fn is_basic(headers: &HeaderMap, user: &str, password: &str) -> bool {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    headers.get(header::AUTHORIZATION).is_some_and(|value| value == &format!("Basic {pair}"))
}

fn reply(status: StatusCode, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    reply(status, &body.to_string())
}
