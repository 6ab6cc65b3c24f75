//! The program is killed at every request it makes, and while `preflight` runs; `resume` comes to one end.

use std::process::Stdio;
use std::time::Duration;

use http::Method;

use super::{PUBLIC, Site, TAGS, UPLOAD, done, new};
use crate::support::faulty::{Fault, Faulty};
use crate::support::wait::until;

/// The requests behind the journal's beginning, at the upload registry (true) or the public one.
fn steps() -> Vec<(bool, Method, String)> {
    let images = new().below.iter().map(|it| it.digest().to_string()).collect::<Vec<_>>();
    let upload = |method: Method, what: &str| (true, method, format!("{UPLOAD}/manifests/{what}"));
    let public = |what: &str| (false, Method::HEAD, format!("{PUBLIC}/manifests/{what}"));
    let mut steps = vec![
        (true, Method::POST, format!("{UPLOAD}/blobs/uploads/")),
        upload(Method::PUT, &images[0]),
        upload(Method::PUT, &images[1]),
        upload(Method::PUT, TAGS[0]),
        public(TAGS[0]),
    ];
    for tag in &TAGS[1..] {
        steps.push(upload(Method::GET, tag));
        steps.push(public(tag));
        steps.push(upload(Method::PUT, tag));
    }
    steps
}

/// The other tags begin with the last one, so their requests come first; how many, each let pass.
fn others(server: &Faulty, method: &Method, path: &str) -> usize {
    let others = match (method, path.ends_with(&format!("/{}", TAGS[2]))) {
        (&Method::PUT, true) => 2,
        (&Method::GET, true) => 1,
        _ => return 0,
    };
    server.fault(others, method.clone(), path, Fault::Delay(Duration::ZERO));
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_request_is_finished_by_resume() {
    for (at_upload, method, path) in steps() {
        let site = Site::new().await;
        let server: &Faulty = if at_upload { &site.upload } else { &site.public };
        let (release, gate) = tokio::sync::watch::channel(false);
        let others = others(server, &method, &path);
        server.fault(1, method.clone(), &path, Fault::Hold(gate));
        let before = server.count(method.clone(), &path) + others;
        let mut command = site.publication(&[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(|| server.count(method.clone(), &path) > before).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // What was held is not carried out any more: its connection is gone.
        std::mem::forget(release);
        if site.runs().is_empty() {
            site.assert_not_moved();
        }
        assert_eq!(done(&site.resume(&[]).await)["state"], "done", "{method} {path}");
        site.assert_done();
        let puts = site.tag_puts();
        for tag in TAGS {
            // The one that was held was asked for, but not carried out.
            let held = usize::from(method == Method::PUT && path.ends_with(&format!("/{tag}")));
            let count = puts.iter().filter(|it| *it == tag).count();
            assert_eq!(count, 1 + held, "{method} {path}: {tag}");
        }
        assert_eq!(site.runs().len(), 1, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_behind_any_write_does_not_write_it_again() {
    for tag in TAGS {
        let site = Site::new().await;
        let path = format!("{UPLOAD}/manifests/{tag}");
        others(&site.upload, &Method::PUT, &path);
        site.upload.fault(1, Method::PUT, &path, Fault::StallAfter(0));
        let mut command = site.publication(&[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(|| site.held(tag).as_deref() == Some(new().root.digest().as_str())).await;
        child.kill().unwrap();
        child.wait().unwrap();
        done(&site.resume(&[]).await);
        site.assert_done();
        assert_eq!(site.tag_puts(), TAGS, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_when_preflight_was_done_does_not_run_it_on_what_is_public() {
    let site = Site::new().await;
    let (release, gate) = tokio::sync::watch::channel(false);
    // The look behind preflight.
    let path = format!("{PUBLIC}/manifests/{}", TAGS[0]);
    let mut command = site.publication(&[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| site.path("control/published").exists()).await;
    site.public.fault(9, Method::HEAD, &path, Fault::Hold(gate));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(release);
    site.public.forget_faults();
    site.public.memory.hold(PUBLIC, TAGS[0], &new());
    done(&site.resume(&[]).await);
    site.assert_done();
    assert_eq!(site.runs().len(), 1);
}
