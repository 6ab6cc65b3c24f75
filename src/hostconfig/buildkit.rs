//! buildkit's `buildkitd.toml` (its docs/buildkitd.toml.md). The document is edited, not rewritten.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

use super::document::parse;
use super::{Error, Namespace};

pub(super) const FILE: &str = "/etc/buildkit/buildkitd.toml";

const REGISTRY: &str = "registry";
const MIRRORS: &str = "mirrors";
const AUTHORITIES: &str = "ca";

/// `old` with the registry as the first mirror of every namespace, and the file with its authority.
pub(super) fn with_mirrors(
    path: &Path,
    old: &str,
    endpoint: &str,
    namespaces: &[Namespace],
    authority: Option<&Path>,
) -> Result<String, Error> {
    let mut document = parse(path, old)?;
    let wrong = || Error::Parse {
        path: path.to_owned(),
        line: old.lines().position(|line| line.contains(REGISTRY)).map_or(1, |line| line + 1),
        message: format!("`{REGISTRY}`, one of it, or a list in it is not what buildkit reads"),
    };
    for namespace in namespaces {
        put_first(&mut document, &namespace.name, MIRRORS, &namespace.mirror(endpoint))
            .ok_or_else(wrong)?;
    }
    if let Some(file) = authority {
        put_first(&mut document, endpoint, AUTHORITIES, &file.display().to_string())
            .ok_or_else(wrong)?;
    }
    Ok(document.to_string())
}

/// `now` without what we put in, where `written` is what we made of `before`.
pub(super) fn without_ours(
    path: &Path,
    before: &str,
    written: &str,
    now: &str,
) -> Result<String, Error> {
    let [before, written, mut document] =
        [parse(path, before)?, parse(path, written)?, parse(path, now)?];
    let mut names = Vec::new();
    for (name, _) in tables(&written) {
        names.push(name.to_owned());
        for key in [MIRRORS, AUTHORITIES] {
            let (old, ours) = (list(&before, name, key), list(&written, name, key));
            let added = ours.iter().filter(|text| !old.contains(text));
            take(&mut document, name, key, &added.collect::<Vec<_>>());
        }
    }
    for name in names {
        remove_empty(&mut document, &before, &name);
    }
    Ok(document.to_string())
}

/// The list with this text first; `None` where something else stands in its place.
fn put_first(document: &mut DocumentMut, name: &str, key: &str, text: &str) -> Option<()> {
    let registries = document.entry(REGISTRY).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let registries = registries.as_table_like_mut()?;
    let registry = registries.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let registry = registry.as_table_like_mut()?;
    let list = registry.entry(key).or_insert_with(|| value(Array::new())).as_array_mut()?;
    if list.get(0).and_then(Value::as_str) == Some(text) {
        return Some(());
    }
    list.retain(|entry| entry.as_str() != Some(text));
    list.insert(0, text);
    Some(())
}

fn tables(document: &DocumentMut) -> impl Iterator<Item = (&str, &dyn TableLike)> {
    let registries = document.get(REGISTRY).and_then(Item::as_table_like);
    let entries = registries.into_iter().flat_map(TableLike::iter);
    entries.filter_map(|(name, item)| Some((name, item.as_table_like()?)))
}

fn list(document: &DocumentMut, name: &str, key: &str) -> Vec<String> {
    let table = tables(document).find(|(known, _)| *known == name);
    let list = table.and_then(|(_, table)| table.get(key)).and_then(Item::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn table_mut<'a>(document: &'a mut DocumentMut, name: &str) -> Option<&'a mut dyn TableLike> {
    document.get_mut(REGISTRY)?.as_table_like_mut()?.get_mut(name)?.as_table_like_mut()
}

fn take(document: &mut DocumentMut, name: &str, key: &str, added: &[&String]) {
    let Some(table) = table_mut(document, name) else { return };
    let Some(list) = table.get_mut(key).and_then(Item::as_array_mut) else { return };
    list.retain(|entry| entry.as_str().is_none_or(|text| !added.iter().any(|it| *it == text)));
}

/// Lists and tables that are empty now and were not there before.
fn remove_empty(document: &mut DocumentMut, before: &DocumentMut, name: &str) {
    let old = tables(before).find(|(known, _)| *known == name).map(|(_, table)| table);
    let Some(table) = table_mut(document, name) else { return };
    for key in [MIRRORS, AUTHORITIES] {
        let is_empty = table.get(key).and_then(Item::as_array).is_some_and(Array::is_empty);
        if is_empty && old.is_none_or(|old| !old.contains_key(key)) {
            table.remove(key);
        }
    }
    if !table.is_empty() || old.is_some() {
        return;
    }
    let Some(registries) = document.get_mut(REGISTRY).and_then(Item::as_table_like_mut) else {
        return;
    };
    registries.remove(name);
    if registries.is_empty() && !before.contains_key(REGISTRY) {
        document.remove(REGISTRY);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;

    use super::super::tests::{get, host, options, put, snapshot};
    use super::super::{Error, Options, Target, configure, undo};
    use super::*;

    const PLACE: &str = "etc/buildkit/buildkitd.toml";

    fn for_buildkit(root: &tempfile::TempDir) -> Options {
        Options { targets: vec![Target::Buildkit], ..options(root) }
    }

    #[test]
    fn a_file_that_cannot_hold_us_is_left_alone() {
        for text in [
            "debug = \n",
            "registry = 3\n",
            "[registry]\n\"quay.io\" = \"x\"\n",
            "[registry.\"quay.io\"]\nmirrors = \"x\"\n",
        ] {
            let root = host();
            put(&root, PLACE, text);
            let before = snapshot(root.path());
            let error = configure(&for_buildkit(&root)).unwrap_err();
            assert!(matches!(error, Error::Parse { .. }), "{text}: {error}");
            assert_eq!(snapshot(root.path()), before);
        }
    }

    #[test]
    fn every_namespace_is_mirrored_and_the_authority_named() {
        let root = host();
        configure(&for_buildkit(&root)).unwrap();
        let text = get(&root, PLACE);
        let document = parse(Path::new(PLACE), &text).unwrap();
        let endpoint = "zuul-jobs.buildset-registry:5000";
        assert_eq!(list(&document, "docker.io", MIRRORS), [endpoint]);
        assert_eq!(list(&document, "quay.io", MIRRORS), [format!("{endpoint}/quay.io")]);
        let authority = list(&document, endpoint, AUTHORITIES);
        let [file] = authority.as_slice() else { panic!("{text}") };
        assert!(get(&root, &file[1..]).contains("CERTIFICATE"), "{file}");
        assert!(!configure(&for_buildkit(&root)).unwrap().changed);
        undo(root.path()).unwrap();
        assert!(!root.path().join("etc/buildkit").exists());
    }

    #[test]
    fn a_sites_mirrors_and_comments_stay_behind_ours_and_come_back() {
        let theirs = "# of the site\ndebug = true\n\n[registry.\"quay.io\"] # fast\n  mirrors = [\"site.example/quay\"]\n  http = true\n";
        let root = host();
        put(&root, PLACE, theirs);
        configure(&for_buildkit(&root)).unwrap();
        let text = get(&root, PLACE);
        let document = parse(Path::new(PLACE), &text).unwrap();
        assert_eq!(
            list(&document, "quay.io", MIRRORS),
            ["zuul-jobs.buildset-registry:5000/quay.io", "site.example/quay"]
        );
        assert!(text.starts_with("# of the site\ndebug = true\n") && text.contains("] # fast\n"));

        // Edited since, so that only what is ours is taken out.
        fs::write(root.path().join(PLACE), format!("{text}\n[worker.oci]\nmax-parallelism = 4\n"))
            .unwrap();
        undo(root.path()).unwrap();
        assert_eq!(get(&root, PLACE), format!("{theirs}\n[worker.oci]\nmax-parallelism = 4\n"));
    }

    #[test]
    fn a_file_that_was_not_edited_is_restored_byte_for_byte() {
        let theirs = "[registry]\n[registry.\"gcr.io\"]\nmirrors = []";
        let root = host();
        put(&root, PLACE, theirs);
        configure(&for_buildkit(&root)).unwrap();
        undo(root.path()).unwrap();
        assert_eq!(get(&root, PLACE), theirs);
    }
}
