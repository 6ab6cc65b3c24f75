//! Promotion between real registries: ours, Debian's, and one that lists as Google's do.

use std::process::Output;
use std::time::Duration;

use http::Method;
use serde_json::json;
use zuul_images::client::{Repository, Sight};
use zuul_images::oci::{Digest, Reference};

use super::site::{PLATFORMS, Site};
use super::{described, document, plain, promoter, text};
use crate::support::clients;
use crate::support::distribution::Distribution;
use crate::support::faulty::{Fault, Faulty};
use crate::support::images::{digest_of, push_image, push_index, push_referrer};

#[tokio::test(flavor = "multi_thread")]
async fn images_are_promoted_to_every_destination_and_then_there_is_nothing_to_do() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/team/app"), "x", "app", &PLATFORMS).await;
    let bare = push_index(&site.source("staging/team/app"), "y", "bare", &PLATFORMS).await;
    let sbom = push_referrer(&site.source("staging/team/app"), &app, "application/spdx+json").await;
    let manifests =
        [site.manifest("team/app", &[(&app, json!(["1.0", "1.0.1"])), (&bare, json!([]))])];

    let dry = document(&site.run("promote", &manifests, &[]));
    described(&dry);
    assert_eq!((dry["dry_run"].clone(), dry["written"].clone()), (json!(true), json!(0)));
    assert_eq!(dry["copies"].as_array().unwrap().len(), 6);
    assert_eq!(digest_of(&site.debian("prod/team/app"), "1.0").await, None);

    site.source.forget_requests();
    let done = site.promote(&manifests, &[]);
    assert_eq!(done["written"], 6, "{done}");
    for place in [site.debian("prod/team/app"), site.ours("prod/team/app")] {
        for tag in ["1.0", "1.0.1"] {
            assert_eq!(digest_of(&place, tag).await.as_ref(), Some(&app));
        }
        assert!(place.head(&Reference::from(bare.clone())).await.unwrap().is_some());
        let attached = place.referrers(&app).await.unwrap();
        assert_eq!(attached[0]["digest"], sbom.digest().as_str());
    }
    // However many destinations and tags there are, each blob is read once.
    let mut read: Vec<String> = site
        .source
        .requests()
        .into_iter()
        .filter(|it| it.starts_with("GET") && it.contains("/blobs/"))
        .collect();
    let count = read.len();
    read.sort();
    read.dedup();
    assert_eq!(read.len(), count, "{read:#?}");

    let again = site.promote(&manifests, &[]);
    assert_eq!(
        (again["in_place"].clone(), again["written"].clone()),
        (json!(6), json!(0)),
        "{again}"
    );
    assert_eq!(again["totals"]["blobs_moved"], 0, "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_would_move_refuses_the_run_before_anything_is_written() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let other = push_index(&site.debian("prod/a"), "1.0", "other", &PLATFORMS).await;
    let good = push_index(&site.source("staging/b"), "x", "b", &PLATFORMS).await;
    let manifests = [
        site.manifest("a", &[(&app, json!(["1.0"]))]),
        site.manifest("b", &[(&good, json!(["1"]))]),
    ];
    let output = site.run("promote", &manifests, &["--confirm"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(document(&output)["written"], 0);
    assert_eq!(digest_of(&site.ours("prod/b"), "1").await, None);

    let output = site.run("promote", &manifests, &["--confirm", "--keep-going"]);
    assert_eq!(output.status.code(), Some(1));
    let done = document(&output);
    assert_eq!(done["written"], 2, "{done}");
    assert!(done["failures"][0]["item"].as_str().unwrap().ends_with("prod/a:1.0"), "{done}");
    assert_eq!(digest_of(&site.debian("prod/a"), "1.0").await, Some(other));
    assert_eq!(digest_of(&site.ours("prod/a"), "1.0").await, None, "the image is left as a whole");
    assert_eq!(digest_of(&site.ours("prod/b"), "1").await, Some(good));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_one_image_leaves_the_others_when_that_is_wanted() {
    let site = Site::start().await;
    let bad = push_index(&site.source("staging/bad"), "x", "bad", &PLATFORMS).await;
    let good = push_index(&site.source("staging/good"), "x", "good", &PLATFORMS).await;
    site.source.fault(
        usize::MAX,
        Method::GET,
        "/v2/staging/bad/blobs/",
        Fault::Answer(404, vec![], "".into()),
    );
    let manifests = [
        site.manifest("bad", &[(&bad, json!(["1"]))]),
        site.manifest("good", &[(&good, json!(["1"]))]),
    ];
    let output = site.run("promote", &manifests, &["--confirm"]);
    assert_eq!(output.status.code(), Some(1));
    let output = site.run("promote", &manifests, &["--confirm", "--keep-going"]);
    assert_eq!(output.status.code(), Some(1));
    let done = document(&output);
    described(&done);
    assert!(done["failures"][0]["item"].as_str().unwrap().ends_with("staging/bad"), "{done}");
    assert_eq!(digest_of(&site.debian("prod/good"), "1").await, Some(good));
    assert_eq!(digest_of(&site.debian("prod/bad"), "1").await, None);

    site.source.forget_faults();
    assert_eq!(site.promote(&manifests, &[])["written"], 2, "a rerun does the rest");
    assert_eq!(digest_of(&site.ours("prod/bad"), "1").await, Some(bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_sets_meanwhile_is_not_moved() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let manifests = [site.manifest("a", &[(&app, json!(["1.0"]))])];
    // The plan finds no repository at all; when the copy looks at the tag, it is there.
    let front = Faulty::before(format!("127.0.0.1:{}", site.debian.port).parse().unwrap()).await;
    let look = (Method::HEAD, "/v2/prod/a/manifests/1.0");
    let address = front.address.to_string();
    let manifests = [manifests[0].replace(&site.debian.registry().to_string(), &address)];
    let options = ["--confirm", "--plain-http", &address];
    let promote = || site.run("promote", &manifests, &options);
    let (output, other) = set_meanwhile(&site, "1.0", &front, look, promote).await;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("a tag is not moved"), "{}", text(&output.stderr));
    assert_eq!(digest_of(&site.debian("prod/a"), "1.0").await, Some(other));
    assert_eq!(digest_of(&site.ours("prod/a"), "1.0").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_sets_while_blobs_are_moved_is_not_moved() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let manifests = [site.manifest("a", &[(&app, json!(["1.0"]))])];
    let blob = (Method::GET, "/v2/staging/a/blobs/");
    let promote = || site.run("promote", &manifests, &["--confirm"]);
    let (output, other) = set_meanwhile(&site, "1.0", &site.source, blob, promote).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let done = document(&output);
    described(&done);
    assert_eq!(done["error"]["kind"], "raced", "{done}");
    assert!(text(&output.stderr).contains("a tag is not moved"), "{}", text(&output.stderr));
    assert_eq!(digest_of(&site.debian("prod/a"), "1.0").await, Some(other));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_something_ended_a_run_is_told() {
    let site = Site::start().await;
    let mut digests = Vec::new();
    for seed in ["a", "b"] {
        digests.push(push_index(&site.source("staging/a"), "x", seed, &PLATFORMS).await);
    }
    digests.sort();
    // Too many to be carried together.
    let tags =
        |first: &str| json!((0..300).map(|it| format!("{first}{it:03}")).collect::<Vec<_>>());
    let manifest = site.manifest("a", &[(&digests[0], tags("t")), (&digests[1], tags("u"))]);
    let front = Faulty::before(format!("127.0.0.1:{}", site.debian.port).parse().unwrap()).await;
    let address = front.address.to_string();
    let manifest = manifest.replace(&site.debian.registry().to_string(), &address);
    let manifests = [manifest.replace(&format!("- name: {}/prod\n", site.ours.address), "")];
    let options = ["--confirm", "--plain-http", &address];
    let promote = || site.run("promote", &manifests, &options);
    let look = (Method::HEAD, "/v2/prod/a/manifests/u000");
    let (output, other) = set_meanwhile(&site, "u299", &front, look, promote).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let done = document(&output);
    described(&done);
    assert_eq!((&done["written"], &done["error"]["kind"]), (&json!(300), &json!("partial")));
    assert!(text(&output.stderr).contains("300 images were written before"));
    assert_eq!(digest_of(&site.debian("prod/a"), "t299").await.as_ref(), Some(&digests[0]));
    assert_eq!(digest_of(&site.debian("prod/a"), "u298").await, None);
    assert_eq!(digest_of(&site.debian("prod/a"), "u299").await, Some(other));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_were_written_beside_one_that_failed_are_counted() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let bad = push_index(&site.source("staging/bad"), "x", "bad", &PLATFORMS).await;
    let tags: Vec<String> = (0..20).map(|it| format!("t{it:02}")).collect();
    let front = Faulty::before(format!("127.0.0.1:{}", site.debian.port).parse().unwrap()).await;
    let address = front.address.to_string();
    let manifests =
        [("a", &app, json!(tags)), ("bad", &bad, json!(["1"]))].map(|(name, digest, tags)| {
            let manifest = site.manifest(name, &[(digest, tags)]);
            let manifest = manifest.replace(&site.debian.registry().to_string(), &address);
            manifest.replace(&format!("- name: {}/prod\n", site.ours.address), "")
        });
    let denied = Fault::Answer(403, vec![], "".into());
    front.fault(usize::MAX, Method::PUT, "/v2/prod/bad/manifests/1", denied);
    let options = ["--confirm", "--keep-going", "--plain-http", &address];
    let output = site.run("promote", &manifests, &options);
    assert_eq!(output.status.code(), Some(1));
    let done = document(&output);
    described(&done);
    assert_eq!(done["written"], 20, "{done}");
    assert!(done["failures"][0]["item"].as_str().unwrap().ends_with("staging/bad"), "{done}");
}

/// Runs `promote`, and puts another image under `tag` in Debian's registry while `front` holds a request.
async fn set_meanwhile(
    site: &Site,
    tag: &str,
    front: &Faulty,
    (method, path): (Method, &str),
    promote: impl FnOnce() -> Output + Send,
) -> (Output, Digest) {
    let (opener, open) = tokio::sync::watch::channel(false);
    front.forget_requests();
    front.fault(1, method.clone(), path, Fault::Hold(open));
    let meanwhile = async {
        while front.count(method.clone(), path) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = push_index(&site.debian("prod/a"), tag, "other", &PLATFORMS).await;
        // A tag that was seen just now is written without another look.
        tokio::time::sleep(Sight::GOOD_FOR).await;
        opener.send_replace(true);
        other
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let run = scope.spawn(promote);
            let other = tokio::runtime::Handle::current().block_on(meanwhile);
            (run.join().unwrap(), other)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_a_destination_has_of_its_own_stay() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let manifests = [site.manifest("a", &[(&app, json!(["1.0"]))])];
    site.promote(&manifests, &[]);
    let signature = format!("sha256-{}.sig", app.hex());
    let signed = async |place: &Repository, by: &str| {
        push_image(place, Some(&signature), by, "linux/amd64").await.digest().clone()
    };
    let theirs = signed(&site.source("staging/a"), "staging").await;
    let own = signed(&site.debian("prod/a"), "production").await;
    let output = site.run("promote", &manifests, &["--confirm"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("which is left as it is"), "{}", text(&output.stderr));
    assert_eq!(digest_of(&site.debian("prod/a"), &signature).await, Some(own));
    assert_eq!(digest_of(&site.ours("prod/a"), &signature).await, Some(theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_lacks_a_platform_is_refused_where_all_are_required() {
    let site = Site::start().await;
    let lame = push_index(&site.source("staging/a"), "x", "a", &["linux/amd64"]).await;
    let single = push_image(&site.source("staging/a"), Some("y"), "b", "linux/amd64").await;
    let required = ["--require-platforms", "linux/amd64,linux/arm64", "--confirm"];
    for digest in [&lame, single.digest()] {
        let manifests = [site.manifest("a", &[(digest, json!(["1"]))])];
        let output = site.run("promote", &manifests, &required);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("linux/arm64"), "{}", text(&output.stderr));
        assert_eq!(digest_of(&site.ours("prod/a"), "1").await, None);
    }
    let whole = push_index(&site.source("staging/a"), "z", "c", &PLATFORMS).await;
    let manifests = [site.manifest("a", &[(&whole, json!(["1"]))])];
    assert!(site.run("promote", &manifests, &required).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_run_together_are_the_run() {
    let site = Site::start().await;
    let mut manifests = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let digest =
            push_index(&site.source(&format!("staging/{name}")), "x", name, &PLATFORMS).await;
        manifests.push(site.manifest(name, &[(&digest, json!(["1"]))]));
    }
    let mut written = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        written += site.promote(&manifests, &["--shard", shard])["written"].as_u64().unwrap();
    }
    assert_eq!(written, 10);
    assert_eq!(site.promote(&manifests, &[])["in_place"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_is_finished_by_the_next() {
    let site = Site::start().await;
    let mut manifests = Vec::new();
    for name in ["a", "b", "c"] {
        let digest =
            push_index(&site.source(&format!("staging/{name}")), "x", name, &PLATFORMS).await;
        manifests.push(site.manifest(name, &[(&digest, json!(["1", "2"]))]));
    }
    let slow = Fault::Delay(std::time::Duration::from_millis(200));
    site.source.fault(usize::MAX, Method::GET, "/blobs/", slow);
    let mut command = promoter("promote");
    command
        .args(["--confirm", "--no-ambient-config", "--parallel", "1", "--plain-http"])
        .args([&site.source.address.to_string(), "--plain-http"])
        .args([&site.debian.registry().to_string(), "--ca-file", &site.ours.ca_file()])
        .arg("--credentials")
        .arg(site.ours.credentials());
    plain(&mut command, site.folder.path(), &json!(manifests));
    let mut process = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    while site.source.count(Method::GET, "/blobs/") < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    site.source.forget_faults();
    let done = site.promote(&manifests, &[]);
    let total = done["in_place"].as_u64().unwrap() + done["written"].as_u64().unwrap();
    assert_eq!(total, 12, "{done}");
    assert_eq!(site.promote(&manifests, &[])["in_place"], 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_used_for_the_registries_that_name_it() {
    let debian = Distribution::start_for("robot", "secret");
    let source = Faulty::start().await;
    let client = clients::client(&[&source.registry()], Default::default());
    let from = client.repository(&source.registry(), &"staging/a".parse().unwrap());
    let digest = push_index(&from, "x", "a", &PLATFORMS).await;
    let registry = debian.registry();
    let manifest = format!(
        "registries:\n- name: {}/staging\n  src: true\n- name: {registry}/prod\n  service-account: r@example\n\
         images:\n- name: a\n  dmap: {{{digest}: ['1']}}\n",
        source.address
    );
    let folder = tempfile::tempdir().unwrap();
    let run = |identity: &str| {
        let mut command = promoter("promote");
        command
            .args(["--confirm", "--no-ambient-config", "--identity", identity, "--plain-http"])
            .args([&source.address.to_string(), "--plain-http", &registry.to_string()]);
        plain(&mut command, folder.path(), &json!([manifest]));
        command.output().unwrap()
    };
    for (identity, code) in [
        ("other=echo robot:secret", 2),
        ("r@example=echo robot:wrong", 1),
        ("r@example=false --flag=robot", 1),
    ] {
        let output = run(identity);
        assert_eq!(output.status.code(), Some(code), "{identity}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("secret"), "{}", text(&output.stderr));
    }
    let output = run("r@example=echo robot:secret");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(document(&output)["written"], 1);
    let shown =
        source.recorded().iter().filter(|it| it.headers.contains_key("authorization")).count();
    assert_eq!(shown, 0, "the source is read as nobody");
}

#[test]
fn an_identity_that_nobody_would_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inventory = folder.path().join("inventory.json");
    std::fs::write(&inventory, "{}").unwrap();
    let run = |name: &str, manifests: &[&str], options: &[&str]| {
        let mut command = promoter("plan");
        command.args(["--no-ambient-config", "--identity", &format!("{name}=echo --flag=x")]);
        command.arg("--inventory").arg(&inventory).args(options);
        plain(&mut command, folder.path(), &json!(manifests));
        command.output().unwrap()
    };
    let good = "registries:\n- name: a.example/s\n  src: true\n- name: b.example/d\n  service-account: r\n";
    let output = run("other", &[good], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("no manifest names the service-account `other`"), "{told}");
    assert_eq!(run("r", &[good], &[]).status.code(), Some(0));
    // A manifest that is left out may be the one that names it.
    let output = run("other", &[good, "registries: ["], &["--keep-going"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("`other`"), "{}", text(&output.stderr));
    // A name that is none is a warning where nothing comes from it or goes to it.
    let odd = good.replace("b.example/d", "b_example:x/d");
    let output = run("r", &[&odd], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
