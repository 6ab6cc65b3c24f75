use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zuul_images::oci::Digest;

use super::{raw, statuses};
use crate::support::registry::Registry;

#[test]
fn tricks_in_paths_and_parameters_reach_nothing_outside_the_store() {
    let registry = Registry::start();
    registry.push_image("a", "latest", "x");
    let digest = Digest::sha256(b"layer x");
    let before = files_of(registry.folder.path());
    let id = "0123456789abcdef0123456789abcdef";
    let tricks = [
        "..",
        "../..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "..%2f",
        "%252e%252e",
        "..%5c..",
        "%00",
        "a%00b",
        "%0d%0aX:%20y",
        "%c0%ae%c0%ae",
        "%ff",
        "_tags",
        "_blobs",
        "%5fmanifests",
        ".",
        "%2f",
        "%2fetc",
        "a%20b",
        "a%3fb",
        "con%2f",
        "~",
        "%e2%80%ae",
        "a;b",
        "a%23b",
    ];
    for trick in tricks {
        for (method, path) in [
            ("GET", format!("/v2/{trick}/tags/list")),
            ("GET", format!("/v2/a/{trick}/tags/list")),
            ("PUT", format!("/v2/a/{trick}/manifests/latest")),
            ("PUT", format!("/v2/a/manifests/{trick}")),
            ("DELETE", format!("/v2/a/manifests/{trick}")),
            ("GET", format!("/v2/a/blobs/{trick}")),
            ("GET", format!("/v2/a/blobs/sha256:{trick}")),
            ("DELETE", format!("/v2/a/blobs/sha256:{trick}")),
            ("GET", format!("/v2/a/referrers/{trick}")),
            ("POST", format!("/v2/{trick}/blobs/uploads/")),
            ("PATCH", format!("/v2/a/blobs/uploads/{trick}")),
            ("PATCH", format!("/v2/a/blobs/uploads/{trick}{id}")),
            ("PUT", format!("/v2/a/blobs/uploads/{id}{trick}?digest={digest}")),
            ("POST", format!("/v2/b/blobs/uploads/?mount={trick}&from=a")),
            ("GET", format!("/v2/a/tags/list?ns={trick}")),
            ("POST", format!("/v2/b/blobs/uploads/?digest={digest}&ns={trick}")),
            ("POST", format!("/v2/b/blobs/uploads/?digest=sha256:{trick}")),
        ] {
            let path = path.replace('\\', "%5c");
            let answer = registry.request(method, &path, b"layer x");
            let answered = answer.status;
            assert!((400..500).contains(&answered), "{method} {path}: {answered}");
        }
        let from = format!("/v2/b/blobs/uploads/?mount={digest}&from={trick}");
        let answer = registry.request("POST", &from, b"");
        assert!(answer.status >= 400, "{from}: {}", answer.status);
    }
    assert_eq!(files_of(registry.folder.path()), before);
    // In place of a path.
    for target in
        ["http://other.example/v2/", "*", "other.example:443", "/v2/../../etc/passwd", "//v2//"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let found = statuses(&raw(&registry, request.as_bytes()));
        assert!(found.iter().all(|status| (400..500).contains(status)), "{target}: {found:?}");
    }
}

/// Every file below a folder, with its size.
fn files_of(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    for entry in folder.read_dir().into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_of(&path));
        } else {
            // What is only there for a moment may be gone.
            let size = path.metadata().map(|file| file.len());
            found.extend(size.map(|size| (path, size)));
        }
    }
    found
}
