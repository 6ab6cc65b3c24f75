use super::{image, open, shown};
use crate::support::layouts::{archive, files, folder, saved};

#[tokio::test]
async fn among_several_images_one_has_to_be_chosen() {
    let (one, two, three) = (image("one"), image("two"), image("three"));
    let place = tempfile::tempdir().unwrap();
    let images = [(Some("1"), &one), (Some("quay.io/org/img:2"), &two), (None, &three)];
    let source = shown("oci", &folder(place.path(), &files(&images)));
    let error = open(&source).await.unwrap_err();
    assert!(error.is_input(), "{error}");
    let said = error.to_string();
    assert!(said.contains("`:@0` `:1`, `:@1` `:quay.io/org/img:2`, `:@2`"), "{said}");
    for wrong in ["3", "quay.io/org/other:2", "@3"] {
        let error = open(&format!("{source}:{wrong}")).await.unwrap_err();
        assert!(error.is_input() && error.to_string().contains("`:1`"), "{error}");
    }
    for (choice, expected) in
        [("1", &one), ("2", &two), ("quay.io/org/img:2", &two), ("@2", &three), ("@0", &one)]
    {
        let found = open(&format!("{source}:{choice}")).await.unwrap();
        assert_eq!(found.digest(), expected.root.digest(), "{choice}");
    }
}

#[tokio::test]
async fn an_image_of_a_docker_archive_is_chosen_by_any_of_its_names() {
    let place = tempfile::tempdir().unwrap();
    let images: [(&[&str], &[&[u8]]); 3] = [
        (&["busybox:latest", "quay.io/org/img:1"], &[b"one"]),
        (&["localhost/other:2"], &[b"two"]),
        (&[], &[b"three"]),
    ];
    let source = shown("docker-archive", &archive(&place.path().join("a.tar"), &saved(&images)));
    let error = open(&source).await.unwrap_err().to_string();
    assert!(error.contains("`:busybox:latest` `:quay.io/org/img:1`"), "{error}");
    assert!(open(&format!("{source}:busybox:1")).await.is_err());
    let mut digests = Vec::new();
    for names in [
        &["busybox", "docker.io/library/busybox:latest", "quay.io/org/img:1", "1", "@0"][..],
        &["localhost/other:2", "2"],
        &["@2"],
    ] {
        let mut found = Vec::new();
        for name in names {
            found.push(open(&format!("{source}:{name}")).await.unwrap().digest().clone());
        }
        assert!(found.iter().all(|digest| *digest == found[0]), "{names:?}");
        digests.push(found.remove(0));
    }
    assert!(digests[0] != digests[1] && digests[1] != digests[2]);
}
