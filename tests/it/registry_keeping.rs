//! `prune` and `verify`, as programs beside one that serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use serde_json::Value;
use zuul_images::oci::Digest;

use crate::support::documents::documented;
use crate::support::http::{Answer, send};
use crate::support::process::{Served, registry};
use crate::support::registry::{basic, image};

struct Site {
    folder: tempfile::TempDir,
    served: Served,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "storage: {folder: storage, durability: commit}\ntoken_key: key\nusers: [{name: zuul, pass: p, access: write}]\n";
        fs::write(folder.path().join("config.yaml"), text).unwrap();
        let config = folder.path().join("config.yaml");
        let served = Served::start(&["--config", config.to_str().unwrap()]);
        Self { folder, served }
    }

    fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        send(self.served.address, method, path, &[("Authorization", &basic("zuul", "p"))], body)
    }

    /// Pushes as clients do: asks for each blob, and sends what is not there.
    fn push(&self, repository: &str, tag: &str, seed: &str) -> Vec<u8> {
        let (config, layer) = (format!("config {seed}"), format!("layer {seed}"));
        let manifest = image(config.as_bytes(), layer.as_bytes());
        loop {
            for content in [&config, &layer] {
                let digest = Digest::sha256(content.as_bytes());
                let path = format!("/v2/{repository}/blobs/{digest}");
                if self.request("HEAD", &path, b"").status == 404 {
                    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
                    assert_eq!(self.request("POST", &path, content.as_bytes()).status, 201);
                }
            }
            let path = format!("/v2/{repository}/manifests/{tag}");
            let answer = self.request("PUT", &path, &manifest);
            if answer.status == 201 {
                return manifest;
            }
            assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN", "{answer:?}");
        }
    }

    fn is_whole(&self, repository: &str, reference: &str, seed: &str) {
        let get = |path: String| {
            let answer = self.request("GET", &format!("/v2/{repository}/{path}"), b"");
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            answer.body
        };
        let (config, layer) = (format!("config {seed}"), format!("layer {seed}"));
        let manifest = image(config.as_bytes(), layer.as_bytes());
        assert!(get(format!("manifests/{reference}")) == manifest);
        for content in [config, layer] {
            let found = get(format!("blobs/{}", Digest::sha256(content.as_bytes())));
            assert!(found == content.as_bytes());
        }
    }

    /// Everything there is was last used ten days ago.
    fn grow_old(&self) {
        let then = std::time::SystemTime::now() - Duration::from_secs(10 * 24 * 60 * 60);
        let seconds = then.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let time = Timespec { tv_sec: seconds.try_into().unwrap(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        let mut folders = vec![self.storage().join("content"), self.storage().join("images")];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                rustix::fs::utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW)
                    .unwrap();
            }
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let config = self.folder.path().join("config.yaml");
        registry(arguments).arg("--config").arg(config).output().unwrap()
    }

    fn document(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let document = serde_json::from_slice(&output.stdout).unwrap();
        documented(&document);
        document
    }

    fn data(&self, content: &[u8]) -> PathBuf {
        let digest = Digest::sha256(content);
        let hex = digest.hex();
        self.storage().join(format!("content/sha256/{}/{hex}/+data", &hex[..2]))
    }
}

fn flip_a_bit(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[0] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_no_registry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    for arguments in [&["verify"][..], &["prune", "--older-than", "1d"]] {
        assert_eq!(registry(arguments).output().unwrap().status.code(), Some(2));
        let run = || registry(arguments).arg("--config").arg(&config).output().unwrap();
        fs::write(&config, "storage: {folder: storage}\ntoken_key: key\n").unwrap();
        let output = run();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("storage holds no images yet"), "{said}");
        assert!(!folder.path().join("storage").exists(), "looking makes nothing");
        fs::remove_file(&config).unwrap();
        let output = run();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("config.yaml: is not there; `buildset-registry init`"), "{said}");
    }
    let site = Site::start();
    assert_eq!(site.run(&["prune"]).status.code(), Some(2));
    assert_eq!(site.run(&["prune", "--older-than", "soon"]).status.code(), Some(2));
    let lock = fs::File::create(site.storage().join("prune")).unwrap();
    lock.lock().unwrap();
    let output = site.run(&["prune", "--older-than", "1d"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn prune_removes_old_images_beside_a_registry_that_serves() {
    let site = Site::start();
    site.push("org/a", "old", "old");
    site.push("org/a", "pulled", "pulled");
    site.push("b", "only", "old");
    site.grow_old();
    site.push("org/a", "new", "new");
    assert_eq!(site.request("GET", "/v2/org/a/manifests/pulled", b"").status, 200);

    let prune = ["prune", "--older-than", "7d"];
    let would = loop {
        // The pull is written down by a task of its own.
        let would = site.document(&["prune", "--older-than", "7d", "--dry-run"], 0);
        if would["stores"][0]["totals"]["manifests_removed"] == 2 {
            break would;
        }
    };
    assert_eq!(would["dry_run"], true);
    let gone = &would["stores"][0]["manifests"];
    assert_eq!((&gone[0]["repository"], &gone[0]["tags"][0]), (&"b".into(), &"only".into()));
    let text = site.run(&["prune", "--older-than", "7d", "--dry-run", "--output", "text"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("org/a") && text.contains("would be removed: 2 images"), "{text}");
    site.is_whole("org/a", "old", "old");

    site.grow_old();
    site.push("org/a", "new", "new");
    assert_eq!(site.document(&prune, 0)["stores"][0]["totals"]["manifests_removed"], 3);
    for path in ["/v2/org/a/manifests/old", "/v2/b/manifests/only", "/v2/b/tags/list"] {
        assert_eq!(site.request("GET", path, b"").status, 404, "{path}");
    }
    assert!(!site.data(b"layer old").exists(), "its space is free");
    site.is_whole("org/a", "new", "new");
    assert_eq!(site.document(&["verify"], 0)["stores"][0]["totals"]["manifests"], 1);
    // What was removed can be pushed again.
    site.push("b", "only", "old");
    site.is_whole("b", "only", "old");
}

#[test]
fn images_pushed_again_while_they_are_pruned_stay_whole() {
    let site = Site::start();
    for round in 0..4 {
        let seeds: Vec<String> = (0..8).map(|number| format!("{number} {}", round % 2)).collect();
        seeds.iter().for_each(|seed| drop(site.push("a", &seed[..1], seed)));
        site.grow_old();
        std::thread::scope(|scope| {
            for part in seeds.chunks(2) {
                let site = &site;
                scope.spawn(move || {
                    part.iter().for_each(|seed| drop(site.push("a", &seed[..1], seed)))
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let output = site.run(&["prune", "--older-than", "1d"]);
                    assert!([Some(0), Some(3)].contains(&output.status.code()), "{output:?}");
                });
            }
            scope.spawn(|| site.document(&["verify"], 0));
        });
        seeds.iter().for_each(|seed| site.is_whole("a", &seed[..1], seed));
        site.document(&["verify"], 0);
    }
}

#[test]
fn verify_names_what_is_damaged_and_makes_room_for_it() {
    let site = Site::start();
    for (tag, seed) in [
        ("1", "flipped"),
        ("2", "cut"),
        ("3", "gone"),
        ("4", "manifest"),
        ("5", "ok"),
        ("8", "link"),
        ("9", "size"),
    ] {
        site.push("org/a", tag, seed);
    }
    assert_eq!(site.document(&["verify"], 0)["stores"][0]["damage"], Value::Array(Vec::new()));

    flip_a_bit(&site.data(b"layer flipped"));
    fs::write(site.data(b"layer cut"), "layer").unwrap();
    fs::remove_file(site.data(b"layer gone")).unwrap();
    let damaged = Digest::sha256(&image(b"config manifest", b"layer manifest"));
    let manifests = site.storage().join("images/org+a/manifests/sha256");
    flip_a_bit(&manifests.join(damaged.hex()));
    fs::write(site.storage().join("images/org+a/tags/6"), format!("{}\n", Digest::sha256(b"")))
        .unwrap();
    fs::write(site.storage().join("images/org+a/tags/7"), "what").unwrap();
    for (content, text) in [(&b"layer link"[..], "many"), (b"layer size", "9")] {
        let link = site.data(content).with_file_name("org+a");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(text, link).unwrap();
    }
    fs::write(site.data(b"layer ok").with_file_name(".nfs0001"), "not ours").unwrap();

    let found = site.document(&["verify"], 1);
    assert_eq!((&found["ok"], &found["error"]["kind"]), (&false.into(), &"damaged".into()));
    let damage = found["stores"][0]["damage"].as_array().unwrap();
    let images: Vec<&str> = damage.iter().filter_map(|one| one["images"][0].as_str()).collect();
    for image in ["org/a:1", "org/a:2", "org/a:3", "org/a:4", "org/a:8", "org/a:9"] {
        assert!(images.contains(&image), "{damage:#?}");
    }
    let kinds: Vec<&str> = damage.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    let expected =
        [["blob", "blob", "blob"], ["link", "link", "manifest"], ["manifest", "manifest", "tag"]];
    assert_eq!(kinds, [&expected.concat()[..], &["tag"]].concat(), "{damage:#?}");
    let text = site.run(&["verify", "--output", "text"]);
    let (out, said) =
        (String::from_utf8(text.stdout).unwrap(), String::from_utf8(text.stderr).unwrap());
    assert!(out.contains("org/a:2") && out.contains("10 damaged"), "{out}");
    assert!(said.contains("push these images again"), "{said}");

    let removed = site.document(&["verify", "--remove-damaged"], 1);
    let damage = removed["stores"][0]["damage"].as_array().unwrap();
    // Whole manifests whose links are gone stay: a push of the blobs repairs them.
    assert_eq!(damage.iter().filter(|one| one["removed"] == true).count(), 8, "{damage:#?}");
    for (tag, seed) in [
        ("1", "flipped"),
        ("2", "cut"),
        ("3", "gone"),
        ("4", "manifest"),
        ("8", "link"),
        ("9", "size"),
    ] {
        site.push("org/a", tag, seed);
        site.is_whole("org/a", tag, seed);
    }
    for tag in ["6", "7"] {
        assert_eq!(site.request("GET", &format!("/v2/org/a/manifests/{tag}"), b"").status, 404);
    }
    site.document(&["verify"], 0);
}

/// A disk may refuse to read a file for ever; here it is a folder, which no more can be read.
#[test]
fn verify_goes_on_where_a_file_cannot_be_read() {
    let site = Site::start();
    for (tag, seed) in [("1", "manifest"), ("2", "tag"), ("3", "blob")] {
        site.push("org/a", tag, seed);
    }
    let manifest = Digest::sha256(&image(b"config manifest", b"layer manifest"));
    let images = site.storage().join("images/org+a");
    let files = [images.join("manifests/sha256").join(manifest.hex()), images.join("tags/2")];
    for file in files.iter().chain([&site.data(b"layer blob")]) {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    }
    for arguments in [&["verify"][..], &["verify", "--remove-damaged"]] {
        let found = site.document(arguments, 1);
        let damage = found["stores"][0]["damage"].as_array().unwrap();
        let kinds: Vec<&str> = damage.iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["blob", "manifest", "tag"], "{damage:#?}");
        assert_eq!(damage[1]["images"][0], "org/a:1");
    }
}

#[test]
fn images_that_may_lack_blobs_are_counted_and_lost_blobs_are_damage() {
    let site = Site::start();
    site.push("org/a", "whole", "whole");
    let config = site.folder.path().join("config.yaml");
    let text = fs::read_to_string(&config).unwrap() + "sparse_images: true\n";
    let layer = format!("/v2/org/a/blobs/{}", Digest::sha256(b"layer whole"));
    assert_eq!(site.request("DELETE", &layer, b"").status, 202);
    let strict = site.document(&["verify"], 1);
    assert_eq!(strict["stores"][0]["damage"][0]["images"][0], "org/a:whole");
    fs::write(config, text).unwrap();
    let sparse = site.document(&["verify"], 0);
    assert_eq!(sparse["stores"][0]["totals"]["sparse"], 1);
    let text = String::from_utf8(site.run(&["verify", "--output", "text"]).stdout).unwrap();
    assert!(text.contains("1 manifests lack blobs, as they may here"), "{text}");

    fs::remove_file(site.data(b"config whole")).unwrap();
    let found = site.document(&["verify"], 1);
    assert_eq!(found["stores"][0]["damage"][0]["kind"], "blob");
    assert_eq!(found["stores"][0]["damage"][0]["images"][0], "org/a:whole");
}
