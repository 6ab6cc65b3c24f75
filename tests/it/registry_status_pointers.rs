//! `/status` of a registry with pointers: images that nobody has fetched are seen, too.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::registry::Registry;
use crate::support::sample::Sample;
use crate::support::status::{names, report, rows, url};
use crate::support::upstream::Upstream;

const MANIFEST: &str = "/v2/quay.io/org/img/manifests/1";

fn taking(config: &mut zuul_images::registry::Config) {
    config.speculative.accept_pointers = true;
}

/// A pointer to an image that `source` holds in the repository `a`.
fn pointer(source: &Upstream, tag: &str, image: &Sample) -> Value {
    json!({"name": "quay.io/org/img", "tag": tag, "digest": image.root.digest(), "token": "hush",
           "size": image.root.bytes().len(), "url": format!("http://{}/v2/a", source.faulty.address),
           "origin": {"tenant": "example", "project": "org/tool", "change": "1001,3", "build": "0123"}})
}

fn leave(registry: &Registry, pointers: &[Value]) {
    let list = json!({ "pointers": pointers }).to_string();
    let answer = registry.request("PUT", "/zuul/v1/pointers", list.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.body.windows(7).any(|it| it == b"refused"), "{answer:?}");
}

/// The only image there is.
fn entry(registry: &Registry) -> Value {
    let report = report(registry, "");
    assert_eq!((names(&report).len(), &report["images"]["listed"]), (1, &json!(1)), "{report}");
    report["images"]["entries"][0].clone()
}

#[test]
fn an_image_that_only_a_pointer_names_is_shown_with_its_change_and_as_not_fetched() {
    let source = Upstream::start();
    let image = source.hold("a", "1", "one", 10);
    let registry = Registry::start_with(taking);
    leave(&registry, &[pointer(&source, "1", &image)]);
    let before = source.faulty.requests();
    let seen = entry(&registry);
    assert_eq!((&seen["layer"], &seen["fetched"]), (&json!("speculative"), &json!(false)));
    assert_eq!(seen["digest"], image.root.digest().as_str());
    assert_eq!(seen["origin"]["change"], "1001,3");
    assert_eq!((&seen["kind"], &seen["size"]), (&json!("unknown"), &json!(0)));
    assert_eq!((&seen["whole"], &seen["pushed"]), (&json!(false), &Value::Null));
    assert!(!seen.to_string().contains("hush"));
    let (document, said) = Browser::new().document(&url(&registry, "?layer=speculative"));
    assert!(said.is_empty(), "{said}");
    let row = &rows(&document)[0];
    let expected = "quay.io/org/ img :1 1001,3 example · org/tool speculative sha256:";
    assert!(row.starts_with(expected) && row.contains(" not fetched "), "{row}");
    assert_eq!(source.faulty.requests(), before, "a look at the page fetched something");

    assert_eq!(registry.anonymous("GET", MANIFEST).status, 200);
    let seen = entry(&registry);
    assert_eq!((&seen["layer"], &seen["fetched"]), (&json!("speculative"), &json!(true)));
    assert_eq!((&seen["kind"], &seen["pulls"]), (&json!("image"), &json!(1)));
    let size: usize = image.blobs.iter().map(|blob| blob.len()).sum();
    assert_eq!((&seen["size"], &seen["whole"]), (&json!(size), &json!(true)));
    assert_eq!(seen["origin"]["change"], "1001,3");
}

#[test]
fn an_image_behind_a_pointer_is_hidden_by_a_push_and_seen_again_when_that_is_gone() {
    let source = Upstream::start();
    let image = source.hold("a", "1", "one", 10);
    let registry = Registry::start_with(taking);
    let pointers = [pointer(&source, "1", &image)];
    leave(&registry, &pointers);
    registry.push_image("quay.io/org/img", "1", "own");
    // What is left again changes nothing.
    leave(&registry, &pointers);
    assert_eq!(entry(&registry)["layer"], "local");
    assert_eq!(names(&report(&registry, "&layer=speculative")).len(), 0);
    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, taking);
    assert_eq!(entry(&registry)["layer"], "local");
    assert_eq!(registry.request("DELETE", MANIFEST, b"").status, 202);
    assert_eq!(names(&report(&registry, "&layer=local")).len(), 0);
    let seen = entry(&registry);
    assert_eq!((&seen["layer"], &seen["fetched"]), (&json!("speculative"), &json!(false)));
}

#[test]
fn images_behind_pointers_come_in_pages_with_the_others_also_after_a_restart() {
    let source = Upstream::start();
    let image = source.hold("a", "1", "one", 10);
    let registry = Registry::start_with(taking);
    registry.push_image("zoo", "1", "own");
    let tags = ["t0", "t1", "t2", "t3", "t4"];
    leave(&registry, &tags.map(|tag| pointer(&source, tag, &image)));
    let mut expected: Vec<String> =
        tags.iter().map(|tag| format!("quay.io/org/img:{tag}")).collect();
    assert_eq!(names(&report(&registry, "&layer=speculative&q=org/img:t3")), [&*expected[3]]);
    expected.push("zoo:1".to_owned());
    assert_eq!(paged(&registry), expected);
    let (folder, _) = registry.end();
    assert_eq!(paged(&Registry::start_in(folder, taking)), expected);
}

/// The names on all pages of two, each once, sorted.
fn paged(registry: &Registry) -> Vec<String> {
    let mut seen = Vec::new();
    let mut query = "&n=2".to_owned();
    loop {
        let report = report(registry, &query);
        seen.extend(names(&report));
        let Some(older) = report["images"]["older"].as_str() else { break };
        query = format!("&n=2&before={older}");
    }
    seen.sort_unstable();
    seen
}
