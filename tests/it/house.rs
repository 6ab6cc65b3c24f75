//! The house stands as CONTRIBUTING.md draws it: arrows point down, one room names a library.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which rooms a room uses.
const ARROWS: [(&str, &[&str]); 25] = [
    ("oci", &[]),
    ("hostconfig", &[]),
    ("zuul", &["oci"]),
    ("auth", &["oci"]),
    ("tls", &["oci"]),
    ("http", &["oci", "tls"]),
    ("webapi", &["auth", "http", "oci"]),
    ("client", &["auth", "http", "oci", "zuul"]),
    ("layout", &["oci"]),
    ("copy", &["client", "layout", "oci", "zuul"]),
    ("sync", &["client", "copy", "oci", "webapi", "zuul"]),
    ("upload", &["client", "copy", "layout", "oci", "zuul"]),
    ("removal", &["auth", "client", "oci", "webapi", "zuul"]),
    ("sweep", &["client", "oci", "removal", "webapi", "zuul"]),
    ("promote", &["client", "copy", "http", "oci", "removal", "webapi", "zuul"]),
    ("promoter", &["client", "copy", "oci", "serve"]),
    ("index", &["client", "copy", "layout", "oci"]),
    ("rhcc", &["auth", "client", "oci", "webapi"]),
    ("storage", &["oci", "zuul"]),
    ("serve", &[]),
    ("layers", &["auth", "client", "http", "oci", "storage", "tls", "zuul"]),
    ("pointers", &["auth", "client", "http", "oci", "tls", "zuul"]),
    ("proxy", &["http", "oci", "serve", "tls"]),
    (
        "registry",
        &["auth", "http", "layers", "oci", "pointers", "proxy", "serve", "storage", "tls", "zuul"],
    ),
    (
        "cli",
        &[
            "auth",
            "client",
            "copy",
            "hostconfig",
            "http",
            "index",
            "layout",
            "oci",
            "promote",
            "promoter",
            "registry",
            "removal",
            "rhcc",
            "serve",
            "storage",
            "sweep",
            "sync",
            "tls",
            "upload",
            "webapi",
            "zuul",
        ],
    ),
];

/// Which rooms may name a library.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("oci_distribution", &["oci"]),
    ("reqwest", &["http"]),
    ("hickory_resolver", &["http"]),
    // The proxy speaks to real registries as their clients do: paths, headers and bodies have to stay
    // as they are, which `http` with its redirects, retries and URLs does not promise.
    ("hyper", &["serve", "registry", "proxy"]),
    ("granit_parser", &["promoter"]),
    ("clap", &["cli"]),
    ("serde_saphyr", &["zuul", "registry"]),
];

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (room, file, text) in sources() {
        let Some(allowed) = allowed.get(room.as_str()) else {
            wrong.push(format!("{room}: this room is not in the picture"));
            continue;
        };
        for used in rooms_used(&text) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {room} uses {used}", file.display()));
            }
            seen.insert((room.clone(), used));
        }
    }
    for (room, used) in ARROWS.iter().flat_map(|(room, all)| all.iter().map(move |to| (*room, *to)))
    {
        if !seen.contains(&(room.to_owned(), used.to_owned())) {
            wrong.push(format!("{room} does not use {used}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_library_is_named_in_its_rooms_only() {
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        for (library, rooms) in LIBRARIES {
            let named = text.contains(&format!("{library}::"));
            if named && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{}: {room} names {library}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rooms_say_what_they_hold_and_files_stay_readable() {
    let mut wrong = Vec::new();
    for (_, file, text) in sources() {
        let is_room = file.ends_with("mod.rs") && file.components().count() == 3;
        if is_room && !text.starts_with("//!") {
            wrong.push(format!("{}: does not say what the room holds", file.display()));
        }
        let lines =
            text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().count();
        if lines > 500 {
            wrong.push(format!("{}: {lines} lines without its tests", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_banned_crate_is_built() {
    let banned: BTreeSet<String> = read("deny.toml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next())
        .map(str::to_owned)
        .collect();
    assert!(banned.contains("ring"), "deny.toml was not understood: {banned:?}");
    // The lock file also names what optional features would bring; the tree is what is built.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let built: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| banned.contains(*name))
        .collect();
    assert!(tree.contains("aws-lc-rs") && built.is_empty(), "{built:?}");
}

/// Room, path and text of every source file below a room.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.components().count() > 2 && !path.starts_with("src/bin") {
                let room = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
                found.push((room.to_owned(), path.clone(), read(path)));
            }
        }
    }
    assert!(found.len() > 20, "only {} files found", found.len());
    found
}

/// `crate::room` and the members of `crate::{room, …}`.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut used = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                for member in group.split_inclusive([',', '{', '}']) {
                    if depth == 0 {
                        used.insert(word(member.trim()));
                    }
                    depth += member.matches('{').count();
                    if member.contains('}') && depth == 0 {
                        break;
                    }
                    depth -= member.matches('}').count();
                }
            }
            None => drop(used.insert(word(after))),
        }
    }
    let rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    used.retain(|name| rooms.contains(name.as_str()));
    used
}

#[test]
fn both_forms_of_an_import_are_seen() {
    let text = "use crate::{copy, oci::{self, Digest}, zuul};\nlet x = crate::http::Http::new();";
    let used: Vec<String> = rooms_used(text).into_iter().collect();
    assert_eq!(used, ["copy", "http", "oci", "zuul"]);
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
