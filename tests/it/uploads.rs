//! Uploads from layouts and archives under temporary tags, and what promotion makes of several.

use std::path::PathBuf;
use std::process::Output;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::auth::CredentialStore;
use zuul_images::copy::Options;
use zuul_images::oci::Digest;
use zuul_images::upload::{Holder, Upload};
use zuul_images::zuul::{Document, ImageList, TemporaryPrefix};

use crate::support::clients::client;
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::images::{digest_of, repository};
use crate::support::layouts::{archive, files, folder, saved};
use crate::support::programs::{RegistryProcess, failure, file, json, program};
use crate::support::sample::{self, Sample};

/// A final registry, and a folder for what is uploaded.
struct Site {
    target: RegistryProcess,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        Self { target: RegistryProcess::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn repository(&self, name: &str) -> String {
        format!("{}/demo/{name}", self.target.address)
    }

    fn images(&self, list: &Value) -> PathBuf {
        file(self.folder.path(), "images.json", &list.to_string())
    }

    /// A layout with these images, each under its name.
    fn layout(&self, images: &[(Option<&str>, &Sample)]) -> String {
        let place = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        format!("oci:{}", folder(&place, &files(images)).display())
    }

    fn upload(&self, images: &PathBuf, from: &str, more: &[&str]) -> Output {
        program("upload-with-temp-tag")
            .args(["--no-ambient-config", "--change", "1001", "--ca-file", &self.target.ca_file()])
            .arg("--images")
            .arg(images)
            .args(["--from", from, "--credentials"])
            .arg(self.target.credentials())
            .args(more)
            .output()
            .unwrap()
    }

    fn promote(&self, images: &PathBuf, uploads: &Value) -> Output {
        let uploads = file(self.folder.path(), "uploads.json", &uploads.to_string());
        program("promote-retag")
            .args(["promote", "--no-ambient-config", "--change", "1001"])
            .args(["--ca-file", &self.target.ca_file(), "--images"])
            .arg(images)
            .arg("--credentials")
            .arg(self.target.credentials())
            .arg("--uploads")
            .arg(uploads)
            .output()
            .unwrap()
    }

    async fn held(&self, name: &str, tag: &str) -> Option<Digest> {
        digest_of(&repository(&self.target.login(), &format!("demo/{name}")), tag).await
    }
}

fn image(name: &str) -> Sample {
    sample::image(name, &[sample::bytes(name, 1000)])
}

fn index(name: &str) -> Sample {
    sample::index(&[("amd64", image(name)), ("arm64", image(&format!("{name} arm")))])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_image_of_an_archive_is_found_by_its_whole_name() {
    let site = Site::new();
    let (base, tool) = (site.repository("base"), site.repository("tool"));
    let (first, second, third) = (index("first"), index("second"), image("third"));
    let names = [format!("{base}:latest"), format!("{base}:1.0"), format!("{tool}:latest")];
    let held = [(&names[0], &first), (&names[1], &second), (&names[2], &third)];
    let held = held.map(|(name, image)| (Some(name.as_str()), image));
    let packed = archive(&site.folder.path().join("images.tar"), &files(&held));
    let images = site.images(&json!({"container_images": [
        {"repository": base, "tags": ["latest", "1.0"], "digests": {"1.0": second.root.digest()}},
        {"repository": tool}]}));
    let from = format!("oci-archive:{}", packed.display());
    let uploaded = json(&site.upload(&images, &from, &["--patchset", "2"]));
    documented(&uploaded);
    let artifact = |tag: &str, repository: &str, image: &Sample, platforms: Value| {
        json!({"name": format!("{repository}:change_1001_{tag}"),
            "url": format!("docker://{repository}:change_1001_{tag}"),
            "metadata": {"type": "container_image_upload", "repository": repository, "tag": tag,
                "temporary_tag": format!("change_1001_{tag}"), "digest": image.root.digest(),
                "platforms": platforms, "patchset": "2"}})
    };
    let both = json!(["linux/amd64", "linux/arm64"]);
    let artifacts = json!([
        artifact("latest", &base, &first, both.clone()),
        artifact("1.0", &base, &second, both),
        artifact("latest", &tool, &third, json!([])),
    ]);
    assert_eq!(uploaded["zuul"]["artifacts"], artifacts);
    for (name, tag, image) in [("base", "latest", &first), ("base", "1.0", &second)] {
        let held = site.held(name, &format!("change_1001_{tag}")).await;
        assert_eq!(held.as_ref(), Some(image.root.digest()));
    }

    // Another time there is nothing to do, and the artifacts are the same all the same.
    let again = json(&site.upload(&images, &from, &["--patchset", "2"]));
    assert_eq!(again["zuul"]["artifacts"], artifacts);
    assert_eq!(
        (&again["totals"]["manifests_written"], &again["images"][0]["changed"]),
        (&json!(0), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_told_apart_is_not_uploaded() {
    let site = Site::new();
    let (base, tool) = (site.repository("base"), site.repository("tool"));
    let one = image("one");
    let unnamed = site.layout(&[(Some("latest"), &one)]);
    let both = site.images(&json!([{"repository": base}, {"repository": tool}]));
    let (_, said) = failure(&site.upload(&both, &unnamed, &[]), 2);
    assert!(said.contains(&format!("no image for {base}:latest")), "{said}");
    let (_, said) = failure(&site.upload(&both, &format!("{unnamed}:latest"), &[]), 2);
    assert!(said.contains("--map"), "{said}");
    let (_, said) = failure(&site.upload(&both, "oci:/nowhere", &[]), 2);
    assert!(said.contains("oci:/nowhere"), "{said}");
    let (_, said) = failure(&site.upload(&both, "dir:/nowhere", &[]), 2);
    assert!(said.contains("dir:/nowhere") && said.contains("podman save"), "{said}");
    let expected = json!([{"repository": base, "digests": {"latest": Digest::sha256(b"other")}}]);
    let (_, said) = failure(&site.upload(&site.images(&expected), &unnamed, &[]), 3);
    assert!(said.contains(one.root.digest().as_str()), "{said}");
    assert_eq!(site.held("base", "change_1001_latest").await, None);

    // Each of them said, and the only one of the other.
    let map = format!("{tool}={}", site.layout(&[(None, &image("two"))]));
    let images = site.images(&json!([{"repository": base}, {"repository": tool}]));
    json(&site.upload(&images, &unnamed, &["--map", &map]));
    let held = site.held("base", "change_1001_latest").await;
    assert_eq!(held.as_ref(), Some(one.root.digest()));
    let held = site.held("tool", "change_1001_latest").await;
    assert_eq!(held.as_ref(), Some(image("two").root.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_archive_is_uploaded_and_promoted() {
    let site = Site::new();
    let base = site.repository("base");
    let names = [format!("{base}:latest")];
    let names = [names[0].as_str()];
    let saved = archive(
        &site.folder.path().join("saved.tar"),
        &saved(&[(&names, &[b"layer one", b"layer two"]), (&["other:1"], &[b"layer three"])]),
    );
    let images = site.images(&json!([{"repository": base}]));
    let from = format!("docker-archive:{}", saved.display());
    let uploaded = json(&site.upload(&images, &from, &[]));
    let digest = uploaded["images"][0]["digest"].clone();
    let promoted = json(&site.promote(&images, &uploaded));
    assert_eq!(promoted["promoted"][0]["digest"], digest);
    assert_eq!(site.held("base", "latest").await.map(|it| json!(it)), Some(digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_for_other_repositories_upload_nothing() {
    let site = Site::new();
    let login = std::fs::read_to_string(site.target.credentials()).unwrap();
    let mut login: Value = serde_json::from_str(&login).unwrap();
    login[&site.target.address]["repository"] = json!("/demo/(?!secret)");
    let login = file(site.folder.path(), "login.json", &login.to_string());
    let upload = |name: &str| {
        let images = site.images(&json!([{"repository": site.repository(name)}]));
        program("upload-with-temp-tag")
            .args([
                "--no-ambient-config",
                "--pipeline",
                "post",
                "--ca-file",
                &site.target.ca_file(),
            ])
            .arg("--images")
            .arg(images)
            .args(["--from", &site.layout(&[(None, &image("one"))]), "--credentials"])
            .arg(&login)
            .output()
            .unwrap()
    };
    let (_, said) = failure(&upload("secret"), 2);
    assert!(said.contains("demo/secret") && said.contains("(?!secret)"), "{said}");
    json(&upload("open"));
    assert!(site.held("open", "post_latest").await.is_some());
}

/// Patchset 2 after patchset 1, and the gate of one patchset run again.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_several_uploads_is_what_can_be_promoted() {
    let site = Site::new();
    let images = site.images(&json!([{"repository": site.repository("base")}]));
    let builds = ["patchset 1", "patchset 2", "patchset 2 again"].map(index);
    let uploads: Vec<Value> = builds
        .iter()
        .zip(["1", "2", "2"])
        .map(|(build, patchset)| {
            let from = site.layout(&[(None, build)]);
            json(&site.upload(&images, &from, &["--patchset", patchset]))
        })
        .collect();
    let held = site.held("base", "change_1001_latest").await;
    assert_eq!(held.as_ref(), Some(builds[2].root.digest()));
    for (older, build) in uploads[..2].iter().zip(&builds) {
        let (document, said) = failure(&site.promote(&images, older), 3);
        assert_eq!(document["error"]["kind"], "refused");
        assert!(said.contains("a later upload replaced it"), "{said}");
        assert!(said.contains(build.root.digest().as_str()), "{said}");
    }
    assert_eq!(site.held("base", "latest").await, None);
    json(&site.promote(&images, &uploads[2]));
    assert_eq!(site.held("base", "latest").await.as_ref(), Some(builds[2].root.digest()));
}

/// The manifest is asked for instead of its digest.
#[tokio::test]
async fn telling_the_platforms_of_an_image_in_place_takes_no_further_request() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let repository = format!("{}/org/img", to.registry());
    let held = repository.replace(':', "_");
    from.memory.hold(&held, "latest", &index("one"));
    let list = json!([{"repository": repository}]).to_string();
    let images = ImageList::parse(&Document::new("images", &list)).unwrap();
    let prefix = TemporaryPrefix::Change("1".parse().unwrap());
    let upload = Upload {
        images: &images,
        from: Holder::Registry(from.registry()),
        elsewhere: Default::default(),
        prefix: Some(&prefix),
        patchset: None,
        credentials: None,
    };
    let client = client(&[&from.registry(), &to.registry()], CredentialStore::empty());
    let first = upload.run(&client, &Options::default(), &()).await.unwrap();
    assert_eq!(from.count(Method::HEAD, ""), 0);
    from.forget_requests();
    let second = upload.run(&client, &Options::default(), &()).await.unwrap();
    assert_eq!(second.outcome.totals.requests, 2);
    assert_eq!(from.requests(), [format!("GET /v2/{held}/manifests/latest")]);
    let artifacts = |uploaded: &zuul_images::upload::Uploaded| {
        serde_json::to_value(&uploaded.zuul.artifacts).unwrap()
    };
    assert_eq!(artifacts(&first), artifacts(&second));
    assert_eq!(
        artifacts(&second)[0]["metadata"]["platforms"],
        json!(["linux/amd64", "linux/arm64"])
    );
}
