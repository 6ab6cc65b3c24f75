//! A rerun writes what is missing and nothing else; and says what stands there all the same.

use http::Method;

use super::{Site, done, failed, image, run, states};
use crate::support::faulty::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_is_not_written_again_but_the_digest_file_is() {
    let site = Site::with(&["amd64", "arm64"]).await;
    let file = site.path("digest");
    let option = format!("--digest-file={}", file.display());
    let first = done(&site.publish_both(&[&option]).await);
    std::fs::remove_file(&file).unwrap();
    let puts = site.puts().len();
    let again = done(&site.publish_both(&[&option]).await);
    assert_eq!((states(&again), site.puts().len()), (vec!["unchanged"], puts));
    assert_eq!(again["totals"]["manifests_written"], 0);
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written.trim(), first["digest"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_missing_is_written_alone() {
    let site = Site::with(&["amd64"]).await;
    done(&site.publish_one(&["40", "latest"], &[]).await);
    for broken in ["missing", "stale"] {
        match broken {
            "missing" => site.server.memory.forget_tag("org/img", "latest"),
            _ => site.server.memory.hold(
                "org/img",
                "latest",
                &super::built("old", "amd64", "2020-01-01T00:00:00Z"),
            ),
        }
        site.server.forget_requests();
        let again = done(&site.publish_one(&["40", "latest"], &[]).await);
        assert_eq!(states(&again), ["unchanged", "published"], "{broken}");
        assert_eq!(site.puts(), ["latest"], "{broken}");
        assert_eq!(site.held("latest"), site.held("40"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_images_does_not_matter() {
    let site = Site::with(&["amd64", "arm64"]).await;
    let first = done(&site.publish_both(&[]).await);
    let images = [site.image("arm64", "arm64"), site.image("amd64", "amd64")];
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let again = done(&run(site.command(&["40"], &images)).await);
    assert_eq!((states(&again), &again["digest"]), (vec!["unchanged"], &first["digest"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_force_a_tag_is_written_that_is_right() {
    let site = Site::with(&["amd64"]).await;
    done(&site.publish_one(&["40"], &[]).await);
    site.server.forget_requests();
    assert_eq!(states(&done(&site.publish_one(&["40"], &["--force"]).await)), ["published"]);
    assert_eq!(site.puts(), ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_in_passing_is_tried_again() {
    let site = Site::with(&["amd64"]).await;
    let refusal = Fault::Answer(502, Vec::new(), String::new());
    site.server.fault(2, Method::PUT, "org/img/manifests/40", refusal);
    let document = done(&site.publish_one(&["40"], &[]).await);
    assert_eq!(states(&document), ["published"]);
    // The image below it, and the index.
    assert_eq!(document["totals"]["manifests_written"], 2);
    assert_eq!(site.puts().iter().filter(|it| *it == "40").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_cannot_be_written_keeps_none_of_the_others_from_being() {
    let site = Site::with(&["amd64"]).await;
    let refusal = Fault::Answer(403, Vec::new(), String::new());
    site.server.fault(99, Method::PUT, "org/img/manifests/40", refusal);
    let (document, _) = failed(&site.publish_one(&["40", "latest"], &[]).await, 1);
    assert_eq!(document["error"]["kind"], "partial");
    assert_eq!(states(&document), ["failed", "published"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_written_and_writes_nothing() {
    let site = Site::with(&["amd64"]).await;
    let file = site.path("digest");
    let option = format!("--digest-file={}", file.display());
    let options = ["--dry-run", "--architecture-tags", &option, "--notify-command=exit 7"];
    let document = done(&site.publish_one(&["40"], &options).await);
    assert_eq!(states(&document), ["to-publish"]);
    assert_eq!(document["plan"].as_array().unwrap().len(), 2);
    assert_eq!(document["architecture_tags"][0]["changed"], true);
    let writes: Vec<&str> =
        document["writes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let (repository, image) = (site.repository(), image("new", "amd64").root.digest().to_string());
    // Two blobs, which the registry has elsewhere; the image by digest and by tag; the index.
    assert!(writes[..2].iter().all(|it| it.starts_with("MOUNT ")), "{writes:?}");
    let index = document["digest"].as_str().unwrap();
    assert_eq!(
        writes[2..],
        [
            format!("PUT {repository}@{image}"),
            format!("PUT {repository}:40-x86_64 {image}"),
            format!("PUT {repository}:40 {index}"),
        ]
    );
    assert_eq!((site.writes(), file.exists()), (0, false));
    let digest = document["digest"].clone();
    assert_eq!(done(&site.publish_one(&["40"], &[]).await)["digest"], digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_its_own_tag_already_is_only_listed() {
    let site = Site::with(&["amd64"]).await;
    site.server.memory.hold("org/img", "40-x86_64", &image("new", "amd64"));
    let document = done(&site.publish_one(&["40"], &["--architecture-tags"]).await);
    assert_eq!(document["architecture_tags"][0]["changed"], false);
    assert_eq!(site.puts(), ["40"]);
}
