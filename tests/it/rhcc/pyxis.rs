//! What the catalog is asked, and what it may answer.

use serde_json::{Value, json};

use super::site::{Site, TAGS, architectures, done, failed, run};
use crate::support::certificates::signed_by_itself;

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_with_another_certificate_hears_nothing() {
    let site = Site::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = signed_by_itself(elsewhere.path(), "127.0.0.1");
    std::fs::copy(other, &site.catalog.certificate).unwrap();
    let (document, said) = failed(&site.publish(&[]).await, 1);
    assert_eq!(document["error"]["kind"], "tls", "{said}");
    assert!(site.puts().is_empty() && site.catalog.web.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_asked_for_by_the_digest_of_every_architecture() {
    let site = Site::new().await;
    done(&site.publish(&[]).await);
    let asked = site.catalog.web.asked();
    for (_, image) in architectures() {
        let digest = image.root.digest().to_string().replace(':', "%3A");
        let question = format!(
            "GET /api/containers/v1/projects/certification/id/p1/images?\
             filter=docker_image_digest%3D%3D{digest}%3Bdeleted%3D%3Dfalse&page_size=100&page=0"
        );
        assert!(asked.contains(&question), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_catalog_has_is_refused_wherever_it_stands_in_its_list() {
    let digest = architectures()[1].1.root.digest().to_string();
    for is_lax in [false, true] {
        let site = Site::new().await;
        for number in 0..7 {
            site.catalog.hold(&format!("sha256:{number:064}"), true, true);
        }
        site.catalog.hold(&digest, false, false);
        if is_lax {
            // Filters do nothing, and pages are shorter than was asked for.
            site.catalog.set_lax(3);
        }
        let (_, said) = failed(&site.publish(&[]).await, 3);
        assert!(said.contains(&digest) && said.contains("image8"), "{said}");
        assert!(site.puts().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_cannot_mean_is_never_taken_for_nothing() {
    let digest = architectures()[0].1.root.digest().to_string();
    let endless = json!({"data": [{"_id": "a", "docker_image_digest": "x"}], "total": u64::MAX});
    let named = |name: &str| json!({"data": [{"_id": name, "docker_image_digest": digest}]});
    let escape = "\u{1b}[2J../../requests";
    for (status, answer, kind) in [
        (200, json!([]), "protocol"),
        (200, json!({"data": null}), "protocol"),
        (200, json!({"data": [{}]}), "protocol"),
        (200, endless, "protocol"),
        (200, named(escape), "protocol"),
        (200, named(""), "protocol"),
        (401, json!({"detail": "no"}), "unauthorized"),
        (403, json!({"detail": "no"}), "denied"),
        (404, json!({"detail": "no such project"}), "not-found"),
        (500, json!({"detail": "\u{1b}[2J"}), "server"),
    ] {
        let site = Site::new().await;
        site.catalog.set_hostile(status, answer.clone());
        let (document, said) = failed(&site.publish(&[]).await, 1);
        assert_eq!(document["error"]["kind"], kind, "{answer}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        assert!(site.puts().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_null_are_no_images_and_no_error() {
    let site = Site::new().await;
    let digest = architectures()[0].1.root.digest().to_string();
    let image = json!({"_id": "a1", "docker_image_digest": digest, "certified": null, "deleted": true,
        "repositories": null, "container_grades": null, "scan_status": null});
    site.catalog.set_hostile(200, json!({"data": [image], "total": 1, "page": 0}));
    let document = done(&site.publish(&["--dry-run"]).await);
    assert_eq!(document["dry_run"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_catalog_scans_it_is_waited_for_that_and_not_for_customers() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=0s"]).await, 1);
    site.catalog.set_scan(Some("in progress"));
    let (_, said) = failed(&site.resume(&["--scan-timeout=1s", "--publish-timeout=0s"]).await, 1);
    assert!(said.contains("has not scanned amd64, arm64 after 1 s"), "{said}");
    site.assert_not_moved();
    site.open();
    // Whoever can pull it need not ask.
    done(&site.resume(&[]).await);
    site.assert_done();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_has_not_published_is_named_when_time_is_over() {
    let site = Site::new().await;
    site.catalog.set_publishing(false);
    let (_, said) = failed(&site.publish(&["--publish-timeout=0s"]).await, 1);
    assert!(said.contains("the catalog has not published amd64, arm64"), "{said}");
    // It passed, so it is not judged again.
    site.catalog.set_publishing(true);
    done(&site.resume(&[]).await);
    site.assert_done();
    assert_eq!(site.runs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_synchronised_for_every_image_and_what_does_not_come_of_it_is_a_warning() {
    for (outcome, warning) in [
        ("completed", None),
        ("failed", Some("did not synchronise")),
        ("pending", Some("after 6 s")),
    ] {
        let site = Site::new().await;
        site.catalog.set_outcome(outcome);
        let options = ["--sync-tags", "--publish-timeout=6s"];
        let document = done(&site.publish(&options).await);
        assert_eq!(site.catalog.operations(), ["sync-tags image1", "sync-tags image2"]);
        let warnings: Vec<&Value> = document["warnings"].as_array().unwrap().iter().collect();
        match warning {
            None => assert!(warnings.is_empty(), "{warnings:?}"),
            Some(warning) => {
                assert_eq!(warnings.len(), 2);
                assert!(warnings[0].as_str().unwrap().contains(warning), "{warnings:?}");
            }
        }
        site.assert_done();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_shows_less_than_the_registry_is_a_warning() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=0s"]).await, 1);
    site.open();
    site.catalog.set_hostile(200, json!({"data": [], "total": 0}));
    // The publisher asks the catalog's own memory.
    let document = done(&site.resume(&[]).await);
    assert_eq!(document["warnings"].as_array().unwrap().len(), 2);
    assert!(document["warnings"][0].as_str().unwrap().contains("does not show amd64"));
    for tag in TAGS {
        assert_eq!(site.held(tag), site.served(tag));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_shows_state_time_limit_and_the_last_answer() {
    let site = Site::new().await;
    site.shut();
    let output = run(site.publication(&["--publish-timeout=1s"])).await;
    let (_, said) = failed(&output, 1);
    let expected = format!(
        "certified: waiting for {}/vendor/img:{}, 0 of 1 s, nothing there",
        site.public.registry(),
        TAGS[0]
    );
    assert!(said.contains(&expected), "{said}");
    let (_, said) = failed(&site.resume(&["--publish-timeout=1s", "--quiet"]).await, 1);
    assert!(!said.contains("waiting for"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_waiting_is_one_line_that_is_written_over_and_gone_at_the_end() {
    let site = Site::new().await;
    site.shut();
    let publication = site.publication(&["--publish-timeout=1s"]);
    let words = std::iter::once(publication.get_program()).chain(publication.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let line = format!("{} >report.json", words.join(" "));
    // A terminal of its own, whose output is all that comes out.
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().env("TERM", "xterm").current_dir(site.folder.path());
    for (name, value) in publication.get_envs() {
        script.env(name, value.unwrap());
    }
    let output = run(script).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    // It is as wide as the terminal, no more.
    let looks = said.matches("certified: waiting for").count();
    assert!(
        looks > 1 && said.contains("/vendor/img:7.6.1-1, ") && said.contains("of 1 s, no"),
        "{said:?}"
    );
    let lines = said.lines().filter(|line| line.contains("certified: waiting for")).count();
    assert_eq!(lines, 1, "{said:?}");
    let (_, end) = said.rsplit_once("certified: waiting for").unwrap();
    assert!(end.contains("\r\u{1b}[2K") && end.contains("NOT moved"), "{said:?}");
}
