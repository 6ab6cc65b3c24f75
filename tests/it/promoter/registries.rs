//! What is asked of registries, and what is made of their answers.

use std::process::Output;

use http::Method;
use serde_json::{Value, json};

use super::{cases, document, plain, promoter, text};
use crate::support::clients;
use crate::support::distribution::Distribution;
use crate::support::faulty::{Fault, Faulty};
use crate::support::images::{push_image, push_index};
use crate::support::sample::{bytes, image, index};

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_googles_registries_become_what_the_cases_say() {
    let mut seen = 0;
    for case in cases::all("10-registry-reading.yaml", 8) {
        if case["recursive"] != true {
            continue;
        }
        seen += 1;
        let server = scripted(&case).await;
        let path = case["read"].as_str().unwrap().replace("gcr.io", &server.address.to_string());
        let output = snapshot(&path, &["--output", "json"]);
        assert_eq!(document(&output)["images"], case["expect"], "{case}");
        assert_eq!(server.requests().len(), case["responses"].as_object().unwrap().len(), "{case}");
    }
    assert_eq!(seen, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_repositories_that_edges_need_are_asked() {
    let mut seen = 0;
    for case in cases::all("10-registry-reading.yaml", 8) {
        if case["recursive"] != false {
            continue;
        }
        seen += 1;
        let server = scripted(&case).await;
        let host = case["read"].as_str().unwrap().split('/').next().unwrap();
        let path = case["read"].as_str().unwrap().replace(host, &server.address.to_string());
        let (registry, image) = path.rsplit_once('/').unwrap();
        let expected = match &case["expect_recommended"] {
            Value::Null => &case["expect"],
            recommended => recommended,
        };
        // What is expected there is in place if it is found, and what else is tagged so is a move.
        let held = expected[image].as_object().cloned().unwrap_or_default();
        let digests: String = held
            .iter()
            .map(|(digest, tags)| format!("    {digest}: {tags}\n"))
            .chain([format!("    sha256:{}: [none]\n", "7".repeat(64))])
            .collect();
        let manifest = format!(
            "registries:\n- name: {0}/source\n  src: true\n- name: {registry}\n\
             images:\n- name: {image}\n  dmap:\n{digests}",
            server.address
        );
        let found = document(&plan(&manifest, &server.address.to_string(), &["--allow-lost"]));
        assert_eq!(found["in_place"], held.len(), "{case}: {found}");
        assert_eq!(found["tag_moves"], json!([]), "{case}: {found}");
        let asked = server.requests();
        assert!(
            asked.iter().all(|it| it.contains(&format!("/{image}/")) || it.contains("/source/")),
            "{case}: {asked:#?}"
        );
    }
    assert_eq!(seen, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_neither_a_list_nor_404_is_never_taken_for_absent() {
    let server = Faulty::start().await;
    let address = server.address.to_string();
    let manifest = manifest(&format!("{address}/s"), &format!("{address}/d"), &"a".repeat(64));
    for (status, body) in
        [(403, ""), (412, "{}"), (200, "<html>"), (200, r#"{"manifest":{"x":{}}}"#)]
    {
        server.forget_faults();
        let answer = Fault::Answer(status, vec![], body.to_owned());
        server.fault(usize::MAX, Method::GET, "/v2/d/x/tags/list", answer);
        let output = plan(&manifest, &address, &[]);
        assert_eq!(output.status.code(), Some(1), "{status} {body}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains("d/x"), "{status} {body}: {}", text(&output.stderr));
    }
    server.forget_faults();
    let link = vec![("link", "<http://127.0.0.1:1/v2/d/x/tags/list?n=2>; rel=\"next\"".to_owned())];
    server.fault(
        usize::MAX,
        Method::GET,
        "/v2/d/x/tags/list",
        Fault::Answer(200, link, r#"{"tags":["1"]}"#.to_owned()),
    );
    let output = plan(&manifest, &address, &[]);
    assert!(text(&output.stderr).contains("somewhere else"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_named_and_the_rest_planned_when_that_is_wanted() {
    let server = Faulty::start().await;
    let address = server.address.to_string();
    let sample = image("x", &[bytes("layer", 100)]);
    server.memory.hold("s/x", "1", &sample);
    let manifest = manifest(
        &format!("{address}/s"),
        &format!("{address}/d\n- name: 127.0.0.1:1/gone"),
        sample.root.digest().hex(),
    );
    let output = plan(&manifest, &address, &["--retries", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let output = plan(&manifest, &address, &["--retries", "0", "--keep-going"]);
    assert_eq!(output.status.code(), Some(1));
    let found = document(&output);
    assert_eq!(found["failures"][0]["item"], "127.0.0.1:1/gone/x", "{found}");
    assert_eq!(found["copies"].as_array().unwrap().len(), 1, "{found}");
}

#[test]
fn a_registry_that_cannot_be_reached_is_not_tried_for_each_of_its_repositories() {
    let image =
        |number| format!("- name: x{number}\n  dmap: {{sha256:{}: ['1']}}\n", "a".repeat(64));
    let images: String = (0..200).map(image).collect();
    let manifest = format!(
        "registries:\n- name: 127.0.0.1:1/s\n  src: true\n- name: 127.0.0.1:1/d\nimages:\n{images}"
    );
    let options = ["--retries", "1", "--keep-going", "--parallel", "8"];
    let output = plan(&manifest, "127.0.0.1:1", &options);
    assert_eq!(output.status.code(), Some(1));
    let failures = document(&output)["failures"].as_array().unwrap().clone();
    assert!(failures.len() >= 200, "each is named");
    assert!(failures.iter().all(|it| it["message"].as_str().unwrap().contains("no connection")));
    let tries = text(&output.stderr).matches("trying again").count();
    assert!((1..=8).contains(&tries), "{tries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_googles_list_is_asked_for_no_more_than_it_takes() {
    let server = Faulty::start().await;
    let address = server.address.to_string();
    let sample = image("x", &[bytes("layer", 100)]);
    server.memory.hold("s/x", "other", &sample);
    server.memory.hold("d/x", "1", &sample);
    let manifest =
        manifest(&format!("{address}/s"), &format!("{address}/d"), sample.root.digest().hex());
    let output = plan(&manifest, &address, &[]);
    assert_eq!(document(&output)["in_place"], 1);
    assert_eq!(server.requests(), ["GET /v2/d/x/tags/list?n=1000", "HEAD /v2/d/x/manifests/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_registry_is_its_tags_and_of_googles_also_what_has_none() {
    let debian = Distribution::start();
    let plain = crate::support::clients::client(&[&debian.registry()], Default::default());
    let to = |name: &str| plain.repository(&debian.registry(), &name.parse().unwrap());
    let multi = push_index(&to("team/app"), "1.0", "seed", &["linux/amd64", "linux/arm64"]).await;
    let single = push_image(&to("team/sub/tool"), Some("v1"), "seed", "linux/amd64").await;
    push_image(&to("other/app"), Some("v1"), "seed", "linux/amd64").await;
    let address = debian.registry().to_string();
    let output = snapshot(&format!("{address}/team"), &["--format", "csv"]);
    let expected = format!("app@{multi},app:1.0\nsub/tool@{0},sub/tool:v1\n", single.digest());
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));

    let google = Faulty::start().await;
    *google.memory.tells_manifests.lock().unwrap() = true;
    let child = image("child", &[bytes("c", 10)]);
    let whole = index(&[("amd64", child.clone())]);
    google.memory.hold("team/app", "1.0", &whole);
    google.memory.hold_untagged("team/app/deep", &image("lone", &[bytes("l", 10)]));
    let path = format!("{}/team", google.address);
    let all = document(&snapshot(&path, &["--output", "json"]));
    assert_eq!(all["images"]["app"].as_object().unwrap().len(), 2);
    assert_eq!(all["images"]["app/deep"].as_object().unwrap().len(), 1);
    let minimal = document(&snapshot(&path, &["--output", "json", "--minimal"]));
    assert_eq!(minimal["images"]["app"], json!({whole.root.digest().as_str(): ["1.0"]}));
    assert_eq!(minimal["images"]["app/deep"], all["images"]["app/deep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_only_digests_is_found_though_there_is_no_list_of_its_tags() {
    // Debian's registry says 404 to the list of a repository without any tag.
    let debian = Distribution::start();
    let registry = debian.registry();
    let client = clients::client(&[&registry], Default::default());
    let source = client.repository(&registry, &"staging/x".parse().unwrap());
    let image = push_image(&source, None, "seed", "linux/amd64").await;
    assert_eq!(source.listing().await.unwrap(), None);
    let host = registry.to_string();
    let [staging, prod] = ["staging", "prod"].map(|path| format!("{host}/{path}"));
    for tags in ["['1']", "[]"] {
        let manifest = manifest(&staging, &prod, image.digest().hex()).replace("['1']", tags);
        let found = document(&plan(&manifest, &host, &[]));
        assert_eq!(found["copies"].as_array().unwrap().len(), 1, "{tags}: {found}");
        assert_eq!(found["lost"], json!([]), "{tags}: {found}");
    }
    let target = client.repository(&registry, &"prod/x".parse().unwrap());
    push_image(&target, None, "seed", "linux/amd64").await;
    assert_eq!(target.listing().await.unwrap(), None);
    let manifest = manifest(&staging, &prod, image.digest().hex()).replace("['1']", "[]");
    let found = document(&plan(&manifest, &host, &[]));
    assert_eq!((&found["in_place"], &found["copies"]), (&json!(1), &json!([])), "{found}");
}

/// A server that answers as a case says.
async fn scripted(case: &Value) -> Faulty {
    let server = Faulty::start().await;
    let mut responses: Vec<_> = case["responses"].as_object().unwrap().iter().collect();
    // The longest first: the first rule that fits answers.
    responses.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    for (path, body) in responses {
        let link = case["link_headers"][path].as_str();
        let headers = link.map(|link| ("link", link.to_owned())).into_iter().collect();
        server.fault(usize::MAX, Method::GET, path, Fault::Answer(200, headers, body.to_string()));
    }
    for (path, digest) in case["head"].as_object().into_iter().flatten() {
        let digest = digest.as_str().unwrap().to_owned();
        let headers = vec![("docker-content-digest", digest)];
        server.fault(usize::MAX, Method::HEAD, path, Fault::Answer(200, headers, String::new()));
    }
    server
}

fn snapshot(path: &str, options: &[&str]) -> Output {
    let host = path.split('/').next().unwrap();
    let mut command = promoter("snapshot");
    command.args([path, "--no-ambient-config", "--plain-http", host]).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn plan(manifest: &str, host: &str, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("plan");
    command.args(["--no-ambient-config", "--plain-http", host, "--plain-http", "127.0.0.1:1"]);
    plain(command.args(options), folder.path(), &json!([manifest]));
    command.output().unwrap()
}

fn manifest(source: &str, destination: &str, hex: &str) -> String {
    format!(
        "registries:\n- name: {source}\n  src: true\n- name: {destination}\n\
         images:\n- name: x\n  dmap:\n    sha256:{hex}: ['1']\n"
    )
}
