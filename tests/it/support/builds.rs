//! The builds API of a Zuul tenant: chooses among builds as Zuul does.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::web::{Web, document};

/// The path of the tenant's API.
pub const TENANT: &str = "/api/tenant/example";

/// A server that knows these builds, the newest first.
pub fn serve(builds: Vec<Value>) -> Web {
    Web::start(move |request| {
        if request.uri().path() != format!("{TENANT}/builds") {
            return document(404, &json!({"message": "Not found"}));
        }
        let query = request.uri().query().unwrap_or_default();
        document(200, &Value::Array(choose(&builds, query)))
    })
}

/// The URL of its API.
pub fn url(web: &Web) -> String {
    format!("{}{TENANT}", web.url())
}

/// Of these builds those that a query chooses.
pub fn choose(builds: &[Value], query: &str) -> Vec<Value> {
    let mut filters: HashMap<String, Vec<String>> = HashMap::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()).into_owned() {
        filters.entry(key).or_default().push(value);
    }
    let number = |name: &str| filters.get(name).map(|values| values[0].parse::<usize>().unwrap());
    let (limit, skip) = (number("limit").unwrap_or(50), number("skip").unwrap_or(0));
    let chosen = builds.iter().filter(|build| {
        filters.iter().filter(|(key, _)| !matches!(key.as_str(), "limit" | "skip")).all(
            |(key, values)| {
                let value = match key.as_str() {
                    "job_name" | "pipeline" | "result" | "uuid" => &build[key],
                    _ => &build["ref"][key],
                };
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                values.contains(&text)
            },
        )
    });
    chosen.skip(skip).take(limit).cloned().collect()
}

/// A build of `job_name` in gate, in the shape of Zuul 14; `hour` orders the changes.
pub fn build(change: u32, hour: u32, artifacts: &Value) -> Value {
    let time = |minute: u32| format!("2026-01-02T{hour:02}:{minute:02}:00");
    json!({
        "_id": change, "uuid": format!("{change:032x}"), "job_name": "upload-image",
        "result": "SUCCESS", "held": false, "start_time": time(1), "end_time": time(5),
        "duration": 240.0, "voting": true, "log_url": "https://logs.example.org/x/",
        "nodeset": "debian-12", "error_detail": null, "final": true, "artifacts": artifacts,
        "provides": [], "pipeline": "gate", "event_id": format!("{hour:032x}"),
        "event_timestamp": time(0), "buildset": {"uuid": format!("{change:032x}")},
        "ref": {"project": "org/project", "branch": "master", "change": change, "patchset": "1",
            "ref": format!("refs/changes/01/{change}/1"), "oldrev": null, "newrev": null,
            "ref_url": format!("https://review.example.org/c/{change}")},
    })
}
