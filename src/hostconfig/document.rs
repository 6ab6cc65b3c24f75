//! Reading a registries.conf: its blocks, whichever way they are written.

use std::collections::BTreeSet;
use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::Error;

/// The list of registries that are tried for a name without one.
pub(super) const UNQUALIFIED: &str = "unqualified-search-registries";

pub(super) fn parse(path: &Path, text: &str) -> Result<DocumentMut, Error> {
    text.parse::<DocumentMut>().map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        let message = error.message().trim().replace('\n', "; ");
        Error::Parse { path: path.to_owned(), line, message }
    })
}

/// What a registry block is for: its prefix, which defaults to its location.
pub(super) fn name_of(table: &dyn TableLike) -> Option<&str> {
    let text = |key| table.get(key).and_then(Item::as_str).filter(|text| !text.is_empty());
    text("prefix").or_else(|| text("location"))
}

/// The blocks for a name.
pub(super) fn blocks<'a>(
    document: &'a DocumentMut,
    name: &'a str,
) -> impl Iterator<Item = &'a dyn TableLike> + 'a {
    document
        .get("registry")
        .into_iter()
        .flat_map(tables)
        .filter(move |table| name_of(*table) == Some(name))
}

/// Where the mirrors of a name are.
pub(super) fn mirrors(document: &DocumentMut, name: &str) -> BTreeSet<String> {
    blocks(document, name)
        .filter_map(|block| block.get("mirror"))
        .flat_map(tables)
        .filter_map(location)
        .map(str::to_owned)
        .collect()
}

/// The tables of a list in either of its two forms.
fn tables(list: &Item) -> Vec<&dyn TableLike> {
    match list {
        Item::ArrayOfTables(tables) => {
            tables.iter().map(|table| -> &dyn TableLike { table }).collect()
        }
        Item::Value(Value::Array(array)) => array
            .iter()
            .filter_map(Value::as_inline_table)
            .map(|table| -> &dyn TableLike { table })
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn location(table: &dyn TableLike) -> Option<&str> {
    table.get("location").and_then(Item::as_str)
}

/// What an item says, however it is laid out; `None` for what we never write.
pub(super) fn plain(item: &Item) -> Option<String> {
    if let Some(table) = item.as_table_like() {
        return plain_table(table);
    }
    let parts: Option<Vec<String>> = match item {
        Item::ArrayOfTables(tables) => tables.iter().map(|table| plain_table(table)).collect(),
        Item::Value(Value::Array(array)) => {
            array.iter().map(|value| plain(&Item::Value(value.clone()))).collect()
        }
        Item::Value(Value::String(text)) => return Some(format!("{:?}", text.value())),
        Item::Value(Value::Boolean(flag)) => return Some(flag.value().to_string()),
        _ => return None,
    };
    Some(format!("[{}]", parts?.join(",")))
}

pub(super) fn plain_table(table: &dyn TableLike) -> Option<String> {
    let mut parts = BTreeSet::new();
    for (key, item) in table.iter() {
        parts.insert(format!("{key:?}:{}", plain(item)?));
    }
    Some(format!("{{{}}}", parts.into_iter().collect::<Vec<_>>().join(",")))
}

/// Another value in the same place; inserting it anew would lose the comments around it.
pub(super) fn put_value(now: &mut Value, mut new: Value) {
    *new.decor_mut() = now.decor().clone();
    *now = new;
}
