use http::Method;
use zuul_images::oci::Digest;

use super::{copy, image, open, shown};
use crate::support::faulty::Faulty;
use crate::support::layouts::{archive, files, folder, gzip};
use crate::support::sample;

/// Of several platforms, one of them an index of its own.
#[tokio::test]
async fn every_platform_of_an_index_in_an_index_arrives_byte_for_byte() {
    let inner = sample::index(&[("amd64", image("amd64")), ("arm64", image("arm64"))]);
    let outer = sample::index(&[("amd64", inner), ("s390x", image("s390x"))]);
    let place = tempfile::tempdir().unwrap();
    let files = files(&[(Some("latest"), &outer)]);
    let packed = archive(&place.path().join("image.tar"), &files);
    let sources = [
        shown("oci", &folder(&place.path().join("layout"), &files)),
        shown("oci-archive", &packed),
        shown("oci-archive", &gzip(&packed)),
        shown("docker-archive", &packed),
    ];
    for source in sources {
        let to = Faulty::start().await;
        let image = open(&source).await.unwrap();
        assert_eq!(image.digest(), outer.root.digest());
        let outcome = copy(image, &to).await.unwrap();
        assert_eq!(outcome.images[0].from.to_string(), format!("{source}:latest"));
        assert_eq!(outcome.totals.blobs_moved, 9);
        let tag = to.memory.tag("a", "t").unwrap();
        assert_eq!(tag, outer.root.digest().as_str(), "{source}");
        for manifest in outer.below.iter().chain([&outer.root]) {
            let held = to.memory.manifest("a", manifest.digest()).unwrap();
            assert_eq!(held, manifest.bytes(), "{source}");
        }
        for blob in &outer.blobs {
            assert_eq!(to.memory.blob("a", &Digest::sha256(blob)).unwrap(), *blob, "{source}");
        }
    }
}

#[tokio::test]
async fn an_image_that_is_in_place_costs_one_request() {
    let place = tempfile::tempdir().unwrap();
    let files = files(&[(None, &image("one"))]);
    let source = shown("oci", &folder(place.path(), &files));
    let to = Faulty::start().await;
    copy(open(&source).await.unwrap(), &to).await.unwrap();
    to.forget_requests();
    let again = copy(open(&source).await.unwrap(), &to).await.unwrap();
    assert!(!again.images[0].changed);
    assert_eq!(to.requests(), ["HEAD /v2/a/manifests/t"]);
}

/// A link by name is what bazel makes of a layout.
#[tokio::test]
async fn blobs_may_be_links() {
    let sample = image("one");
    let place = tempfile::tempdir().unwrap();
    let source = folder(place.path(), &files(&[(None, &sample)]));
    let blob = source.join(crate::support::layouts::blob_name(&sample.blobs[1]));
    std::fs::rename(&blob, source.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", &blob).unwrap();
    let to = Faulty::start().await;
    copy(open(&shown("oci", &source)).await.unwrap(), &to).await.unwrap();
    assert_eq!(to.count(Method::PUT, "/manifests/t"), 1);
}
