//! `/status`: the page people look at, in a browser, and its JSON twin.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use zuul_images::oci::Digest;

use crate::support::browser::Browser;
use crate::support::registry::{Registry, image};
use crate::support::status::{list_fields, names, report, rows, status, url};

/// Texts that would do harm if they were taken for something else than text.
const SCRIPT: &str = "<script>document.title='owned'</script>";
const HANDLER: &str = "\"'><img src=x onerror=\"document.title='owned'\">";

/// Pushes an image whose configuration says this.
fn push_configured(registry: &Registry, name: &str, tag: &str, config: &Value) -> Digest {
    let config = config.to_string();
    registry.push_blob(name, config.as_bytes());
    registry.push_blob(name, b"layer");
    let manifest = image(config.as_bytes(), b"layer");
    assert_eq!(registry.put_manifest(name, tag, &manifest).status, 201);
    Digest::sha256(&manifest)
}

#[test]
fn status_is_for_readers_only_and_a_browser_is_asked_for_a_login() {
    let registry = Registry::start();
    for path in ["/status", "/status?format=json"] {
        let answer = registry.anonymous("GET", path);
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").starts_with("Basic "), "{answer:?}");
    }
    assert_eq!(registry.request("POST", "/status", b"").status, 405);
    for query in ["?n=x", "?before=3", "?layer=none", "?format=xml"] {
        assert_eq!(status(&registry, query, &[]).status, 400, "{query}");
    }
}

#[test]
fn nothing_on_the_page_is_loaded_or_run() {
    let registry = Registry::start();
    let answer = status(&registry, "", &[("Accept", "text/html,*/*")]);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let page = String::from_utf8(answer.body).unwrap();
    for word in ["<script", "src=", "url(", "@import", "style=", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn hostile_texts_are_shown_as_text() {
    let registry = Registry::start();
    let config = json!({"os": SCRIPT, "architecture": HANDLER});
    push_configured(&registry, "org/evil", "latest", &config);
    let kind = format!("application/x-{HANDLER}\u{202e}");
    let manifest = json!({"schemaVersion": 2, "artifactType": kind, "manifests": []}).to_string();
    assert_eq!(registry.put_manifest("org/odd", "latest", manifest.as_bytes()).status, 201);
    let (document, said) = Browser::new().document(&url(&registry, "?q=%22%3E%3Cb%3Eo%3C/b%3E"));
    assert!(document.contains("No image matches."), "{document}");
    assert!(!document.contains("<b>") && said.is_empty(), "{said}");
    let (document, said) = Browser::new().document(&url(&registry, ""));
    assert!(said.is_empty(), "{said}");
    assert!(document.contains("<title>Registry: 2 images</title>"), "{document}");
    assert!(!document.contains("<img") && !document.contains("<script"), "{document}");
    let rows = rows(&document);
    assert!(rows[0].contains("&lt;img src=x") && !rows[0].contains('\u{202e}'), "{rows:?}");
    assert!(rows[1].contains("&lt;script&gt;"), "{rows:?}");
}

#[test]
fn a_person_sees_the_images_and_what_was_moved_and_saved() {
    let registry = Registry::start();
    let config = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let digest = push_configured(&registry, "org/app", "v1", &config);
    let manifest = registry.push_image("quay.io/org/tool", "latest", "x");
    let origin = "tenant=example&project=org%2Ftool&change=1001%2C3&build=0123";
    let path = "/v2/quay.io/org/tool/manifests/latest";
    let answer = registry.with("PUT", path, &[("Zuul-Origin", origin)], &manifest);
    assert_eq!(answer.status, 201);
    for reference in ["v1", digest.as_str()] {
        registry.anonymous("GET", &format!("/v2/org/app/manifests/{reference}"));
    }
    registry.anonymous("HEAD", "/v2/org/app/manifests/v1");
    let layer = Digest::sha256(b"layer");
    registry.anonymous("GET", &format!("/v2/org/app/blobs/{layer}"));
    // Only who may push is spared a push by being told.
    registry.anonymous("HEAD", &format!("/v2/org/app/blobs/{layer}"));
    registry.request("HEAD", &format!("/v2/org/app/blobs/{layer}"), b"");
    let mount = format!("/v2/org/new/blobs/uploads/?mount={layer}&from=org/app");
    assert_eq!(registry.request("POST", &mount, b"").status, 201);

    let report = report(&registry, "");
    assert_eq!(names(&report), ["quay.io/org/tool:latest", "org/app:v1"]);
    assert_eq!(report["images"]["entries"][0]["origin"]["change"], "1001,3");
    let entry = &report["images"]["entries"][1];
    assert_eq!(entry["origin"], Value::Null);
    assert_eq!(entry["digest"], digest.as_str());
    assert_eq!((&entry["pulls"], &entry["layer"]), (&json!(2), &json!("local")));
    assert_eq!(entry["platforms"], json!(["linux/arm64/v8"]));
    assert_eq!(entry["size"], config.to_string().len() + 5);
    assert_eq!(report["saved"]["known"], json!({"blobs": 1, "bytes": 5}));
    assert_eq!(report["saved"]["mounted"], json!({"blobs": 1, "bytes": 5}));
    assert_eq!(
        (&report["saved"]["answered_here"], &report["bytes"]["sent"]["local"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(report["store"], json!({"usable": true, "reason": null}));

    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::new();
    let (document, said) = browser.document(&url(&registry, ""));
    assert!(said.is_empty(), "{said}");
    let rows = rows(&document);
    assert_eq!(rows.len(), 2);
    assert!(
        rows[0].starts_with("quay.io/org/ tool :latest 1001,3 example · org/tool local sha256: "),
        "{rows:?}"
    );
    assert!(rows[1].contains(digest.hex()) && rows[1].contains("linux/arm64/v8"), "{rows:?}");
    assert!(rows[1].contains(" 2 ") && rows[1].contains(" ago") || rows[1].contains("just now"));
    assert!(document.contains("store in order"));
    let pictures: Vec<Vec<u8>> = [(1280, false), (1280, true), (500, false)]
        .into_iter()
        .map(|(width, dark)| {
            let file = folder.path().join(format!("{width}-{dark}.png"));
            browser.picture(&url(&registry, ""), width, dark, &file);
            std::fs::read(file).unwrap()
        })
        .collect();
    assert!(pictures.iter().all(|picture| picture.starts_with(b"\x89PNG")));
    assert!(pictures[0] != pictures[1], "light and dark look the same: the style is not applied");
}

#[test]
fn an_index_is_as_large_as_what_is_here_of_it() {
    let registry = Registry::start();
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let here = push_configured(&registry, "org/app", "child", &platform);
    let child = |digest: &Digest, architecture: &str| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let absent = Digest::sha256(b"absent");
    let index =
        json!({"schemaVersion": 2, "manifests": [child(&here, "amd64"), child(&absent, "s390x")]});
    registry.put_manifest("org/app", "index", index.to_string().as_bytes());
    let report = report(&registry, "");
    let entry = &report["images"]["entries"][0];
    assert_eq!((&entry["kind"], &entry["whole"]), (&json!("index"), &json!(false)));
    assert_eq!(entry["platforms"], json!(["linux/amd64", "linux/s390x"]));
    assert_eq!(entry["size"], platform.to_string().len() + 5);
}

#[test]
fn images_come_in_pages_newest_first_also_after_a_restart() {
    let registry = Registry::start();
    let manifest = registry.push_image("org/app", "t0", "x");
    for number in 1..7 {
        registry.put_manifest("org/app", &format!("t{number}"), &manifest);
    }
    registry.request("DELETE", "/v2/org/app/manifests/t5", b"");
    // Newest first is what the files' times say after a restart.
    std::thread::sleep(Duration::from_millis(20));
    registry.put_manifest("org/app", "t2", &manifest);
    let expected = ["t2", "t6", "t4", "t3", "t1", "t0"].map(|tag| format!("org/app:{tag}"));
    assert_eq!(names(&report(&registry, "")), expected);

    let (folder, _) = registry.end();
    let registry = Registry::start_in(folder, |_| {});
    assert_eq!(names(&report(&registry, ""))[0], expected[0]);
    let mut seen = Vec::new();
    let mut query = "&n=4".to_owned();
    loop {
        let report = report(&registry, &query);
        seen.extend(names(&report));
        let Some(older) = report["images"]["older"].as_str() else { break };
        query = format!("&n=4&before={older}");
    }
    seen.sort_unstable();
    let mut all = expected.to_vec();
    all.sort_unstable();
    assert_eq!(seen, all);
    assert_eq!(names(&report(&registry, "&q=app:t6")), ["org/app:t6"]);
    assert_eq!(report(&registry, "&layer=cache")["images"]["entries"], json!([]));
}

#[test]
fn an_image_that_somebody_else_removed_is_not_shown() {
    let registry = Registry::start();
    registry.push_image("org/app", "v1", "x");
    registry.push_image("org/app", "v2", "y");
    assert_eq!(report(&registry, "")["images"]["listed"], 2);
    // By digest: the tags on it go too.
    let digest = registry.anonymous("HEAD", "/v2/org/app/manifests/v2");
    let digest = digest.header("docker-content-digest");
    registry.request("DELETE", &format!("/v2/org/app/manifests/{digest}"), b"");
    assert_eq!(names(&report(&registry, "")), ["org/app:v1"]);
    assert_eq!(report(&registry, "")["images"]["listed"], 1);
}

#[test]
fn machines_get_json_and_every_field_of_it_is_documented() {
    let registry = Registry::start();
    registry.push_image("org/app", "v1", "x");
    let report = status(&registry, "", &[("Accept", "application/json")]).json();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watch.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let mut fields = Vec::new();
    list_fields(&report, "", &mut fields);
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields {
        assert!(manual.contains(&format!("| `{field}`")), "{field} is not in docs/watch.md");
    }
}

#[test]
fn a_registry_that_cannot_be_reached_is_seen_to_fail() {
    let config = "name: quay.io\nurl: http://127.0.0.1:1\n";
    let registry = Registry::start_with(|whole| {
        let text = format!(
            "storage: {{folder: s}}\ntoken_key: k\nnamespaces: [{{{}}}]\n",
            config.trim().replace('\n', ", ")
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, text).unwrap();
        whole.namespaces = zuul_images::registry::Config::read(&file).unwrap().namespaces;
    });
    let before = report(&registry, "");
    assert_eq!(before["upstreams"][0]["name"], "quay.io");
    let (document, _) = Browser::new().document(&url(&registry, ""));
    assert!(document.contains("not asked yet"), "{document}");
    assert!(registry.anonymous("GET", "/v2/quay.io/org/app/manifests/v1").status >= 400);
    let after = report(&registry, "");
    assert_eq!(after["upstreams"][0]["is_well"], false, "{after}");
    let (document, said) = Browser::new().document(&url(&registry, ""));
    assert!(document.contains(">fails<") && said.is_empty(), "{document}\n{said}");
    assert_eq!(after["images"]["entries"], json!([]));
    let mut fields = Vec::new();
    list_fields(&after["upstreams"][0], "upstreams[]", &mut fields);
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watch.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for field in fields {
        assert!(manual.contains(&format!("| `{field}`")), "{field} is not in docs/watch.md");
    }
}
