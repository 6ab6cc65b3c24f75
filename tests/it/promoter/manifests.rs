//! What is valid in manifests, and how that is told which is not.

use std::fs;

use serde_json::{Value, json};

use super::{cases, described, document, plain, promoter, strings, text, write_files};

#[test]
fn digests_and_tags_outside_the_grammar_are_refused_at_their_place() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for case in cases::all("01-digest-and-tag-syntax.yaml", 32) {
        let (value, valid) = (&case["value"], case["valid"].as_bool().unwrap());
        let is_digest = case["kind"] == "digest";
        let (digest, tag) = match is_digest {
            true => (value.clone(), json!("1.0")),
            false => (json!(digest), value.clone()),
        };
        // JSON texts are YAML texts, whatever is in them.
        let manifest = format!(
            "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/d\n\
             images:\n- name: x\n  dmap:\n    {digest}: [{tag}]\n"
        );
        let found = check(&json!([manifest]));
        assert_eq!(found["ok"], valid, "{case}: {found}");
        assert_eq!(found["edge_count"], usize::from(valid), "{case}: {found}");
        if !valid {
            let [problem] = found["problems"].as_array().unwrap().as_slice() else {
                panic!("{case}: {found}")
            };
            assert_eq!(problem["line"], 8, "{case}: {found}");
            let expected = if is_digest { "is not a digest" } else { "is not a tag" };
            assert!(problem["message"].as_str().unwrap().contains(expected), "{case}: {found}");
        }
    }
}

#[test]
fn plain_manifests_are_judged_as_the_cases_say() {
    for case in cases::all("02-plain-manifest-parse.yaml", 21) {
        let found = check(&json!([case["manifest"]]));
        // The case itself recommends the other verdict.
        let refused = cases::id(&case) == "image-name-not-checked";
        let valid = case["expect"]["ok"].as_bool().unwrap() && !refused;
        assert_eq!(found["ok"], valid, "{case}: {found}");
        if valid {
            assert_eq!(strings(&found["edges"]), edges(&case["expect"]), "{case}: {found}");
        } else {
            assert!(!found["problems"].as_array().unwrap().is_empty(), "{case}: {found}");
        }
    }
}

#[test]
fn thin_directories_are_judged_as_the_cases_say() {
    for case in cases::all("03-thin-manifest-directories.yaml", 21) {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &case["files"]);
        for path in strings(&case["empty_dirs"]) {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let mut command = promoter("check");
        // The depth of a file does not hang on how the folder is written.
        command.arg("--thin-manifest-dir").arg(folder.path().join("")).arg("--edges");
        let found = document(&command.output().unwrap());
        let expected = &case["expect"];
        let valid = match case["recommended_instead_of_upstream"].as_str() {
            None => expected["ok"].as_bool().unwrap(),
            Some("reject" | "warn or fail") => false,
            Some(other) => panic!("{other}"),
        };
        assert_eq!(found["ok"], valid, "{case}: {found}");
        if valid {
            assert_eq!(found["manifests"], expected["manifests"], "{case}: {found}");
            let listed: Vec<Value> = found["edges"].as_array().unwrap().clone();
            assert_eq!(json!(listed), expected["edges"], "{case}: {found}");
        } else {
            assert!(!found["problems"].as_array().unwrap().is_empty(), "{case}: {found}");
        }
    }
}

#[test]
fn every_problem_of_every_file_is_told_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let (a, b) = (digest("a"), digest("b"));
    write_files(
        folder.path(),
        &json!({
            "manifests/one/promoter-manifest.yaml":
                "registries:\n- name: gcr.io/s\n  src: true\n- name: gcr.io/s\n  owner: me\n- name: gcr.io/p\n",
            "images/one/images.yaml": format!(
                "- name: x\n  dmap:\n    \"{a}\": [\"1\", \"no good\"]\n    {b}: [1]\n    \"sha256:12\": []\n\
                 - name: x\n  dmap: {{\"{b}\": [~]}}\n- name: ''\n  dmap: {{}}\n"),
            "manifests/two/promoter-manifest.yaml":
                "registries:\n- name: gcr.io/t\n  src: true\n- name: gcr.io/u\n  src: true\n- name: gcr.io/p\n",
            "images/two/images.yaml": format!("- name: x\n  dmap:\n    \"{b}\": [\"1\"]\n"),
            "images/two/promoter-manifest.yaml": "registries: []\n",
            "images/three/imaegs.yaml": "[]\n",
            "manifests/promoter-manifest.yaml": "registries: []\n",
        }),
    );
    let mut command = promoter("check");
    command.arg("--thin-manifest-dir").arg(".").current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found = document(&output);
    described(&found);
    let problems: Vec<String> = found["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let message = it["message"].as_str().unwrap();
            format!(
                "{}:{}:{} {} {message}",
                it["file"].as_str().unwrap(),
                it["line"],
                it["column"],
                it["level"].as_str().unwrap()
            )
        })
        .collect();
    for expected in [
        "manifests/one/promoter-manifest.yaml:4:9 error the destination `gcr.io/s` is the source",
        "manifests/one/promoter-manifest.yaml:5:3 error the key `owner` is not known",
        "images/one/images.yaml:3:86 error `no good` is not a tag",
        "images/one/images.yaml:4:79 error the tag `1` of `x` is on two digests, first in line 3",
        "images/one/images.yaml:5:5 error `sha256:12` is not a digest",
        "images/one/images.yaml:6:9 warning the image `x` is there twice, first in line 1",
        "images/one/images.yaml:7:86 error nothing is no tag",
        "images/one/images.yaml:8:9 error an image has no name",
        "images/one/images.yaml:9:3 warning `dmap` is empty",
        "manifests/two/promoter-manifest.yaml:4:9 error a second source",
        "images/two/images.yaml:3:81 error overlapping edges: gcr.io/p/x:1",
        "images/two/promoter-manifest.yaml:1:1 error this file is not read",
        "images/three/imaegs.yaml:1:1 error this file is not read",
        "images/three:1:1 warning no manifest belongs to this folder",
        "manifests/promoter-manifest.yaml:1:1 error this file is not read",
    ] {
        let is_there = problems.iter().any(|problem| problem.starts_with(expected));
        assert!(is_there, "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 15, "{problems:#?}");
    let overlap = problems.iter().find(|problem| problem.contains("overlapping")).unwrap();
    assert!(overlap.contains("images/one/images.yaml:3:"), "both places are named: {overlap}");
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_caret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m.yaml"), "registries:\n- nam: gcr.io/s\n").unwrap();
    let mut command = promoter("check");
    command.args(["--output", "text", "--manifest", "m.yaml"]).current_dir(folder.path());
    let output = command.output().unwrap();
    let shown = text(&output.stdout);
    let expected = "m.yaml:2:3: error: the key `nam` is not known; known are `name`, \
                    `service-account`, `src`\n    2 | - nam: gcr.io/s\n      |   ^\n";
    assert!(shown.contains(expected), "{shown}");
}

#[test]
fn problems_are_comments_on_lines_for_zuul_and_github() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "registries:\n- name: gcr.io/s\n  src: true\nimages:\n- name: x\n- nome: y\n";
    fs::write(folder.path().join("m.yaml"), manifest).unwrap();
    let run = |format: &str| {
        let mut command = promoter("check");
        command.args(["--annotations", format, "--manifest", "m.yaml"]).current_dir(folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stdout)
    };
    let comments: Value = serde_json::from_str(&run("zuul")).unwrap();
    let comments = comments["m.yaml"].as_array().unwrap();
    assert_eq!(comments[0]["line"], 5);
    assert_eq!(comments[0]["level"], "error");
    assert!(comments[0]["message"].as_str().unwrap().contains("`dmap` is empty"));
    let first = run("github").lines().next().unwrap().to_owned();
    assert!(first.starts_with("::error file=m.yaml,line=5,col=9::`dmap` is empty"), "{first}");
}

#[test]
fn files_are_named_by_their_paths_in_the_project() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &json!({"p/images/a/images.yml": "[]\n", "p/manifests/.keep": ""}));
    let mut command = promoter("check");
    command.arg("--thin-manifest-dir").arg(folder.path().join("p"));
    let found = document(&command.arg("--relative-to").arg(folder.path()).output().unwrap());
    assert_eq!(found["problems"][1]["file"], "p/images/a/images.yml", "{found}");
    assert!(found["zuul"]["file_comments"]["p/images/a/images.yml"].is_array(), "{found}");
}

#[test]
fn a_link_out_of_the_project_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    write_files(
        folder.path(),
        &json!({"secret.json": "{\"registry.example.org\": 1}", "d/images/.keep": "",
            "d/manifests/.keep": "", "project/there.yaml": "{}"}),
    );
    let project = folder.path().join("project");
    std::os::unix::fs::symlink("../secret.json", project.join("link.yaml")).unwrap();
    std::os::unix::fs::symlink("../d", project.join("link")).unwrap();
    for (option, name) in [
        ("--manifest", "link.yaml"),
        ("--manifest", "../secret.json"),
        ("--thin-manifest-dir", "link"),
    ] {
        let mut command = promoter("check");
        command.arg(option).arg(project.join(name)).arg("--relative-to").arg(&project);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = text(&output.stderr);
        assert!(said.contains("outside of") && !said.contains("registry.example.org"), "{said}");
    }
    let mut command = promoter("check");
    command.arg("--manifest").arg(project.join("there.yaml")).arg("--relative-to").arg(&project);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}

#[test]
fn scalars_keep_their_source_text_as_tags() {
    let written = ["1.0", "1.10", "010", "1e3", "yes", "2020-01-01"];
    let digest = format!("sha256:{}", "a".repeat(64));
    let manifest = format!(
        "registries:\n- {{name: gcr.io/s, src: yes}}\n- name: gcr.io/d\n\
         images:\n- name: x\n  dmap:\n    {digest}: [{}]\n",
        written.join(", ")
    );
    let found = check(&json!([manifest]));
    let mut expected = written.map(|tag| format!("gcr.io/s/x@{digest} -> gcr.io/d/x:{tag}"));
    expected.sort();
    assert_eq!(strings(&found["edges"]), expected);
}

#[test]
fn files_that_cannot_be_read_are_wrong_input() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["--manifest", "/nowhere.yaml"][..],
        &["--thin-manifest-dir", "/nowhere"],
        &["--thin-manifest-dir", ".", "--manifest", "x.yaml"],
        &[],
    ] {
        let output = promoter("check").args(arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

fn check(manifests: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut command = promoter("check");
    plain(&mut command, folder.path(), manifests);
    document(&command.arg("--edges").output().unwrap())
}

/// What the registries and images of a case come to.
fn edges(expected: &Value) -> Vec<String> {
    let registries = expected["registries"].as_array().unwrap();
    let (source, others): (Vec<_>, Vec<_>) =
        registries.iter().partition(|registry| registry["src"] == true);
    let source = source[0]["name"].as_str().unwrap();
    let mut edges = Vec::new();
    for image in expected["images"].as_array().unwrap() {
        let name = image["name"].as_str().unwrap();
        for (digest, tags) in image["dmap"].as_object().unwrap() {
            for other in &others {
                let other = other["name"].as_str().unwrap();
                for tag in strings(tags) {
                    edges.push(format!("{source}/{name}@{digest} -> {other}/{name}:{tag}"));
                }
            }
        }
    }
    edges.sort();
    edges.dedup();
    edges
}
