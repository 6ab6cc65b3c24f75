//! A door for the fuzz targets alone: what is read of manifests, inventories and events, and what must be true of it.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use futures_util::FutureExt as _;
use http::HeaderMap;

use super::Listing;
use super::audit::{Action, Children, Expected, Verdict, events};
use super::edges::{Edge, Edges, TAGLESS};
use super::inventory::read_yaml;
use super::listing::Style;
use super::manifests::Manifests;

/// What is wrong has a place in the file; of what is right the images written down again come to the same edges.
pub fn manifests(data: &[u8]) {
    let (edges, manifests) = read(data.to_vec());
    let text = String::from_utf8_lossy(data);
    for problem in manifests.problems().iter() {
        // A carriage return alone also ends a line of YAML.
        let lines = text.matches(['\n', '\r']).count() + 1;
        assert!(problem.line as usize <= lines, "{problem:?}");
        let _ = problem.shown();
    }
    let [manifest] = manifests.manifests.as_slice() else { return };
    if manifests.problems().has_errors() {
        return;
    }
    let quoted = |name: &str| serde_json::to_string(name).expect("a text is JSON");
    let mut text = format!("registries:\n- name: {}\n  src: true\n", quoted(&manifest.source.name));
    for destination in &manifest.destinations {
        text.push_str(&format!("- name: {}\n", quoted(&destination.name)));
    }
    text.push_str("images:\n");
    let mut written = text.into_bytes();
    let listing = Listing::of_images(&manifest.images);
    listing.write_yaml(&mut written, Style::ByTag).expect("memory takes everything");
    let (again, manifests) = read(written.clone());
    let written = String::from_utf8_lossy(&written);
    assert_eq!(shown(&again), shown(&edges), "{written}: {:?}", manifests.problems());
}

/// Nothing breaks what reads an inventory.
pub fn inventory(text: &str) {
    let mut listing = super::listing::Filler::new("gcr.io");
    let _ = read_yaml(text, &mut listing);
}

/// Only what a manifest says of just this repository is verified, and a deletion never.
pub fn told(data: &[u8]) {
    let manifest = format!(
        "registries: [{{name: gcr.io/s, src: true}}, {{name: gcr.io/d}}]\n\
         images: [{{name: x, dmap: {{sha256:{}: ['1']}}}}]\n",
        "a".repeat(64)
    );
    let (edges, _) = read(manifest.into_bytes());
    let (expected, children) = (Expected::of(&edges), Children::none());
    let digest = format!("gcr.io/d/x@sha256:{}", "a".repeat(64));
    let mut headers = HeaderMap::new();
    for kind in ["", "zotregistry.image.updated", "zotregistry.image.deleted"] {
        headers.insert("ce-type", kind.parse().expect("a header"));
        let Ok(events) = events(&headers, data, Some("gcr.io")) else { continue };
        for event in events {
            let verdict = Verdict::of(&event, &expected, &children).now_or_never();
            let verdict = verdict.expect("nobody is asked").expect("so nobody fails");
            let is_known = event.digest.as_ref() == Some(&digest)
                && event.tag.as_deref().is_none_or(|tag| tag == "gcr.io/d/x:1");
            assert_eq!(verdict.verified, is_known && event.action == Action::Insert, "{event:?}");
        }
    }
}

/// All edges, but none without a tag beside the same with one: written down they are one.
fn shown(edges: &Edges) -> Vec<String> {
    let way = |edge: &Edge| Edge { tag: TAGLESS, ..*edge };
    let tagged = edges.list().iter().filter(|edge| edge.tag != TAGLESS);
    let tagged: HashSet<Edge> = tagged.map(way).collect();
    let left = edges.list().iter().filter(|edge| edge.tag != TAGLESS || !tagged.contains(edge));
    left.map(|edge| edges.show(*edge).to_string()).collect()
}

fn read(bytes: Vec<u8>) -> (Edges, Manifests) {
    let mut manifests = Manifests::of_plain_contents(vec![("m.yaml".to_owned(), bytes)]);
    let edges = Edges::of(&mut manifests);
    (edges, manifests)
}
