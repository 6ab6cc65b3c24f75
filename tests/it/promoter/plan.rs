//! What is planned from manifests and an inventory.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{cases, described, document, plain, promoter, strings, text};

#[test]
fn plans_are_what_the_cases_say() {
    for case in cases::all("04-edges-and-plan.yaml", 18) {
        let folder = tempfile::tempdir().unwrap();
        let output = plan(folder.path(), &case["manifests"], &case["inventory"], &[]);
        let found = document(&output);
        let expected = &case["expect"];
        if let Some(error) = expected["error"].as_str() {
            assert_eq!(output.status.code(), Some(1), "{case}: {found}");
            let said = found.to_string();
            let same_image = said.contains("is on two digests");
            assert!(
                same_image || said.contains(error.split(' ').next().unwrap()),
                "{case}: {found}"
            );
            continue;
        }
        described(&found);
        assert_eq!(found["edge_count"], expected["edges"], "{case}: {found}");
        assert_eq!(copies(&found), strings(&expected["copies"]), "{case}: {found}");
        assert_eq!(
            found["lost"].as_array().unwrap().len(),
            expected["lost_messages"],
            "{case}: {found}"
        );
        assert_eq!(
            found["tag_moves"].as_array().unwrap().len(),
            expected["tag_moves"],
            "{case}: {found}"
        );
        assert_eq!(found["clean"], expected["clean"], "{case}: {found}");
        let code = if expected["clean"] == true { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{case}: {found}");
    }
}

#[test]
fn a_lost_source_hides_no_tag_move() {
    let found = refused(&[]);
    assert_eq!(found["clean"], false);
    assert_eq!(found["lost"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(
        found["tag_moves"],
        json!([{
        "destination": "gcr.io/d/x:2", "from": digest("e"), "to": digest("b")}])
    );
    described(&found);
}

#[test]
fn what_refuses_a_plan_is_a_comment_on_the_line_that_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(&[("a", "1"), ("b", "2"), ("c", "3")])
        .replace("gcr.io/d", "gcr.io/d\n- name: gcr.io/e");
    let inventory = json!({"gcr.io/s": {"x": {digest("b"): [], digest("c"): []}},
        "gcr.io/d": {"x": {digest("e"): ["2"]}}, "gcr.io/e": {"x": {digest("e"): ["2"]}}});
    let comments = |options: &[&str]| {
        let options = [&["--relative-to", folder.path().to_str().unwrap()], options].concat();
        let found = document(&plan(folder.path(), &json!([manifest]), &inventory, &options));
        described(&found);
        found["zuul"]["file_comments"]["0.yaml"].clone()
    };
    let moved = json!({"line": 10, "level": "error", "message": format!(
        "gcr.io/d/x:2: the tag would move from {} to {}, and 1 more", digest("e"), digest("b"))});
    let lost = json!({"line": 9, "level": "error", "message": format!(
        "gcr.io/d/x:1: gcr.io/s/x@{} is not there any more, and 1 more", digest("a"))});
    assert_eq!(comments(&[]), json!([lost, moved]));
    assert_eq!(comments(&["--allow-lost"]), json!([moved]));
}

#[test]
fn a_tag_never_moves_even_where_lost_images_are_passed_over() {
    let found = refused(&["--allow-lost"]);
    assert_eq!(found["error"]["kind"], "refused");
    assert!(found["error"]["message"].as_str().unwrap().contains("1 tags would move"), "{found}");
}

#[test]
fn lost_images_are_passed_over_when_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(&[("a", "1"), ("b", "2")]);
    let inventory = json!({"gcr.io/s": {"x": {digest("a"): []}}, "gcr.io/d": {}});
    let output = plan(folder.path(), &json!([manifest]), &inventory, &[]);
    assert_eq!(output.status.code(), Some(3));
    let output = plan(folder.path(), &json!([manifest]), &inventory, &["--allow-lost"]);
    let found = document(&output);
    assert_eq!(output.status.code(), Some(0), "{found}");
    assert_eq!(
        found["lost"],
        json!([{"source": format!("gcr.io/s/x@{}", digest("b")),
        "destination": "gcr.io/d/x:2", "in_destination": false}])
    );
    assert_eq!(copies(&found).len(), 1);
}

#[test]
fn an_inventory_is_the_same_as_yaml_and_as_json_and_with_children() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = json!([manifest(&[("a", "1"), ("b", "2")])]);
    let inventory = json!({"gcr.io/s": {"x": {digest("a"): [], digest("b"): {
        "tags": ["2"], "children": [digest("c")]}}}, "gcr.io/d": {"x": {digest("a"): null}}});
    let json = plan(folder.path(), &manifests, &inventory, &[]);
    let yaml = folder.path().join("inventory.yaml");
    let text = format!(
        "# read from a registry\ngcr.io/s:\n  x:\n    {}: []\n    {}: {{tags: ['2'], children: []}}\n\
         gcr.io/d: {{x: {{{}: }}}}\n",
        digest("a"),
        digest("b"),
        digest("a")
    );
    fs::write(&yaml, text).unwrap();
    let mut command = promoter("plan");
    plain(&mut command, folder.path(), &manifests);
    let yaml = command.arg("--inventory").arg(&yaml).output().unwrap();
    assert_eq!(document(&yaml), document(&json));
    let actions: Vec<_> = document(&json)["copies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| copy["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["tag", "copy"]);
}

#[test]
fn an_inventory_that_is_none_is_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = json!([manifest(&[("a", "1")])]);
    for inventory in [
        "{\"gcr.io/s\": {\"x\": {\"sha256:12\": []}}}",
        "{\"gcr.io/s\": {\"x\": {",
        "{\"gcr.io/s\": []}",
        "gcr.io/s: {x: {sha256:12: []}}\n",
        "gcr.io/s: {x: latest}\n",
    ] {
        let path = folder.path().join("inventory");
        fs::write(&path, inventory).unwrap();
        let mut command = promoter("plan");
        plain(&mut command, folder.path(), &manifests);
        let output = command.arg("--inventory").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{inventory}");
        assert!(text(&output.stderr).contains("inventory"), "{inventory}");
    }
}

#[test]
fn a_repository_is_the_same_however_it_is_split_into_registry_and_image() {
    for case in cases::all("07-registry-path-splitting.yaml", 8) {
        let (known, expected) = (&case["known_registries"], &case["expect"]);
        let Some(image) = expected["image"].as_str() else {
            // Nothing goes to a registry that no manifest names, so what it holds does not matter.
            let inventory =
                json!({case["repository"].as_str().unwrap(): {"x": {digest("a"): ["1"]}}});
            let folder = tempfile::tempdir().unwrap();
            let manifests = json!([manifest(&[("a", "1")])]);
            let found = document(&plan(folder.path(), &manifests, &inventory, &[]));
            assert_eq!(
                (&found["in_place"], &found["edge_count"]),
                (&json!(0), &json!(1)),
                "{case}"
            );
            continue;
        };
        let registry = expected["registry"].as_str().unwrap();
        let repository = case["repository"].as_str().unwrap();
        let mut known = strings(known);
        known.push("src.example/s".to_owned());
        let held = json!({digest("a"): ["1"]});
        for _ in 0..2 {
            known.reverse();
            let registries: String = known
                .iter()
                .map(|name| {
                    let src = if name == "src.example/s" { "\n  src: true" } else { "" };
                    format!("- name: {name}{src}\n")
                })
                .collect();
            let manifest = format!(
                "registries:\n{registries}images:\n- name: {image}\n  dmap: {{{}: ['1']}}\n",
                digest("a")
            );
            for (first, rest) in splits(repository) {
                let inventory = json!({first: {rest: held}, "src.example/s": {image: held}});
                let folder = tempfile::tempdir().unwrap();
                let found = document(&plan(folder.path(), &json!([manifest]), &inventory, &[]));
                assert_eq!(found["in_place"], 1, "{case} {first} {rest}: {found}");
                let wanted = format!("{registry}/{image}:1");
                assert!(
                    !found["copies"].to_string().contains(&format!("\"{wanted}\"")),
                    "{case}: {found}"
                );
            }
        }
    }
}

#[test]
fn the_order_of_manifests_and_registries_does_not_matter() {
    let one = manifest(&[("a", "1"), ("b", "2")]);
    let other = one.replace("gcr.io/s", "gcr.io/t").replace("name: x", "name: y");
    let inventory =
        json!({"gcr.io/s": {"x": {digest("a"): []}}, "gcr.io/t": {"y": {digest("b"): []}}});
    let run = |manifests: &Value| {
        let folder = tempfile::tempdir().unwrap();
        document(&plan(folder.path(), manifests, &inventory, &["--allow-lost"]))
    };
    assert_eq!(run(&json!([one, other])), run(&json!([other, one])));
}

fn refused(options: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(&[("a", "1"), ("b", "2")]);
    let inventory = json!({"gcr.io/s": {}, "gcr.io/d": {"x": {digest("e"): ["2"]}}});
    let output = plan(folder.path(), &json!([manifest]), &inventory, options);
    assert_eq!(output.status.code(), Some(3));
    document(&output)
}

/// Image `x` from `gcr.io/s` to `gcr.io/d`, by letters of digests and tags.
fn manifest(digests: &[(&str, &str)]) -> String {
    let digests: String = digests
        .iter()
        .map(|(letter, tag)| format!("    {}: ['{tag}']\n", digest(letter)))
        .collect();
    format!(
        "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/d\nimages:\n- name: x\n  dmap:\n{digests}"
    )
}

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn plan(folder: &Path, manifests: &Value, inventory: &Value, options: &[&str]) -> Output {
    let file = folder.join("inventory.json");
    fs::write(&file, inventory.to_string()).unwrap();
    let mut command = promoter("plan");
    plain(&mut command, folder, manifests);
    command.arg("--inventory").arg(&file).args(options).output().unwrap()
}

fn copies(document: &Value) -> Vec<String> {
    let copies = document["copies"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    copies
        .map(|copy| format!("{} -> {}", text(&copy["source"]), text(&copy["destination"])))
        .collect()
}

/// A path cut at every slash behind the host.
fn splits(path: &str) -> Vec<(&str, &str)> {
    path.match_indices('/').map(|(at, _)| (&path[..at], &path[at + 1..])).collect()
}
