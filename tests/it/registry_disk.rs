//! A disk that is full, a folder that vanishes, bytes that change: clear errors, never wrong bytes, and
//! the registry goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use zuul_images::oci::Digest;

use crate::support::http::{Answer, open, send};
use crate::support::process::Served;
use crate::support::registry::{Registry, basic, image};
use crate::support::upstream::Upstream;

/// Serves on a file system of its own of a few MiB, which only this process sees; it ends with it.
fn serve_on_a_small_disk(folder: &Path, mebibytes: usize) -> Served {
    serve_on_a_small_disk_with(folder, mebibytes, "")
}

/// With these lines at the end of its configuration.
fn serve_on_a_small_disk_with(folder: &Path, mebibytes: usize, more: &str) -> Served {
    let storage = folder.join("storage");
    std::fs::create_dir(&storage).unwrap();
    let config = folder.join("config.yaml");
    let text = "storage: {folder: storage}\ntoken_key: key\nusers: [{name: zuul, pass: p, access: write}]\n";
    std::fs::write(&config, format!("{text}{more}")).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!("mount -t tmpfs -o size={mebibytes}m none \"$0\"; exec \"$@\""))
        .arg(&storage)
        .arg(assert_cmd::cargo::cargo_bin("buildset-registry"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .stderr(std::process::Stdio::null());
    Served::start_as(command)
}

fn request(served: &Served, method: &str, path: &str, body: &[u8]) -> Answer {
    send(served.address, method, path, &[("Authorization", &basic("zuul", "p"))], body)
}

fn push(served: &Served, repository: &str, content: &[u8]) -> Answer {
    let digest = Digest::sha256(content);
    request(served, "POST", &format!("/v2/{repository}/blobs/uploads/?digest={digest}"), content)
}

fn free(served: &Served, folder: &Path) -> u64 {
    // The way into the file system of another process.
    let inside = PathBuf::from(format!("/proc/{}/root", served.id()))
        .join(folder.join("storage").strip_prefix("/").unwrap());
    let disk = rustix::fs::statvfs(&inside).unwrap();
    disk.f_bavail * disk.f_frsize
}

#[test]
fn a_full_disk_is_507_and_gives_its_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve_on_a_small_disk(folder.path(), 8);
    let content = vec![7; 1_000_000];
    assert_eq!(push(&served, "a", &content).status, 201);
    let before = free(&served, folder.path());

    // In one request, in pieces, and to the end of what fits.
    let large = vec![8; 10_000_000];
    let answer = push(&served, "a", &large);
    assert_eq!((answer.status, answer.code().as_str()), (507, "STORAGE_FULL"), "{answer:?}");
    assert_eq!(free(&served, folder.path()), before);
    let location =
        request(&served, "POST", "/v2/a/blobs/uploads/", b"").header("location").to_owned();
    assert_eq!(request(&served, "PATCH", &location, &large[..3_000_000]).status, 202);
    assert_eq!(request(&served, "PATCH", &location, &large[3_000_000..]).status, 507);
    assert_eq!(request(&served, "GET", &location, b"").status, 404, "it starts anew");
    assert_eq!(free(&served, folder.path()), before);

    // What is there is still served, and there is space again.
    let digest = Digest::sha256(&content);
    let answer = request(&served, "GET", &format!("/v2/a/blobs/{digest}"), b"");
    assert!(answer.status == 200 && answer.body == content);
    let fits = vec![9; 3_000_000];
    assert_eq!(push(&served, "a", &fits).status, 201);
    let manifest = image(&content, &fits);
    assert_eq!(request(&served, "PUT", "/v2/a/manifests/1", &manifest).status, 201);
}

#[test]
fn a_disk_without_a_byte_left_refuses_manifests_and_takes_them_when_there_is_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve_on_a_small_disk(folder.path(), 4);
    assert_eq!(push(&served, "a", b"config").status, 201);
    assert_eq!(push(&served, "a", b"layer").status, 201);
    let inside = PathBuf::from(format!("/proc/{}/root", served.id()))
        .join(folder.path().join("storage").strip_prefix("/").unwrap());
    let filler = inside.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let full = std::io::Write::write_all(&mut file, &vec![0; 8_000_000]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);

    let manifest = image(b"config", b"layer");
    assert_eq!(request(&served, "PUT", "/v2/a/manifests/1", &manifest).status, 507);
    assert_eq!(push(&served, "a", b"other").status, 507);
    assert_eq!(request(&served, "GET", "/v2/a/manifests/1", b"").status, 404);
    drop(file);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(request(&served, "PUT", "/v2/a/manifests/1", &manifest).status, 201);
    assert_eq!(push(&served, "a", b"other").status, 201);
}

#[test]
fn a_disk_that_fills_up_ends_a_fetch_and_has_its_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let large = upstream.hold("org/img", "large", "large", 10_000_000);
    let small = upstream.hold("org/img", "small", "small", 1_000_000);
    let more =
        format!("namespaces: [{{name: quay.io, url: 'http://{}'}}]\n", upstream.faulty.address);
    let served = serve_on_a_small_disk_with(folder.path(), 8, &more);
    let path = |bytes: &[u8]| format!("/v2/quay.io/org/img/blobs/{}", Digest::sha256(bytes));
    let before = free(&served, folder.path());
    let login = basic("zuul", "p");
    for _ in 0..2 {
        let bytes = &large.blobs[1];
        let headers = [("Authorization", login.as_str())];
        let mut stream = open(served.address, "GET", &path(bytes), &headers);
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        assert!(answer.len() < bytes.len(), "more came than there is room for");
        assert_eq!(free(&served, folder.path()), before);
    }
    let answer = request(&served, "GET", &path(&small.blobs[1]), b"");
    assert!(answer.status == 200 && answer.body == small.blobs[1]);
}

#[test]
fn a_folder_that_vanishes_is_an_error_and_the_registry_goes_on() {
    let registry = Registry::start();
    registry.push_image("a", "1", "seed");
    let digest = Digest::sha256(b"layer seed");
    for (place, pull) in [("content", 404), ("images", 200), ("uploads", 200), ("temporary", 200)] {
        let folder = registry.folder.path().join("storage").join(place);
        let aside = registry.folder.path().join("aside");
        std::fs::rename(&folder, &aside).unwrap();
        let answer = registry.anonymous("GET", &format!("/v2/a/blobs/{digest}"));
        assert_eq!(answer.status, pull, "{place}");
        // It is made anew or refused; in no case does it hang or lose what is said to be there.
        let path = format!("/v2/b/blobs/uploads/?digest={}", Digest::sha256(place.as_bytes()));
        let pushed = registry.request("POST", &path, place.as_bytes()).status;
        assert!([201, 500].contains(&pushed), "{place}: {pushed}");
        let path = format!("/v2/b/blobs/{}", Digest::sha256(place.as_bytes()));
        let got = registry.anonymous("GET", &path).status;
        assert_eq!(got == 200, pushed == 201, "{place}: {got}");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        std::fs::rename(&aside, &folder).unwrap();
        let answer = registry.anonymous("GET", &format!("/v2/a/blobs/{digest}"));
        assert_eq!(answer.status, 200, "{place}");
        registry.push_image("c", place, place);
    }
}

#[test]
fn bytes_that_vanish_under_an_upload_do_not_become_a_blob() {
    let registry = Registry::start();
    let location = registry.start_upload("a");
    let path = format!("{location}?digest={}", Digest::sha256(b"content"));
    assert_eq!(registry.request("PATCH", &location, b"cont").status, 202);
    let uploads = registry.folder.path().join("storage/uploads");
    let file = uploads.read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(file).unwrap();
    assert_eq!(registry.request("PUT", &path, b"ent").status, 500);
    assert_eq!(registry.request("PUT", &path, b"ent").status, 404);
    let mut stream =
        open(registry.address, "HEAD", &format!("/v2/a/blobs/{}", Digest::sha256(b"content")), &[]);
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
