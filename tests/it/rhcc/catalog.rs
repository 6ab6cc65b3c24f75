//! A catalog as Pyxis is one: a server with TLS that wants its key, keeps images and publishes what passed.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::support::certificates::signed_by_itself;
use crate::support::web::{Web, document, parameter};

pub const KEY: &str = "the-api-key";

/// The server; gone when dropped.
pub struct Catalog {
    pub web: Web,
    /// Whom to trust.
    pub certificate: PathBuf,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    known: Mutex<Known>,
    condemned: Condvar,
}

#[derive(Default)]
struct Known {
    images: Vec<Value>,
    /// `OPERATION IMAGE`, in order.
    operations: Vec<String>,
    /// What the requests of images come to.
    outcome: &'static str,
    /// Images that pass can be pulled at once.
    publishes: bool,
    /// Filters are not looked at.
    is_lax: bool,
    /// At most so many entries on a page.
    page_size: usize,
    /// What is answered in place of every list of images.
    hostile: Option<(u16, Value)>,
    killing: Option<Killing>,
}

/// A process that is killed when it, or `preflight` for it, has sent so many requests; once it is known.
struct Killing {
    left: usize,
    method: Method,
    path: String,
    process: Option<Child>,
}

impl Catalog {
    /// Its certificate goes into `folder`.
    pub fn start(folder: &Path) -> Self {
        let known =
            Known { publishes: true, page_size: 100, outcome: "completed", ..Known::default() };
        let state = Arc::new(State { known: Mutex::new(known), ..State::default() });
        let answering = Arc::clone(&state);
        let (certificate, key) = signed_by_itself(folder, "127.0.0.1");
        let web = Web::start_tls(&certificate, &key, move |request| answering.answer(request));
        Self { web, certificate, state }
    }

    pub fn url(&self) -> String {
        format!("https://{}/api/containers/v1", self.web.address)
    }

    /// Whether every one of these images can be pulled.
    pub fn publishes(&self, digests: &[String]) -> bool {
        let known = self.state.known.lock().unwrap();
        let published = |digest: &&String| {
            let image = known.images.iter().find(|it| it["docker_image_digest"] == **digest);
            image.is_some_and(|it| it["repositories"][0]["published"] == true)
        };
        digests.iter().filter(published).count() == digests.len()
    }

    /// What passes is published from now on, or not.
    pub fn set_publishing(&self, publishes: bool) {
        let mut known = self.state.known.lock().unwrap();
        known.publishes = publishes;
        known.publish();
    }

    pub fn set_lax(&self, page_size: usize) {
        let mut known = self.state.known.lock().unwrap();
        (known.is_lax, known.page_size) = (true, page_size);
    }

    /// Lists of images are answered so.
    pub fn set_hostile(&self, status: u16, answer: Value) {
        self.state.known.lock().unwrap().hostile = Some((status, answer));
    }

    /// What requests of images come to.
    pub fn set_outcome(&self, outcome: &'static str) {
        self.state.known.lock().unwrap().outcome = outcome;
    }

    /// Puts an image there.
    pub fn hold(&self, digest: &str, certified: bool, published: bool) {
        let mut known = self.state.known.lock().unwrap();
        let image = json!({"docker_image_digest": digest, "certified": certified,
            "repositories": [{"published": published}]});
        known.add(image);
    }

    /// How far the scan of all images is; none is no scan.
    pub fn set_scan(&self, status: Option<&str>) {
        for image in &mut self.state.known.lock().unwrap().images {
            image["container_grades"] = json!({ "status": status });
        }
    }

    pub fn images(&self) -> Vec<Value> {
        self.state.known.lock().unwrap().images.clone()
    }

    pub fn operations(&self) -> Vec<String> {
        self.state.known.lock().unwrap().operations.clone()
    }

    /// Whoever comes by [`Catalog::condemn`] is killed at its `number`-th request of this kind.
    pub fn kill_at(&self, number: usize, method: &Method, path: &str) {
        let killing =
            Killing { left: number, method: method.clone(), path: path.to_owned(), process: None };
        self.state.known.lock().unwrap().killing = Some(killing);
    }

    pub fn condemn(&self, process: Child) {
        let mut known = self.state.known.lock().unwrap();
        known.killing.as_mut().unwrap().process = Some(process);
        self.state.condemned.notify_all();
    }

    /// Whether the process is dead.
    pub fn has_killed(&self) -> bool {
        self.state.known.lock().unwrap().killing.is_none()
    }
}

impl State {
    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.kill(request);
        let mut known = self.known.lock().unwrap();
        if request.headers().get("x-api-key").is_none_or(|key| key != KEY) {
            return document(401, &json!({"detail": "no such key"}));
        }
        let path = request.uri().path().strip_prefix("/api/containers/v1/").unwrap_or_default();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let path: Vec<&str> = path.split('/').collect();
        match (request.method().as_str(), path.as_slice()) {
            ("GET", ["projects", "certification", "id", "p1", "images"]) => known.list(request),
            ("POST", ["projects", "certification", "id", "p1", "images"]) => known.post(body),
            ("POST", ["projects", "certification", "id", "p1", "requests", "images"]) => {
                let (operation, image) = (&body["operation"], &body["image_id"]);
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                known.operations.push(format!("{} {}", text(operation), text(image)));
                let name = format!("request{}", known.operations.len());
                document(201, &json!({"_id": name, "operation": operation, "status": "pending"}))
            }
            ("POST", ["projects", "certification", "id", "p1", "test-results"]) => {
                match body["version"] == "1.0.0" {
                    false => document(201, &json!({"_id": "results"})),
                    true => document(400, &json!({"detail": "version 1.0.0 is not supported"})),
                }
            }
            ("PATCH", ["projects", "certification", "id", "p1"]) => document(200, &json!({})),
            ("PATCH", ["images", "id", image]) => known.patch(image, &body),
            ("POST", ["images", "id", _, "artifacts"]) => document(201, &json!({})),
            ("GET", ["images", "id", image, "requests"]) => known.requests(image),
            _ => document(404, &json!({"detail": "no such path"})),
        }
    }

    /// Kills who is to be killed, and only then lets it be answered.
    fn kill(&self, request: &Request<Bytes>) {
        let mut known = self.known.lock().unwrap();
        match &mut known.killing {
            Some(killing)
                if killing.method == *request.method()
                    && request.uri().to_string().contains(&killing.path) =>
            {
                killing.left -= 1;
                if killing.left > 0 {
                    return;
                }
            }
            _ => return,
        }
        let mut known = self
            .condemned
            .wait_while(known, |known| {
                known.killing.as_ref().is_some_and(|it| it.process.is_none())
            })
            .unwrap();
        let mut process = known.killing.take().unwrap().process.unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Known {
    fn add(&mut self, mut image: Value) -> Value {
        image["_id"] = json!(format!("image{}", self.images.len() + 1));
        image["deleted"] = json!(false);
        if image["repositories"][0]["published"].is_null() {
            image["repositories"][0]["published"] = json!(false);
        }
        self.images.push(image.clone());
        self.publish();
        image
    }

    fn publish(&mut self) {
        let passed = self.images.iter_mut().filter(|it| it["certified"] == true);
        for image in passed.filter(|_| self.publishes) {
            image["repositories"][0]["published"] = json!(true);
        }
    }

    fn list(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if let Some((status, answer)) = &self.hostile {
            return document(*status, answer);
        }
        let filter = parameter(request, "filter").unwrap_or_default();
        let wanted = filter.split(';').find_map(|term| term.strip_prefix("docker_image_digest=="));
        let fits = |image: &&Value| {
            self.is_lax || image["docker_image_digest"] == wanted.unwrap_or_default()
        };
        let fitting: Vec<&Value> = self.images.iter().filter(fits).collect();
        let number = |name| parameter(request, name).and_then(|it| it.parse::<usize>().ok());
        let size = number("page_size").unwrap_or(100).min(self.page_size);
        let page = number("page").unwrap_or_default();
        let data: Vec<&&Value> = fitting.iter().skip(page * size).take(size).collect();
        document(
            200,
            &json!({"data": data, "total": fitting.len(), "page": page, "page_size": size}),
        )
    }

    fn post(&mut self, image: Value) -> Response<Bytes> {
        let digest = &image["docker_image_digest"];
        match self.images.iter().any(|it| it["docker_image_digest"] == *digest) {
            true => document(409, &json!({"detail": "it is there"})),
            false => document(201, &self.add(image)),
        }
    }

    fn patch(&mut self, name: &str, change: &Value) -> Response<Bytes> {
        let image = self.images.iter_mut().find(|it| it["_id"] == name);
        let Some(image) = image else { return document(404, &json!({"detail": "no such image"})) };
        if image["repositories"][0]["published"] == true {
            return document(400, &json!({"detail": "published images cannot be updated"}));
        }
        image["certified"] = change["certified"].clone();
        self.publish();
        document(200, &json!({}))
    }

    fn requests(&self, image: &str) -> Response<Bytes> {
        let asked = self.operations.iter().enumerate();
        let asked = asked.filter(|(_, it)| it.split_once(' ').is_some_and(|(_, it)| it == image));
        let data: Vec<Value> = asked
            .map(|(at, _)| json!({"_id": format!("request{}", at + 1), "status": self.outcome}))
            .collect();
        document(200, &json!({"data": data, "total": data.len()}))
    }
}
