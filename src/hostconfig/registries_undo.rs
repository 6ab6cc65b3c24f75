//! Our entries out of a registries.conf that somebody edited since we wrote it.
//!
//! Whole lines go by their place in the text, so no comment of anybody else goes with them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, DocumentMut, Item, Table, TableLike, Value};

use super::Error;
use super::document::{
    UNQUALIFIED, blocks, location, mirrors, name_of, parse, plain, plain_table, put_value,
};

/// `now` without what we put in, where `written` is what we made of `before`.
pub(super) fn without_ours(
    path: &Path,
    before: &str,
    written: &str,
    now: &str,
) -> Result<String, Error> {
    let mut document = parse(path, now)?;
    let ours = Ours { before: parse(path, before)?, written: parse(path, written)? };
    let lines = match Document::parse(now) {
        Ok(placed) => without_ranges(now, ours.places(now, &placed)),
        Err(_) => now.to_owned(),
    };
    if lines != now {
        document = parse(path, &lines)?;
    }
    let (inline, search) = (ours.take_inline(&mut document), ours.restore_search(&mut document));
    Ok(if inline || search { document.to_string() } else { lines })
}

struct Ours {
    before: DocumentMut,
    written: DocumentMut,
}

impl Ours {
    /// The lines that are ours: the search list, blocks, and mirrors in the blocks of others.
    fn places(&self, text: &str, now: &Document<&str>) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if self.is_search_ours(now.get(UNQUALIFIED))
            && !self.before.contains_key(UNQUALIFIED)
            && let Some((key, item)) = now.get_key_value(UNQUALIFIED)
            && let (Some(key), Some(value)) = (key.span(), item.span())
        {
            found.push(lines(text, key.start..value.end));
        }
        let blocks = now.get("registry").and_then(Item::as_array_of_tables);
        for block in blocks.into_iter().flatten() {
            let Some(name) = name_of(block) else { continue };
            let is_ours = self.is_block_ours(name, block);
            if is_ours {
                found.extend(place(text, block));
            }
            let added = self.added_mirrors(name);
            let mirrors = block.get("mirror").and_then(Item::as_array_of_tables);
            for mirror in mirrors.into_iter().flatten() {
                if is_ours || location(mirror).is_some_and(|location| added.contains(location)) {
                    found.extend(place(text, mirror));
                }
            }
        }
        found
    }

    /// Takes blocks and mirrors out of lists that are written in one value.
    fn take_inline(&self, document: &mut DocumentMut) -> bool {
        let mut taken = false;
        match document.get_mut("registry") {
            Some(Item::ArrayOfTables(tables)) => {
                for table in tables.iter_mut() {
                    taken |= self.take_inline_mirrors(table);
                }
            }
            Some(Item::Value(Value::Array(array))) => {
                let count = array.len();
                array.retain(|value| {
                    value.as_inline_table().is_none_or(|table| {
                        !name_of(table).is_some_and(|name| self.is_block_ours(name, table))
                    })
                });
                taken |= array.len() < count;
                for table in array.iter_mut().filter_map(Value::as_inline_table_mut) {
                    taken |= self.take_inline_mirrors(table);
                }
            }
            _ => {}
        }
        taken
    }

    fn take_inline_mirrors(&self, block: &mut dyn TableLike) -> bool {
        let Some(name) = name_of(block).map(str::to_owned) else { return false };
        let added = self.added_mirrors(&name);
        let Some(mirrors) = block.get_mut("mirror").and_then(Item::as_array_mut) else {
            return false;
        };
        let count = mirrors.len();
        mirrors.retain(|value| {
            let location = value.as_inline_table().and_then(|table| location(table));
            !location.is_some_and(|location| added.contains(location))
        });
        let (taken, is_empty) = (mirrors.len() < count, mirrors.is_empty());
        let had_list = blocks(&self.before, &name).any(|block| block.contains_key("mirror"));
        if taken && is_empty && !had_list {
            block.remove("mirror");
        }
        taken
    }

    /// Puts the old search list back where it still is the one we wrote.
    fn restore_search(&self, document: &mut DocumentMut) -> bool {
        let is_ours = self.is_search_ours(document.get(UNQUALIFIED));
        let old = self.before.get(UNQUALIFIED).and_then(Item::as_value);
        match (old, document.get_mut(UNQUALIFIED).and_then(Item::as_value_mut)) {
            (Some(old), Some(now)) if is_ours => {
                put_value(now, old.clone());
                true
            }
            _ => false,
        }
    }

    fn is_search_ours(&self, now: Option<&Item>) -> bool {
        let written = self.written.get(UNQUALIFIED).and_then(plain);
        written.is_some()
            && written == now.and_then(plain)
            && written != self.before.get(UNQUALIFIED).and_then(plain)
    }

    /// Whether we made this block and nobody changed it since.
    fn is_block_ours(&self, name: &str, block: &dyn TableLike) -> bool {
        let now = plain_table(block);
        now.is_some()
            && blocks(&self.before, name).next().is_none()
            && blocks(&self.written, name).any(|written| plain_table(written) == now)
    }

    /// The locations of the mirrors that we put into the block of this name.
    fn added_mirrors(&self, name: &str) -> BTreeSet<String> {
        let mut added = mirrors(&self.written, name);
        for old in mirrors(&self.before, name) {
            added.remove(&old);
        }
        added
    }
}

/// The lines of a table's header and its own values, and the empty line above it.
fn place(text: &str, table: &Table) -> Option<Range<usize>> {
    let header = table.span()?;
    let ends = table.iter().filter_map(|(_, item)| item.as_value()?.span()).map(|span| span.end);
    let end = ends.fold(header.end, usize::max);
    let mut range = lines(text, header.start..end);
    let above = text.get(..range.start).unwrap_or_default();
    if above.ends_with("\n\n") || above == "\n" {
        range.start -= 1;
    }
    Some(range)
}

/// `range` widened to whole lines.
fn lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.get(..range.start).and_then(|above| above.rfind('\n')).map_or(0, |n| n + 1);
    let below = text.get(range.end..).unwrap_or_default();
    start..below.find('\n').map_or(text.len(), |n| range.end + n + 1)
}

fn without_ranges(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for range in ranges {
        left.push_str(text.get(from..range.start).unwrap_or_default());
        from = from.max(range.end);
    }
    left.push_str(text.get(from..).unwrap_or_default());
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::hostconfig::registries::with_mirrors;

    const PATH: &str = "/etc/containers/registries.conf";

    fn configured(before: &str) -> String {
        let namespaces = ["quay.io", "gcr.io"].map(|name| name.parse().unwrap());
        with_mirrors(Path::new(PATH), before, "reg:5000", &namespaces, &["docker.io".to_owned()])
            .unwrap()
    }

    fn undone(before: &str, edit: impl FnOnce(String) -> String) -> String {
        let written = configured(before);
        let now = edit(written.clone());
        without_ours(Path::new(PATH), before, &written, &now).unwrap()
    }

    #[test]
    fn a_file_that_is_broken_now_is_named_with_its_line() {
        let written = configured("");
        let error =
            without_ours(Path::new(PATH), "", &written, "a = 1\n[[x]\n").unwrap_err().to_string();
        assert!(error.starts_with("/etc/containers/registries.conf:2: "), "{error}");
    }

    #[test]
    fn every_form_is_as_before_without_our_entries() {
        let site = "\n# theirs\n[[registry]]\nlocation = \"site.example\" # new\n";
        for before in [
            "",
            "# see containers-registries.conf(5)\n#\n# unqualified = []\n",
            "# top\nshort-name-mode = \"enforcing\"\n\n# a list\nunqualified-search-registries = [\"a\", \"b\"] # two\n\n[aliases]\n\"x\" = \"y/x\"\n",
            "[[registry]]\nlocation = \"quay.io\" # since 2019\n\n[[registry.mirror]]\nlocation = \"site:1\"\n\n# next\n[[registry]]\nlocation = \"gcr.io\"\n",
            "[[registry]]\nlocation = \"quay.io\"\nmirror = [{ location = \"site:1\" }]\n",
        ] {
            assert_eq!(undone(before, |text| text + site), format!("{before}{site}"));
        }
    }

    #[test]
    fn an_inline_list_loses_our_entries_only() {
        let before = "registry = [{location = \"quay.io\"}]\n";
        let text = undone(before, |text| format!("# theirs\n{text}"));
        assert!(text.starts_with("# theirs\n") && !text.contains("reg:5000"), "{text}");
        assert!(!text.contains("gcr.io") && !text.contains("mirror"), "{text}");
    }

    #[test]
    fn a_block_of_ours_that_somebody_extended_stays_without_our_mirror() {
        let text = undone("", |text| {
            text.replace("prefix = \"gcr.io\"\n", "prefix = \"gcr.io\"\nblocked = true\n")
        });
        assert!(text.contains("blocked = true") && !text.contains("reg:5000"), "{text}");
        assert!(!text.contains("quay.io"), "{text}");
    }

    #[test]
    fn a_search_list_that_somebody_changed_stays() {
        let before = "unqualified-search-registries = [\"a\"]\n";
        let text = undone(before, |text| text.replace("\"docker.io\"", "\"other\""));
        assert_eq!(text, "unqualified-search-registries = [\"other\"]\n");
    }
}
