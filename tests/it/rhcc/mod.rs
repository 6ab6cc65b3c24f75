//! Certification in Red Hat's catalog: what is judged, what is moved when, and what a run that was killed
//! leaves for the next.

mod certify;
mod guard;
mod killed;
mod moves;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::publish_index;
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::programs::{self, file, program};
use crate::support::sample::{Sample, index};
use crate::support::web::{Web, document};

const UPLOAD: &str = "isv/p1";
const PUBLIC: &str = "vendor/img";
const TAGS: [&str; 3] = ["7.6.1-1", "7.6.1-rhcc", "7.6.1"];

/// The upload registry, the public registry, and `preflight` as it behaves.
struct Site {
    upload: Arc<Faulty>,
    public: Arc<Faulty>,
    /// A catalog that knows nothing yet.
    pyxis: Web,
    folder: TempDir,
    publisher: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

/// Judges what the test laid down for it, as the real one would: one folder for each architecture, exit 0
/// whatever was found, an image submitted for each.
const PREFLIGHT: &str = r#"#!/bin/sh
set -eu
[ "$1 $2" = "check container" ] && [ "$4" = --submit ] || { echo "bad arguments: $*" >&2; exit 1; }
[ -z "$(ls -A .)" ] || { echo "the working directory is not empty" >&2; exit 1; }
[ "$(grep -o '"auth":' "$PFLT_DOCKERCONFIG" | wc -l)" = 1 ] || { echo "more than one login" >&2; exit 1; }
[ "$PFLT_PYXIS_API_TOKEN $PFLT_CERTIFICATION_COMPONENT_ID" = "the-api-key p1" ] || exit 1
case "$*" in *the-api-key* | *the-registry-key*) echo "a secret in argv" >&2; exit 1 ;; esac
[ -d "$(dirname "$PFLT_LOGFILE")" ] || exit 1
echo "$3 ${5:-}" >>"$CONTROL/runs"
[ ! -e "$CONTROL/error" ] || { cat "$CONTROL/error" >&2; exit 1; }
mkdir -p "$PFLT_ARTIFACTS"
for folder in "$CONTROL"/artifacts/*; do
    case "${5:-}" in '' | "--platform=${folder##*/}") ;; *) continue ;; esac
    cp -r "$folder" "$PFLT_ARTIFACTS/"
    echo "level=info msg=\"The container's image id is: ${folder##*/}id.\"" >>"$PFLT_LOGFILE"
done
touch "$CONTROL/published"
"#;

impl Site {
    /// The source has two architectures; the floating tags hold an older image, which is public.
    async fn new() -> Self {
        let (upload, public) = (Arc::new(Faulty::start().await), Arc::new(Faulty::start().await));
        upload.memory.hold("internal/img", "7.6.1-4321", &new());
        for tag in &TAGS[1..] {
            upload.memory.hold(UPLOAD, tag, &old());
            public.memory.hold(PUBLIC, tag, &old());
        }
        let folder = tempfile::tempdir().unwrap();
        let publisher = publisher(&upload, &public, folder.path().join("control/published"));
        let pyxis = Web::start(|_| document(200, &json!({"data": [], "total": 0})));
        let site = Self { upload, public, pyxis, folder, publisher };
        std::fs::create_dir(site.path("control")).unwrap();
        for (architecture, image) in architectures() {
            site.judge(architecture, &image, &new(), &[]);
        }
        file(site.folder.path(), "preflight", PREFLIGHT);
        std::fs::set_permissions(site.path("preflight"), PermissionsExt::from_mode(0o755)).unwrap();
        let config = json!({
            "products": {"img": {"image_basename": "img", "project_id": "p1", "registry_key": "the-registry-key"}},
            "rhcc": {"api_key": "the-api-key"}});
        file(site.folder.path(), "config.json", &config.to_string());
        site
    }

    /// What preflight will say of an architecture.
    fn judge(&self, architecture: &str, image: &Sample, index: &Sample, failed: &[&str]) {
        let folder = self.path("control").join("artifacts").join(architecture);
        std::fs::create_dir_all(&folder).unwrap();
        let failed: Vec<Value> = failed.iter().map(|name| json!({"name": name})).collect();
        let results = json!({"image": "img", "passed": failed.is_empty(), "test_library": {},
            "results": {"passed": [], "failed": failed, "errors": []}});
        file(&folder, "results.json", &results.to_string());
        let image = json!({"docker_image_digest": image.root.digest(), "architecture": architecture,
            "repositories": [{"manifest_list_digest": index.root.digest()}], "certified": true});
        file(&folder, "cert-image.json", &image.to_string());
    }

    fn bare(&self, verb: &str) -> Command {
        let mut command = program("certify-rhcc-image");
        command
            .arg(verb)
            .args(["--no-ambient-config", "--retries=0", "--pyxis-url", &self.pyxis.url()])
            .args(["--plain-http", &self.upload.registry().to_string()])
            .args([
                "--plain-http",
                &self.public.registry().to_string(),
                "--plain-http",
                &self.pyxis.place().to_string(),
            ])
            .arg("--config")
            .arg(self.path("config.json"));
        command
    }

    fn running(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = self.bare(verb);
        command
            .args(["--poll-interval=0s"])
            .args((!more.iter().any(|it| it.starts_with("--settle"))).then_some("--settle=0s"))
            .args(["--preflight-env=PATH", "--preflight-env=CONTROL"])
            .env("CONTROL", self.path("control"))
            .arg("--preflight")
            .arg(self.path("preflight"))
            .arg("--journal")
            .arg(self.path("journal.json"))
            .args(more);
        command
    }

    fn publication(&self, more: &[&str]) -> Command {
        let mut command = self.running("publish", more);
        command.args(["--base=7.6.1", "--product=img"]);
        let source = format!("--source={}/internal/img:7.6.1-4321", self.upload.registry());
        command.args(self.places()).arg(source);
        command
    }

    fn places(&self) -> [String; 2] {
        [
            format!("--upload-repository={}/{UPLOAD}", self.upload.registry()),
            format!("--public-repository={}/{PUBLIC}", self.public.registry()),
        ]
    }

    async fn publish(&self, more: &[&str]) -> Output {
        run(self.publication(more)).await
    }

    async fn resume(&self, more: &[&str]) -> Output {
        run(self.running("resume", more)).await
    }

    fn held(&self, tag: &str) -> Option<String> {
        self.upload.memory.tag(UPLOAD, tag)
    }

    fn served(&self, tag: &str) -> Option<String> {
        self.public.memory.tag(PUBLIC, tag)
    }

    /// The tags and digests written, in order.
    fn puts(&self) -> Vec<String> {
        let recorded = self.upload.recorded().into_iter();
        let puts =
            recorded.filter(|it| it.method == Method::PUT && it.path.contains("/manifests/"));
        puts.map(|it| it.path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn tag_puts(&self) -> Vec<String> {
        self.puts().into_iter().filter(|it| !it.starts_with("sha256:")).collect()
    }

    /// How preflight was run.
    fn runs(&self) -> Vec<String> {
        let runs = std::fs::read_to_string(self.path("control/runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All tags at both registries are what was certified.
    fn assert_done(&self) {
        for tag in TAGS {
            assert_eq!(self.held(tag).unwrap(), new().root.digest().as_str(), "{tag}");
            assert_eq!(self.served(tag).unwrap(), new().root.digest().as_str(), "{tag}");
        }
    }

    /// No floating tag was touched.
    fn assert_not_moved(&self) {
        for tag in &TAGS[1..] {
            assert_eq!(self.held(tag).unwrap(), old().root.digest().as_str(), "{tag}");
        }
    }
}

/// What is certified makes the upload registry's tags public, after some looks at each.
fn publisher(upload: &Arc<Faulty>, public: &Arc<Faulty>, published: PathBuf) -> JoinHandle<()> {
    let (upload, public) = (Arc::clone(upload), Arc::clone(public));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            for tag in TAGS.iter().filter(|_| published.exists()) {
                let path = format!("{PUBLIC}/manifests/{tag}");
                let looked = public.count(Method::HEAD, &path) >= 3;
                for image in [new(), old()].iter().filter(|_| looked) {
                    let is_held = upload.memory.tag(UPLOAD, tag).as_deref()
                        == Some(image.root.digest().as_str());
                    if is_held {
                        public.memory.hold(PUBLIC, tag, image);
                    }
                }
            }
        }
    })
}

fn architectures() -> [(&'static str, Sample); 2] {
    ["amd64", "arm64"].map(|it| (it, publish_index::image("new", it)))
}

fn new() -> Sample {
    index(&architectures())
}

fn old() -> Sample {
    index(&["amd64", "arm64"].map(|it| (it, publish_index::image("old", it))))
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn done(output: &Output) -> Value {
    let document = programs::json(output);
    documented(&document);
    document
}

fn failed(output: &Output, code: i32) -> (Value, String) {
    let (document, said) = programs::failure(output, code);
    if code != 2 {
        documented(&document);
    }
    for secret in ["the-api-key", "the-registry-key"] {
        assert!(!said.contains(secret) && !document.to_string().contains(secret), "{said}");
    }
    (document, said)
}
