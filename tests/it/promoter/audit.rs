//! Whether what is in registries was promoted.

use std::fs;
use std::net::SocketAddr;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::oci::Manifest;

use super::{cases, described, document, plain, promoter, strings, text};
use crate::support::clients;
use crate::support::distribution::Distribution;
use crate::support::faulty::Faulty;
use crate::support::http::send;
use crate::support::images::push_index;
use crate::support::process::Served;
use crate::support::sample::{Sample, bytes, image, index, referrer};

/// A listening audit.
struct Audit {
    served: Served,
    _folder: TempDir,
}

impl Audit {
    fn listen(manifests: &Value, inventory: &Value, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inventory.json");
        fs::write(&file, inventory.to_string()).unwrap();
        let mut command = promoter("audit");
        command.args(["--listen", "127.0.0.1:0", "--no-ambient-config", "--inventory"]);
        plain(command.arg(&file).args(options), folder.path(), manifests);
        Self { served: Served::start_as(command), _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.served.address
    }

    fn tell(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let answer = send(self.address(), "POST", path, headers, body.to_string().as_bytes());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn metrics(&self) -> String {
        let answer = send(self.address(), "GET", "/metrics", &[], b"");
        text(&answer.body)
    }
}

fn pushed(event: &Value) -> Value {
    let data = base64::engine::general_purpose::STANDARD.encode(event.to_string());
    json!({"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"})
}

#[test]
fn changes_get_the_verdicts_of_the_cases() {
    for case in cases::all("11-audit.yaml", 15) {
        let manifests: Vec<String> =
            case["manifests"].as_array().unwrap().iter().map(Value::to_string).collect();
        let mut inventory = json!({});
        for (path, digests) in case["sources"].as_object().unwrap() {
            let (registry, image) = path.rsplit_once('/').unwrap();
            inventory[registry][image] = digests.clone();
        }
        let audit = Audit::listen(&json!(manifests), &inventory, &[]);
        let (status, answer) = audit.tell("/", &[], &pushed(&case["event"]));
        assert_eq!(status, 200, "{case}");
        let verdict = &answer["verdicts"][0];
        assert_eq!(verdict["verdict"], case["expect"]["verdict"], "{case}: {answer}");
        let reason = verdict["reason"].as_str().unwrap();
        assert!(reason.starts_with(case["expect"]["reason"].as_str().unwrap()), "{case}: {answer}");
        let is_deletion = case["event"]["action"] == "DELETE";
        assert_eq!(verdict["severity"] == "alert", is_deletion, "{case}: {answer}");
        let word = case["expect"]["verdict"].as_str().unwrap();
        let metrics = audit.metrics();
        assert!(metrics.contains(&format!("transactions_total{{verdict=\"{word}\"")), "{metrics}");
    }
}

#[test]
fn what_is_no_event_is_rejected_and_not_told_again() {
    let (manifests, digest) = manifests();
    let audit = Audit::listen(&manifests, &json!({}), &[]);
    for body in [
        json!({}),
        json!([]),
        json!({"message": {"data": "%%%"}}),
        json!({"events": [{"action": "push"}]}),
    ] {
        let (status, answer) = audit.tell("/", &[], &body);
        assert_eq!(status, 200, "{body}");
        assert_eq!(answer["verdicts"][0]["verdict"], "rejected", "{body}: {answer}");
    }
    let other = json!({"action": "INSERT", "digest": format!("us.gcr.io/prod/app@{digest}"),
        "tag": "us.gcr.io/other/app:1"});
    let (_, answer) = audit.tell("/", &[], &pushed(&other));
    assert_eq!(answer["verdicts"][0]["verdict"], "rejected", "{answer}");
}

#[test]
fn notifications_of_distribution_and_events_of_zot_are_understood() {
    let (manifests, digest) = manifests();
    let audit = Audit::listen(&manifests, &json!({}), &["--registry", "us.gcr.io"]);
    let target = |tag: &str| json!({"repository": "prod/app", "digest": digest, "tag": tag});
    let events = json!({"events": [
        {"action": "pull", "target": target("1")},
        {"action": "push", "target": target("1")},
        {"action": "push", "target": target("2")},
        {"action": "push", "target": {"repository": "prod/app", "digest": digest,
            "mediaType": "application/octet-stream"}},
        {"action": "delete", "target": {"repository": "prod/app", "digest": digest}}]});
    let (_, answer) = audit.tell("/events", &[], &events);
    let words: Vec<&str> = answer["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        words,
        ["digest and tag in manifest", "tag not in manifest", "deletions are prohibited"]
    );

    let image = json!({"name": "prod/app", "reference": "1", "digest": digest, "mediaType": "x"});
    let kind = "zotregistry.image.updated";
    let (_, binary) = audit.tell("/", &[("ce-type", kind), ("ce-specversion", "1.0")], &image);
    assert_eq!(binary["verdicts"][0]["verdict"], "verified", "{binary}");
    let whole = json!({"specversion": "1.0", "type": "zotregistry.image.deleted", "data": image});
    let (_, structured) = audit.tell("/", &[], &whole);
    assert_eq!(structured["verdicts"][0]["severity"], "alert", "{structured}");
    let (_, created) = audit.tell("/", &[("ce-type", "zotregistry.repository.created")], &image);
    assert_eq!(created["verdicts"], json!([]), "{created}");
}

#[test]
fn the_deletion_of_a_whole_repository_is_an_alert_that_names_it() {
    let (manifests, _) = manifests();
    let audit = Audit::listen(&manifests, &json!({}), &[]);
    let event = json!({"action": "delete", "target": {"repository": "prod/app"},
        "request": {"host": "us.gcr.io"}});
    let (status, answer) = audit.tell("/", &[], &json!({"events": [event]}));
    let verdict = &answer["verdicts"][0];
    assert_eq!((status, &verdict["severity"]), (200, &json!("alert")), "{answer}");
    assert_eq!(verdict["reason"], "deletions are prohibited", "{answer}");
    let odd = json!({"action": "DELETE", "digest": "no reference"});
    let (_, answer) = audit.tell("/", &[], &pushed(&odd));
    assert_eq!(answer["verdicts"][0]["severity"], "alert", "{answer}");
}

#[test]
fn a_parent_that_one_source_lacks_has_its_parts_at_another() {
    let (part, parent) = ("c".repeat(64), "a".repeat(64));
    let (manifests, _) = manifests();
    let first = manifests[0].as_str().unwrap();
    // Another tag, as one edge has one source.
    let other = first.replace("gcr.io/s\n", "a.example/s\n").replace("['1']", "['2']");
    let both = json!([other, first]);
    let inventory = json!({"gcr.io/s": {"app":
        {format!("sha256:{parent}"): {"tags": ["1"], "children": [format!("sha256:{part}")]}}}});
    let audit = Audit::listen(&both, &inventory, &[]);
    let event = json!({"action": "INSERT", "digest": format!("us.gcr.io/prod/app@sha256:{part}")});
    let (_, answer) = audit.tell("/", &[], &pushed(&event));
    assert_eq!(answer["verdicts"][0]["verdict"], "verified", "{answer}");
}

#[test]
fn events_without_the_token_are_not_heard() {
    let (manifests, digest) = manifests();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "hunter2\n").unwrap();
    let audit = Audit::listen(&manifests, &json!({}), &["--token-file", token.to_str().unwrap()]);
    let event =
        pushed(&json!({"action": "INSERT", "digest": format!("us.gcr.io/prod/app@{digest}")}));
    for (path, headers) in
        [("/", &[][..]), ("/?token=hunter", &[]), ("/", &[("authorization", "Bearer x")])]
    {
        assert_eq!(audit.tell(path, headers, &event).0, 401, "{path}");
    }
    for (path, headers) in
        [("/?token=hunter2", &[][..]), ("/", &[("authorization", "Bearer hunter2")])]
    {
        assert_eq!(audit.tell(path, headers, &event).0, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_gives_no_verdict_but_is_told_again() {
    let (manifests, _) = manifests();
    let manifests =
        json!([manifests[0].as_str().unwrap().replace("gcr.io/s\n", "127.0.0.1:1/s\n")]);
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--listen", "127.0.0.1:0", "--no-ambient-config", "--retries", "0"]);
    plain(command.args(["--plain-http", "127.0.0.1:1"]), folder.path(), &manifests);
    let audit = Audit { served: Served::start_as(command), _folder: folder };
    let digest = format!("sha256:{}", "9".repeat(64));
    let event =
        pushed(&json!({"action": "INSERT", "digest": format!("us.gcr.io/prod/app@{digest}")}));
    assert_eq!(audit.tell("/", &[], &event).0, 500);
    assert!(
        audit.metrics().contains("image_promoter_audit_failures_total 1"),
        "{}",
        audit.metrics()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_the_index_of_the_case_have_it_for_their_parent() {
    let cases = cases::all("10-registry-reading.yaml", 8);
    let case = cases.iter().find(|it| cases::id(it) == "index-children").unwrap();
    let root = Manifest::parse(case["index"].to_string().into(), None).unwrap();
    let parent = root.digest().to_string();
    let source = Faulty::start().await;
    source.memory.hold("s/app", "1", &Sample { root, below: Vec::new(), blobs: Vec::new() });
    let manifest = format!(
        "registries:\n- name: {}/s\n  src: true\n- name: us.gcr.io/prod\n\
         images:\n- name: app\n  dmap: {{{parent}: ['1']}}\n",
        source.address
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--listen", "127.0.0.1:0", "--no-ambient-config"]);
    command.args(["--plain-http", &source.address.to_string()]);
    plain(&mut command, folder.path(), &json!([manifest]));
    let audit = Audit { served: Served::start_as(command), _folder: folder };
    let judge = |digest: &str| {
        let event = json!({"action": "INSERT", "digest": format!("us.gcr.io/prod/app@{digest}")});
        audit.tell("/", &[], &pushed(&event)).1["verdicts"][0]["reason"].clone()
    };
    let named = case["index_of"].as_str().unwrap();
    let parents = case["expect_parents"].as_object().unwrap();
    assert_eq!(parents.len(), 2);
    for (child, of) in parents {
        let of = of.as_str().unwrap().replace(named, &parent);
        assert_eq!(judge(child), format!("child of {of}"), "{child}");
    }
    assert_eq!(judge(named), "could not validate");
    assert_eq!(source.count(http::Method::GET, &parent), 1, "it is read once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_debians_registry_tells_of_a_push_is_judged() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let debian = Distribution::start_notifying(&format!("http://127.0.0.1:{port}/events"));
    let registry = debian.registry();
    let client = clients::client(&[&registry], Default::default());
    // The digest is that of the same image in the source.
    let source = Faulty::start().await;
    let from = clients::client(&[&source.registry()], Default::default());
    let from = from.repository(&source.registry(), &"s/app".parse().unwrap());
    let digest = push_index(&from, "1", "seed", &["linux/amd64"]).await;
    let manifest = format!(
        "registries:\n- name: {}/s\n  src: true\n- name: {registry}/prod\n\
         images:\n- name: app\n  dmap: {{{digest}: ['1']}}\n",
        source.address
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--listen", &format!("127.0.0.1:{port}"), "--no-ambient-config"]);
    command.args(["--plain-http", &source.address.to_string()]);
    plain(&mut command, folder.path(), &json!([manifest]));
    let audit = Audit { served: Served::start_as(command), _folder: folder };
    let to = client.repository(&registry, &"prod/app".parse().unwrap());
    push_index(&to, "1", "seed", &["linux/amd64"]).await;
    push_index(&to, "1", "other", &["linux/amd64"]).await;
    // The index with its tag, its image as a part of it; then another index and another image.
    let expected = [("verified", 2), ("rejected", 2)];
    let is_told = || {
        let metrics = audit.metrics();
        expected.iter().all(|(word, count)| {
            metrics.lines().any(|line| {
                line.contains(&format!("verdict=\"{word}\""))
                    && line.ends_with(&format!(" {count}"))
            })
        })
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_told() {
        assert!(std::time::Instant::now() < deadline, "{}", audit.metrics());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_names_what_is_unknown_moved_and_missing() {
    let google = Faulty::start().await;
    *google.memory.tells_manifests.lock().unwrap() = true;
    let part = image("part", &[bytes("p", 10)]);
    let listed = index(&[("amd64", part.clone())]);
    let stray = image("stray", &[bytes("s", 10)]);
    let (moved, gone) = (image("moved", &[bytes("m", 10)]), image("gone", &[bytes("g", 10)]));
    google.memory.hold("prod/app", "1", &listed);
    google.memory.hold("prod/app", "2", &stray);
    google.memory.hold_untagged("prod/app", &moved);
    google.memory.hold("prod/sub/other", "x", &stray);
    let digest = |sample: &crate::support::sample::Sample| sample.root.digest().to_string();
    let manifest = format!(
        "registries:\n- name: gcr.io/s\n  src: true\n- name: {0}/prod\n- name: {0}/prod/sub\n\
         images:\n- name: app\n  dmap: {{{1}: ['1'], {2}: ['2'], {3}: ['3']}}\n",
        google.address,
        digest(&listed),
        digest(&moved),
        digest(&gone)
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--no-ambient-config", "--plain-http", &google.address.to_string()]);
    plain(&mut command, folder.path(), &json!([manifest]));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = document(&output);
    described(&found);
    let prod = format!("{}/prod", google.address);
    assert_eq!(
        found["moved_tags"],
        json!([{"tag": format!("{prod}/app:2"),
        "expected": digest(&moved), "found": digest(&stray)}])
    );
    let unknown = found["unknown"].as_array().unwrap();
    assert_eq!(unknown.len(), 1, "{found}");
    assert_eq!(unknown[0]["repository"], format!("{prod}/sub/other"));
    let missing = found["missing"].as_array().unwrap();
    let places: Vec<String> =
        missing.iter().map(|it| it["repository"].as_str().unwrap().to_owned()).collect();
    assert_eq!(places.iter().filter(|it| it.ends_with("prod/app")).count(), 1, "{found}");
    assert_eq!(places.iter().filter(|it| it.ends_with("prod/sub/app")).count(), 3, "{found}");
}

#[test]
fn a_repository_that_is_a_destination_itself_is_judged_by_its_own_path() {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let manifest = format!(
        "registries: [{{name: gcr.io/s, src: true}}, {{name: gcr.io/p/app}}]\n\
         images: [{{name: app, dmap: {{{}: ['1']}}}}]\n",
        digest("a")
    );
    let folder = tempfile::tempdir().unwrap();
    let inventory = folder.path().join("inventory.json");
    let held = json!({"gcr.io/p": {"app": {digest("a"): ["1"], digest("b"): ["2"]}}});
    fs::write(&inventory, held.to_string()).unwrap();
    let mut command = promoter("audit");
    command.args(["--no-ambient-config", "--inventory"]).arg(&inventory);
    plain(&mut command, folder.path(), &json!([manifest]));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = document(&output);
    let unknown = |letter: &str, tag: &str| json!({"repository": "gcr.io/p/app", "digest": digest(letter), "tags": [tag], "known_digest": false});
    assert_eq!(found["unknown"], json!([unknown("a", "1"), unknown("b", "2")]), "{found}");
    let missing = json!([{"repository": "gcr.io/p/app/app", "digest": digest("a")}]);
    assert_eq!(found["missing"], missing, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_reads_an_index_once_for_all_registries_and_its_parts_never() {
    let regions = [Faulty::start().await, Faulty::start().await];
    let part = image("part", &[bytes("p", 10)]);
    let listed = index(&[("amd64", part.clone())]);
    let attached = referrer(listed.root.digest(), "application/spdx+json", &bytes("sbom", 10));
    let mut registries = String::new();
    for region in &regions {
        *region.memory.tells_manifests.lock().unwrap() = true;
        region.memory.hold("prod/app", "1", &listed);
        region.memory.hold_untagged("prod/app", &attached);
        registries.push_str(&format!("- name: {}/prod\n", region.address));
    }
    let manifest = format!(
        "registries:\n- name: gcr.io/s\n  src: true\n{registries}images:\n- name: app\n  dmap: {{{}: ['1']}}\n",
        listed.root.digest()
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--no-ambient-config"]);
    for region in &regions {
        command.args(["--plain-http", &region.address.to_string()]);
    }
    plain(&mut command, folder.path(), &json!([manifest]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let read: Vec<String> = regions.iter().flat_map(Faulty::requests).collect();
    let read: Vec<&String> = read.iter().filter(|it| it.contains("/manifests/")).collect();
    let paths =
        [&listed, &attached].map(|it| format!("GET /v2/prod/app/manifests/{}", it.root.digest()));
    assert_eq!(read, paths.iter().collect::<Vec<_>>());
}

/// `app` from `gcr.io/s` to `us.gcr.io/prod`, and its digest with the tag `1`.
fn manifests() -> (Value, String) {
    let digest = format!("sha256:{}", "a".repeat(64));
    let manifest = format!(
        "registries:\n- name: gcr.io/s\n  src: true\n- name: us.gcr.io/prod\n\
         images:\n- name: app\n  dmap: {{{digest}: ['1']}}\n"
    );
    assert_eq!(strings(&json!([digest])).len(), 1);
    (json!([manifest]), digest)
}
