//! An image is not replaced by that of a change that merged before.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{digest, held, image, wait_for};
use crate::support::builds;
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::programs::{failure, file, json, program};
use crate::support::sample::Sample;
use crate::support::web::Web;

/// Change 1 waits for `one`, which holds the image of change 2.
struct Site {
    server: Faulty,
    folder: TempDir,
    images: PathBuf,
}

impl Site {
    async fn new() -> Self {
        let server = Faulty::start().await;
        wait_for(&server, &["one"], &image("of change 1"));
        server.memory.hold("org/a", "one", &image("of change 2"));
        let folder = tempfile::tempdir().unwrap();
        let images =
            json!([{"repository": format!("{}/org/a", server.registry()), "tags": ["one"]}]);
        let images = file(folder.path(), "images.json", &images.to_string());
        Self { server, folder, images }
    }

    /// What the build of a change uploaded, which entered its pipeline at this hour.
    fn build(&self, change: u32, hour: u32, image: &Sample) -> Value {
        let repository = format!("{}/org/a", self.server.registry());
        let waiting = format!("change_{change}_one");
        let artifact = json!({"name": format!("{repository}:{waiting}"), "url": "docker://x", "metadata": {
            "type": "container_image_upload", "repository": repository, "tag": "one",
            "temporary_tag": waiting, "digest": digest(image), "platforms": []}});
        builds::build(change, hour, &json!([artifact]))
    }

    fn promotion(&self) -> Command {
        let mut command = program("promote-retag");
        command
            .args(["promote", "--no-ambient-config", "--change", "1", "--images"])
            .arg(&self.images)
            .args(["--plain-http", &self.server.registry().to_string()]);
        command
    }

    /// With what Zuul says.
    fn asking(&self, zuul: &Web) -> Command {
        let mut command = self.promotion();
        command
            .args(["--plain-http", &zuul.place().to_string(), "--zuul-api", &builds::url(zuul)])
            .args(["--zuul-query", "change=1&patchset=1&pipeline=gate&job_name=upload-image"]);
        command
    }

    /// With the answer of Zuul's API in a file.
    fn reading(&self, builds: &Value) -> Command {
        let mut command = self.promotion();
        command.arg("--uploads").arg(file(self.folder.path(), "uploads.json", &builds.to_string()));
        command
    }
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_a_change_that_merged_later_is_not_replaced_unless_that_is_allowed() {
    let site = Site::new().await;
    let later = site.build(2, 11, &image("of change 2"));
    let own = site.build(1, 10, &image("of change 1"));
    let zuul = builds::serve(vec![later.clone(), own.clone()]);
    for command in [site.asking(&zuul), site.reading(&json!([later, own]))] {
        let (document, said) = failure(&run(command).await, 3);
        assert!(said.contains("of change 2,1, which merged after change 1,1"), "{said}");
        documented(&document);
        assert_eq!(held(&site.server, "one"), Some(digest(&image("of change 2"))));
    }
    let asked = "GET /api/tenant/example/builds?";
    assert_eq!(
        zuul.asked(),
        [
            format!(
                "{asked}change=1&patchset=1&pipeline=gate&job_name=upload-image&result=SUCCESS"
            ),
            format!(
                "{asked}project=org%2Fproject&branch=master&pipeline=gate&job_name=upload-image&result=SUCCESS&limit=100"
            ),
        ]
    );
    let mut command = site.asking(&zuul);
    command.arg("--move-back");
    json(&run(command).await);
    assert_eq!(held(&site.server, "one"), Some(digest(&image("of change 1"))));
    assert_eq!(zuul.asked().len(), 3);
}

/// Who approves the last of a stack has Zuul enqueue all of it by one event.
#[tokio::test(flavor = "multi_thread")]
async fn of_changes_that_entered_at_once_the_later_is_known_by_its_build() {
    let site = Site::new().await;
    let mut later = site.build(2, 10, &image("of change 2"));
    later["start_time"] = json!("2026-01-02T10:06:00");
    later["end_time"] = json!("2026-01-02T10:09:00");
    let zuul = builds::serve(vec![later, site.build(1, 10, &image("of change 1"))]);
    let (_, said) = failure(&run(site.asking(&zuul)).await, 3);
    assert!(said.contains("of change 2,1, which merged after change 1,1"), "{said}");
    assert_eq!(held(&site.server, "one"), Some(digest(&image("of change 2"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_a_later_patch_set_is_not_replaced_by_that_of_an_earlier_one() {
    let site = Site::new().await;
    let mut later = site.build(1, 11, &image("of change 2"));
    later["ref"]["patchset"] = json!("2");
    let zuul = builds::serve(vec![later, site.build(1, 10, &image("of change 1"))]);
    let (_, said) = failure(&run(site.asking(&zuul)).await, 3);
    assert!(said.contains("of change 1,2, which merged after change 1,1"), "{said}");
    assert_eq!(held(&site.server, "one"), Some(digest(&image("of change 2"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_merged_before_or_is_not_known_is_replaced() {
    for others in [vec![], vec![(2, 9, "of change 2")], vec![(3, 11, "of change 3")]] {
        let site = Site::new().await;
        let others =
            others.into_iter().map(|(change, hour, name)| site.build(change, hour, &image(name)));
        let own = site.build(1, 10, &image("of change 1"));
        let zuul = builds::serve(others.chain([own]).collect());
        let promoted = json(&run(site.asking(&zuul)).await);
        assert_eq!(promoted["promoted"][0]["changed"], true);
        assert_eq!(held(&site.server, "one"), Some(digest(&image("of change 1"))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_uploads_the_newest_of_the_own_change_is_demanded() {
    let site = Site::new().await;
    wait_for(&site.server, &["one"], &image("patch set 2"));
    // Oldest first, as Zuul hands them to a job; the last one is of another change.
    let builds = [
        site.build(1, 10, &image("patch set 1")),
        site.build(1, 11, &image("patch set 2")),
        site.build(3, 12, &image("of change 3")),
    ];
    let uploads: Vec<&Value> = builds.iter().map(|build| &build["artifacts"][0]).collect();
    let promoted = json(&run(site.reading(&json!(uploads))).await);
    assert_eq!(promoted["promoted"][0]["digest"], digest(&image("patch set 2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_that_zuul_knows_is_demanded() {
    let site = Site::new().await;
    let zuul = builds::serve(vec![site.build(1, 10, &image("tested"))]);
    let (_, said) = failure(&run(site.asking(&zuul)).await, 3);
    assert!(said.contains(&digest(&image("tested"))) && said.contains("later upload"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_not_there_or_did_not_succeed_is_none() {
    let site = Site::new().await;
    let mut failed = site.build(1, 10, &image("of change 1"));
    failed["result"] = json!("FAILURE");
    for builds in [vec![], vec![failed]] {
        let zuul = builds::serve(builds);
        let (document, said) = failure(&run(site.asking(&zuul)).await, 1);
        assert!(said.contains("no successful build for `change=1&patchset=1"), "{said}");
        assert_eq!(document["error"]["kind"], "not-found");
        assert_eq!(site.server.requests(), [""; 0]);
    }
}
