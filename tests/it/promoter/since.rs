//! Promotion of what changed since a commit.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{cases, document, promoter, strings, text, write_files};

#[test]
fn only_what_changed_is_promoted_however_the_files_are_written() {
    let base = cases::file("09-diff-scoped-promotion.yaml")["base_files"].clone();
    for case in cases::all("09-diff-scoped-promotion.yaml", 10) {
        let repository = tempfile::tempdir().unwrap();
        let folder = repository.path().join("dir");
        write_files(&folder, &base);
        commit(repository.path(), true);
        write_files(&folder, &case["changed_files"]);
        commit(repository.path(), false);
        let output = promoter("check")
            .args(["--edges", "--since", "HEAD^", "--thin-manifest-dir"])
            .arg(&folder)
            .output()
            .unwrap();
        let found = document(&output);
        assert_eq!(found["ok"], true, "{case}: {found}");
        assert_eq!(strings(&found["edges"]), expected(&case), "{case}: {found}");
    }
}

/// As upstream has it where the case recommends nothing else.
fn expected(case: &Value) -> Vec<String> {
    let edge = |image: &str, letter: &str, tag: &str| {
        let digest = format!("sha256:{}", letter.repeat(64));
        format!("gcr.io/s-a/{image}@{digest} -> us.gcr.io/prod/a/{image}:{tag}")
    };
    match cases::id(case) {
        "single-quoted-digest-is-missed" => vec![edge("x", "d", "3")],
        "two-digests-on-one-line-are-missed" => vec![edge("z", "0", "2"), edge("z", "d", "1")],
        "same-digest-in-other-project" => vec![edge("x", "c", "9")],
        "digest-mentioned-outside-the-directory" | "reordered-lines" => Vec::new(),
        _ => {
            assert!(case["recommended_instead_of_upstream"].is_null(), "{case}");
            strings(&case["expect_edges_upstream"])
        }
    }
}

#[test]
fn a_new_destination_gets_what_was_promoted_before() {
    let repository = tempfile::tempdir().unwrap();
    let folder = repository.path();
    let base = cases::file("09-diff-scoped-promotion.yaml")["base_files"].clone();
    write_files(folder, &base);
    commit(folder, true);
    let manifest = base["manifests/b/promoter-manifest.yaml"].as_str().unwrap();
    let manifest = format!("{manifest}- name: eu.gcr.io/prod/b\n");
    write_files(folder, &json!({"manifests/b/promoter-manifest.yaml": manifest}));
    let output = promoter("check")
        .args(["--edges", "--since", "HEAD", "--thin-manifest-dir", "."])
        .current_dir(folder)
        .output()
        .unwrap();
    let digest = format!("sha256:{}", "c".repeat(64));
    let edge = format!("gcr.io/s-b/y@{digest} -> eu.gcr.io/prod/b/y:1");
    assert_eq!(strings(&document(&output)["edges"]), [edge]);
}

#[test]
fn a_plain_manifest_is_compared_with_what_it_was() {
    let repository = tempfile::tempdir().unwrap();
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let manifest = format!(
        "registries: [{{name: gcr.io/s, src: true}}, {{name: gcr.io/d}}]\n\
         images:\n- name: x\n  dmap:\n    {}: [1]\n",
        digest("a")
    );
    write_files(repository.path(), &json!({"m.yaml": manifest}));
    commit(repository.path(), true);
    let manifest = format!("{manifest}    {}: [2]\n", digest("b"));
    write_files(
        repository.path(),
        &json!({"m.yaml": manifest, "new.yaml":
        manifest.replace("name: x", "name: y")}),
    );
    let output = promoter("check")
        .args(["--edges", "--since", "HEAD", "--manifest", "m.yaml", "new.yaml"])
        .current_dir(repository.path())
        .output()
        .unwrap();
    let edge = |image: &str, letter: &str, tag: u8| {
        format!("gcr.io/s/{image}@{} -> gcr.io/d/{image}:{tag}", digest(letter))
    };
    let expected = [edge("x", "b", 2), edge("y", "a", 1), edge("y", "b", 2)];
    assert_eq!(strings(&document(&output)["edges"]), expected);
}

#[test]
fn what_a_manifest_with_errors_asked_for_is_still_new() {
    let repository = tempfile::tempdir().unwrap();
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let manifest = |image: &str, line: &str| {
        format!(
            "registries: [{{name: gcr.io/s, src: true}}, {{name: gcr.io/d}}]\n\
             images:\n- name: {image}\n  dmap:\n    {}: [1]\n    {line}\n",
            digest("a")
        )
    };
    let good = manifest("y", "");
    let bad = manifest("x", "sha256:123: [2]");
    write_files(repository.path(), &json!({"good.yaml": good, "bad.yaml": bad}));
    commit(repository.path(), true);
    let mended = manifest("x", &format!("{}: [2]", digest("b")));
    write_files(repository.path(), &json!({"bad.yaml": mended}));
    let output = promoter("check")
        .args(["--edges", "--since", "HEAD", "--manifest", "good.yaml", "bad.yaml"])
        .current_dir(repository.path())
        .output()
        .unwrap();
    let edge = |letter: &str, tag: u8| format!("gcr.io/s/x@{} -> gcr.io/d/x:{tag}", digest(letter));
    assert_eq!(strings(&document(&output)["edges"]), [edge("a", 1), edge("b", 2)]);
}

#[test]
fn a_commit_that_is_not_there_is_wrong_input() {
    let repository = tempfile::tempdir().unwrap();
    write_files(repository.path(), &cases::file("09-diff-scoped-promotion.yaml")["base_files"]);
    commit(repository.path(), true);
    for revision in ["nowhere", "HEAD^", "--output=/tmp/x", ""] {
        let output = promoter("check")
            .arg("--thin-manifest-dir")
            .arg(repository.path())
            .arg(format!("--since={revision}"))
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{revision}: {said}");
        assert!(said.contains("cannot read the manifests at"), "{revision}: {said}");
    }
}

#[test]
fn other_files_of_a_commit_may_be_named_and_hold_what_they_like() {
    let repository = tempfile::tempdir().unwrap();
    let folder = repository.path();
    let base = cases::file("09-diff-scoped-promotion.yaml")["base_files"].clone();
    write_files(folder, &base);
    let strange = std::ffi::OsStr::from_bytes(b"images/\xff.png");
    std::fs::write(folder.join("images/logo.png"), b"\x89PNG\xff\xfe").unwrap();
    std::fs::write(folder.join(strange), b"\xff").unwrap();
    std::fs::write(folder.join("images/b/images.yaml"), b"- name: \xff\n").unwrap();
    commit(folder, true);
    write_files(folder, &base);
    let output = promoter("check")
        .args(["--edges", "--since", "HEAD", "--thin-manifest-dir", "."])
        .current_dir(folder)
        .output()
        .unwrap();
    // What was no text before is all new.
    let digest = format!("sha256:{}", "c".repeat(64));
    let edge = format!("gcr.io/s-b/y@{digest} -> us.gcr.io/prod/b/y:1");
    assert_eq!(strings(&document(&output)["edges"]), [edge], "{}", text(&output.stderr));
}

#[test]
fn a_hook_of_git_may_ask_what_is_new() {
    let repository = tempfile::tempdir().unwrap();
    let folder = repository.path().join("dir");
    let files = cases::file("09-diff-scoped-promotion.yaml")["base_files"].clone();
    write_files(&folder, &files);
    commit(repository.path(), true);
    let manifest = files["manifests/b/promoter-manifest.yaml"].as_str().unwrap();
    let manifest = format!("{manifest}- name: eu.gcr.io/prod/b\n");
    write_files(&folder, &json!({"manifests/b/promoter-manifest.yaml": manifest}));
    let hook = repository.path().join(".git/hooks/pre-commit");
    let found = repository.path().join("found.json");
    let program = promoter("check").get_program().to_str().unwrap().to_owned();
    let script = format!(
        "#!/bin/sh\nexec {program} check --edges --since HEAD --thin-manifest-dir dir >{}\n",
        found.display()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    // So git tells its hooks where it is.
    let here = ["--git-dir=.git", "--work-tree=."];
    git(repository.path(), &[&here[..], &["commit", "-q", "-a", "-m", "x"]].concat());
    let found: Value = serde_json::from_slice(&std::fs::read(found).unwrap()).unwrap();
    assert_eq!(found["edge_count"], 1, "{found}");
    assert!(found["edges"][0].as_str().unwrap().ends_with("eu.gcr.io/prod/b/y:1"), "{found}");
}

#[test]
fn what_a_repository_names_for_fetching_is_not_run() {
    let repository = tempfile::tempdir().unwrap();
    let folder = repository.path();
    write_files(folder, &cases::file("09-diff-scoped-promotion.yaml")["base_files"]);
    commit(folder, true);
    // A partial clone that lacks a file: git would have it fetched by a program that its configuration names.
    let object = git(folder, &["rev-parse", "HEAD:images/b/images.yaml"]);
    let (first, rest) = object.trim().split_at(2);
    std::fs::remove_file(folder.join(".git/objects").join(first).join(rest)).unwrap();
    let marker = folder.join("ran");
    git(folder, &["config", "core.repositoryformatversion", "1"]);
    git(folder, &["config", "extensions.partialClone", "origin"]);
    git(folder, &["config", "remote.origin.promisor", "true"]);
    git(folder, &["config", "protocol.ext.allow", "always"]);
    git(folder, &["config", "protocol.file.allow", "always"]);
    let run = format!("touch {}", marker.display());
    for url in [format!("ext::sh -c {}", run.replace(' ', "% ")), folder.display().to_string()] {
        git(folder, &["config", "remote.origin.url", &url]);
        git(folder, &["config", "remote.origin.uploadpack", &format!("{run}; git-upload-pack")]);
        // It does so where nobody forbids it.
        let _ = Command::new("git")
            .args(["cat-file", "blob", object.trim()])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(marker.exists(), "{url}");
        std::fs::remove_file(&marker).unwrap();
        let output = promoter("check")
            .args(["--since", "HEAD", "--thin-manifest-dir", "."])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(!marker.exists(), "{url}");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("images/b/images.yaml cannot be read"), "{said}");
    }
}

/// Everything below a folder, as a commit.
fn commit(folder: &Path, is_first: bool) {
    if is_first {
        git(folder, &["init", "-q"]);
    }
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", "x", "--allow-empty"]);
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-C"])
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
