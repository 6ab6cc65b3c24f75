//! `/etc/containers/registries.conf`, version 2 of containers-registries.conf(5).
//!
//! The document is edited, not rewritten: comments, order and unknown settings stay.

use std::path::Path;

use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value,
};

use super::document::{UNQUALIFIED, blocks, name_of, parse, put_value};
use super::{Error, Namespace};

/// `old` with the registry as the first mirror of every namespace, and the unqualified search list
/// set to `unqualified` unless that is empty.
pub(super) fn with_mirrors(
    path: &Path,
    old: &str,
    endpoint: &str,
    namespaces: &[Namespace],
    unqualified: &[String],
) -> Result<String, Error> {
    let mut document = parse(path, old)?;
    if document.contains_key("registries") {
        return Err(at(
            path,
            old,
            "registries",
            "this is the version 1 format, which cannot be mixed with mirrors",
        ));
    }
    let preface = take_preface(&mut document);
    for namespace in namespaces {
        add_mirror(&mut document, endpoint, namespace)
            .ok_or_else(|| at(path, old, "registry", "registry is not a list of tables"))?;
    }
    if !unqualified.is_empty() {
        set_unqualified(&mut document, unqualified);
    }
    Ok(format!("{preface}{document}"))
}

/// The same for a drop-in, whose settings win over those of registries.conf: only what it sets itself is
/// changed. `None` if it sets nothing of ours.
pub(super) fn with_mirrors_over(
    path: &Path,
    old: &str,
    endpoint: &str,
    namespaces: &[Namespace],
    unqualified: &[String],
) -> Result<Option<String>, Error> {
    let document = parse(path, old)?;
    let mut known = namespaces.to_vec();
    known.retain(|namespace| blocks(&document, &namespace.name).next().is_some());
    let unqualified = if document.contains_key(UNQUALIFIED) { unqualified } else { &[] };
    if known.is_empty() && unqualified.is_empty() {
        return Ok(None);
    }
    with_mirrors(path, old, endpoint, &known, unqualified).map(Some)
}

/// The text of a file that holds only comments; otherwise it would end up behind our tables.
fn take_preface(document: &mut DocumentMut) -> String {
    if !document.is_empty() {
        return String::new();
    }
    let mut preface = document.trailing().as_str().unwrap_or_default().to_owned();
    if !preface.is_empty() && !preface.ends_with('\n') {
        preface.push('\n');
    }
    document.set_trailing("");
    preface
}

fn at(path: &Path, text: &str, key: &str, message: &str) -> Error {
    let opens = |line: &str| line.trim_start().trim_start_matches('[').starts_with(key);
    let line = text.lines().position(opens).map_or(1, |n| n + 1);
    Error::Parse { path: path.to_owned(), line, message: message.to_owned() }
}

/// `None` if the document's `registry` or its `mirror` is something else than a list of tables.
fn add_mirror(document: &mut DocumentMut, endpoint: &str, namespace: &Namespace) -> Option<()> {
    let ours = Mirror { location: namespace.mirror(endpoint), insecure: false };
    let registries =
        document.entry("registry").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    match registries {
        Item::ArrayOfTables(tables) => {
            let known = tables.iter_mut().find(|table| is_for(*table, &namespace.name));
            if let Some(table) = known {
                return put_first(table.entry("mirror").or_insert(empty_list()), &ours);
            }
            let mut mirrors = empty_list();
            put_first(&mut mirrors, &Mirror::upstream(namespace))?;
            put_first(&mut mirrors, &ours)?;
            let mut table = Table::new();
            table.insert("prefix", value(&namespace.name));
            table.insert("location", value(&namespace.name));
            table.insert("mirror", mirrors);
            tables.push(table);
        }
        Item::Value(Value::Array(array)) => {
            for table in array.iter_mut().filter_map(Value::as_inline_table_mut) {
                if is_for(table, &namespace.name) {
                    let mirrors = table.entry("mirror").or_insert(Value::Array(Array::new()));
                    return put_first_inline(mirrors.as_array_mut()?, &ours);
                }
            }
            let mut mirrors = Array::new();
            put_first_inline(&mut mirrors, &Mirror::upstream(namespace))?;
            put_first_inline(&mut mirrors, &ours)?;
            let mut table = InlineTable::new();
            table.insert("prefix", namespace.name.as_str().into());
            table.insert("location", namespace.name.as_str().into());
            table.insert("mirror", Value::Array(mirrors));
            array.push(table);
        }
        _ => return None,
    }
    Some(())
}

/// Whether a registry block is for this name; its prefix defaults to its location.
fn is_for(table: &dyn TableLike, name: &str) -> bool {
    name_of(table) == Some(name)
}

fn empty_list() -> Item {
    Item::ArrayOfTables(ArrayOfTables::new())
}

fn put_first(mirrors: &mut Item, mirror: &Mirror) -> Option<()> {
    match mirrors {
        Item::ArrayOfTables(tables) => {
            if tables.get(0).is_some_and(|first| mirror.is(first)) {
                return Some(());
            }
            let mut all = vec![mirror.table()];
            all.extend(tables.iter().filter(|table| !mirror.is(*table)).cloned());
            *tables = all.into_iter().collect();
            Some(())
        }
        Item::Value(Value::Array(array)) => put_first_inline(array, mirror),
        _ => None,
    }
}

fn put_first_inline(mirrors: &mut Array, mirror: &Mirror) -> Option<()> {
    let is_ours = |value: &Value| value.as_inline_table().is_some_and(|table| mirror.is(table));
    if !mirrors.get(0).is_some_and(is_ours) {
        mirrors.retain(|value| !is_ours(value));
        let mut table = InlineTable::new();
        for (key, item) in mirror.table().iter() {
            table.insert(key, item.as_value()?.clone());
        }
        mirrors.insert(0, table);
    }
    Some(())
}

fn set_unqualified(document: &mut DocumentMut, registries: &[String]) {
    let now = document.get(UNQUALIFIED).and_then(Item::as_array);
    let is_set = now.is_some_and(|array| {
        array.iter().map(Value::as_str).eq(registries.iter().map(|r| Some(r.as_str())))
    });
    let list: Array = registries.iter().collect();
    match document.get_mut(UNQUALIFIED).and_then(Item::as_value_mut) {
        _ if is_set => {}
        Some(now) => put_value(now, list.into()),
        None => drop(document.insert(UNQUALIFIED, value(list))),
    }
}

struct Mirror {
    location: String,
    insecure: bool,
}

impl Mirror {
    fn upstream(namespace: &Namespace) -> Self {
        let (location, insecure) = match namespace.url.strip_prefix("http://") {
            Some(rest) => (rest, true),
            None => (namespace.url.trim_start_matches("https://"), false),
        };
        Self { location: location.to_owned(), insecure }
    }

    fn is(&self, table: &dyn TableLike) -> bool {
        table.get("location").and_then(Item::as_str) == Some(&self.location)
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("location", value(&self.location));
        if self.insecure {
            table.insert("insecure", value(true));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const PATH: &str = "/etc/containers/registries.conf";

    fn edit(old: &str, names: &[&str]) -> Result<String, Error> {
        let namespaces: Vec<Namespace> = names.iter().map(|name| name.parse().unwrap()).collect();
        with_mirrors(Path::new(PATH), old, "reg:5000", &namespaces, &["docker.io".to_owned()])
    }

    fn mirrors_of(text: &str, index: usize) -> Vec<String> {
        let document: DocumentMut = text.parse().unwrap();
        let mirrors = &document["registry"][index]["mirror"];
        (0..).map_while(|i| Some(mirrors.get(i)?.get("location")?.as_str()?.to_owned())).collect()
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let error = edit("# one\n[[registry]\n", &["quay.io"]).unwrap_err().to_string();
        assert!(error.starts_with("/etc/containers/registries.conf:2: "), "{error}");
        let error = edit("\n\n[registries.search]\nregistries = []\n", &["quay.io"]).unwrap_err();
        assert!(error.to_string().contains("conf:3: this is the version 1 format"), "{error}");
        let error = edit("registry = 5\n", &["quay.io"]).unwrap_err().to_string();
        assert!(error.contains("conf:1: registry is not a list of tables"), "{error}");
    }

    #[test]
    fn debians_file_keeps_every_comment() {
        let old = "# For more information on this configuration file, see containers-registries.conf(5).\n#\n# unqualified-search-registries = [\"example.com\"]\n#\n# # An array of host[:port] registries\n";
        let new = edit(old, &["docker.io=https://registry-1.docker.io", "quay.io"]).unwrap();
        assert!(new.starts_with(old), "{new}");
        assert_eq!(mirrors_of(&new, 0), ["reg:5000", "registry-1.docker.io"]);
        assert_eq!(mirrors_of(&new, 1), ["reg:5000/quay.io", "quay.io"]);
        assert!(new.contains("unqualified-search-registries = [\"docker.io\"]"));
    }

    #[test]
    fn comments_of_a_search_list_that_is_replaced_stay() {
        let old = "# one\n\n# two\nunqualified-search-registries = [\"a\"] # three\n";
        let new = edit(old, &[]).unwrap();
        assert_eq!(new, old.replace("[\"a\"]", "[\"docker.io\"]"));
    }

    #[test]
    fn a_block_without_a_prefix_is_found_by_its_location() {
        let old = "[[registry]]\nlocation = \"quay.io\" # ours since 2019\nblocked = false\n\n[[registry.mirror]]\nlocation = \"site:1\"\n\n[[registry]]\nlocation = \"gcr.io\"\n";
        let new = edit(old, &["quay.io", "gcr.io"]).unwrap();
        assert_eq!(mirrors_of(&new, 0), ["reg:5000/quay.io", "site:1"]);
        assert_eq!(mirrors_of(&new, 1), ["reg:5000/gcr.io"]);
        assert!(new.contains("# ours since 2019"));
        assert_eq!(new.matches("[[registry]]").count(), 2, "{new}");
    }

    #[test]
    fn our_mirror_moves_to_the_front() {
        let old = "[[registry]]\nprefix = \"quay.io\"\nlocation = \"quay.io\"\nmirror = [{location = \"site:1\"}, {location = \"reg:5000/quay.io\"}]\n";
        let new = edit(old, &["quay.io"]).unwrap();
        assert_eq!(mirrors_of(&new, 0), ["reg:5000/quay.io", "site:1"]);
    }

    #[test]
    fn an_inline_list_of_registries_stays_one() {
        let old = "registry = [{location = \"quay.io\"}]\n";
        let new = edit(old, &["quay.io", "gcr.io"]).unwrap();
        assert_eq!(mirrors_of(&new, 0), ["reg:5000/quay.io"]);
        assert_eq!(mirrors_of(&new, 1), ["reg:5000/gcr.io", "gcr.io"]);
    }

    #[test]
    fn a_port_becomes_part_of_the_path() {
        let new =
            edit("", &["registry.example.org:5443=http://registry.example.org:5443"]).unwrap();
        assert_eq!(
            mirrors_of(&new, 0),
            ["reg:5000/registry.example.org_5443", "registry.example.org:5443"]
        );
        assert!(new.contains("insecure = true"));
    }

    #[test]
    fn a_second_run_changes_no_byte() {
        let old =
            "# top\nshort-name-mode = \"enforcing\"\n\n[[registry]]\nlocation = \"quay.io\"\n";
        let once = edit(old, &["docker.io", "quay.io", "a.example:1"]).unwrap();
        assert_eq!(edit(&once, &["docker.io", "quay.io", "a.example:1"]).unwrap(), once);
    }
}
