//! What an index may be made of.

use serde_json::json;

use super::{Site, archive, docker_image, done, failed, image, run, states};
use crate::support::sample::{Sample, index};
use zuul_images::oci::{Manifest, media_type};

#[tokio::test(flavor = "multi_thread")]
async fn images_of_both_kinds_are_refused_before_any_write() {
    let site = Site::with(&["amd64"]).await;
    site.server.memory.hold("build/img", "arm64", &docker_image("new", "arm64"));
    let (document, said) = failed(&site.publish_both(&["--architecture-tags"]).await, 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(said.contains("mixed media types") && said.contains("linux/arm64 is"), "{said}");
    assert_eq!(site.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_dockers_images_the_index_is_dockers_too() {
    let site = Site::with(&[]).await;
    for architecture in ["amd64", "arm64"] {
        site.server.memory.hold("build/img", architecture, &docker_image("new", architecture));
    }
    let (_, said) = failed(&site.publish_both(&["--annotation=a=b"]).await, 2);
    assert!(said.contains("annotations"), "{said}");
    let document = done(&site.publish_both(&[]).await);
    let manifest = site.manifest("40");
    assert_eq!(manifest.media_type(), media_type::DOCKER_LIST);
    assert_eq!(manifest.digest().as_str(), document["digest"].as_str().unwrap());
    assert!(manifest.children().iter().all(|it| it.media_type == media_type::DOCKER_MANIFEST));
    for (member, architecture) in
        document["members"].as_array().unwrap().iter().zip(["amd64", "arm64"])
    {
        assert_eq!(member["digest"], json!(docker_image("new", architecture).root.digest()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_architecture_than_it_was_given_for_is_refused() {
    let site = Site::with(&["arm64"]).await;
    let image = site.image("x86_64", "arm64");
    let (_, said) = failed(&run(site.command(&["40"], &[&image])).await, 3);
    assert!(said.contains("given for x86_64, but is for linux/arm64"), "{said}");
    assert_eq!(site.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_architecture_under_two_names_is_wrong_input() {
    let site = Site::with(&["amd64"]).await;
    let again = site.image("amd64", "amd64");
    let (_, said) = failed(&site.publish_one(&["40"], &[&again]).await, 2);
    assert!(said.contains("two images"), "{said}");
    let (_, said) = failed(&site.publish_one(&["40", "40"], &[]).await, 2);
    assert!(said.contains("named twice"), "{said}");
    assert!(site.server.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_the_image_of_the_architecture_is_taken() {
    let site = Site::with(&[]).await;
    let all = index(&[("amd64", image("new", "amd64")), ("arm64", image("new", "arm64"))]);
    site.server.memory.hold("build/img", "all", &all);
    let s390x = site.image("s390x", "all");
    let (_, said) = failed(&run(site.command(&["40"], &[&s390x])).await, 1);
    assert!(said.contains("linux/amd64, linux/arm64"), "{said}");
    let images = [site.image("aarch64", "all"), site.image("x86_64", "all")];
    let options: Vec<&str> = images.iter().map(String::as_str).collect();
    done(&run(site.command(&["40"], &options)).await);
    let listed = site.manifest("40");
    let listed: Vec<_> = listed.children().iter().map(|it| &it.digest).collect();
    assert_eq!(listed, [image("new", "amd64").root.digest(), image("new", "arm64").root.digest()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_published_as_they_are() {
    let site = Site::with(&[]).await;
    archive(&site.path("amd64.tar"), &image("new", "amd64"));
    // An index in an archive: its image for the architecture.
    archive(
        &site.path("all.tar"),
        &index(&[("arm64", image("new", "arm64")), ("amd64", image("x", "amd64"))]),
    );
    let option = |name: &str, file: &str| {
        format!("--image={name}=oci-archive:{}", site.path(file).display())
    };
    let (amd64, arm64) = (option("x86_64", "amd64.tar"), option("aarch64", "all.tar"));
    let annotation = "--annotation=org.opencontainers.image.version=40";
    let document = done(&run(site.command(&["40"], &[&amd64, &arm64, annotation])).await);
    assert_eq!(states(&document), ["published"]);
    let manifest = site.manifest("40");
    let listed: Vec<_> = manifest.children().iter().map(|it| &it.digest).collect();
    assert_eq!(listed, [image("new", "amd64").root.digest(), image("new", "arm64").root.digest()]);
    let text = String::from_utf8(manifest.bytes().to_vec()).unwrap();
    assert!(text.contains(r#""annotations":{"org.opencontainers.image.version":"40"}"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_made_dockers_over_the_same_blobs_where_that_is_wished() {
    let site = Site::with(&["amd64"]).await;
    site.server.memory.hold("build/img", "arm64", &docker_image("new", "arm64"));
    let document = done(&site.publish_both(&["--v2s2"]).await);
    let list = site.manifest("40");
    assert_eq!(list.media_type(), media_type::DOCKER_LIST);
    assert_eq!(list.digest().as_str(), document["digest"].as_str().unwrap());
    let members = document["members"].as_array().unwrap();
    for (child, member) in list.children().iter().zip(members) {
        assert_eq!(child.media_type, media_type::DOCKER_MANIFEST);
        assert_eq!(member["digest"], json!(child.digest));
        let served = site.server.memory.manifest("org/img", &child.digest).unwrap();
        let served = Manifest::parse(served, None).unwrap();
        assert!(!String::from_utf8_lossy(served.bytes()).contains("oci.image"));
        for blob in served.blobs() {
            assert!(site.server.memory.blob("org/img", &blob.digest).is_some());
        }
    }
    // The one that was docker's is what it was, the other one was not pushed as it was.
    assert_eq!(members[1]["digest"], json!(docker_image("new", "arm64").root.digest()));
    let before = image("new", "amd64").root.digest().clone();
    assert!(site.server.memory.manifest("org/img", &before).is_none());
    assert_eq!(states(&done(&site.publish_both(&["--v2s2"]).await)), ["unchanged"]);
    // In the repository where they are already only manifests are written.
    let here = format!("{}/build/img", site.server.registry());
    site.server.forget_requests();
    done(&site.publish_both(&["--v2s2", "--repository", &here]).await);
    let uploads = site.server.requests().iter().filter(|it| it.contains("/uploads/")).count();
    assert_eq!((uploads, site.puts().len()), (0, 2), "{:?}", site.puts());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dockers_format_has_no_type_for_is_refused_before_any_write() {
    let site = Site::with(&["arm64"]).await;
    let source = image("new", "amd64");
    let text = String::from_utf8(source.root.bytes().to_vec()).unwrap();
    let root = Manifest::parse(text.replace("tar+gzip", "tar+zstd").into(), None).unwrap();
    site.server.memory.hold("build/img", "amd64", &Sample { root, ..source });
    let (_, said) = failed(&site.publish_both(&["--v2s2"]).await, 3);
    assert!(said.contains("tar+zstd"), "{said}");
    assert_eq!(site.writes(), 0);
    let (_, said) = failed(&site.publish_both(&["--v2s2", "--annotation=a=b"]).await, 3);
    assert!(said.contains("tar+zstd"), "{said}");
}
