//! Snapshots in their exact forms.

use std::fs;

use serde_json::{Value, json};

use super::{cases, described, document, plain, promoter, text};

#[test]
fn snapshots_are_written_byte_for_byte_as_the_cases_say() {
    for case in cases::all("05-snapshot-output.yaml", 4) {
        for (format, expected) in [("yaml", "expect_yaml"), ("csv", "expect_csv")] {
            let written = of_inventory(&case, &["--format", format]);
            assert_eq!(written.trim_end(), case[expected].as_str().unwrap().trim_end(), "{case}");
        }
    }
}

#[test]
fn snapshots_by_tag_and_without_parts_are_what_the_cases_say() {
    let mut seen = 0;
    for case in cases::all("06-snapshot-variants.yaml", 10) {
        let Some(expected) = case["expect_yaml"].as_str() else { continue };
        let written = match (case["snapshot_tag"].as_str(), &case["children"]) {
            (Some(tag), _) => of_inventory(&case, &["--tag", tag]),
            (None, Value::Object(_)) => of_inventory(&case, &["--minimal"]),
            _ => continue,
        };
        assert_eq!(written, expected, "{case}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn snapshots_of_manifests_are_what_the_cases_say() {
    let mut seen = 0;
    for case in cases::all("06-snapshot-variants.yaml", 10) {
        let Some(registry) = case["manifest_based_snapshot_of"].as_str() else { continue };
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        for format in ["yaml", "csv"] {
            let mut command = promoter("snapshot");
            command.args(["--of-manifests", registry, "--format", format]);
            plain(&mut command, folder.path(), &case["manifests"]);
            let output = command.output().unwrap();
            match case[format!("expect_{format}")].as_str() {
                Some(expected) => assert_eq!(text(&output.stdout), expected, "{case}"),
                None => assert_eq!(output.status.code(), Some(1), "{case}"),
            }
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn a_registry_whose_name_goes_on_is_another_one() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let manifest = format!(
        "registries: [{{name: gcr.io/s, src: true}}, {{name: us.gcr.io/prod}}, {{name: us.gcr.io/prod-bak}}]\n\
         images: [{{name: foo, dmap: {{{digest}: [v1]}}}}]\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("snapshot");
    command.args(["--of-manifests", "us.gcr.io/prod", "--format", "csv"]);
    plain(&mut command, folder.path(), &json!([manifest]));
    assert_eq!(text(&command.output().unwrap().stdout), format!("foo@{digest},foo:v1\n"));
}

#[test]
fn a_repository_that_is_the_path_itself_goes_by_its_last_component() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inventory");
    let held = json!({"r.example": {"p": {&digest: ["1"]}, "p/p": {&digest: ["2"]}, "p/x": {}}});
    fs::write(&file, held.to_string()).unwrap();
    let manifest = format!(
        "registries: [{{name: gcr.io/s, src: true}}, {{name: r.example}}]\n\
         images: [{{name: p, dmap: {{{digest}: ['1']}}}}, {{name: p/p, dmap: {{{digest}: ['2']}}}}]\n"
    );
    let mut of_file = promoter("snapshot");
    of_file.args(["r.example/p/", "--format", "csv", "--inventory"]).arg(&file);
    let mut of_manifests = promoter("snapshot");
    of_manifests.args(["--of-manifests", "r.example/p", "--format", "csv"]);
    plain(&mut of_manifests, folder.path(), &json!([manifest]));
    for mut command in [of_file, of_manifests] {
        let shown = text(&command.output().unwrap().stdout);
        assert_eq!(shown, format!("p@{digest},p:1\np@{digest},p:2\n"));
    }
}

#[test]
fn a_snapshot_as_json_is_one_document() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let case = json!({"inventory": {"foo": {&digest: ["v1", "latest"]}}});
    let written: Value = serde_json::from_str(&of_inventory(&case, &["--output", "json"])).unwrap();
    assert_eq!(written, json!({"ok": true, "images": {"foo": {&digest: ["latest", "v1"]}}}));
}

fn of_inventory(case: &Value, options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inventory");
    let mut images = case["inventory"].clone();
    for (digest, children) in case["children"].as_object().into_iter().flatten() {
        for image in images.as_object_mut().unwrap().values_mut() {
            if let Some(tags) = image.get_mut(digest) {
                *tags = json!({"tags": tags, "children": children});
            }
        }
    }
    fs::write(&file, json!({"r.example/p": images, "r.example/p-other": {"no": {}}}).to_string())
        .unwrap();
    let mut command = promoter("snapshot");
    command.arg("r.example/p").arg("--inventory").arg(&file).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_is_wrong_with_manifests_is_told_instead_of_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("snapshot");
    command.args(["--of-manifests", "gcr.io/p", "--output", "json"]);
    plain(&mut command, folder.path(), &json!(["registries: []\n"]));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found = document(&output);
    assert_eq!(found["error"]["kind"], "problems");
    described(&found);
}

#[test]
fn a_snapshot_is_for_no_service_account_and_takes_no_identity() {
    let mut command = promoter("snapshot");
    let output = command
        .args(["127.0.0.1:1/x", "--no-ambient-config", "--identity", "r=echo token"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--credentials"), "{}", text(&output.stderr));
}
