//! What `/status` says.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{Answer, send};
use super::registry::{READER, Registry, basic};

/// The answer to a reader.
pub fn status(registry: &Registry, query: &str, more: &[(&str, &str)]) -> Answer {
    let login = basic(READER, "secret");
    let mut headers = vec![("Authorization", login.as_str())];
    headers.extend_from_slice(more);
    send(registry.address, "GET", &format!("/status{query}"), &headers, b"")
}

/// The JSON once the store has been looked through.
pub fn report(registry: &Registry, query: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let query = format!("?format=json{query}");
        let report = status(registry, &query, &[]).json();
        if report["images"]["complete"] == true {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
    }
}

/// The images of a report, as `NAME:TAG`.
pub fn names(report: &Value) -> Vec<String> {
    let entries = report["images"]["entries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.map(|entry| text(&entry["repository"]) + ":" + &text(&entry["tag"])).collect()
}

/// Where a browser finds it, login and all.
pub fn url(registry: &Registry, query: &str) -> String {
    format!("http://{READER}:secret@{}/status{query}", registry.address)
}

/// The texts of the cells of every row.
pub fn rows(document: &str) -> Vec<String> {
    let body = document.split("<tbody>").nth(1).unwrap_or_default();
    let body = body.split("</tbody>").next().unwrap();
    let text = |row: &str| {
        let mut text = String::new();
        for part in row.split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
            text.push(' ');
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    body.split("<tr>").skip(1).map(text).collect()
}

/// The names of all fields of a document.
pub fn list_fields(value: &Value, path: &str, fields: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                list_fields(value, &path, fields);
            }
        }
        Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            list_fields(&list[0], &format!("{path}[]"), fields);
        }
        _ => fields.push(path.to_owned()),
    }
}
