//! What programs print against what `docs/json.md` says they print.

use std::collections::BTreeSet;

use serde_json::Value;

/// Every field a program prints is described in `docs/json.md`.
pub fn documented(document: &Value) {
    let described: BTreeSet<String> = include_str!("../../../docs/json.md")
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    let mut fields = BTreeSet::new();
    collect(document, "", &mut fields);
    let missing: Vec<&String> = fields.iter().filter(|field| !described.contains(*field)).collect();
    assert!(missing.is_empty(), "docs/json.md does not describe {missing:?}");
}

fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(member, &path, fields);
            }
        }
        Value::Array(entries) => {
            entries.iter().for_each(|entry| collect(entry, &format!("{path}[]"), fields));
        }
        _ => drop(fields.insert(path.to_owned())),
    }
}
