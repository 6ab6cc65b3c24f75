//! Manifests that grow by what a staging registry has.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{cases, described, document, promoter, text, write_files};

const IMAGES: &str = "images/p/images.yaml";

#[test]
fn manifests_grow_as_the_cases_say() {
    let mut seen = 0;
    for case in cases::all("08-manifest-growing.yaml", 21) {
        let (old, staging) = match (&case["staging"], &case["add"]) {
            (Value::Null, Value::Null) => continue,
            (Value::Null, add) => (yaml(&case["existing"]), add),
            (staging, _) => (String::new(), staging),
        };
        seen += 1;
        let folder = thin(&old);
        let output = grow(folder.path(), staging, &filters(&case));
        let text = fs::read_to_string(folder.path().join(IMAGES)).unwrap();
        if case["expect_error"].is_string() {
            assert_eq!(output.status.code(), Some(2), "{case}");
            assert_eq!(text, old, "{case}");
        } else if cases::id(&case) == "union-moves-no-tag" {
            // The case recommends to fail.
            assert_eq!(output.status.code(), Some(3), "{case}");
            assert_eq!(text, old, "{case}");
        } else {
            assert!(output.status.success(), "{case}: {}", super::text(&output.stderr));
            assert_eq!(text, case["expect_yaml"].as_str().unwrap(), "{case}");
        }
    }
    assert_eq!(seen, 18);
}

#[test]
fn the_style_that_a_file_has_stays_so_that_only_new_lines_differ() {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let by_tag = |tags: &[(&str, &str)]| -> String {
        let lines =
            tags.iter().map(|(letter, tags)| format!("    \"{}\": [{tags}]\n", digest(letter)));
        format!("# The team's images.\n- name: b\n  dmap:\n{}", lines.collect::<String>())
    };
    let old =
        by_tag(&[("d", ""), ("c", "\"buster-v1.1.3\",\"v2.1.3\""), ("b", "\"buster-v1.10.0\"")]);
    let folder = thin(&old);
    let staging = json!({"b": {digest("a"): ["buster-v1.7.0"]}});
    let output = grow(folder.path(), &staging, &[]);
    let found = document(&output);
    described(&found);
    assert_eq!(
        found["added"],
        json!([{"image": "b", "digest": digest("a"), "tags": ["buster-v1.7.0"]}])
    );
    let expected = by_tag(&[
        ("d", ""),
        ("c", "\"buster-v1.1.3\",\"v2.1.3\""),
        ("b", "\"buster-v1.10.0\""),
        ("a", "\"buster-v1.7.0\""),
    ]);
    assert_eq!(fs::read_to_string(folder.path().join(IMAGES)).unwrap(), expected);
}

#[test]
fn files_are_rewritten_in_the_order_of_the_smallest_tags_as_the_cases_say() {
    let mut seen = 0;
    for case in cases::all("08-manifest-growing.yaml", 21) {
        let Some(old) = case["images_yaml"].as_str() else { continue };
        seen += 1;
        // A tag on two digests is refused before anything is written.
        if cases::id(&case) == "rewrite-same-tag-two-digests" {
            let folder = thin(old);
            let output = grow(folder.path(), &json!({}), &["--style".into(), "tag".into()]);
            assert_eq!(output.status.code(), Some(1), "{case}");
            continue;
        }
        let folder = thin(old);
        let new = json!({"zzz": {format!("sha256:{}", "f".repeat(64)): ["1"]}});
        let output = grow(folder.path(), &new, &["--style".into(), "tag".into()]);
        assert!(output.status.success(), "{case}: {}", text(&output.stderr));
        let written = fs::read_to_string(folder.path().join(IMAGES)).unwrap();
        let expected = match case["expect_yaml"].as_str() {
            Some(expected) => expected.to_owned(),
            // Tagless digests first, as the case recommends.
            None => {
                let lines: Vec<&str> = old.lines().collect();
                format!("{}\n{}\n{}\n{}\n", lines[0], lines[1], lines[3], lines[2])
            }
        };
        assert!(written.starts_with(&expected), "{case}: {written}");
    }
    assert_eq!(seen, 3);
}

#[test]
fn nothing_is_written_before_it_is_confirmed() {
    let folder = thin("");
    let digest = format!("sha256:{}", "a".repeat(64));
    let staging = json!({"b": {&digest: ["1"]}});
    let output = run(folder.path(), &staging, &[]);
    let found = document(&output);
    assert_eq!(found["dry_run"], true);
    assert_eq!(found["added"][0]["tags"], json!(["1"]));
    assert_eq!(fs::read_to_string(folder.path().join(IMAGES)).unwrap(), "");
}

#[test]
fn what_grows_behind_a_link_is_the_file() {
    let folder = thin("");
    let (file, link) = (folder.path().join("images/shared.list"), folder.path().join(IMAGES));
    fs::rename(&link, &file).unwrap();
    std::os::unix::fs::symlink("../shared.list", &link).unwrap();
    let staging = json!({"b": {format!("sha256:{}", "a".repeat(64)): ["1"]}});
    let output = grow(folder.path(), &staging, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().starts_with("- name: b\n"));
}

#[test]
fn an_image_that_is_called_null_is_still_a_name() {
    let folder = thin("");
    let staging = json!({"null": {format!("sha256:{}", "a".repeat(64)): ["1"]}});
    for added in [1, 0] {
        let output = grow(folder.path(), &staging, &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(document(&output)["added"].as_array().unwrap().len(), added);
    }
}

#[test]
fn a_tag_that_another_manifest_has_elsewhere_is_refused() {
    let folder = thin("");
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    write_files(
        folder.path(),
        &json!({
            "manifests/q/promoter-manifest.yaml":
                "registries: [{name: other.example/q, src: true}, {name: prod.example}]\n",
            "images/q/images.yaml": format!("- {{name: b, dmap: {{{}: ['1']}}}}\n", digest("b")),
        }),
    );
    let output = grow(folder.path(), &json!({"b": {digest("a"): ["1"]}}), &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("overlapping"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(folder.path().join(IMAGES)).unwrap(), "");
}

#[test]
fn a_repository_that_is_the_staging_registry_itself_is_no_image_of_it() {
    let folder = thin("");
    let digest = format!("sha256:{}", "a".repeat(64));
    let inventory = folder.path().join("inventory.json");
    let held = json!({"staging.example": {"p": {&digest: ["1"]}, "p/x": {&digest: ["2"]}}});
    fs::write(&inventory, held.to_string()).unwrap();
    let grow = |options: &[&str]| {
        let mut command = promoter("grow");
        command.args(["--registry", "staging.example/p", "--thin-manifest-dir"]);
        command.arg(folder.path()).arg("--inventory").arg(&inventory).args(options);
        command.output().unwrap()
    };
    let added = document(&grow(&[]))["added"].clone();
    assert_eq!(added, json!([{"image": "x", "digest": digest, "tags": ["2"]}]));
    let output = grow(&["--image", "p"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("no image passes"), "{}", text(&output.stderr));
}

/// A directory with one project that promotes from `staging.example/p`.
fn thin(images: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_files(
        folder.path(),
        &json!({
            "manifests/p/promoter-manifest.yaml":
                "registries: [{name: staging.example/p, src: true}, {name: prod.example}]\n",
            IMAGES: images,
        }),
    );
    folder
}

fn grow(folder: &Path, staging: &Value, options: &[String]) -> Output {
    run(folder, staging, &[options, &["--confirm".to_owned()]].concat())
}

fn run(folder: &Path, staging: &Value, options: &[String]) -> Output {
    let inventory = folder.join("inventory.json");
    fs::write(&inventory, json!({"staging.example/p": staging}).to_string()).unwrap();
    promoter("grow")
        .args(["--registry", "staging.example/p", "--thin-manifest-dir"])
        .arg(folder)
        .arg("--inventory")
        .arg(&inventory)
        .args(options)
        .output()
        .unwrap()
}

fn filters(case: &Value) -> Vec<String> {
    let mut options = Vec::new();
    for (filter, option) in [("images", "--image"), ("digests", "--digest"), ("tags", "--tag")] {
        for value in case["filters"][filter].as_array().into_iter().flatten() {
            options.extend([option.to_owned(), value.as_str().unwrap().to_owned()]);
        }
    }
    options
}

/// In the style of snapshots.
fn yaml(images: &Value) -> String {
    let mut text = String::new();
    for (image, digests) in images.as_object().unwrap() {
        text.push_str(&format!("- name: {image}\n  dmap:\n"));
        for (digest, tags) in digests.as_object().unwrap() {
            let tags = serde_json::to_string(tags).unwrap().replace(',', ", ");
            text.push_str(&format!("    \"{digest}\": {tags}\n"));
        }
    }
    text
}
