//! How many requests a run takes, and how they are paced and repeated.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{cases, document, plain, promoter, text};
use crate::support::faulty::{Fault, Faulty};
use crate::support::memory::Access;
use crate::support::sample::{Sample, bytes, image, index};

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_as_the_cases_say() {
    for case in cases::all("13-retry-policy.yaml", 12) {
        let condition = case["condition"].as_str().unwrap();
        let (fault, retried) = match condition.strip_prefix("http ") {
            Some(status) => {
                // Who is asked too often says when to come again.
                let later = vec![("retry-after", "1".to_owned())];
                let headers = if status == "429" { later } else { Vec::new() };
                (Fault::Answer(status.parse().unwrap(), headers, String::new()), &case["retry"])
            }
            None if condition == "deadline exceeded" => (Fault::StallAfter(0), &case["retry"]),
            // The case itself says that a better implementation goes on here.
            None => {
                assert!(case["note"].as_str().unwrap().contains("should be retried"), "{case}");
                (Fault::LoseReply, &json!(true))
            }
        };
        let server = Faulty::start().await;
        let sample = image("x", &[bytes("x", 10)]);
        server.memory.hold("d/x", "1", &sample);
        server.memory.hold("s/x", "1", &sample);
        server.fault(1, Method::GET, "/v2/d/x/tags/list", fault);
        let manifest = manifest(&server, &[&server], "x", &[(&sample, &["1"])]);
        let output = run("plan", &[&server], &manifest, &["--idle-timeout", "1s"]);
        let asked = server.count(Method::GET, "/v2/d/x/tags/list");
        assert_eq!(asked, if *retried == true { 2 } else { 1 }, "{case}");
        // What is not there is an answer.
        let succeeds = *retried == true || condition == "http 404";
        assert_eq!(output.status.success(), succeeds, "{case}: {}", text(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_tells_all_of_a_repository_where_the_registry_tells_manifests() {
    let (source, destination) = (google().await, google().await);
    let samples: Vec<Sample> =
        (0..20).map(|it| image(&format!("x{it}"), &[bytes("layer", 10)])).collect();
    for (number, sample) in samples.iter().enumerate() {
        source.memory.hold_untagged("s/x", sample);
        if number % 2 == 0 {
            destination.memory.hold("d/x", &format!("v{number}"), sample);
        }
    }
    let tags: Vec<String> = (0..20).map(|it| format!("v{it}")).collect();
    let wanted: Vec<_> = samples.iter().zip(&tags).map(|(it, tag)| (it, [tag.as_str()])).collect();
    let wanted: Vec<(&Sample, &[&str])> =
        wanted.iter().map(|(it, tags)| (*it, &tags[..])).collect();
    let manifest = manifest(&source, &[&destination], "x", &wanted);
    let found = document(&run("plan", &[&source, &destination], &manifest, &[]));
    assert_eq!(found["in_place"], 10, "{found}");
    assert_eq!(found["copies"].as_array().unwrap().len(), 10, "{found}");
    assert_eq!(destination.requests(), ["GET /v2/d/x/tags/list?n=1000"]);
    assert_eq!(source.requests(), ["GET /v2/s/x/tags/list?n=1000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_it_takes_a_list_and_a_look_at_each_tag_that_is_there_and_wanted() {
    let (source, destination) = (Faulty::start().await, Faulty::start().await);
    let sample = image("x", &[bytes("layer", 10)]);
    let old = image("old", &[bytes("layer", 10)]);
    source.memory.hold("s/x", "1", &sample);
    for tag in ["1", "2", "3"] {
        destination.memory.hold("d/x", tag, &sample);
    }
    for tag in ["other", "ancient", "another"] {
        destination.memory.hold("d/x", tag, &old);
    }
    let wanted = ["1", "2", "3", "4", "5"];
    let manifest = manifest(&source, &[&destination], "x", &[(&sample, &wanted)]);
    let found = document(&run("plan", &[&source, &destination], &manifest, &[]));
    assert_eq!(found["in_place"], 3, "{found}");
    let mut asked = destination.requests();
    // This server's pages hold two tags each.
    let pages = asked.iter().take_while(|it| it.starts_with("GET /v2/d/x/tags/list?")).count();
    assert_eq!(pages, 3, "{asked:#?}");
    let mut heads = asked.split_off(pages);
    heads.sort();
    assert_eq!(heads, ["1", "2", "3"].map(|tag| format!("HEAD /v2/d/x/manifests/{tag}")));
    let digest = sample.root.digest();
    let expected =
        ["GET /v2/s/x/tags/list?n=1000".to_owned(), format!("HEAD /v2/s/x/manifests/{digest}")];
    assert_eq!(source.requests(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_three_destinations_is_read_once_and_written_with_the_fewest_requests() {
    let source = Faulty::start().await;
    let three = [Faulty::start().await, Faulty::start().await, Faulty::start().await];
    let shared = bytes("shared", 1000);
    let part = |name: &str| image(name, &[shared.clone(), bytes(name, 1000)]);
    // 3 manifests; 2 configurations, 2 layers and one that both have.
    let sample = index(&[("amd64", part("one")), ("arm64", part("two"))]);
    source.memory.hold("s/x", "x", &sample);
    let destinations: Vec<&Faulty> = three.iter().collect();
    let all: Vec<&Faulty> = [&[&source][..], &destinations].concat();
    let manifest = manifest(&source, &destinations, "x", &[(&sample, &["1", "1.0"])]);
    let output = run("promote", &all, &manifest, &["--confirm"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = [
        // By the plan, and for what tags attach.
        ("GET list", 2),
        ("GET manifest", 3),
        ("GET blob", 5),
        ("HEAD manifest", 1),
        ("GET referrers", 1),
    ];
    assert_eq!(counted(&source), BTreeMap::from(expected), "{:#?}", source.requests());
    for destination in &three {
        let tag = destination.memory.tag("d/x", "1.0").unwrap();
        assert_eq!(tag, sample.root.digest().as_str());
        let expected = [
            ("GET list", 1),
            // Each tag once more right before it is written.
            ("HEAD manifest", 2),
            ("POST upload", 5),
            ("PUT upload", 5),
            // Two images, and the index under two tags.
            ("PUT manifest", 4),
        ];
        assert_eq!(counted(destination), BTreeMap::from(expected), "{:#?}", destination.requests());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_nothing_to_do_asks_once_for_each_repository_and_once_for_what_is_attached() {
    let (source, destination) = (google().await, google().await);
    *source.memory.lists_referrers.lock().unwrap() = true;
    let samples = ["a", "b"].map(|name| image(name, &[bytes(name, 10)]));
    for sample in &samples {
        source.memory.hold("s/x", "any", sample);
        destination.memory.hold_untagged("d/x", sample);
    }
    let wanted: Vec<(&Sample, &[&str])> = samples.iter().map(|it| (it, &[][..])).collect();
    let manifest = manifest(&source, &[&destination], "x", &wanted);
    let servers = [&source, &destination];
    let done = document(&run("promote", &servers, &manifest, &["--confirm"]));
    assert_eq!((&done["in_place"], &done["written"]), (&json!(2), &json!(0)), "{done}");
    assert_eq!(counted(&destination), BTreeMap::from([("GET list", 1)]));
    // Whether the sources of images without tags are lost is told; then their tags are looked through.
    let expected = [("GET list", 2), ("GET referrers", 2)];
    assert_eq!(counted(&source), BTreeMap::from(expected), "{:#?}", source.requests());
    source.forget_requests();
    destination.forget_requests();
    let done = document(&run("promote", &servers, &manifest, &["--confirm", "--no-repair"]));
    assert_eq!(done["in_place"], 2, "{done}");
    assert_eq!([source.requests().len(), destination.requests().len()], [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_request_is_left_out_of_the_rate() {
    let server = Faulty::start().await;
    *server.memory.access.lock().unwrap() =
        Access::Bearer { user: "robot".into(), password: "secret".into(), expires_in: 300 };
    let samples = ["a", "b"].map(|name| index(&[("amd64", image(name, &[bytes(name, 10)]))]));
    for (sample, tag) in samples.iter().zip(["1", "2"]) {
        server.memory.hold("s/x", tag, sample);
    }
    let wanted: [(&Sample, &[&str]); 2] = [(&samples[0], &["1"]), (&samples[1], &["2"])];
    let manifest = manifest(&server, &[&server], "x", &wanted);
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials.json");
    let login = json!({server.address.to_string(): {"username": "robot", "password": "secret"}});
    std::fs::write(&credentials, login.to_string()).unwrap();
    let options = ["--confirm", "--rate", "20", "--credentials", credentials.to_str().unwrap()];
    let output = run("promote", &[&server], &manifest, &options);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let recorded = server.recorded();
    let kinds = counted(&server);
    for kind in ["GET token", "GET list", "HEAD manifest", "GET manifest", "PUT manifest"] {
        assert!(kinds.contains_key(kind), "{kinds:?}");
    }
    // Five may come at once, and the first needs no leave; the others one each 50 ms.
    let (first, last) = (recorded.first().unwrap().at, recorded.last().unwrap().at);
    let paced = u32::try_from(recorded.len() - 6).unwrap();
    assert!(paced > 10, "{kinds:?}");
    // A request is seen a little after it was sent, the first one perhaps more so than the last.
    let least = Duration::from_millis(50) * paced - Duration::from_millis(25);
    assert!(last - first >= least, "{kinds:?} in {:?}", last - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_answers_429_is_left_alone_as_long_as_it_asks_for() {
    let server = Faulty::start().await;
    let sample = image("x", &[bytes("x", 10)]);
    for name in ["a", "b", "c"] {
        server.memory.hold(&format!("s/{name}"), "1", &sample);
    }
    let later = vec![("retry-after", "1".to_owned())];
    let refused = "/v2/d/b/tags/list";
    server.fault(1, Method::GET, refused, Fault::Answer(429, later, String::new()));
    let wanted: [(&Sample, &[&str]); 1] = [(&sample, &["1", "2", "3"])];
    let manifests = ["a", "b", "c"].map(|name| manifest(&server, &[&server], name, &wanted));
    let mut command = prepared("plan", &[&server], &["--parallel", "1"]);
    let folder = tempfile::tempdir().unwrap();
    plain(&mut command, folder.path(), &json!(manifests));
    let found = document(&command.output().unwrap());
    assert_eq!(found["copies"].as_array().unwrap().len(), 9, "{found}");
    let recorded = server.recorded();
    let at = recorded.iter().position(|it| it.path.contains(refused)).unwrap();
    let pause = recorded[at + 1].at - recorded[at].at;
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
    assert_eq!(server.count(Method::GET, refused), 2);
    assert!(recorded.len() > at + 3, "the other requests came after it, too");
}

/// A server that tells of manifests with the list of tags.
async fn google() -> Faulty {
    let server = Faulty::start().await;
    *server.memory.tells_manifests.lock().unwrap() = true;
    server
}

/// How often what was asked for.
fn counted(server: &Faulty) -> BTreeMap<&'static str, usize> {
    let mut counted = BTreeMap::new();
    for request in server.recorded() {
        let is = |part: &str| request.path.contains(part);
        let kind = match request.method.as_str() {
            "GET" if is("/tags/list") => "GET list",
            "GET" if is("/referrers/") || is("/manifests/sha256-") => "GET referrers",
            "GET" if is("/manifests/") => "GET manifest",
            "GET" if is("/blobs/") => "GET blob",
            "GET" if is("/token") => "GET token",
            "HEAD" if is("/manifests/") => "HEAD manifest",
            "POST" if is("/blobs/uploads/") => "POST upload",
            "PUT" if is("/blobs/uploads/") => "PUT upload",
            "PUT" if is("/manifests/") => "PUT manifest",
            _ => "another",
        };
        *counted.entry(kind).or_default() += 1;
    }
    counted
}

/// An image from `s` of one server to `d` of others, with its digests and their tags.
fn manifest(source: &Faulty, to: &[&Faulty], name: &str, digests: &[(&Sample, &[&str])]) -> String {
    let to: String = to.iter().map(|it| format!("- name: {}/d\n", it.address)).collect();
    let digests: String = digests
        .iter()
        .map(|(sample, tags)| format!("    {}: {}\n", sample.root.digest(), json!(tags)))
        .collect();
    format!(
        "registries:\n- name: {}/s\n  src: true\n{to}images:\n- name: {name}\n  dmap:\n{digests}",
        source.address
    )
}

fn run(command: &str, servers: &[&Faulty], manifest: &str, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = prepared(command, servers, options);
    plain(&mut command, folder.path(), &Value::from(vec![manifest]));
    command.output().unwrap()
}

fn prepared(command: &str, servers: &[&Faulty], options: &[&str]) -> Command {
    let mut command = promoter(command);
    command.args(["--no-ambient-config", "--output", "json"]).args(options);
    for server in servers {
        command.args(["--plain-http", &server.address.to_string()]);
    }
    command
}
