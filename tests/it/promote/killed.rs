//! The program is killed, or told to end, wherever it is; the next run puts that right.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{digest, expecting, held, image, wait_for};
use crate::support::documents::documented;
use crate::support::faulty::{Fault, Faulty};
use crate::support::process::terminate;
use crate::support::programs::{failure, file, json, program};
use crate::support::wait::until;

const TAGS: [&str; 3] = ["one", "two", "three"];

/// Images that wait, and a command line that promotes them one after the other.
struct Site {
    server: Faulty,
    folder: TempDir,
    images: PathBuf,
    record: PathBuf,
}

impl Site {
    /// `one` and `three` hold an older image, `two` nothing.
    async fn new() -> Self {
        let server = Faulty::start().await;
        wait_for(&server, &TAGS, &image("new"));
        for tag in ["one", "three"] {
            server.memory.hold("org/a", tag, &image("old"));
        }
        let folder = tempfile::tempdir().unwrap();
        let repository = format!("{}/org/a", server.registry());
        let images = json!([{"repository": repository, "tags": TAGS}]).to_string();
        let images = file(folder.path(), "images.json", &images);
        let record = folder.path().join("record.jsonl");
        Self { server, folder, images, record }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program("promote-retag");
        command
            .args(arguments)
            .args(["--no-ambient-config", "--parallel", "1"])
            .args(["--plain-http", &self.server.registry().to_string()])
            .arg("--record")
            .arg(&self.record);
        command
    }

    fn promotion(&self) -> Command {
        let mut command = self.command(&["promote", "--change", "1"]);
        command.arg("--images").arg(&self.images);
        command
    }

    /// Runs it while the server goes on.
    async fn run(&self, mut command: Command) -> Output {
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs it until it waits for the answer to this request, which is then not carried out.
    async fn run_until(
        &self,
        mut command: Command,
        method: Method,
        path: &str,
    ) -> (Child, watch::Sender<bool>) {
        let (release, gate) = watch::channel(false);
        let before = self.server.count(method.clone(), path);
        self.server.fault(1, method.clone(), path, Fault::Hold(gate));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| self.server.count(method.clone(), path) > before).await;
        (child, release)
    }

    fn tags(&self) -> [Option<String>; 3] {
        TAGS.map(|tag| held(&self.server, tag))
    }

    fn before() -> [Option<String>; 3] {
        let old = digest(&image("old"));
        [Some(old.clone()), None, Some(old)]
    }

    fn after() -> [Option<String>; 3] {
        TAGS.map(|_| Some(digest(&image("new"))))
    }

    fn outcome(&self) -> Value {
        let text = std::fs::read_to_string(&self.record).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        last["outcome"]["result"].clone()
    }
}

/// Every request that it makes, in this order.
const STEPS: [(Method, &str); 15] = [
    (Method::GET, "manifests/change_1_one"),
    (Method::GET, "manifests/change_1_two"),
    (Method::GET, "manifests/change_1_three"),
    (Method::GET, "manifests/one"),
    (Method::GET, "manifests/two"),
    (Method::GET, "manifests/three"),
    (Method::PUT, "manifests/one"),
    (Method::PUT, "manifests/two"),
    (Method::PUT, "manifests/three"),
    (Method::HEAD, "manifests/change_1_one"),
    (Method::DELETE, "manifests/change_1_one"),
    (Method::HEAD, "manifests/change_1_two"),
    (Method::DELETE, "manifests/change_1_two"),
    (Method::HEAD, "manifests/change_1_three"),
    (Method::DELETE, "manifests/change_1_three"),
];

async fn kill(mut child: Child, gate: watch::Sender<bool>) {
    child.kill().unwrap();
    child.wait().unwrap();
    // What was held is not carried out any more: its connection is gone.
    std::mem::forget(gate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_anywhere_is_finished_by_the_next() {
    for (step, (method, path)) in STEPS.into_iter().enumerate() {
        let site = Site::new().await;
        let (child, gate) = site.run_until(site.promotion(), method, path).await;
        kill(child, gate).await;
        let written =
            site.tags().iter().flatten().filter(|it| **it == digest(&image("new"))).count();
        assert_eq!(written, step.saturating_sub(6).min(3), "{path}");

        documented(&json(&site.run(site.promotion()).await));
        assert_eq!((site.tags(), site.outcome()), (Site::after(), json!("promoted")), "{path}");
        for tag in TAGS {
            assert_eq!(held(&site.server, &format!("change_1_{tag}")), None, "{path}");
        }
        let rolled_back = json(&site.run(site.command(&["rollback"])).await);
        documented(&rolled_back);
        assert_eq!(site.tags(), Site::before(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_between_its_writes_can_be_rolled_back_at_once() {
    for path in ["manifests/one", "manifests/two", "manifests/three"] {
        let site = Site::new().await;
        let (child, gate) = site.run_until(site.promotion(), Method::PUT, path).await;
        kill(child, gate).await;
        json(&site.run(site.command(&["rollback"])).await);
        assert_eq!((site.tags(), site.outcome()), (Site::before(), json!("rolled-back")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_anywhere_is_finished_by_the_next() {
    for (method, path) in [
        (Method::HEAD, "manifests/one"),
        (Method::PUT, "manifests/one"),
        (Method::DELETE, "manifests/two"),
        (Method::PUT, "manifests/three"),
    ] {
        let site = Site::new().await;
        json(&site.run(site.promotion()).await);
        let (child, gate) = site.run_until(site.command(&["rollback"]), method, path).await;
        kill(child, gate).await;
        json(&site.run(site.command(&["rollback"])).await);
        assert_eq!((site.tags(), site.outcome()), (Site::before(), json!("rolled-back")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_while_it_puts_back_another_is_made_good_by_the_next() {
    let site = Site::new().await;
    let (child, gate) = site.run_until(site.promotion(), Method::PUT, "manifests/three").await;
    kill(child, gate).await;
    wait_for(&site.server, &TAGS, &image("later"));
    // The other promotion first puts back what was begun.
    let (child, gate) = site.run_until(site.promotion(), Method::DELETE, "manifests/two").await;
    kill(child, gate).await;
    let promoted = json(&site.run(site.promotion()).await);
    assert_eq!(promoted["promoted"][0]["previous"], digest(&image("old")));
    assert_eq!(promoted["promoted"][1]["previous"], Value::Null);
    assert_eq!(site.tags(), TAGS.map(|_| Some(digest(&image("later")))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_record_that_is_killed_is_finished_by_the_next_that_knows_the_uploads() {
    let site = Site::new().await;
    let command = |uploads: bool| {
        let mut command = program("promote-retag");
        command
            .args(["promote", "--no-ambient-config", "--parallel", "1", "--change", "1"])
            .args(["--plain-http", &site.server.registry().to_string(), "--images"])
            .arg(&site.images);
        if uploads {
            let artifacts = TAGS.map(|tag| upload(&site, tag));
            let artifacts = file(site.folder.path(), "uploads.json", &json!(artifacts).to_string());
            command.arg("--uploads").arg(artifacts);
        }
        command
    };
    let path = "manifests/change_1_two";
    let (child, gate) = site.run_until(command(false), Method::DELETE, path).await;
    kill(child, gate).await;
    // One temporary tag is gone, and nothing says what it was.
    let (document, said) = failure(&site.run(command(false)).await, 3);
    assert!(said.contains("`one` holds") && !said.contains("change_1_two"), "{said}");
    documented(&document);
    json(&site.run(command(true)).await);
    assert_eq!(site.tags(), Site::after());
    assert_eq!(held(&site.server, "change_1_three"), None);
}

fn upload(site: &Site, tag: &str) -> Value {
    let promotion = expecting(&site.server, tag, &image("new"));
    let waiting = promotion.from.tag.unwrap();
    json!({"name": format!("{}:{waiting}", promotion.repository), "url": "docker://", "metadata": {
        "type": "container_image_upload", "repository": promotion.repository, "tag": tag,
        "temporary_tag": waiting, "digest": digest(&image("new"))}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_end_puts_back_what_it_wrote() {
    let site = Site::new().await;
    let (mut child, gate) = site.run_until(site.promotion(), Method::PUT, "manifests/two").await;
    assert_ne!(site.tags(), Site::before());
    terminate(child.id());
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let heard = tokio::task::spawn_blocking(move || {
        said.read_line(&mut String::new()).unwrap();
        said
    });
    let mut said = heard.await.unwrap();
    // It has heard of it; the write on its way is answered after that.
    gate.send_replace(true);
    let ending = tokio::task::spawn_blocking(move || {
        let mut rest = Vec::new();
        said.read_to_end(&mut rest).unwrap();
        Output { stderr: rest, ..child.wait_with_output().unwrap() }
    });
    let (document, said) = failure(&ending.await.unwrap(), 1);
    assert!(said.contains("interrupted") && said.contains("put back"), "{said}");
    assert_eq!(document["error"]["kind"], "undone");
    documented(&document);
    assert_eq!((site.tags(), site.outcome()), (Site::before(), json!("undone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_end_before_it_writes_says_so() {
    let site = Site::new().await;
    let (child, _gate) = site.run_until(site.promotion(), Method::GET, "manifests/one").await;
    terminate(child.id());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let (document, said) = failure(&output, 1);
    assert!(said.contains("no tag was written"), "{said}");
    assert_eq!(document["error"]["kind"], "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_leaves_a_tag_fails_and_names_it() {
    let site = Site::new().await;
    json(&site.run(site.promotion()).await);
    site.server.memory.hold("org/a", "one", &image("theirs"));
    let (document, said) = failure(&site.run(site.command(&["rollback"])).await, 1);
    assert!(said.contains("org/a:one (somebody else moved it since)"), "{said}");
    assert_eq!(document["rolled_back"][0]["result"], "moved");
    assert_eq!(document["rolled_back"][1]["result"], "done");
    documented(&document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_rolled_back_only_where_the_credentials_are_for() {
    let site = Site::new().await;
    json(&site.run(site.promotion()).await);
    let rule = json!({site.server.registry().to_string(): {
        "username": "u", "password": "p", "repository": "/other/"}});
    let rule = file(site.folder.path(), "login.json", &rule.to_string());
    let mut command = site.command(&["rollback"]);
    command.arg("--credentials").arg(rule);
    let (_, said) = failure(&site.run(command).await, 3);
    assert!(said.contains("only for repositories that match"), "{said}");
    assert_eq!(site.tags(), Site::after());
}
