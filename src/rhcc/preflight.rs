use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;
use tokio::process::{Child, Command};

use super::poll::Clock;
use super::version::Version;
use super::{Error, State, Talk};
use crate::auth::{Credentials, Secret};
use crate::oci::{ImageReference, printable};

/// Results are some hundred kilobytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How long it may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);

/// How often is told that it still runs.
const TALK_EVERY: Duration = Duration::from_secs(1);

/// How Red Hat's program is run.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// The program, by its whole path: it runs in a folder of its own.
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

/// What is to be judged, and with what.
pub(super) struct Job<'a> {
    /// By its tag: of an image asked for by digest Red Hat records no tag.
    pub(super) image: &'a ImageReference,
    pub(super) login: &'a Credentials,
    pub(super) project: &'a str,
    /// Where its results go.
    pub(super) results: &'a Path,
    /// One architecture only.
    pub(super) platform: Option<&'a str>,
    /// The lock of the project, which it holds as long as it lives: whoever kills this program does not kill it.
    pub(super) lock: fs::File,
    pub(super) talk: &'a dyn Talk,
}

impl Preflight {
    /// Refuses a version below the one that is needed.
    ///
    /// # Errors
    /// It is, it does not say which it is, or it cannot be run.
    pub async fn demand(&self, least: &Version) -> Result<(), Error> {
        let shown = self.program.display();
        let io = |error| Error::io(&format!("run {shown}"), error);
        let private = tempfile::tempdir().map_err(io)?;
        let mut command = self.command(private.path());
        let output = command.arg("--version").stdin(Stdio::null()).output();
        let output = tokio::time::timeout(VERSION_LIMIT, output).await;
        let output = output.map_err(|error| io(error.into()))?.map_err(io)?;
        match Version::told(&String::from_utf8_lossy(&output.stdout)) {
            Some(version) if version >= *least => Ok(()),
            Some(version) => Err(Error::Input(format!(
                "preflight not found or older than {least}: {shown} is {version}"
            ))),
            None if *least == Version::ANY => Ok(()),
            None => Err(Error::Input(format!(
                "preflight not found or older than {least}: {shown} does not say its version; --preflight-min=0 \
                 takes any"
            ))),
        }
    }

    /// Judges and submits an image.
    pub(super) async fn run(&self, job: Job<'_>) -> Result<Outcome, Error> {
        let io = |error| Error::io("prepare a folder for preflight", error);
        // It reads a config.yaml of its working directory, and hands the docker configuration on to Red Hat.
        let private = tempfile::tempdir().map_err(io)?;
        let (empty, logs) = (private.path().join("empty"), job.results.join("logs"));
        fs::create_dir(&empty).map_err(io)?;
        // It makes no folder for its log, and finds that out when it has submitted.
        fs::create_dir_all(&logs).map_err(io)?;
        let config = private.path().join("config.json");
        let auth = format!("{}:{}", job.login.username, job.login.password.reveal());
        let auth = base64::engine::general_purpose::STANDARD.encode(auth);
        let document = json!({"auths": {job.image.registry.to_string(): {"auth": auth}}});
        fs::write(&config, document.to_string()).map_err(io)?;
        let (artifacts, log) = (job.results.join("artifacts"), logs.join("preflight.log"));
        let output = |name: &str| fs::File::create(logs.join(name)).map_err(io);
        let mut command = self.command(&empty);
        command
            .args(["check", "container", &job.image.to_string(), "--submit"])
            .args(job.platform.map(|platform| format!("--platform={platform}")))
            .env("PFLT_PYXIS_API_TOKEN", self.api_key.reveal())
            .env("PFLT_CERTIFICATION_COMPONENT_ID", job.project)
            .env("PFLT_DOCKERCONFIG", &config)
            .env("PFLT_ARTIFACTS", &artifacts)
            .env("PFLT_LOGFILE", &log)
            .envs(self.pyxis_host.as_ref().map(|host| ("PFLT_PYXIS_HOST", host)))
            // The lock's file is empty.
            .stdin(Stdio::from(job.lock))
            .stdout(output("stdout")?)
            .stderr(output("stderr")?);
        let doing = format!("run {}", self.program.display());
        let mut child = command.spawn().map_err(|error| Error::io(&doing, error))?;
        let waiting = format!("preflight on {}", job.image);
        let ended = self.wait(&mut child, job.talk, &waiting, &log);
        let ended = ended.await.map_err(|error| Error::io(&doing, error))?;
        let said = [read(&log), read(&logs.join("stderr"))].concat();
        let secrets = [self.api_key.reveal(), job.login.password.reveal(), auth.as_str()];
        let error = match ended {
            None => Some(format!("it was not done after {} s", self.limit.as_secs())),
            // 2 is what it may say once of checks that failed, which its files say as well.
            Some(status) if status.success() || status.code() == Some(2) => None,
            Some(_) => Some(explanation(&said, &secrets)),
        };
        Ok(Outcome { verdicts: verdicts(&artifacts), images: images(&said), error })
    }

    /// It, in this folder, with nothing of the environment but what it is to have.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(folder)
            .env_clear()
            .envs(self.pass.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("HOME", folder)
            .kill_on_drop(true);
        command
    }

    /// None if it took too long and was ended.
    async fn wait(
        &self,
        child: &mut Child,
        talk: &dyn Talk,
        waiting: &str,
        log: &Path,
    ) -> Result<Option<ExitStatus>, std::io::Error> {
        let clock = Clock::start(self.limit);
        loop {
            let next = tokio::time::timeout(TALK_EVERY.min(clock.left()), child.wait());
            if let Ok(ended) = next.await {
                return ended.map(Some);
            }
            if clock.say(talk, State::Pushed, waiting, &last_line(log)).is_zero() {
                child.kill().await?;
                return Ok(None);
            }
        }
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

fn explanation(said: &str, secrets: &[&str]) -> String {
    let last =
        said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
    let mut last = last.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        last = last.replace(secret, "[secret]");
    }
    let last = printable(&last, 400);
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

/// What was written last to a log that grows.
fn last_line(log: &Path) -> String {
    const ENOUGH: u64 = 2048;
    let read = || {
        let mut file = fs::File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(ENOUGH)))?;
        let mut end = Vec::new();
        file.take(ENOUGH).read_to_end(&mut end)?;
        Ok::<_, std::io::Error>(end)
    };
    let end = read().unwrap_or_default();
    let end = String::from_utf8_lossy(&end);
    printable(end.lines().next_back().unwrap_or("nothing yet"), 120)
}
