//! `pull --lazy`: pointers in the buildset registry, and what is read through them.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use zuul_images::client::Repository;
use zuul_images::oci::{Digest, ImageReference, Registry as Place};

use crate::support::clients::{client, login};
use crate::support::distribution::Distribution;
use crate::support::documents::documented;
use crate::support::images::{push_index, repository};
use crate::support::programs::{RegistryProcess, failure, file, json, program};
use crate::support::registry::basic;
use crate::support::site::{BUILD, CLOSED, Site, pull};

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_that_point_elsewhere_or_lie_are_refused_lazily_too() {
    let site = Site::new().await;
    let node = RegistryProcess::start();
    let address = &site.intermediate.address;
    let good = site.artifacts[0].clone();
    let with = |pointer: &str, value: Value| {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        wrong
    };
    let mut hostile: Vec<Value> = [
        format!("docker://evil.example/q.io/a:{BUILD}_1"),
        format!("docker://{address}@evil.example/q.io/a:{BUILD}_1"),
        format!("docker://{address}/q.io/b:{BUILD}_1"),
        format!("docker://{address}/q.io/a/../b:{BUILD}_1"),
        format!("docker://{address}/q.io/a:{BUILD}_2"),
        format!("docker://{address}/q.io/a:{}_1", BUILD.to_uppercase()),
        format!("docker://{address}/q.io/a:{}_1", &BUILD[1..]),
        format!("docker://{address}/q.io/a:1"),
        format!("docker://{address}/q.io/a:{BUILD}_1@{}", site.digest),
        format!("docker://{address}/q.io/a:{BUILD}_1?x=1"),
        format!("docker://{address}/q.io/a:{BUILD}_1#x"),
        format!(" docker://{address}/q.io/a:{BUILD}_1"),
        format!("http://{address}/q.io/a:{BUILD}_1"),
        format!("{address}/q.io/a:{BUILD}_1"),
        "oci:/etc/passwd".to_owned(),
        "docker-archive:/etc/passwd".to_owned(),
        String::new(),
    ]
    .into_iter()
    .map(|url| with("/url", url.into()))
    .collect();
    hostile.push(with("/metadata/repository", "q.io/../a".into()));
    hostile.push(with("/metadata/repository", "q.io/a/".into()));
    hostile.push(with("/metadata/repository", "q.io/b".into()));
    hostile.push(with("/metadata/digest", Digest::sha256(b"another").to_string().into()));
    for wrong in hostile {
        for lazy in [&["--lazy"][..], &[]] {
            // A good one beside it is not pulled either.
            let artifacts = json!([good, wrong]);
            let (document, said) = failure(&site.pull(&artifacts, &node, lazy), 3);
            assert_eq!(document["error"]["kind"], "refused", "{wrong} {said}");
        }
    }
    let (document, _) =
        failure(&site.pull(&site.artifacts, &node, &["--lazy", "--tenant", "two"]), 3);
    assert_eq!(document["error"]["kind"], "refused");
    let gone =
        with("/url", format!("docker://{address}/q.io/a:{}_1", BUILD.replace('0', "f")).into());
    let (document, _) = failure(&site.pull(&json!([gone]), &node, &["--lazy"]), 1);
    assert_eq!(document["error"]["kind"], "not-found");
    assert!(!node.root().join("pointers.json").exists());
    let held = repository(&node.login(), "q.io/a").head(&"1".parse().unwrap()).await.unwrap();
    assert_eq!(held, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lazy_pull_moves_no_blob_and_leaves_no_password() {
    let site = Site::new().await;
    let node = RegistryProcess::start();
    let planned = json(&site.pull(&site.artifacts, &node, &["--lazy", "--dry-run"]));
    assert_eq!(planned["images"][0]["lazy"], true);
    assert!(!node.root().join("pointers.json").exists());

    let pulled = json(&site.pull(&site.artifacts, &node, &["--lazy", "--tenant", "one"]));
    documented(&pulled);
    let image = &pulled["images"][0];
    assert_eq!((&image["lazy"], &image["changed"]), (&json!(true), &json!(true)));
    assert_eq!(image["digest"], site.digest.as_str());
    let totals = &pulled["totals"];
    assert_eq!((&totals["bytes_moved"], &totals["manifests_written"]), (&json!(0), &json!(0)));
    // However many images: one request to each registry.
    assert_eq!(totals["requests"], 2);

    let kept = std::fs::read_to_string(node.root().join("pointers.json")).unwrap();
    let login = site.intermediate.login();
    assert!(!kept.contains(&login.password));
    let basic = basic(&login.username, &login.password);
    assert!(!kept.contains(basic.trim_start_matches("Basic ")));
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let origin = &kept["pointers"][0]["origin"];
    assert_eq!(
        origin,
        &json!({"tenant": "one", "project": "org/project", "change": "1001", "build": BUILD})
    );

    let again = json(&site.pull(&site.artifacts, &node, &["--lazy"]));
    assert_eq!(
        (&again["images"][0]["changed"], &again["totals"]["requests"]),
        (&json!(false), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_buildset_cannot_fetch_later_is_copied_at_once() {
    let site = Site::new().await;
    let there = |of: &RegistryProcess| repository(&of.login(), "q.io/a");
    let copied = |output: Output, expected: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let pulled = json(&output);
        documented(&pulled);
        assert_eq!(pulled["images"][0]["lazy"], false);
        let reason = pulled["images"][0]["eager_because"].as_str().unwrap();
        assert!(reason.contains(expected), "{reason}");
        assert!(said.contains("copied at once"), "{said}");
        assert_eq!(pulled["totals"]["blobs_moved"], 5);
    };
    // A registry that takes no pointers.
    let closed = RegistryProcess::start_for_site("");
    copied(site.pull(&site.artifacts, &closed, &["--lazy"]), "takes no pointers");
    assert_eq!(digest(&there(&closed)).await, Some(site.digest.clone()));

    // One that does not trust the intermediate registry as the executor does.
    let node = RegistryProcess::start();
    let mut connection: Value =
        serde_json::from_slice(&std::fs::read(site.intermediate.connection()).unwrap()).unwrap();
    connection["cert"].take();
    let from = file(site.folder.path(), "from.json", &connection.to_string());
    let trusted = site.intermediate.ca_file();
    let more = ["--lazy", "--ca-file", &trusted];
    let output = pull(&site.folder, &site.artifacts, from, node.connection(), &more);
    copied(output, "takes no pointer to it");
    assert_eq!(digest(&there(&node)).await, Some(site.digest.clone()));
    assert!(!node.root().join("pointers.json").exists());
}

async fn digest(repository: &Repository) -> Option<Digest> {
    repository.head(&"1".parse().unwrap()).await.unwrap().map(|head| head.digest)
}

/// `artifacts` and CONNECTION for an image in a registry nobody here wrote.
async fn foreign(registry: &Place, user: &str, folder: &TempDir) -> (Value, PathBuf, Digest) {
    let source = client(&[registry], login(registry, user, "secret"));
    let image: ImageReference = format!("{registry}/q.io/a:{BUILD}_1").parse().unwrap();
    let tag = format!("{BUILD}_1");
    let digest = push_index(&source.image(&image), &tag, "one", &["linux/amd64"]).await;
    let artifacts = json!([{"name": "q.io/a:1", "url": format!("docker://{image}"),
        "metadata": {"type": "container_image", "repository": "q.io/a", "tag": "1"}}]);
    let connection = json!({"host": registry.host(), "port": registry.port(), "username": user,
        "password": "secret"});
    (artifacts, file(folder.path(), "foreign.json", &connection.to_string()), digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_issues_no_tokens_is_pointed_at_only_if_it_is_open() {
    let node = RegistryProcess::start();
    let folder = tempfile::tempdir().unwrap();
    let closed = Distribution::start_for("user", "secret");
    let place = closed.registry().to_string();
    let (artifacts, from, _) = foreign(&closed.registry(), "user", &folder).await;
    let more = ["--lazy", "--plain-http", &place];
    let pulled = json(&pull(&folder, &artifacts, from, node.connection(), &more));
    assert_eq!(pulled["images"][0]["lazy"], false);
    let reason = pulled["images"][0]["eager_because"].as_str().unwrap();
    assert!(reason.contains("issues no token") && reason.contains("404"), "{reason}");

    let node = RegistryProcess::start();
    let open = Distribution::start();
    let place = open.registry().to_string();
    let (artifacts, from, digest) = foreign(&open.registry(), "user", &folder).await;
    let more = ["--lazy", "--plain-http", &place];
    let pulled = json(&pull(&folder, &artifacts, from, node.connection(), &more));
    assert_eq!(pulled["images"][0]["lazy"], true, "{pulled}");
    assert_eq!(pulled["images"][0]["digest"], digest.as_str());
    assert_eq!(pulled["totals"]["bytes_moved"], 0);
    let kept = std::fs::read_to_string(node.root().join("pointers.json")).unwrap();
    assert!(!kept.contains("token"), "{kept}");
}

mod reading {
    use std::fs;
    use std::path::Path;

    use zuul_images::oci::Reference;

    use super::*;
    use crate::support::images::{digest_of, push_runnable};
    use crate::support::process::tool;

    /// A node whose pull was lazy.
    async fn lazily(site: &Site) -> RegistryProcess {
        let node = RegistryProcess::start();
        let pulled = json(&site.pull(&site.artifacts, &node, &["--lazy", "--tenant", "one"]));
        assert_eq!(pulled["images"][0]["lazy"], true, "{pulled}");
        node
    }

    /// A program of others, told whom to trust.
    fn others(name: &str, node: &RegistryProcess, home: &Path, arguments: &[&str]) -> Output {
        let certificates = home.join("certs");
        fs::create_dir_all(&certificates).unwrap();
        fs::copy(node.ca_pem(), certificates.join("ca.crt")).unwrap();
        let mut command = tool(name);
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
        command.args(arguments).output().unwrap()
    }

    fn skopeo(node: &RegistryProcess, image: &str, to: &str, home: &Path) -> Output {
        let source = format!("docker://{}/{image}", node.address);
        let copy =
            ["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-cert-dir", "certs"];
        others("skopeo", node, home, &[&copy[..], &[&source, &format!("oci:{to}:v1")]].concat())
    }

    /// How many bytes a folder holds.
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
        entries
            .map(|entry| match entry.path().is_dir() {
                true => size(&entry.path()),
                false => entry.metadata().unwrap().len(),
            })
            .sum()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_image_is_fetched_when_it_is_read_and_kept() {
        let site = Site::new().await;
        let node = lazily(&site).await;
        let home = tempfile::tempdir().unwrap();
        let blobs = repository(&site.intermediate.login(), "q.io/a");
        let index = blobs.manifest(&site.digest.clone().into()).await.unwrap().unwrap();
        assert_eq!(index.children().len(), 2);
        let before = size(&node.root().join("storage"));
        assert!(before < 2000, "{before}");

        let there = repository(&node.login(), "q.io/a");
        assert_eq!(digest_of(&there, "1").await, Some(site.digest.clone()));
        let tags: Vec<String> =
            there.tags().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(tags, ["1"]);
        let pulled = skopeo(&node, "q.io/a:1", "first", home.path());
        assert!(pulled.status.success(), "{pulled:?}");

        // From here on the intermediate registry is not needed.
        drop(site);
        let again = skopeo(&node, "q.io/a:1", "second", home.path());
        assert!(again.status.success(), "{again:?}");
        let manifest = |name: &str| fs::read(home.path().join(name).join("index.json")).unwrap();
        assert_eq!(manifest("first"), manifest("second"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_pointer_names_is_not_pruned() {
        let site = Site::new().await;
        let node = lazily(&site).await;
        let home = tempfile::tempdir().unwrap();
        let pulled = skopeo(&node, "q.io/a:1", "first", home.path());
        assert!(pulled.status.success(), "{pulled:?}");
        let prune = || {
            let root = node.root();
            let root = root.to_str().unwrap();
            // All that is a second old.
            std::thread::sleep(std::time::Duration::from_millis(1100));
            let pruned = program("buildset-registry")
                .args(["prune", "--root", root, "--older-than", "1s", "--grace", "1s"])
                .output()
                .unwrap();
            json(&pruned)["stores"].clone()
        };
        let stores = prune();
        let speculative = stores.as_array().unwrap().iter().find(|s| s["store"] == "speculative");
        assert_eq!(speculative.unwrap()["totals"]["manifests_removed"], 0, "{stores}");
        drop(site);
        let again = skopeo(&node, "q.io/a:1", "second", home.path());
        assert!(again.status.success(), "{again:?}");

        // Without pointers nobody needs it.
        fs::remove_file(node.root().join("pointers.json")).unwrap();
        let stores = prune();
        let speculative = stores.as_array().unwrap().iter().find(|s| s["store"] == "speculative");
        assert_eq!(speculative.unwrap()["totals"]["manifests_removed"], 3, "{stores}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_source_that_vanished_is_named_to_the_client() {
        let site = Site::new().await;
        let node = lazily(&site).await;
        let path = "/v2/q.io/a/manifests/1";
        let ask = |path: &str| {
            let url = format!("https://{}{path}", node.address);
            let ca = node.ca_pem();
            let answer = tool("curl")
                .args(["-s", "--cacert", ca.to_str().unwrap(), "-w", "\n%{http_code}", &url])
                .output()
                .unwrap();
            let text = String::from_utf8(answer.stdout).unwrap();
            let (body, status) = text.rsplit_once('\n').unwrap();
            (status.parse::<u16>().unwrap(), body.to_owned())
        };
        let Site { intermediate, digest, .. } = site;
        let source = repository(&intermediate.login(), "q.io/a");
        let address = intermediate.address.clone();
        let index = source.manifest(&digest.clone().into()).await.unwrap().unwrap();
        source.clone().writable().delete(&digest.clone().into()).await.unwrap();
        let (status, said) = ask(path);
        assert_eq!(status, 404, "{said}");
        assert!(said.contains(&address), "{said}");

        // It comes back, and goes with its server.
        source.put_manifest(&Reference::Digest(digest), &index).await.unwrap();
        let (status, said) = ask(path);
        assert_eq!(status, 200, "{said}");
        let child = format!("/v2/q.io/a/manifests/{}", index.children()[0].digest);
        drop(intermediate);
        let (status, said) = ask(&child);
        assert_eq!(status, 502, "{said}");
        assert!(said.contains(&address), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_push_wins_over_a_pointer_and_a_restart_forgets_neither() {
        let site = Site::new().await;
        let mut node = lazily(&site).await;
        let there = repository(&node.login(), "q.io/a");
        let own = push_index(&there, "1", "its own", &["linux/amd64"]).await;
        assert_eq!(digest_of(&there, "1").await, Some(own.clone()));
        // A later pull leaves it, and says so.
        let again = json(&site.pull(&site.artifacts, &node, &["--lazy", "--tenant", "one"]));
        assert_eq!(again["images"][0]["kept"], true);
        assert_eq!(again["images"][0]["digest"], own.as_str());
        assert_eq!(digest_of(&there, "1").await, Some(own.clone()));
        node.restart();
        let there = repository(&node.login(), "q.io/a");
        assert_eq!(digest_of(&there, "1").await, Some(own));
        // What it stood before is still to be had by its digest.
        let below = there.manifest(&site.digest.clone().into()).await.unwrap();
        assert_eq!(below.unwrap().digest(), &site.digest);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_images_of_one_repository_are_read_each_with_its_token() {
        let site = Site::new().await;
        let other = "f".repeat(32);
        let source = repository(&site.intermediate.login(), "q.io/a");
        push_index(&source, &format!("{other}_2"), "two", &["linux/amd64", "linux/s390x"]).await;
        let mut artifacts = site.artifacts.clone();
        let url = artifacts[0]["url"]
            .as_str()
            .unwrap()
            .replace(&format!("{BUILD}_1"), &format!("{other}_2"));
        artifacts.as_array_mut().unwrap().push(json!({"name": "q.io/a:2", "url": url,
            "metadata": {"type": "container_image", "repository": "q.io/a", "tag": "2"}}));
        let node = RegistryProcess::start();
        let pulled = json(&site.pull(&artifacts, &node, &["--lazy"]));
        assert_eq!(pulled["totals"]["requests"], 2);
        let home = tempfile::tempdir().unwrap();
        for tag in ["2", "1"] {
            let pulled = skopeo(&node, &format!("q.io/a:{tag}"), tag, home.path());
            assert!(pulled.status.success(), "{pulled:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn podman_pulls_an_image_that_nobody_has_moved() {
        let intermediate = RegistryProcess::start_for_site(CLOSED);
        let source = repository(&intermediate.login(), "q.io/p");
        let image = push_runnable(&source, &format!("{BUILD}_1")).await;
        let url = format!("docker://{}/q.io/p:{BUILD}_1", intermediate.address);
        let artifacts = json!([{"name": "q.io/p:1", "url": url,
            "metadata": {"type": "container_image", "repository": "q.io/p", "tag": "1"}}]);
        let node = RegistryProcess::start();
        let folder = tempfile::tempdir().unwrap();
        let from = intermediate.connection();
        let pulled = json(&pull(&folder, &artifacts, from, node.connection(), &["--lazy"]));
        assert_eq!(pulled["images"][0]["lazy"], true);
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("policy.json"),
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )
        .unwrap();
        let place =
            ["--root", "root", "--runroot", "run", "--storage-driver", "vfs", "pull", "--quiet"];
        let name = format!("docker://{}/q.io/p:1", node.address);
        let own = ["--cert-dir", "certs", "--signature-policy", "policy.json", &name];
        let pulled = others("podman", &node, home.path(), &[&place[..], &own].concat());
        assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
        assert_eq!(digest_of(&repository(&node.login(), "q.io/p"), "1").await, Some(image));
    }
}
