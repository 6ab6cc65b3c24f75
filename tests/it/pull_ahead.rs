//! A pull that asks Zuul for the images of the changes ahead, since Zuul hands over a part of them or none.

use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Digest;

use crate::support::builds;
use crate::support::documents::documented;
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};
use crate::support::web::{Web, document};

const REPOSITORY: &str = "q.io/a";

/// Changes 1 and 2 are ahead of change 3; their builds may have pushed images.
struct Site {
    intermediate: RegistryProcess,
    node: RegistryProcess,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let (intermediate, node) = (RegistryProcess::start(), RegistryProcess::start());
        Self { intermediate, node, folder: tempfile::tempdir().unwrap() }
    }

    /// The build of a change, that pushed an image of this tag.
    async fn build(&self, change: u32, tag: &str) -> (Value, Digest) {
        let build = builds::build(change, change, &json!([self.artifact(change, tag)]));
        let pushed = format!("{}_{tag}", build["uuid"].as_str().unwrap());
        let to = repository(&self.intermediate.login(), REPOSITORY);
        let digest = push_index(&to, &pushed, &format!("{change} {tag}"), &["linux/amd64"]).await;
        (build, digest)
    }

    fn artifact(&self, change: u32, tag: &str) -> Value {
        json!({
            "name": format!("{REPOSITORY}:{tag}"),
            "url": format!("docker://{}/{REPOSITORY}:{change:032x}_{tag}", self.intermediate.address),
            "metadata": {"type": "container_image", "repository": REPOSITORY, "tag": tag}})
    }

    /// Pulls for change 3, to which Zuul handed these artifacts.
    fn pull(&self, zuul: &Web, handed: &Value, more: &[&str]) -> Output {
        let file = |name: &str, value: &Value| file(self.folder.path(), name, &value.to_string());
        program("intermediate-registry-sync")
            .args(["pull", "--no-ambient-config", "--plain-http", &zuul.place().to_string()])
            .args(["--zuul-api", &builds::url(zuul)])
            .arg("--zuul")
            .arg(file("zuul.json", &variable()))
            .arg("--artifacts")
            .arg(file("artifacts.json", handed))
            .arg("--from")
            .arg(self.intermediate.connection())
            .arg("--to")
            .arg(self.node.connection())
            .args(more)
            .output()
            .unwrap()
    }

    /// What the buildset registry holds.
    async fn held(&self, tag: &str) -> Option<Digest> {
        digest_of(&repository(&self.node.login(), REPOSITORY), tag).await
    }
}

/// `zuul` of the job.
fn variable() -> Value {
    let change = |number: u32| {
        json!({"change": number.to_string(), "patchset": "1",
        "project": {"name": "org/project"}, "branch": "master"})
    };
    let mut own = change(3);
    own["pipeline"] = json!("gate");
    own["items"] = json!([change(1), change(2), change(3)]);
    own
}

/// The same build before it ended.
fn running(mut build: Value) -> Value {
    for name in ["result", "end_time", "duration"] {
        build[name] = Value::Null;
    }
    build["artifacts"] = json!([]);
    build
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_ahead_that_runs_longer_than_allowed_is_named_and_nothing_is_pulled() {
    let site = Site::new();
    let (first, _) = site.build(1, "1").await;
    let (second, _) = site.build(2, "1").await;
    // Its job pushed images for a change before.
    let (before, _) = site.build(9, "1").await;
    let zuul = builds::serve(vec![running(second), first, before]);
    let (document, said) = failure(&site.pull(&zuul, &json!([]), &["--wait", "1s"]), 1);
    documented(&document);
    assert_eq!(document["error"]["kind"], "timeout");
    assert!(said.contains("upload-image of change 2,1 of org/project"), "{said}");
    assert!(said.contains(&format!("build {:032x}", 2)), "{said}");
    assert_eq!(site.held("1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_of_a_change_ahead_that_point_elsewhere_are_refused() {
    let site = Site::new();
    let mut artifact = site.artifact(1, "1");
    artifact["url"] = json!(format!("docker://evil.example/{REPOSITORY}:{:032x}_1", 1));
    let zuul = builds::serve(vec![builds::build(1, 1, &json!([artifact]))]);
    let (_, said) = failure(&site.pull(&zuul, &json!([]), &[]), 3);
    assert!(said.contains("evil.example"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_does_not_answer_as_zuul_does_fails_the_pull() {
    let site = Site::new();
    for answer in [json!({"builds": []}), json!([{"artifacts": {}}])] {
        let zuul = Web::start(move |_| document(200, &answer));
        let (document, said) = failure(&site.pull(&zuul, &json!([]), &[]), 1);
        assert_eq!(document["error"]["kind"], "protocol", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zuul_hands_over_nothing_and_the_images_of_the_changes_ahead_are_pulled() {
    let site = Site::new();
    let (first, of_first) = site.build(1, "1").await;
    let (second, of_second) = site.build(2, "2").await;
    let (own, _) = site.build(3, "3").await;
    let zuul = builds::serve(vec![own, second, first]);
    let pulled = json(&site.pull(&zuul, &json!([]), &[]));
    documented(&pulled);
    assert_eq!(site.held("1").await, Some(of_first));
    assert_eq!(site.held("2").await, Some(of_second));
    assert_eq!(site.held("3").await, None, "an image of the own change was pulled");
    let uuid = |change: u32| format!("{change:032x}");
    assert_eq!(
        pulled["ahead"],
        json!([
            {"project": "org/project", "change": "1", "patchset": "1", "builds": [uuid(1)], "images": 1},
            {"project": "org/project", "change": "2", "patchset": "1", "builds": [uuid(2)], "images": 1},
        ])
    );
    let asked = |change: u32| {
        format!(
            "GET /api/tenant/example/builds?project=org%2Fproject&pipeline=gate&change={change}&patchset=1&limit=100"
        )
    };
    let mut all = zuul.asked();
    all.sort();
    assert_eq!(all, [asked(1), asked(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_image_the_nearest_changes_is_taken_whoever_told_of_it() {
    for told_by_zuul in [vec![], vec![1], vec![2], vec![1, 2]] {
        let site = Site::new();
        let builds = [site.build(1, "1").await, site.build(2, "1").await];
        let handed: Vec<Value> = told_by_zuul
            .iter()
            .map(|change| {
                let mut artifact = site.artifact(*change, "1");
                artifact["project"] = json!("org/project");
                artifact["change"] = json!(change.to_string());
                artifact["job"] = json!("upload-image");
                artifact
            })
            .collect();
        let [(first, _), (second, of_second)] = builds;
        // What Zuul handed over may be of a paused build, whose artifacts its API does not have yet.
        let of_api = |build: Value, number: u32| match told_by_zuul.contains(&number) {
            true => running(build),
            false => build,
        };
        let zuul = builds::serve(vec![of_api(second, 2), of_api(first, 1)]);
        let pulled = json(&site.pull(&zuul, &json!(handed), &["--wait", "0s"]));
        assert_eq!(site.held("1").await, Some(of_second), "{told_by_zuul:?}");
        assert_eq!(pulled["images"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_newest_buildset_of_a_change_made_with_success_is_pulled() {
    let site = Site::new();
    let (mut older, _) = site.build(1, "1").await;
    older["buildset"]["uuid"] = json!("older");
    let (mut failed, _) = site.build(1, "2").await;
    failed["result"] = json!("FAILURE");
    let (newest, of_newest) = site.build(1, "3").await;
    let zuul = builds::serve(vec![failed, newest, older]);
    json(&site.pull(&zuul, &json!([]), &[]));
    assert_eq!(site.held("3").await, Some(of_newest));
    assert_eq!((site.held("1").await, site.held("2").await), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buildset_of_more_builds_than_one_answer_holds_is_read_to_its_end() {
    let site = Site::new();
    let (oldest, digest) = site.build(1, "1").await;
    let mut other = builds::build(1, 1, &json!([]));
    other["job_name"] = json!("tox");
    let mut all = vec![other; 100];
    all.push(oldest);
    let zuul = builds::serve(all);
    json(&site.pull(&zuul, &json!([]), &[]));
    assert_eq!(site.held("1").await, Some(digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_build_that_pushes_images_is_waited_for() {
    let site = Site::new();
    let (first, digest) = site.build(1, "1").await;
    let mut of_a_test = running(first.clone());
    of_a_test["job_name"] = json!("tox");
    let before = builds::build(9, 9, &json!([site.artifact(9, "1")]));
    let asked = AtomicUsize::new(0);
    let zuul = Web::start(move |request| {
        let query = request.uri().query().unwrap();
        let ended = query.contains("change=1&") && asked.fetch_add(1, Ordering::SeqCst) > 0;
        let own = if ended { first.clone() } else { running(first.clone()) };
        let builds = [of_a_test.clone(), own, before.clone()];
        document(200, &Value::Array(builds::choose(&builds, query)))
    });
    json(&site.pull(&zuul, &json!([]), &["--wait", "1m"]));
    assert_eq!(site.held("1").await, Some(digest));
    // What the job pushed before is asked once.
    let about_jobs = zuul.asked().into_iter().filter(|it| it.contains("job_name=upload-image"));
    assert_eq!(about_jobs.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_push_no_images_are_not_waited_for() {
    let site = Site::new();
    let (first, digest) = site.build(1, "1").await;
    let mut of_a_test = running(first.clone());
    of_a_test["job_name"] = json!("tox");
    let zuul = builds::serve(vec![of_a_test, first]);
    json(&site.pull(&zuul, &json!([]), &["--wait", "0s"]));
    assert_eq!(site.held("1").await, Some(digest));

    let named = site.pull(&zuul, &json!([]), &["--wait", "0s", "--zuul-job", "tox"]);
    let (_, said) = failure(&named, 1);
    assert!(said.contains("tox of change 1,1"), "{said}");
}
