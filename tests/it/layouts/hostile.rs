//! What a job may have written.

use std::fs;
use std::os::unix::fs::symlink;

use tar::EntryType;
use tempfile::TempDir;
use zuul_images::oci::Digest;

use super::{copy, image, open, shown};
use crate::support::faulty::Faulty;
use crate::support::layouts::{Tar, archive, blob_name, files, folder, gzip};
use crate::support::sample::{self, Sample};

type Files = Vec<(String, Vec<u8>)>;

/// The files of a layout with one image, with one file changed.
fn with(image: &Sample, name: &str, bytes: &[u8]) -> Files {
    let mut files = files(&[(None, image)]);
    let file = files.iter_mut().find(|(known, _)| known == name).unwrap();
    file.1 = bytes.to_vec();
    files
}

fn without(image: &Sample, name: &str) -> Files {
    let mut files = files(&[(None, image)]);
    files.retain(|(known, _)| known != name);
    files
}

/// A layout with one image as an archive, each file put into it by `change`.
fn tar_of(image: &Sample, change: impl Fn(&mut Tar, &str, &[u8])) -> Vec<u8> {
    let mut tar = Tar::default();
    for (name, bytes) in files(&[(None, image)]) {
        change(&mut tar, &name, &bytes);
    }
    tar.end()
}

#[tokio::test]
async fn what_is_no_archive_of_images_is_refused_and_says_what_to_do() {
    let sample = image("one");
    let whole = tar_of(&sample, |tar, name, bytes| tar.file(name, bytes));
    let twice = tar_of(&sample, |tar, name, bytes| {
        tar.file(name, bytes);
        if name == "index.json" {
            tar.file("./index.json", bytes);
        }
    });
    let circle = tar_of(&sample, |tar, name, bytes| match name {
        "index.json" => tar.link(EntryType::Symlink, name, "index.json"),
        _ => tar.file(name, bytes),
    });
    let device = tar_of(&sample, |tar, name, bytes| match name {
        "index.json" => tar.link(EntryType::Char, name, ""),
        _ => tar.file(name, bytes),
    });
    let outside = tar_of(&sample, |tar, name, bytes| match name {
        "index.json" => tar.link(EntryType::Symlink, name, "../../etc/passwd"),
        _ => tar.file(name, bytes),
    });
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("whole"), &whole).unwrap();
    let packed = fs::read(gzip(&place.path().join("whole"))).unwrap();
    for (what, bytes, said) in [
        ("nothing", Vec::new(), "no `oci-layout`"),
        ("no tar", b"{}".repeat(1000), "no tar archive"),
        ("gzip cut off", packed[..packed.len() / 2].to_vec(), "unexpected end of file"),
        (
            "gzip of no tar",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".to_vec(),
            "no `oci-layout`",
        ),
        ("nothing of gzip", b"\x1f\x8b\x08".to_vec(), "unexpected end of file"),
        ("zstd", b"\x28\xb5\x2f\xfd\x00\x00".to_vec(), "unzstd"),
        ("xz", b"\xfd7zXZ\x00\x00".to_vec(), "unxz"),
        ("cut off", whole[..whole.len() - 1100].to_vec(), "in the middle of a file"),
        ("a list that is there twice", twice, "twice"),
        ("a link to itself", circle, "without an end"),
        ("a device", device, "is no file"),
        ("a link out of it", outside, "out of the archive"),
    ] {
        let path = place.path().join("a.tar");
        fs::write(&path, bytes).unwrap();
        let error = open(&shown("oci-archive", &path)).await.unwrap_err().to_string();
        assert!(error.contains(said), "{what}: {error}");
    }
    let error = open(&shown("oci-archive", place.path())).await.unwrap_err();
    assert!(error.is_input() && error.to_string().contains("write oci:"), "{error}");
    let error = open(&shown("oci-archive", &place.path().join("none"))).await.unwrap_err();
    assert!(error.is_input() && error.to_string().contains("No such file"), "{error}");
}

/// The names of an entry may be as long as the archive, which need not take any room.
#[tokio::test]
async fn a_name_without_end_does_not_fill_the_memory() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(40 << 30);
    header.set_cksum();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    fs::write(&path, header.as_bytes()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(41 << 30).unwrap();
    let error = open(&shown("oci-archive", &path)).await.unwrap_err().to_string();
    assert!(error.contains("too many or too long names"), "{error}");
}

/// For each file of a compressed archive something has to be kept.
#[tokio::test]
async fn files_without_number_in_a_compressed_archive_do_not_fill_the_memory() {
    let mut tar = Tar::default();
    for number in 0..600 {
        tar.file(&number.to_string(), &[0; 50_000]);
    }
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    fs::write(&path, tar.end()).unwrap();
    let error = open(&shown("oci-archive", &gzip(&path))).await.unwrap_err().to_string();
    assert!(error.contains("too many files"), "{error}");
    let error = open(&shown("oci-archive", &path)).await.unwrap_err().to_string();
    assert!(error.contains("no `oci-layout`"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_no_layout_is_refused() {
    let sample = image("one");
    let version = br#"{"imageLayoutVersion":"2.0.0"}"#;
    let huge = [b"{".as_slice(), &b" ".repeat(5 << 20)].concat();
    for (what, files, said) in [
        ("nothing", Files::new(), "no `oci-layout`"),
        ("no version", without(&sample, "oci-layout"), "no `oci-layout`"),
        ("another version", with(&sample, "oci-layout", version), "`2.0.0`"),
        ("a broken version", with(&sample, "oci-layout", b"{"), "oci-layout"),
        ("a broken list", with(&sample, "index.json", b"[]"), "index.json"),
        ("an endless list", with(&sample, "index.json", &huge), "more than 4 MiB"),
        (
            "an empty list",
            with(&sample, "index.json", br#"{"schemaVersion":2,"manifests":[]}"#),
            "holds no image",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        let error = open(&shown("oci", &folder(place.path(), &files))).await.unwrap_err();
        assert!(error.to_string().contains(said), "{what}: {error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(&shown("oci", file.path())).await.unwrap_err().to_string();
    assert!(error.contains("write oci-archive:"), "{error}");
}

/// Messages would show what they lead to, and a pipe would never end.
#[tokio::test]
async fn a_list_that_is_a_link_or_a_pipe_is_not_read() {
    let place = tempfile::tempdir().unwrap();
    let source = folder(&place.path().join("layout"), &without(&image("one"), "index.json"));
    let list = source.join("index.json");
    fs::write(place.path().join("secret"), r#"{"password":"hidden"}"#).unwrap();
    symlink("../secret", &list).unwrap();
    let error = open(&shown("oci", &source)).await.unwrap_err().to_string();
    assert!(error.contains("index.json") && !error.contains("hidden"), "{error}");
    fs::remove_file(&list).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(&list).status().unwrap();
    assert!(pipe.success());
    let error = open(&shown("oci", &source)).await.unwrap_err().to_string();
    assert!(error.contains("it is no file"), "{error}");
}

#[tokio::test]
async fn wrong_content_is_found_before_anything_is_tagged() {
    let sample = image("one");
    let index = sample::index(&[("amd64", sample.clone()), ("arm64", image("two"))]);
    let layer = &sample.blobs[1];
    let mut other = layer.to_vec();
    other[600_000] ^= 1;
    let longer = [layer, b"!".as_slice()].concat();
    let (layer, child) = (blob_name(layer), blob_name(sample.root.bytes()));
    for (what, files, said) in [
        ("a flipped bit", with(&index, &layer, &other), "the digest of"),
        ("a byte too much", with(&index, &layer, &longer), "700001 bytes, not 700000"),
        ("a missing layer", without(&index, &layer), "not there"),
        ("a missing platform", without(&index, &child), "not there"),
        ("another manifest", with(&index, &child, image("three").root.bytes()), "the digest of"),
        ("no manifest", with(&index, &child, b"{}"), "the digest of"),
    ] {
        for source in both(&files) {
            let to = Faulty::start().await;
            let error = copy(open(&source.0).await.unwrap(), &to).await.unwrap_err();
            assert_eq!(error.kind(), "damaged", "{what}: {error}");
            assert!(error.to_string().contains(said), "{what}: {error}");
            assert_eq!(to.memory.tag("a", "t"), None, "{what}");
            assert_eq!(to.memory.blob("a", &Digest::sha256(&other)), None, "{what}");
        }
    }
}

#[tokio::test]
async fn names_that_lead_out_of_an_archive_lead_nowhere() {
    let sample = image("one");
    let bytes = tar_of(&sample, |tar, name, bytes| {
        if name == "index.json" {
            for name in ["../index.json", "/index.json", "blobs/../../index.json", "..", "."] {
                tar.file(name, b"{}");
            }
        }
        tar.file(name, bytes);
    });
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.tar");
    fs::write(&path, bytes).unwrap();
    let to = Faulty::start().await;
    copy(open(&shown("oci-archive", &path)).await.unwrap(), &to).await.unwrap();
    assert_eq!(to.memory.tag("a", "t").unwrap(), sample.root.digest().as_str());
}

/// The same files as a folder and as an archive; gone with the folder.
fn both(files: &Files) -> [(String, TempDir); 2] {
    let places = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let layout = shown("oci", &folder(&places[0].path().join("it"), files));
    let packed = shown("oci-archive", &archive(&places[1].path().join("it"), files));
    let [first, second] = places;
    [(layout, first), (packed, second)]
}
