//! Which build an image came from, and who may pull it.

use serde_json::json;

use crate::support::documents::documented;
use crate::support::images::{digest_of, push_index, repository};
use crate::support::programs::{RegistryProcess, failure, json};
use crate::support::registry::{Registry, image};
use crate::support::site::{BUILD, Site};

const ORIGIN: &str = "Zuul-Origin";

fn push_for(registry: &Registry, tag: &str, origin: &str) {
    let manifest = registry.push_image("quay.io/a/b", "any", "one");
    let path = format!("/v2/quay.io/a/b/manifests/{tag}");
    let answer = registry.with("PUT", &path, &[(ORIGIN, origin)], &manifest);
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn pull_for(registry: &Registry, tag: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let path = format!("/v2/quay.io/a/b/manifests/{tag}");
    let answer = registry.with("GET", &path, headers, b"");
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status, code, answer.header(ORIGIN).to_owned())
}

#[test]
fn an_image_is_refused_to_another_tenant() {
    let registry = Registry::start();
    push_for(&registry, "t", "tenant=one&project=a%2Fb&change=7");
    let refused = (403, "TENANT_DENIED".to_owned(), String::new());
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "tenant=two")]), refused);
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "tenant=On%65")]), refused);
    for strange in ["tenant=", "tenant=one&tenant=two", "tenant=\u{e9}"] {
        assert_eq!(pull_for(&registry, "t", &[(ORIGIN, strange)]).0, 400, "{strange}");
    }
    let twice = [(ORIGIN, "tenant=one"), (ORIGIN, "tenant=one")];
    assert_eq!(pull_for(&registry, "t", &twice).0, 400);
    let whole = (200, String::new(), "tenant=one&project=a%2Fb&change=7".to_owned());
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "tenant=one")]), whole);
    // Older roles, skopeo and people name no tenant: their login decides.
    assert_eq!(pull_for(&registry, "t", &[]), whole);
    assert_eq!(pull_for(&registry, "any", &[(ORIGIN, "tenant=two")]).0, 200);
}

#[test]
fn a_site_can_demand_that_every_pull_names_its_tenant() {
    let registry = Registry::start_with(|config| config.speculative.demand_tenant = true);
    push_for(&registry, "t", "tenant=one");
    assert_eq!(pull_for(&registry, "t", &[]).0, 403);
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "project=x")]).0, 403);
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "tenant=one")]).0, 200);
    assert_eq!(pull_for(&registry, "any", &[]).0, 200);
}

#[test]
fn an_origin_is_kept_until_the_tag_is_written_again() {
    let registry = Registry::start();
    push_for(&registry, "t", "tenant=one");
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |_| {});
    assert_eq!(pull_for(&registry, "t", &[]).2, "tenant=one");
    let other = image(b"config one", b"layer one");
    assert_eq!(registry.put_manifest("quay.io/a/b", "t", &other).status, 201);
    assert_eq!(pull_for(&registry, "t", &[(ORIGIN, "tenant=two")]), (200, "".into(), "".into()));
    let path = "/v2/quay.io/a/b/manifests/t";
    assert_eq!(registry.with("PUT", path, &[(ORIGIN, "tenant=%0A")], &other).status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_for_another_tenant_moves_nothing() {
    let site = Site::new().await;
    let tag = format!("{BUILD}_1");
    let held = repository(&site.intermediate.login(), "q.io/a");
    let held = held.head(&tag.parse().unwrap()).await.unwrap().unwrap();
    let wanted = format!("tenant=one&project=org%2Fproject&change=1001&build={BUILD}");
    assert_eq!(held.origin.unwrap().to_header(), wanted);

    let next = RegistryProcess::start();
    let (document, said) = failure(&site.pull(&site.artifacts, &next, &["--tenant", "two"]), 3);
    assert_eq!(document["error"]["kind"], "refused");
    assert!(said.contains("another tenant"), "{said}");
    let there = repository(&next.login(), "q.io/a");
    assert_eq!(digest_of(&there, "1").await, None);

    documented(&json(&site.pull(&site.artifacts, &next, &["--tenant", "one"])));
    let found = there.head(&"1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.digest, held.digest);
    let origin = found.origin.unwrap();
    assert_eq!(origin.tenant.unwrap().as_str(), "one");
    assert_eq!(origin.build.unwrap().as_str(), BUILD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_leaves_what_this_buildset_pushed() {
    let site = Site::new().await;
    let next = RegistryProcess::start();
    let there = repository(&next.login(), "q.io/a");
    let own = push_index(&there, "1", "its own", &["linux/amd64"]).await;
    let pulled = json(&site.pull(&site.artifacts, &next, &[]));
    assert_eq!(pulled["images"][0]["kept"], true);
    assert_eq!(pulled["images"][0]["digest"], own.as_str());
    assert_eq!(pulled["totals"]["bytes_moved"], 0);
    assert_eq!(digest_of(&there, "1").await, Some(own));

    let another = RegistryProcess::start();
    let first = json(&site.pull(&site.artifacts, &another, &[]));
    let again = json(&site.pull(&site.artifacts, &another, &[]));
    assert_eq!(
        (&first["images"][0]["changed"], &first["images"][0]["kept"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&again["images"][0]["changed"], &again["images"][0]["kept"]),
        (&json!(false), &json!(false))
    );
}
