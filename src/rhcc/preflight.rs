use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::Error;
use crate::auth::{Credentials, Secret};
use crate::oci::{ImageReference, printable};

/// Results are some hundred kilobytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// How Red Hat's program is run.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// The program.
    pub program: PathBuf,
    /// The key of the catalog's API.
    pub api_key: Secret,
    /// The catalog's API as `preflight` wants it, host and path without scheme and version; its own where none.
    pub pyxis_host: Option<String>,
    /// How long it may take.
    pub limit: Duration,
    /// Variables it gets from the environment beside its own.
    pub pass: Vec<String>,
}

/// What it said of one architecture.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) passed: bool,
    /// The checks that failed or could not be made.
    pub(super) failed: Vec<String>,
    pub(super) child: Option<String>,
    pub(super) index: Option<String>,
}

/// What it left.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// The names of the images that it submitted.
    pub(super) images: Vec<String>,
    /// How it ended, where that was not well.
    pub(super) error: Option<String>,
}

impl Preflight {
    /// Judges and submits an image, by its tag: of an image asked for by digest Red Hat records no tag.
    pub(super) async fn run(
        &self,
        image: &ImageReference,
        login: &Credentials,
        project: &str,
        results: &Path,
        platform: Option<&str>,
    ) -> Result<Outcome, Error> {
        let io = |error| Error::io("prepare a folder for preflight", error);
        // It reads a config.yaml of its working directory, and hands the docker configuration on to Red Hat.
        let private = tempfile::tempdir().map_err(io)?;
        let (empty, logs) = (private.path().join("empty"), results.join("logs"));
        fs::create_dir(&empty).map_err(io)?;
        // It makes no folder for its log, and finds that out when it has submitted.
        fs::create_dir_all(&logs).map_err(io)?;
        let config = private.path().join("config.json");
        let auth = format!("{}:{}", login.username, login.password.reveal());
        let auth = base64::engine::general_purpose::STANDARD.encode(auth);
        let document = json!({"auths": {image.registry.to_string(): {"auth": auth}}});
        fs::write(&config, document.to_string()).map_err(io)?;
        let (artifacts, log) = (results.join("artifacts"), logs.join("preflight.log"));
        let output = |name: &str| fs::File::create(logs.join(name)).map_err(io);
        let mut command = Command::new(&self.program);
        command
            .args(["check", "container", &image.to_string(), "--submit"])
            .args(platform.map(|platform| format!("--platform={platform}")))
            .current_dir(&empty)
            .env_clear()
            .envs(self.pass.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("HOME", private.path())
            .env("PFLT_PYXIS_API_TOKEN", self.api_key.reveal())
            .env("PFLT_CERTIFICATION_COMPONENT_ID", project)
            .env("PFLT_DOCKERCONFIG", &config)
            .env("PFLT_ARTIFACTS", &artifacts)
            .env("PFLT_LOGFILE", &log)
            .envs(self.pyxis_host.as_ref().map(|host| ("PFLT_PYXIS_HOST", host)))
            .stdin(Stdio::null())
            .stdout(output("stdout")?)
            .stderr(output("stderr")?)
            .kill_on_drop(true);
        let doing = format!("run {}", self.program.display());
        let mut child = command.spawn().map_err(|error| Error::io(&doing, error))?;
        let ended = tokio::time::timeout(self.limit, child.wait()).await;
        let said = [read(&log), read(&logs.join("stderr"))].concat();
        let error = match ended {
            Err(_) => Some(format!("it was not done after {} s", self.limit.as_secs())),
            Ok(status) => {
                let status = status.map_err(|error| Error::io(&doing, error))?;
                // 2 is what it may say once of checks that failed, which its files say as well.
                let well = status.success() || status.code() == Some(2);
                (!well).then(|| explanation(&said))
            }
        };
        Ok(Outcome { verdicts: verdicts(&artifacts), images: images(&said), error })
    }
}

#[derive(Deserialize)]
struct Results {
    passed: bool,
    #[serde(default)]
    results: Lists,
}

#[derive(Deserialize, Default)]
struct Lists {
    #[serde(default)]
    failed: Option<Vec<Check>>,
    #[serde(default)]
    errors: Option<Vec<Check>>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
}

#[derive(Deserialize, Default)]
struct CertImage {
    docker_image_digest: Option<String>,
    #[serde(default)]
    repositories: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    manifest_list_digest: Option<String>,
}

/// One folder for each architecture. What cannot be read is no verdict.
fn verdicts(artifacts: &Path) -> BTreeMap<String, Verdict> {
    let folders = fs::read_dir(artifacts).into_iter().flatten().flatten();
    let verdict = |folder: fs::DirEntry| {
        let results: Results =
            serde_json::from_str(&read(&folder.path().join("results.json"))).ok()?;
        let image: CertImage =
            serde_json::from_str(&read(&folder.path().join("cert-image.json"))).unwrap_or_default();
        let Lists { failed, errors } = results.results;
        let failed = failed.into_iter().chain(errors).flatten();
        let verdict = Verdict {
            passed: results.passed,
            failed: failed.map(|check| printable(&check.name, 80)).collect(),
            child: image.docker_image_digest,
            index: image.repositories.into_iter().next().and_then(|it| it.manifest_list_digest),
        };
        Some((folder.file_name().to_string_lossy().into_owned(), verdict))
    };
    folders.filter_map(verdict).collect()
}

/// `The container's image id is: <id>.`
fn images(said: &str) -> Vec<String> {
    let mut images = Vec::new();
    for after in said.split("image id is: ").skip(1) {
        let id: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
        if !id.is_empty() && !images.contains(&id) {
            images.push(id);
        }
    }
    images
}

fn explanation(said: &str) -> String {
    let last =
        said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
    let last = printable(last, 400);
    match last.contains("not recognized") || last.contains("not supported") {
        true => format!("Pyxis refused this preflight ({last}); update it and go on with `resume`"),
        false => format!("could not submit: {last}"),
    }
}

fn read(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() <= MAX_FILE_BYTES => {
            fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
        }
        _ => String::new(),
    }
}
