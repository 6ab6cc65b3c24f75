//! Signatures and what else is attached to images.

use std::collections::BTreeMap;

use serde_json::json;
use zuul_images::oci::Digest;

use super::site::{PLATFORMS, Site};
use super::{cases, strings};
use crate::support::images::{digest_of, push_image, push_index, push_referrer};

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_a_destination_lacks_are_carried_on_a_rerun() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let manifests = [site.manifest("a", &[(&app, json!(["1"]))])];
    site.promote(&manifests, &[]);
    let late =
        push_referrer(&site.source("staging/a"), &app, "application/vnd.example.signature").await;
    let left = site.promote(&manifests, &["--no-repair"]);
    assert_eq!(left["referrers_written"], 0, "{left}");
    let done = site.promote(&manifests, &[]);
    assert_eq!(
        (done["written"].clone(), done["referrers_written"].clone()),
        (json!(0), json!(2)),
        "{done}"
    );
    for place in [site.debian("prod/a"), site.ours("prod/a")] {
        assert_eq!(place.referrers(&app).await.unwrap()[0]["digest"], late.digest().as_str());
    }
    assert_eq!(site.promote(&manifests, &[])["referrers_written"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_by_the_tags_of_the_cases_is_carried_along() {
    let site = Site::start().await;
    let app = push_index(&site.source("staging/a"), "x", "a", &PLATFORMS).await;
    let mut seen = Vec::new();
    for case in cases::all("12-signing.yaml", 6) {
        let Some(tag) = case["expect"].as_str().filter(|_| case["digest"].is_string()) else {
            continue;
        };
        let hex = case["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let tag = tag.replace(hex, app.hex());
        assert!(tag.contains(app.hex()), "{case}");
        let attached = push_image(&site.source("staging/a"), Some(&tag), &tag, "linux/amd64").await;
        seen.push((tag, attached.digest().clone()));
    }
    assert_eq!(seen.len(), 2);
    site.promote(&[site.manifest("a", &[(&app, json!(["1"]))])], &[]);
    for (tag, digest) in seen {
        for place in [site.debian("prod/a"), site.ours("prod/a")] {
            assert_eq!(digest_of(&place, &tag).await.as_ref(), Some(&digest), "{tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_reaches_every_registry_of_the_group_that_the_case_makes() {
    let cases = cases::all("12-signing.yaml", 6);
    let case = cases.iter().find(|it| it["kind"] == "group-for-signing").unwrap();
    let site = Site::start().await;
    let mut real = BTreeMap::new();
    for group in case["expect_groups"].as_array().unwrap() {
        let named = group["digest"].as_str().unwrap();
        let digest =
            push_index(&site.source("staging/app"), named.get(7..9).unwrap(), named, &PLATFORMS)
                .await;
        let tag = format!("sha256-{}.sig", digest.hex());
        push_image(&site.source("staging/app"), Some(&tag), &tag, "linux/amd64").await;
        real.insert(named, (digest, tag));
    }
    // A manifest for each registry: image and tag, or none, of each edge.
    let mut wanted: BTreeMap<&str, BTreeMap<&Digest, Vec<&str>>> = BTreeMap::new();
    for edge in case["edges"].as_array().unwrap() {
        let [registry, _, digest, tag] = [0, 1, 2, 3].map(|part| edge[part].as_str().unwrap());
        let tags = wanted.entry(registry).or_default().entry(&real[digest].0).or_default();
        tags.extend((!tag.is_empty()).then_some(tag));
    }
    let manifests: Vec<String> = wanted
        .iter()
        .map(|(registry, digests)| {
            let digests: String =
                digests.iter().map(|(it, tags)| format!("    {it}: {}\n", json!(tags))).collect();
            format!(
                "registries:\n- name: {}/staging\n  src: true\n- name: {}/{registry}\n\
                 images:\n- name: app\n  dmap:\n{digests}",
                site.source.address,
                site.debian.registry()
            )
        })
        .collect();
    site.promote(&manifests, &[]);
    for group in case["expect_groups"].as_array().unwrap() {
        let (digest, tag) = &real[group["digest"].as_str().unwrap()];
        for registry in wanted.keys() {
            let place = site.debian(&format!("{registry}/app"));
            let in_group = strings(&group["order"]).iter().any(|it| it == registry);
            assert_eq!(digest_of(&place, tag).await.is_some(), in_group, "{registry} {digest}");
        }
    }
}
