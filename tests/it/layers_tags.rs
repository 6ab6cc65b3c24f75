//! Tags of other registries: looked at again after a while, answered from what is kept when the other
//! side is down, never when it says no.

use std::time::Duration;

use http::Method;
use serde_json::json;
use zuul_images::registry::config::Period;

use crate::support::faulty::Fault;
use crate::support::http::Answer;
use crate::support::registry::Registry;
use crate::support::upstream::{Upstream, over};

const TAG: &str = "/v2/quay.io/org/img/manifests/1";

/// A registry over one that has an image; every tag is looked at each time.
fn start() -> (Upstream, Registry) {
    let upstream = Upstream::start();
    upstream.hold("org/img", "1", "seed", 1000);
    let registry = doubting(&upstream);
    (upstream, registry)
}

fn doubting(upstream: &Upstream) -> Registry {
    let mut namespace = upstream.namespace("quay.io");
    namespace.ttl = Period(Duration::ZERO);
    over(namespace)
}

fn get(registry: &Registry, path: &str) -> Answer {
    registry.anonymous("GET", path)
}

fn answer(status: u16) -> Fault {
    let body = json!({"errors": [{"code": "X", "message": "says the other side"}]});
    Fault::Answer(status, vec![], body.to_string())
}

#[test]
fn a_tag_is_believed_for_a_while_and_then_looked_at() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    let believing = over(upstream.namespace("quay.io"));
    for _ in 0..3 {
        assert_eq!(get(&believing, TAG).body, sample.root.bytes()[..]);
    }
    assert_eq!((upstream.gets("/manifests/"), upstream.heads("/manifests/")), (1, 0));
    upstream.faulty.forget_requests();
    let doubting = doubting(&upstream);
    for _ in 0..3 {
        let answer = get(&doubting, TAG);
        assert_eq!(answer.body, sample.root.bytes()[..]);
        assert_eq!(answer.header("docker-content-digest"), sample.root.digest().as_str());
        assert_eq!(answer.header("content-type"), sample.root.media_type());
    }
    assert_eq!((upstream.gets("/manifests/"), upstream.heads("/manifests/")), (1, 2));
}

#[test]
fn a_tag_that_moved_is_followed() {
    let (upstream, registry) = start();
    let old = get(&registry, TAG).body;
    let new = upstream.hold("org/img", "1", "another", 1000);
    assert_eq!(get(&registry, TAG).body, new.root.bytes()[..]);
    let moved_back = upstream.hold("org/img", "1", "seed", 1000);
    upstream.faulty.forget_requests();
    assert_eq!(get(&registry, TAG).body, old);
    assert_eq!(old, moved_back.root.bytes()[..]);
    assert_eq!(upstream.gets("/manifests/"), 0, "what is kept was fetched again");
}

#[test]
fn many_that_ask_for_a_tag_at_once_cause_one_request() {
    let (upstream, registry) = start();
    upstream.faulty.fault(1, Method::GET, "/manifests/", Fault::Delay(Duration::from_millis(300)));
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50).map(|_| scope.spawn(|| get(&registry, TAG).status)).collect();
        assert!(asking.into_iter().all(|one| one.join().unwrap() == 200));
    });
    assert_eq!(upstream.gets("/manifests/"), 1);
}

#[test]
fn a_manifest_by_digest_is_asked_for_once_and_for_ever() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    let registry = doubting(&upstream);
    let path = format!("/v2/quay.io/org/img/manifests/{}", sample.root.digest());
    for _ in 0..3 {
        assert_eq!(get(&registry, &path).body, sample.root.bytes()[..]);
        assert_eq!(registry.anonymous("HEAD", &path).status, 200);
    }
    assert_eq!((upstream.gets("/manifests/"), upstream.heads("/manifests/")), (1, 0));
    upstream.stop();
    assert_eq!(get(&registry, &path).body, sample.root.bytes()[..]);
}

#[test]
fn what_a_registry_refuses_is_never_answered_from_what_is_kept() {
    for status in [401, 403, 404] {
        let (upstream, registry) = start();
        assert_eq!(get(&registry, TAG).status, 200);
        upstream.faulty.fault(9, Method::HEAD, "/manifests/", answer(status));
        let refused = get(&registry, TAG);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "MANIFEST_UNKNOWN"),
            "{status}"
        );
        let message = refused.json()["errors"][0]["message"].to_string();
        assert!(message.contains("quay.io"), "{message}");
    }
}

#[test]
fn a_tag_that_is_gone_does_not_come_back_when_the_registry_is_down() {
    let (upstream, registry) = start();
    assert_eq!(get(&registry, TAG).status, 200);
    upstream.faulty.fault(1, Method::HEAD, "/manifests/", answer(404));
    assert_eq!(get(&registry, TAG).status, 404);
    upstream.stop();
    assert_eq!(get(&registry, TAG).status, 502);
}

#[test]
fn a_registry_that_is_down_is_stood_in_for() {
    for fault in [
        answer(500),
        answer(503),
        answer(429),
        Fault::LoseReply,
        Fault::Delay(Duration::from_secs(20)),
    ] {
        let (upstream, registry) = start();
        let kept = get(&registry, TAG).body;
        let name = format!("{fault:?}");
        upstream.faulty.fault(9, Method::HEAD, "/manifests/", fault);
        assert_eq!(get(&registry, TAG).body, kept, "{name}");
        // Nobody waits for it again so soon.
        upstream.faulty.forget_requests();
        assert_eq!(get(&registry, TAG).body, kept, "{name}");
        assert_eq!(upstream.heads("/manifests/"), 0, "{name}");
    }
    let (upstream, registry) = start();
    let kept = get(&registry, TAG).body;
    upstream.stop();
    assert_eq!(get(&registry, TAG).body, kept);
    let other = get(&registry, "/v2/quay.io/org/img/manifests/other");
    assert_eq!(other.status, 502, "{other:?}");
    assert!(other.json()["errors"][0]["message"].to_string().contains("quay.io"));
}

#[test]
fn a_new_image_that_cannot_be_fetched_leaves_the_old_one() {
    let (upstream, registry) = start();
    let kept = get(&registry, TAG).body;
    upstream.hold("org/img", "1", "another", 1000);
    upstream.faulty.fault(9, Method::GET, "/manifests/", answer(503));
    assert_eq!(get(&registry, TAG).body, kept);
}

#[test]
fn who_wants_to_be_left_alone_is_not_asked() {
    let (upstream, registry) = start();
    let kept = get(&registry, TAG).body;
    let later = vec![("Retry-After", "100".to_owned())];
    let limited = Fault::Answer(429, later, String::new());
    upstream.faulty.fault(1, Method::HEAD, "/manifests/", limited);
    assert_eq!(get(&registry, TAG).body, kept);
    upstream.faulty.forget_requests();
    assert_eq!(get(&registry, TAG).body, kept);
    let other = get(&registry, "/v2/quay.io/org/img/manifests/other");
    assert_eq!((other.status, other.code().as_str()), (429, "TOOMANYREQUESTS"));
    let wait: u64 = other.header("retry-after").parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait}");
    assert!(upstream.faulty.requests().is_empty(), "{:?}", upstream.faulty.requests());
    let metrics = String::from_utf8(registry.request("GET", "/metrics", b"").body).unwrap();
    for series in ["rate_limited_total", "stale_total", "up", "resting_seconds", "answers_total"] {
        let series = format!("registry_upstream_{series}{{upstream=\"quay.io\"}}");
        assert!(metrics.contains(&series), "{series}\n{metrics}");
    }
}

#[test]
fn a_head_that_does_not_tell_the_digest_does() {
    let (upstream, registry) = start();
    let kept = get(&registry, TAG).body;
    let silent = || Fault::Header("docker-content-digest", None);
    upstream.faulty.fault(99, Method::HEAD, "/manifests/", silent());
    upstream.faulty.fault(99, Method::GET, "/manifests/", silent());
    assert_eq!(get(&registry, TAG).body, kept);
    let new = upstream.hold("org/img", "1", "another", 1000);
    assert_eq!(get(&registry, TAG).body, new.root.bytes()[..]);
}

#[test]
fn wrong_and_huge_manifests_are_not_passed_on() {
    let upstream = Upstream::start();
    let sample = upstream.hold("org/img", "1", "seed", 1000);
    let registry = doubting(&upstream);
    let path = format!("/v2/quay.io/org/img/manifests/{}", sample.root.digest());
    for body in [b"{}".to_vec(), vec![b' '; 5 * 1024 * 1024]] {
        upstream.faulty.fault(1, Method::GET, "/manifests/", Fault::Body(body.into()));
        assert_eq!(get(&registry, &path).status, 502);
    }
    upstream.faulty.fault(1, Method::GET, "/manifests/", Fault::Body(b"<html>".to_vec().into()));
    assert_eq!(get(&registry, TAG).status, 502);
    assert_eq!(get(&registry, TAG).status, 200);
}

#[test]
fn every_spelling_of_a_name_is_one_image_of_one_registry() {
    let hub = Upstream::start();
    let quay = Upstream::start();
    let port = Upstream::start();
    let x = hub.hold("library/x", "1", "hub", 100);
    let org = hub.hold("org/x", "1", "org", 100);
    let other = quay.hold("org/x", "1", "quay", 100);
    let local = port.hold("a/x", "1", "port", 100);
    let registry = Registry::start_with(|config| {
        config.namespaces = vec![
            hub.namespace("docker.io"),
            quay.namespace("quay.io"),
            port.namespace("localhost:5000"),
        ];
    });
    for (sample, paths) in [
        (
            &x,
            &[
                "x/manifests/1",
                "library/x/manifests/1",
                "docker.io/library/x/manifests/1",
                "docker.io/x/manifests/1",
                "library/x/manifests/1?ns=docker.io",
                "x/manifests/1?ns=registry-1.docker.io",
                "docker.io/library/x/manifests/1?ns=docker.io",
            ][..],
        ),
        (
            &org,
            &["org/x/manifests/1", "docker.io/org/x/manifests/1", "org/x/manifests/1?ns=docker.io"],
        ),
        (
            &other,
            &[
                "quay.io/org/x/manifests/1",
                "org/x/manifests/1?ns=quay.io",
                "quay.io/org/x/manifests/1?ns=quay.io",
            ],
        ),
        (
            &local,
            &[
                "localhost_5000/a/x/manifests/1",
                "a/x/manifests/1?ns=localhost:5000",
                "localhost_5000/a/x/manifests/1?ns=localhost:5000",
            ],
        ),
    ] {
        for path in paths {
            let answer = get(&registry, &format!("/v2/{path}"));
            assert_eq!(answer.body, sample.root.bytes()[..], "{path}");
        }
    }
    for upstream in [&hub, &quay, &port] {
        let gets = upstream.gets("/manifests/");
        assert_eq!(
            gets,
            if std::ptr::eq(upstream, &hub) { 2 } else { 1 },
            "one image, asked for again"
        );
    }
    assert_eq!(get(&registry, "/v2/quay.io/org/x/manifests/1?ns=docker.io").status, 400);
    assert_eq!(get(&registry, "/v2/ghcr.io/org/x/manifests/1").status, 404);
}

#[test]
fn lists_of_tags_are_unions_and_do_not_need_the_other_side() {
    let (upstream, registry) = start();
    for tag in ["3", "5", "7"] {
        upstream.hold("org/img", tag, tag, 10);
    }
    registry.push_image("quay.io/org/img", "4", "local");
    registry.push_image("quay.io/org/img", "5", "local");
    let list = |path: &str| get(&registry, path).json()["tags"].clone();
    let path = "/v2/quay.io/org/img/tags/list";
    assert_eq!(list(path), json!(["1", "3", "4", "5", "7"]));
    assert_eq!(list(&format!("{path}?n=2&last=3")), json!(["4", "5"]));
    assert_eq!(get(&registry, TAG).status, 200);
    assert_eq!(get(&registry, "/v2/quay.io/org/other/tags/list").code(), "NAME_UNKNOWN");
    upstream.stop();
    assert_eq!(list(path), json!(["1", "4", "5"]), "what is local or kept");
    assert_eq!(get(&registry, "/v2/quay.io/org/none/tags/list").status, 502);
}

#[test]
fn referrers_are_unions_local_ones_first() {
    let (upstream, registry) = start();
    let subject = get(&registry, TAG).header("docker-content-digest").to_owned();
    let path = format!("/v2/quay.io/org/img/referrers/{subject}");
    assert_eq!(get(&registry, &path).json()["manifests"], json!([]));
    let empty = registry.push_blob("quay.io/org/img", b"{}");
    let attached = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "text/local", "layers": [], "subject": {"mediaType": "x", "digest": subject, "size": 1},
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}});
    registry.put_manifest("quay.io/org/img", "sig", attached.to_string().as_bytes());
    let below = upstream.hold("org/img", "attached", "attached", 10);
    // The other side knows them by the tag schema only.
    let child = ("amd64", below);
    let index = crate::support::sample::index(std::slice::from_ref(&child));
    upstream.faulty.memory.hold("org/img", &subject.replace(':', "-"), &index);
    let listed = get(&registry, &path).json()["manifests"].clone();
    assert_eq!(listed[0]["artifactType"], "text/local");
    assert_eq!(listed[1]["digest"], json!(child.1.root.digest()));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    upstream.stop();
    let listed = get(&registry, &path).json()["manifests"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
