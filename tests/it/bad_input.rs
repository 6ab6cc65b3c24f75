//! What bad input gets: one clear message that names the item and the place, the right exit code,
//! and nothing written.

use std::path::Path;
use std::process::Output;

use serde_json::json;
use zuul_images::oci::Digest;

use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, program};

const BUILD: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn an_image_list_that_is_wrong_names_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("container_images:\n  - repository: q.io/a/b\n    tga: [latest]\n", ["line 3", "tga"]),
        ("container_images:\n  - repository: q.io/a/b\n    tags: latest\n", ["line 3", "tags"]),
        (
            "container_images:\n  - repository: q.io/a/b\n    tags: ['no good']\n",
            ["line 3", "no good"],
        ),
        ("container_images:\n  - repository: q.io/A/b\n", ["line 2", "q.io/A/b"]),
        ("container_images: latest\n", ["line 1", "container_images"]),
        (
            "container_images:\n  - {repository: q.io/a, digests: {latest: 'sha256:12'}}\n",
            ["line 2", "sha256:12"],
        ),
    ] {
        let images = file(folder.path(), "images.yaml", text);
        let output = program("promote-retag")
            .args(["promote", "--no-ambient-config", "--change", "1", "--images"])
            .arg(&images)
            .output()
            .unwrap();
        let (_, said) = failure(&output, 2);
        assert!(said.contains("images.yaml"), "{text:?} gave: {said}");
        for part in expected {
            assert!(said.contains(part), "{text:?} gave: {said}");
        }
    }
}

#[test]
fn wrong_arguments_end_with_2_and_no_document() {
    for (name, arguments) in [
        ("promote-retag", &["promote", "--images", "x"][..]),
        ("promote-retag", &["promote", "--images", "x", "--change", "1", "--pipeline", "p"]),
        ("promote-retag", &["retag", "quay.io/a/b:1", "no/tag"]),
        ("upload-with-temp-tag", &["--images", "x", "--from", "oci:dir", "--change", "a b"]),
        (
            "intermediate-registry-sync",
            &["push", "--images", "x", "--from", "a", "--to", "b", "--build", "1"],
        ),
        ("intermediate-registry-sync", &["copy", "quay.io/A", "quay.io/b"]),
    ] {
        let output = program(name).args(arguments).output().unwrap();
        failure(&output, 2);
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_missing_credential_is_named_before_any_request() {
    let folder = tempfile::tempdir().unwrap();
    let list = json!([{"repository": "registry.invalid/org/img", "registry": "registry.invalid"}]);
    let images = file(folder.path(), "images.json", &list.to_string());
    let logins = "other.example: {username: u, password: hunter2}";
    let logins = file(folder.path(), "logins.yaml", logins);
    let output = program("upload-with-temp-tag")
        .args(["--no-ambient-config", "--change", "1", "--from", "docker://registry.invalid:1"])
        .arg("--images")
        .arg(&images)
        .arg("--credentials")
        .arg(&logins)
        .output()
        .unwrap();
    let (_, said) = failure(&output, 2);
    assert!(said.contains("no credentials for registry `registry.invalid`"), "{said}");
    assert!(said.contains("other.example") && !said.contains("hunter2"), "{said}");
}

#[test]
fn an_artifact_that_points_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start();
    let artifact = json!([{"name": "q.io/a:1", "url": format!("docker://evil.example:1/q.io/a:{BUILD}_1"),
        "metadata": {"type": "container_image", "repository": "q.io/a", "tag": "1"}}]);
    let artifacts = file(folder.path(), "artifacts.json", &artifact.to_string());
    let output = program("intermediate-registry-sync")
        .args(["pull", "--no-ambient-config", "--artifacts"])
        .arg(artifacts)
        .arg("--from")
        .arg(registry.connection())
        .arg("--to")
        .arg(registry.connection())
        .output()
        .unwrap();
    let (document, said) = failure(&output, 3);
    assert_eq!(document["error"]["item"], "q.io/a:1");
    assert!(said.contains("evil.example"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host_a_wrong_certificate_and_a_wrong_password_are_told_apart() {
    let (source, target) = (RegistryProcess::start(), RegistryProcess::start());
    push_index(&repository(&source.login(), "q.io/a"), "latest", "x", &["linux/amd64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let images = file(folder.path(), "images.json", r#"[{"repository": "q.io/a"}]"#);
    let good: serde_json::Value = serde_json::to_value(target.login()).unwrap();
    let other_certificate = serde_json::to_value(source.login()).unwrap()["cert"].clone();
    for (key, value, kind, expected) in [
        // Port 1 of loopback refuses connections.
        ("port", json!(1), "connect", "127.0.0.1:1"),
        ("cert", other_certificate, "tls", "certificate"),
        ("password", json!("hunter2"), "unauthorized", "password"),
    ] {
        let mut connection = good.clone();
        connection[key] = value;
        let to = file(folder.path(), "to.json", &connection.to_string());
        let (document, said) = failure(&push(&images, &source.connection(), &to), 1);
        assert_eq!(document["error"]["kind"], kind, "{said}");
        assert!(said.contains(expected), "{key}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let found = digest_of(&repository(&target.login(), "q.io/a"), &format!("{BUILD}_latest")).await;
    assert_eq!(found, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_does_not_match_is_refused_by_name() {
    let registry = RegistryProcess::start();
    push_index(&repository(&registry.login(), "q.io/a"), "latest", "x", &["linux/amd64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let wrong = Digest::sha256(b"wrong");
    let list = json!([{"repository": "q.io/a", "digests": {"latest": wrong}}]);
    let images = file(folder.path(), "images.json", &list.to_string());
    let pushed = push(&images, &registry.connection(), &registry.connection());
    let (document, said) = failure(&pushed, 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(said.contains("q.io/a") && said.contains(wrong.as_str()), "{said}");
}

fn push(images: &Path, from: &Path, to: &Path) -> Output {
    program("intermediate-registry-sync")
        .args(["push", "--no-ambient-config", "--build", BUILD, "--images"])
        .arg(images)
        .arg("--from")
        .arg(from)
        .arg("--to")
        .arg(to)
        .output()
        .unwrap()
}
