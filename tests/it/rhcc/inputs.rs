//! Odd configurations, programs and journals.

use serde_json::{Value, json};

use super::site::{Site, done, failed, new, run};
use crate::support::programs::{file, program};

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_lacks_something_is_told_what() {
    let site = Site::new().await;
    let whole =
        json!({"image_basename": "img", "project_id": "p1", "registry_key": "the-registry-key"});
    let without = |key: &str| {
        let mut product = whole.clone();
        product.as_object_mut().unwrap().remove(key);
        product
    };
    let with = |key: &str, value: &str| {
        let mut product = whole.clone();
        product[key] = json!(value);
        product
    };
    for (product, key, expected) in [
        (without("image_basename"), "the-api-key", "has no image_basename"),
        (without("project_id"), "the-api-key", "has no project_id"),
        (with("registry_key", ""), "the-api-key", "has no registry_key"),
        (with("project_id", "../p1"), "the-api-key", "project_id is no project's"),
        (with("project_id", "a-b"), "the-api-key", "project_id is no project's"),
        (whole.clone(), "the-api\nkey", "rhcc.api_key is no key"),
    ] {
        site.configure(&json!({"products": {"img": product}, "rhcc": {"api_key": key}}));
        let (_, said) = failed(&site.publish(&[]).await, 2);
        assert!(said.contains(expected) && !said.contains("the-api\nkey"), "{said}");
    }
    site.configure(&json!({"products": {"other": whole}}));
    let (_, said) = failed(&site.publish(&[]).await, 2);
    assert!(said.contains("no product \"img\", only other"), "{said}");
    assert!(site.upload.requests().is_empty());
    // The prefix that projects once had is none of the repository.
    site.configure(&json!({"products": {"img": with("project_id", "ospid-p1")}, "rhcc": {"api_key": "the-api-key"}}));
    assert_eq!(done(&site.publish(&[]).await)["project"], "p1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_is_missing_or_too_old_is_refused_before_any_request() {
    let site = Site::new().await;
    let (_, said) = failed(&site.publish(&["--preflight=/nowhere/preflight"]).await, 2);
    assert!(said.contains("preflight not found: /nowhere/preflight"), "{said}");
    let (_, said) = failed(&site.publish(&["--preflight=no-such-program"]).await, 2);
    assert!(said.contains("preflight not found: no-such-program"), "{said}");
    for (version, least, expected) in [
        ("1.9.9", "--preflight-min=1.12.0", "older than 1.12: "),
        ("1.16.0", "--preflight-min=1.16.1", "older than 1.16.1: "),
        ("unknown", "--preflight-min=1", "does not say its version"),
        ("1.16.0", "--preflight-min=new", "numbers with dots"),
    ] {
        site.control("version", version);
        let (_, said) = failed(&site.publish(&[least]).await, 2);
        assert!(said.contains(expected), "{said}");
    }
    assert!(site.upload.requests().is_empty());
    site.control("version", "unknown");
    done(&site.publish(&["--preflight-min=0"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_named_from_here_runs_in_its_own_folder() {
    let site = Site::new().await;
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/preflight");
    std::fs::copy(shipped, site.path("judge")).unwrap();
    let mut command = site.publication(&["--preflight=./judge"]);
    command.current_dir(site.folder.path());
    assert_eq!(done(&run(command).await)["state"], "done");
    site.assert_done();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_does_not_say_where_a_login_is_sent() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=0s"]).await, 1);
    let text = std::fs::read_to_string(site.path("journal.json")).unwrap();
    let journal: Value = serde_json::from_str(&text).unwrap();
    for (key, value) in
        [("upload", "evil.example/isv/p1"), ("public", "evil.example/img"), ("project", "p2")]
    {
        let mut changed = journal.clone();
        changed[key] = json!(value);
        file(site.folder.path(), "journal.json", &changed.to_string());
        for verb in ["resume", "rollback"] {
            let command = match verb {
                "resume" => site.running(verb, &[]),
                _ => {
                    let mut command = site.bare(verb);
                    command.arg("--journal").arg(site.path("journal.json"));
                    command
                }
            };
            let (_, said) = failed(&run(command).await, 3);
            assert!(said.contains(value) && said.contains("the journal is of"), "{said}");
        }
    }
    site.assert_not_moved();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_none_is_refused_and_left_alone() {
    let site = Site::new().await;
    site.shut();
    failed(&site.publish(&["--publish-timeout=0s"]).await, 1);
    let good = std::fs::read_to_string(site.path("journal.json")).unwrap();
    let torn = &good[..good.len() / 2];
    for text in [
        "",
        "[]",
        "{}",
        torn,
        &good.replace("\"version\": 1", "\"version\": 2"),
        &good.replace("\"state\"", "\"stage\""),
        &good.replace("7.6.1-rhcc", "no tag"),
        &good.replace("sha256:", "md5:"),
    ] {
        file(site.folder.path(), "journal.json", text);
        let (_, said) = failed(&site.resume(&[]).await, 2);
        assert!(said.contains("is no journal of a certification"), "{said}");
        let mut status = program("certify-rhcc-image");
        status.arg("status").arg("--journal").arg(site.path("journal.json"));
        failed(&run(status).await, 2);
        assert_eq!(std::fs::read_to_string(site.path("journal.json")).unwrap(), text);
    }
    assert_eq!(site.puts().iter().filter(|it| *it == "7.6.1-1").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_the_journal_says_are_not_put_back() {
    let site = Site::new().await;
    done(&site.publish(&[]).await);
    let text = std::fs::read_to_string(site.path("journal.json")).unwrap();
    // Inside of the manifests that the tags held.
    let changed = text.replace("\\\"schemaVersion\\\":2", "\\\"schemaVersion\\\": 2");
    assert_ne!(changed, text);
    file(site.folder.path(), "journal.json", &changed);
    let mut command = site.bare("rollback");
    command.arg("--journal").arg(site.path("journal.json"));
    let (_, said) = failed(&run(command).await, 2);
    assert!(said.contains("the journal is damaged"), "{said}");
    assert_eq!(site.held("7.6.1").unwrap(), new().root.digest().as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_make_no_tag_are_refused_before_any_request() {
    let site = Site::new().await;
    let long = "7".repeat(127);
    for (base, code) in
        [("", 2), ("a b", 2), ("7.6.1/x", 2), ("-7", 2), ("7.6.1\n", 2), (long.as_str(), 2)]
    {
        let mut command = site.running("publish", &["--product=img"]);
        command.arg(format!("--base={base}"));
        command.arg(format!("--source={}/internal/img:7.6.1-4321", site.upload.registry()));
        failed(&run(command).await, code);
    }
    for more in [
        &["--number=0"][..],
        &["--number=-1"],
        &["--arch=sparc"],
        &["--adopt"],
        &["--publish-timeout=soon"],
    ] {
        failed(&site.publish(more).await, 2);
    }
    assert!(site.puts().is_empty());
}
