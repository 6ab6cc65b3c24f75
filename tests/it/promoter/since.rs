//! Promotion of what changed since a commit.

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

/// Everything below a folder, as a commit.
fn commit(folder: &Path, is_first: bool) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-C"])
            .arg(folder)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    if is_first {
        git(&["init", "-q"]);
    }
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "x", "--allow-empty"]);
}
