//! The program is killed at every request it makes, behind every write, and while `preflight` runs; `resume`
//! always comes to the same end.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::Method;

use super::site::{Site, TAGS, UPLOAD, done, failed};
use crate::support::faulty::{Fault, Faulty};
use crate::support::wait::until;

/// Sites at once.
const PARALLEL: usize = 3;

/// The requests of an undisturbed run at a registry: method, the end of the path or a part of it where the rest
/// changes, and how many of the same came before. `preflight` asks there, too.
fn kinds(server: &Faulty) -> Vec<(Method, String, usize)> {
    let mut kinds: Vec<(Method, String, usize)> = Vec::new();
    for request in server.recorded() {
        let agent = request.headers.get("user-agent").and_then(|it| it.to_str().ok());
        if agent.is_some_and(|agent| agent.starts_with("Python")) {
            continue;
        }
        let path = match request.path.split_once("/uploads/") {
            Some((before, _)) => format!("{before}/uploads/"),
            // Its query names the registry's port.
            None if request.path.starts_with("/auth/token?") => "/auth/token?".to_owned(),
            None => format!("{}$", request.path),
        };
        let same = kinds.iter().filter(|it| (&it.0, &it.1) == (&request.method, &path)).count();
        kinds.push((request.method.clone(), path, same));
    }
    kinds
}

/// Those that every run sends. How many of the four uploads are begun, and what is read for them, before the login is
/// asked for is chance.
fn certain(server: &Faulty) -> Vec<(Method, String, usize)> {
    let mut kinds = kinds(server);
    kinds.retain(|(method, path, before)| match *method {
        Method::POST => *before < 4,
        _ => !path.contains("/blobs/sha256:") || *before == 0,
    });
    kinds
}

/// What is laid over the last of these requests; those before it are let pass.
fn lay(server: &Faulty, (method, path, before): &(Method, String, usize), fault: Fault) {
    server.fault(*before, method.clone(), path, Fault::Delay(Duration::ZERO));
    server.fault(1, method.clone(), path, fault);
}

/// Goes on until it is done; `carried_out` says of how many PUTs of a tag the registry heard nothing.
async fn finish(site: &Site, what: &str, unheard: impl Fn(&str) -> usize) {
    site.assert_safe();
    let unique = site.held(TAGS[0]);
    assert_eq!(site.go_on().await["state"], "done", "{what}");
    site.assert_done();
    let puts = site.tag_puts();
    for tag in TAGS {
        let count = puts.iter().filter(|it| *it == tag).count();
        assert_eq!(count, 1 + unheard(tag), "{what}: {tag}, unique before: {unique:?}");
    }
    assert_eq!(site.runs().len(), 1, "{what}");
}

async fn undisturbed() -> Site {
    let site = Site::new().await;
    done(&site.publish(&["--sync-tags"]).await);
    site
}

/// Kills the program when it has sent this request, which is not carried out.
async fn killed_at(at_upload: bool, kind: (Method, String, usize)) {
    let site = Site::new().await;
    let server: &Faulty = if at_upload { &site.upload } else { &site.public };
    let (_shut, gate) = tokio::sync::watch::channel(false);
    lay(server, &kind, Fault::Hold(gate));
    let (method, path, before) = &kind;
    let mut child = site.spawn(&[]);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while server.count(method.clone(), path) <= *before {
        assert!(std::time::Instant::now() < deadline, "no such request: {kind:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let is_put = |tag: &str| *method == Method::PUT && path.ends_with(&format!("/{tag}$"));
    finish(&site, &format!("{method} {path} {before}"), |tag| usize::from(is_put(tag))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_request_to_the_upload_registry_is_finished_by_resume() {
    let clean = undisturbed().await;
    let kinds = certain(&clean.upload);
    assert!(kinds.iter().filter(|(method, ..)| *method == Method::POST).count() == 4, "{kinds:?}");
    stream::iter(kinds).for_each_concurrent(PARALLEL, |kind| killed_at(true, kind)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_look_at_the_public_registry_is_finished_by_resume() {
    let clean = undisturbed().await;
    let kinds = kinds(&clean.public).into_iter().filter(|(.., before)| *before < 3);
    stream::iter(kinds).for_each_concurrent(PARALLEL, |kind| killed_at(false, kind)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_behind_any_write_does_not_write_a_tag_again() {
    let clean = undisturbed().await;
    let writes = certain(&clean.upload).into_iter();
    let writes = writes.filter(|(method, ..)| *method != Method::GET && *method != Method::HEAD);
    let killed = async |kind: (Method, String, usize)| {
        let site = Site::new().await;
        lay(&site.upload, &kind, Fault::Withhold);
        let mut child = site.spawn(&[]);
        until(|| site.upload.withheld() == 1).await;
        child.kill().unwrap();
        child.wait().unwrap();
        finish(&site, &format!("{kind:?}"), |_| 0).await;
    };
    stream::iter(writes).for_each_concurrent(PARALLEL, killed).await;
}

/// At what it, and `preflight` for it, asks the catalog: killed before it hears an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_request_to_the_catalog_is_finished_by_resume() {
    let clean = undisturbed().await;
    let asked = clean.catalog.web.asked();
    let mut kinds: Vec<(Method, String, usize)> = Vec::new();
    for asked in &asked {
        let (method, path) = asked.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap().to_owned();
        let method: Method = method.parse().unwrap();
        let number = kinds.iter().filter(|it| (&it.0, &it.1) == (&method, &path)).count() + 1;
        kinds.push((method, path, number));
    }
    assert!(kinds.iter().any(|(_, path, _)| path.ends_with("requests/images")), "{kinds:?}");
    let killed = async |(method, path, number): (Method, String, usize)| {
        let site = Site::new().await;
        site.catalog.kill_at(number, &method, &path);
        site.catalog.condemn(site.spawn(&["--sync-tags"]));
        until(|| site.catalog.has_killed()).await;
        // The preflight of the one that was killed goes on, and nobody works beside it.
        until(|| !is_locked(&site)).await;
        site.assert_safe();
        assert_eq!(site.go_on().await["state"], "done");
        site.assert_done();
        assert_eq!(site.tag_puts(), TAGS, "{method} {path} {number}");
        assert_eq!(site.runs().len(), 1, "{method} {path} {number}");
    };
    stream::iter(kinds).for_each_concurrent(PARALLEL, killed).await;
}

fn is_locked(site: &Site) -> bool {
    match std::fs::File::open(site.path(".rhcc-p1.lock")) {
        Ok(lock) => lock.try_lock().is_err(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_preflight_of_a_run_that_was_killed_goes_on_nobody_works_beside_it() {
    let site = Site::new().await;
    site.control("stop-arm64", "");
    let mut child = site.spawn(&[]);
    until(|| site.path("control/stopped-arm64").exists()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, said) = failed(&site.resume(&[]).await, 3);
    assert!(said.contains("preflight of one that was killed"), "{said}");
    site.uncontrol("stop-arm64");
    until(|| !is_locked(&site)).await;
    assert_eq!(site.catalog.images().len(), 2);
    done(&site.resume(&[]).await);
    site.assert_done();
    // What it left in the catalog is enough.
    assert_eq!(site.runs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_preflight_left_that_was_killed_half_way_is_done_by_itself() {
    let site = Site::new().await;
    site.control("stop-arm64", "");
    let mut child = site.spawn(&[]);
    until(|| site.path("control/stopped-arm64").exists()).await;
    let preflight = std::fs::read_to_string(site.path("control/pid")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let preflight = rustix::process::Pid::from_raw(preflight.parse().unwrap()).unwrap();
    rustix::process::kill_process(preflight, rustix::process::Signal::KILL).unwrap();
    until(|| !is_locked(&site)).await;
    assert_eq!(site.catalog.images().len(), 1);
    site.assert_not_moved();
    site.uncontrol("stop-arm64");
    done(&site.resume(&[]).await);
    site.assert_done();
    let image = format!("{}/{UPLOAD}:7.6.1-1", site.upload.registry());
    assert_eq!(site.runs(), [image.clone(), format!("{image} --platform=arm64")]);
}

/// Between what it writes into its journal, there are only the requests of the tests above. Here it is killed
/// as soon as each state stands there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_in_any_state_is_finished_by_resume() {
    for state in ["pushing", "pushed", "certified", "visible", "moved"] {
        let site = Site::new().await;
        let mut child = site.spawn(&[]);
        let stands = || {
            let journal = std::fs::read_to_string(site.path("journal.json")).unwrap_or_default();
            journal.contains(&format!("\"state\": \"{state}\"")) || journal.contains("\"done\"")
        };
        until(stands).await;
        child.kill().unwrap();
        child.wait().unwrap();
        until(|| !is_locked(&site)).await;
        site.assert_safe();
        assert_eq!(site.go_on().await["state"], "done", "{state}");
        site.assert_done();
        assert_eq!(site.runs().len(), 1, "{state}");
    }
}
