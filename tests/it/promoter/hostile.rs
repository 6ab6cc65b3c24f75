//! What somebody writes who means harm, or nobody thought of.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Output;

use http::Method;
use serde_json::{Value, json};

use super::site::{PLATFORMS, Site};
use super::{described, document, plain, promoter, strings, text, write_files};
use crate::support::faulty::{Fault, Faulty};
use crate::support::http::{open, receive, send};
use crate::support::images::{digest_of, push_image, push_index};
use crate::support::process::Served;

const REGISTRIES: &str = "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/d\n";

#[test]
fn one_line_with_very_many_problems_is_shown_in_excerpts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("m.yaml"),
        format!("{REGISTRIES}images: [{}]\n", "{},".repeat(20_000)),
    )
    .unwrap();
    let mut command = promoter("check");
    command.args(["--output", "text", "--manifest", "m.yaml"]).current_dir(folder.path());
    let shown = text(&command.output().unwrap().stdout);
    assert!(shown.contains("there are more than 10000 problems"));
    assert!(shown.lines().all(|line| line.len() < 200));
    let summary = shown.lines().last().unwrap();
    assert_eq!(summary, "1 manifests, 0 edges, 10001 problems");
}

#[test]
fn keys_that_stand_twice_a_thousand_times_are_all_told() {
    let keys: String = (0..20_000).map(|number| format!("k{number}: 1\n")).collect();
    let found = check(&format!("{REGISTRIES}{keys}{}", "k19999: 1\n".repeat(5_000)));
    let problems = found["problems"].as_array().unwrap();
    let twice = problems.iter().filter(|it| it["message"].as_str().unwrap().contains("twice"));
    assert!(twice.count() >= 5_000, "{}", problems.len());
}

#[test]
fn a_small_file_does_not_come_to_more_edges_than_anybody_has() {
    let registries: String = (0..5_000).map(|it| format!("- name: r{it}.example/d\n")).collect();
    let digests: String = (0..5_000).map(|it| format!("    sha256:{it:064}: []\n")).collect();
    let found = check(&format!(
        "registries:\n- name: gcr.io/s\n  src: true\n{registries}images:\n- name: x\n  dmap:\n{digests}"
    ));
    let message = found["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("more than 20000000 edges"), "{message}");
    assert_eq!(found["edge_count"], 0);
}

#[test]
fn a_registry_has_one_spelling_so_that_no_edge_hides() {
    for (other, spelling) in [
        ("GCR.io/s", "gcr.io"),
        ("gcr.io:443/s", "gcr.io"),
        ("registry:05000/s", "registry:5000"),
        ("index.docker.io/s", "docker.io"),
        ("[0:0:0:0:0:0:0:1]:5000/s", "[::1]:5000"),
    ] {
        let found = check(&format!(
            "{REGISTRIES}- name: '{other}'\nimages:\n- name: x\n  dmap: {{sha256:{}: [a]}}\n",
            "a".repeat(64)
        ));
        assert_eq!(found["ok"], false, "{other}");
        let message = found["problems"][0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("write `{spelling}`")), "{other}: {message}");
        assert_eq!(found["problems"][0]["line"], 5, "{other}");
    }
    // In a URL these are 10.0.0.5.
    for other in ["10.5:5000/s", "167772165:5000/s", "0xa000005:5000/s", "10.0.0.05:5000/s"] {
        let found = check(&format!(
            "{REGISTRIES}- name: '{other}'\nimages:\n- name: x\n  dmap: {{sha256:{}: [a]}}\n",
            "a".repeat(64)
        ));
        assert_eq!(found["ok"], false, "{other}");
        let message = found["problems"][0]["message"].as_str().unwrap();
        assert!(message.contains("IPv4"), "{other}: {message}");
    }
}

#[test]
fn what_is_no_utf8_is_told_at_its_place_beside_all_else() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &json!({"manifests/p/promoter-manifest.yaml": REGISTRIES}));
    fs::create_dir_all(folder.path().join("images/p")).unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let images =
        [b"- name: x\n  dmap:\n    ", digest.as_bytes(), b": [\"a\xff\", no/tag]\n"].concat();
    fs::write(folder.path().join("images/p/images.yaml"), images).unwrap();
    let output = check_folder(&folder);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = document(&output);
    described(&found);
    let told = found["problems"].as_array().unwrap().iter();
    let told: Vec<(u64, &str)> =
        told.map(|it| (it["column"].as_u64().unwrap(), it["message"].as_str().unwrap())).collect();
    assert!(told.contains(&(81, "this is no UTF-8")), "{told:?}");
    assert!(told.iter().any(|(_, message)| message.contains("`no/tag` is not a tag")), "{told:?}");
}

#[test]
fn what_cannot_be_read_in_a_directory_is_told_and_only_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let images = format!("- name: x\n  dmap: {{sha256:{}: [v1]}}\n", "a".repeat(64));
    write_files(
        folder.path(),
        &json!({
            "manifests/good/promoter-manifest.yaml": REGISTRIES,
            "images/good/images.yaml": images,
            "manifests/large/promoter-manifest.yaml": REGISTRIES.replace("gcr.io/d", "gcr.io/e"),
            "images/large/images.yaml": images,
            "manifests/vast/promoter-manifest.yaml": REGISTRIES,
            "images/vast/images.yaml": "- name: a/../b\n  dmap: {sha256:1: []}\n",
        }),
    );
    for large in ["images/large/images.yaml", "manifests/vast/promoter-manifest.yaml"] {
        let file = fs::File::options().write(true).open(folder.path().join(large)).unwrap();
        file.set_len(65 * 1024 * 1024).unwrap();
    }
    let strange = folder.path().join(std::ffi::OsStr::from_bytes(b"manifests/\xff"));
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("promoter-manifest.yaml"), REGISTRIES).unwrap();
    let output = check_folder(&folder);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = document(&output);
    described(&found);
    let told: Vec<String> = found["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let file = it["file"].as_str().unwrap().strip_prefix(folder.path().to_str().unwrap());
            format!("{}: {}", file.unwrap(), it["message"].as_str().unwrap())
        })
        .collect();
    for (told, expected) in told.iter().zip([
        "/images/large/images.yaml: it cannot be read: it is larger than 64 MiB",
        "/images/vast/images.yaml: `sha256:1` is not a digest",
        "/manifests/vast/promoter-manifest.yaml: it cannot be read: it is larger",
        "/manifests/\u{fffd}: this folder is not read: its name is no UTF-8",
    ]) {
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(told.len(), 4, "{told:#?}");

    let inventory = folder.path().join("inventory.json");
    fs::write(&inventory, "{}").unwrap();
    let mut command = promoter("plan");
    command.args(["--keep-going", "--allow-lost", "--thin-manifest-dir"]).arg(folder.path());
    let output = command.arg("--inventory").arg(inventory).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let planned = document(&output);
    assert_eq!(planned["edge_count"], 1, "{planned}");
    assert_eq!(planned["failures"].as_array().unwrap().len(), 4, "{planned}");
}

#[test]
fn a_link_that_leads_out_of_the_directory_shows_nothing_of_its_target() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path().join("registry");
    write_files(
        project.path(),
        &json!({"secret.yaml": "password: hunter2\n", "out/images.yaml": "hunter2\n"}),
    );
    let digest = format!("sha256:{}", "a".repeat(64));
    write_files(
        &folder,
        &json!({
            "manifests/a/promoter-manifest.yaml": REGISTRIES,
            "images/a/.keep": "",
            "manifests/b/promoter-manifest.yaml": REGISTRIES,
            "manifests/c/promoter-manifest.yaml": REGISTRIES.replace("gcr.io/d", "gcr.io/e"),
            "images/c/images.yaml": format!("- name: x\n  dmap: {{{digest}: [v1]}}\n"),
            "manifests/d/promoter-manifest.yaml": REGISTRIES,
            "images/d/.keep": "",
        }),
    );
    symlink("../../../secret.yaml", folder.join("images/a/images.yaml")).unwrap();
    symlink("../../out", folder.join("images/b")).unwrap();
    symlink("../c/images.yaml", folder.join("images/d/images.yaml")).unwrap();
    let mut command = promoter("check");
    command.args(["--edges", "--thin-manifest-dir"]).arg(&folder);
    let output = command.output().unwrap();
    let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!shown.contains("hunter2") && !shown.contains("password"), "{shown}");
    let found = document(&output);
    let told = found["problems"].as_array().unwrap().iter();
    let astray: Vec<&str> = told
        .filter(|it| it["message"].as_str().unwrap().contains("leads out"))
        .map(|it| it["file"].as_str().unwrap().strip_prefix(folder.to_str().unwrap()).unwrap())
        .collect();
    assert_eq!(astray, ["/images/a/images.yaml", "/images/b"], "{found}");
    // Within the directory links are files.
    let expected = ["d", "e"].map(|it| format!("gcr.io/s/x@{digest} -> gcr.io/{it}/x:v1"));
    assert_eq!(strings(&found["edges"]), expected);
}

#[test]
fn neither_carriage_returns_nor_a_byte_order_mark_move_a_place() {
    let manifest = format!(
        "\u{feff}{REGISTRIES}images:\n- name: x\n  dmap: {{sha256:{}: [no/tag]}}\n",
        "a".repeat(64)
    );
    let plain = check(&manifest);
    assert_eq!(
        (&plain["problems"][0]["line"], &plain["problems"][0]["column"]),
        (&json!(7), &json!(84))
    );
    assert_eq!(check(&manifest.replace('\n', "\r\n"))["problems"][0]["column"], 84);
    let tabs = check(&manifest.replace("  src", "\tsrc"));
    assert!(tabs["problems"][0]["message"].as_str().unwrap().contains("tab"), "{tabs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_gives_something_else_than_the_digest_is_not_believed() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let other = push_image(&site.source("staging/b"), Some("x"), "b", "linux/amd64").await;
    let path = format!("/v2/staging/a/manifests/{app}");
    let manifests = [site.manifest("a", &[(&app, json!(["1"]))])];
    for fault in [Fault::Body(other.bytes().clone()), Fault::Body("{}".into())] {
        site.source.fault(usize::MAX, Method::GET, &path, fault.clone());
        let output = site.run("promote", &manifests, &["--confirm", "--retries", "0"]);
        assert_eq!(output.status.code(), Some(1), "{fault:?}: {}", text(&output.stderr));
        assert_eq!(site.source.unmet_faults(), [""; 0], "{fault:?}");
        assert_eq!(digest_of(&site.debian("prod/a"), "1").await, None, "{fault:?}");
        site.source.forget_faults();
    }
    site.promote(&manifests, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_without_end_and_redirects_in_circles_end_the_run() {
    let server = Faulty::start().await;
    let address = server.address.to_string();
    let manifest = format!(
        "registries:\n- name: {address}/s\n  src: true\n- name: {address}/d\n\
         images:\n- name: x\n  dmap: {{sha256:{}: [a, b, c]}}\n",
        "a".repeat(64)
    );
    let list = "/v2/d/x/tags/list";
    let circle = vec![("location", list.to_owned())];
    let elsewhere = vec![("location", "file:///etc/passwd".to_owned())];
    for (fault, reason) in [
        (Fault::NextPage(1024 * 1024), "has no end"),
        (Fault::Answer(307, circle, String::new()), "circle"),
        (Fault::Answer(302, elsewhere, String::new()), "not HTTP"),
        (Fault::Answer(200, vec![], r#"{"tags":["a b"]}"#.to_owned()), "is not a tag"),
    ] {
        server.forget_faults();
        server.fault(usize::MAX, Method::GET, list, fault.clone());
        let folder = tempfile::tempdir().unwrap();
        let mut command = promoter("plan");
        command.args(["--no-ambient-config", "--retries", "0", "--plain-http", &address]);
        plain(&mut command, folder.path(), &json!([manifest]));
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{fault:?}: {said}");
        assert!(said.contains(reason), "{reason}: {said}");
    }
}

#[test]
fn a_body_that_is_too_large_or_never_comes_keeps_no_listener_busy() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("audit");
    command.args(["--listen", "127.0.0.1:0", "--no-ambient-config"]);
    plain(&mut command, folder.path(), &json!([format!("{REGISTRIES}images: []\n")]));
    let served = Served::start_as(command);
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(send(served.address, "POST", "/", &[], &large).status, 400);
    // More than may be connected at once, each of whom says nothing more.
    let slow: Vec<TcpStream> =
        (0..100).map(|_| open(served.address, "POST", "/", &[("Content-Length", "100")])).collect();
    assert_eq!(send(served.address, "GET", "/healthz", &[], b"").status, 200);
    drop(slow);
    let mut broken = TcpStream::connect(served.address).unwrap();
    broken
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .unwrap();
    assert_eq!(receive(broken).status, 400);
}

#[test]
fn an_empty_token_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    for text in ["", "\n", "  \n"] {
        fs::write(&token, text).unwrap();
        let mut command = promoter("audit");
        command
            .args(["--listen", "127.0.0.1:0", "--no-ambient-config", "--token-file"])
            .arg(&token);
        plain(&mut command, folder.path(), &json!([format!("{REGISTRIES}images: []\n")]));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text:?}");
        let said = super::text(&output.stderr);
        assert!(said.contains("holds no token"), "{said}");
    }
}

fn check(manifest: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("check");
    plain(&mut command, folder.path(), &json!([manifest]));
    document(&command.output().unwrap())
}

fn check_folder(folder: &tempfile::TempDir) -> Output {
    let mut command = promoter("check");
    command.arg("--thin-manifest-dir").arg(folder.path()).output().unwrap()
}
