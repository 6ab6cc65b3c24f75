use zuul_images::client::{Deleted, Pushed};
use zuul_images::oci::Reference;

use crate::support::clients::{client, login, read, source, tag};
use crate::support::distribution::Distribution;
use crate::support::sample;

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = Distribution::start_for("zuul", "right");
    let registry = server.registry();
    let client = client(&[&registry], login(&registry, "zuul", "wrong"));
    let error = client.repository(&registry, &"a".parse().unwrap()).head(&tag("t")).await;
    assert_eq!(error.unwrap_err().kind(), "unauthorized");
}

#[tokio::test]
async fn an_image_goes_in_and_comes_out_byte_for_byte() {
    let server = Distribution::start_for("zuul", "right");
    let registry = server.registry();
    let client = client(&[&registry], login(&registry, "zuul", "right"));
    let repository = client.repository(&registry, &"org/a".parse().unwrap());
    assert!(repository.head(&tag("t")).await.unwrap().is_none());
    let layer = sample::bytes("layer", 3_000_000);
    let image = sample::image("one", &[layer]);
    for (bytes, blob) in image.blobs.iter().zip(image.root.blobs()) {
        assert!(repository.blob_size(&blob.digest).await.unwrap().is_none());
        let pushed = repository.push_blob(blob, source(bytes), None).await.unwrap();
        assert_eq!(pushed, Pushed::Moved(blob.size));
        assert_eq!(repository.blob_size(&blob.digest).await.unwrap(), Some(blob.size));
        assert_eq!(read(&repository, blob).await.unwrap(), *bytes);
    }
    repository.put_manifest(&tag("t"), &image.root).await.unwrap();
    let held = repository.manifest(&tag("t")).await.unwrap().unwrap();
    assert_eq!(held.bytes(), image.root.bytes());
    assert_eq!(repository.tags().await.unwrap(), ["t".parse().unwrap()]);
    let other = client.repository(&registry, &"org/b".parse().unwrap());
    let blob = image.root.blobs().nth(1).unwrap();
    let from = "org/a".parse().unwrap();
    let pushed = other.push_blob(blob, source(&image.blobs[1]), Some(&from)).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    assert_eq!(repository.delete(&tag("t")).await.unwrap(), Deleted::Unsupported);
    let digest = Reference::from(image.root.digest().clone());
    assert_eq!(repository.delete(&digest).await.unwrap(), Deleted::Done);
    assert_eq!(repository.delete(&digest).await.unwrap(), Deleted::Absent);
}
