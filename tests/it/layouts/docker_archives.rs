use serde_json::{Value, json};
use tar::EntryType;
use zuul_images::oci::{Content, Digest, media_type};

use super::{copy, open, shown};
use crate::support::faulty::Faulty;
use crate::support::layouts::{Tar, archive, gzip, saved};
use crate::support::sample;

#[tokio::test]
async fn the_manifest_made_of_a_docker_archive_names_its_layers_by_their_diff_ids() {
    let layers = [sample::bytes("base", 600_000), sample::bytes("top", 700)];
    let place = tempfile::tempdir().unwrap();
    let files = saved(&[(&["org/img:1"], &[&layers[0], &layers[1], &layers[1]])]);
    let source = shown("docker-archive", &archive(&place.path().join("a.tar"), &files));
    let image = open(&source).await.unwrap();
    let manifest = image.manifest(image.digest()).await.unwrap();
    assert_eq!(manifest.media_type(), media_type::OCI_MANIFEST);
    let Content::Image(content) = manifest.content() else { panic!("an index") };
    let listed: Vec<(&Digest, u64)> =
        content.layers.iter().map(|layer| (&layer.digest, layer.size)).collect();
    let digests = layers.each_ref().map(|layer| Digest::sha256(layer));
    assert_eq!(listed, [(&digests[0], 600_000), (&digests[1], 700), (&digests[1], 700)]);
    let to = Faulty::start().await;
    let outcome = copy(image, &to).await.unwrap();
    assert_eq!(outcome.totals.blobs_moved, 3);
    assert_eq!(to.memory.tag("a", "t").unwrap(), manifest.digest().as_str());
    // The same archive is always the same image.
    assert_eq!(open(&source).await.unwrap().digest(), manifest.digest());
}

/// crane, kaniko and bazel make such archives.
#[tokio::test]
async fn packed_layers_of_a_docker_archive_stay_packed() {
    let layer = sample::bytes("layer", 300_000);
    let mut files = saved(&[(&["org/img:1"], &[&layer])]);
    let file = files.iter_mut().find(|(name, _)| name.ends_with("layer.tar")).unwrap();
    file.1 = packed(&layer);
    let packed = file.1.clone();
    let place = tempfile::tempdir().unwrap();
    let path = archive(&place.path().join("a.tar"), &files);
    let image = open(&shown("docker-archive", &path)).await.unwrap();
    let manifest = image.manifest(image.digest()).await.unwrap();
    let Content::Image(content) = manifest.content() else { panic!("an index") };
    assert_eq!(content.layers[0].media_type, sample::LAYER);
    let to = Faulty::start().await;
    copy(image, &to).await.unwrap();
    assert_eq!(to.memory.blob("a", &Digest::sha256(&packed)).unwrap(), packed);
    // A layer cannot be unpacked twice at once.
    let error = open(&shown("docker-archive", &gzip(&path))).await.unwrap_err().to_string();
    assert!(error.contains("gunzip the archive"), "{error}");
}

#[tokio::test]
async fn a_packed_docker_archive_is_the_same_image() {
    let layers = [sample::bytes("base", 600_000), sample::bytes("top", 70_000)];
    let place = tempfile::tempdir().unwrap();
    let path = archive(
        &place.path().join("a.tar"),
        &saved(&[(&["org/img:1"], &[&layers[0], &layers[1]]), (&["org/img:2"], &[&layers[1]])]),
    );
    let packed = gzip(&path);
    for tag in ["1", "2"] {
        let plain = open(&format!("{}:{tag}", shown("docker-archive", &path))).await.unwrap();
        let image = open(&format!("{}:{tag}", shown("docker-archive", &packed))).await.unwrap();
        assert_eq!(image.digest(), plain.digest());
        let to = Faulty::start().await;
        copy(image, &to).await.unwrap();
        let layer = to.memory.blob("a", &Digest::sha256(&layers[1])).unwrap();
        assert_eq!(layer, layers[1]);
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("it");
    std::fs::write(&path, bytes).unwrap();
    std::fs::read(gzip(&path)).unwrap()
}

/// A layer that is there twice is a link in what older dockers save.
#[tokio::test]
async fn links_inside_an_archive_are_followed() {
    let layer = sample::bytes("layer", 3000);
    for (kind, target) in
        [(EntryType::Symlink, ".././store/real.tar"), (EntryType::Link, "./store/real.tar")]
    {
        let mut tar = Tar::default();
        for (name, bytes) in saved(&[(&["org/img:1"], &[&layer])]) {
            match name.ends_with("layer.tar") {
                false => tar.file(&format!("./{name}"), &bytes),
                true => {
                    tar.link(kind, &name, target);
                    tar.file("store/real.tar", &bytes);
                }
            }
        }
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        std::fs::write(&path, tar.end()).unwrap();
        let to = Faulty::start().await;
        copy(open(&shown("docker-archive", &path)).await.unwrap(), &to).await.unwrap();
        assert_eq!(to.memory.blob("a", &Digest::sha256(&layer)).unwrap(), layer);
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let good = saved(&[(&["org/img:1"], &[b"layer one", b"layer two"])]);
    let of = |name: &str| good.iter().position(|(it, _)| it.contains(name)).unwrap();
    let (config, layer, list) = (of(".json"), of("layer.tar"), of("manifest.json"));
    let document = |at: usize| serde_json::from_slice::<Value>(&good[at].1).unwrap();
    let with = |at: usize, bytes: Vec<u8>| {
        let mut files = good.clone();
        files[at].1 = bytes;
        files
    };
    let edited = |at: usize, edit: &dyn Fn(&mut Value)| {
        let mut value = document(at);
        edit(&mut value);
        with(at, value.to_string().into_bytes())
    };
    for (what, files, said) in [
        ("no config", good[1..].to_vec(), "it has no `"),
        (
            "a layer too few",
            edited(list, &|it| drop(it[0]["Layers"].as_array_mut().unwrap().pop())),
            "layers",
        ),
        (
            "another layer",
            edited(list, &|it| it[0]["Layers"][0] = json!("no/layer.tar")),
            "is not there",
        ),
        (
            "a config elsewhere",
            edited(list, &|it| it[0]["Config"] = json!("../../etc/passwd")),
            "../../etc/passwd",
        ),
        ("no diff_ids", edited(config, &|it| it["rootfs"] = json!({})), "diff_ids"),
        (
            "a wrong diff_id",
            edited(config, &|it| it["rootfs"]["diff_ids"][0] = json!("sha256:1")),
            "digest",
        ),
        (
            "a layer packed half",
            with(layer, b"\x1f\x8b and so on".to_vec()),
            "not compressed by gzip",
        ),
        ("another layer, packed", with(layer, packed(b"layer two")), "unpacks to"),
        ("a layer packed by zstd", with(layer, b"\x28\xb5\x2f\xfd".to_vec()), "zstd"),
        ("no list", with(list, b"{}".to_vec()), "manifest.json"),
        ("no text", with(list, b"\xff".to_vec()), "manifest.json"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let path = archive(&place.path().join("a.tar"), &files);
        let error = open(&shown("docker-archive", &path)).await.unwrap_err().to_string();
        assert!(error.contains(said), "{what}: {error}");
    }
    // The right length, but other bytes.
    let place = tempfile::tempdir().unwrap();
    let path = archive(&place.path().join("a.tar"), &with(layer, b"layer 111".to_vec()));
    let to = Faulty::start().await;
    let image = open(&shown("docker-archive", &path)).await.unwrap();
    let error = copy(image, &to).await.unwrap_err();
    assert_eq!(error.kind(), "damaged");
    assert!(error.to_string().contains("the digest of"), "{error}");
    assert_eq!(to.memory.tag("a", "t"), None);
}
