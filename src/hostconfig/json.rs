//! The JSON files: docker's `daemon.json` and the auth files of docker and podman.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Connection, Error};

/// `old` with the registry as the first of docker's `registry-mirrors`, the others kept behind it.
pub(super) fn with_registry_mirror(
    path: &Path,
    old: &str,
    endpoint: &str,
) -> Result<String, Error> {
    let mut daemon = object(path, old)?;
    let ours = format!("https://{endpoint}/");
    let mirrors = daemon.entry("registry-mirrors").or_insert_with(|| json!([]));
    let Value::Array(mirrors) = mirrors else {
        return Err(wrong(path, old, "registry-mirrors", "a list"));
    };
    if mirrors.first().and_then(Value::as_str) == Some(&ours) {
        return Ok(old.to_owned());
    }
    let bare = ours.trim_end_matches('/');
    mirrors.retain(|mirror| mirror.as_str().map(|url| url.trim_end_matches('/')) != Some(bare));
    mirrors.insert(0, Value::String(ours));
    Ok(print(daemon))
}

/// `old` with the registry's user name and password under `auths`.
pub(super) fn with_auth(path: &Path, old: &str, connection: &Connection) -> Result<String, Error> {
    let mut config = object(path, old)?;
    let pair = format!("{}:{}", connection.username, connection.password);
    let auth = json!({ "auth": STANDARD.encode(pair) });
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    let Value::Object(auths) = auths else {
        return Err(wrong(path, old, "auths", "an object"));
    };
    if auths.get(&connection.endpoint()) == Some(&auth) {
        return Ok(old.to_owned());
    }
    auths.insert(connection.endpoint(), auth);
    Ok(print(config))
}

/// `now` without what we put in, where `written` is what we made of `before`.
///
/// A login or mirror that was there before stays; one that we replaced comes back.
pub(super) fn without_ours(
    path: &Path,
    before: &str,
    written: &str,
    now: &str,
) -> Result<String, Error> {
    let mut document = object(path, now)?;
    let (before, written) = (object(path, before)?, object(path, written)?);
    let logins = take_logins(&before, &written, &mut document);
    let mirrors = take_mirrors(&before, &written, &mut document);
    Ok(if logins || mirrors { print(document) } else { now.to_owned() })
}

fn take_logins(
    before: &Map<String, Value>,
    written: &Map<String, Value>,
    now: &mut Map<String, Value>,
) -> bool {
    const KEY: &str = "auths";
    let mut taken = false;
    let old = before.get(KEY).and_then(Value::as_object);
    let (Some(ours), Some(logins)) = (
        written.get(KEY).and_then(Value::as_object),
        now.get_mut(KEY).and_then(Value::as_object_mut),
    ) else {
        return false;
    };
    for (endpoint, login) in ours {
        let old = old.and_then(|old| old.get(endpoint));
        // A tool may have added fields of its own beside our login.
        let is_ours = logins.get(endpoint).is_some_and(|now| now.get("auth") == login.get("auth"));
        if old == Some(login) || !is_ours {
            continue;
        }
        taken = true;
        match old {
            Some(old) => logins.insert(endpoint.clone(), old.clone()),
            None => logins.remove(endpoint),
        };
    }
    if taken && logins.is_empty() && old.is_none() {
        now.remove(KEY);
    }
    taken
}

fn take_mirrors(
    before: &Map<String, Value>,
    written: &Map<String, Value>,
    now: &mut Map<String, Value>,
) -> bool {
    const KEY: &str = "registry-mirrors";
    let bare = |url: &Value| url.as_str().map(|url| url.trim_end_matches('/').to_owned());
    let list = |map: &Map<String, Value>| -> Vec<String> {
        map.get(KEY).and_then(Value::as_array).into_iter().flatten().filter_map(bare).collect()
    };
    let (old, ours) = (list(before), list(written));
    let Some(mirrors) = now.get_mut(KEY).and_then(Value::as_array_mut) else {
        return false;
    };
    let count = mirrors.len();
    mirrors.retain(|url| bare(url).is_none_or(|url| old.contains(&url) || !ours.contains(&url)));
    let taken = mirrors.len() < count;
    if taken && mirrors.is_empty() && !before.contains_key(KEY) {
        now.remove(KEY);
    }
    taken
}

fn object(path: &Path, text: &str) -> Result<Map<String, Value>, Error> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(parse(path, 1, "expected a JSON object".to_owned())),
        Err(error) => Err(parse(path, error.line().max(1), error.to_string())),
    }
}

fn wrong(path: &Path, text: &str, key: &str, expected: &str) -> Error {
    let quoted = format!("\"{key}\"");
    let line = text.lines().position(|line| line.contains(&quoted)).map_or(1, |n| n + 1);
    parse(path, line, format!("{key} is not {expected}"))
}

fn parse(path: &Path, line: usize, message: String) -> Error {
    Error::Parse { path: path.to_owned(), line, message }
}

fn print(map: Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(map))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const PATH: &str = "/etc/docker/daemon.json";

    fn mirrored(old: &str) -> Result<Value, Error> {
        with_registry_mirror(Path::new(PATH), old, "reg:5000")
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    fn connection() -> Connection {
        Connection {
            host: "reg".into(),
            port: 5000,
            username: "zuul".into(),
            password: "a:b,c".into(),
            cert: None,
        }
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let error = mirrored("{\n  \"mtu\": 1400,,\n}").unwrap_err().to_string();
        assert!(error.starts_with("/etc/docker/daemon.json:2: "), "{error}");
        let error = mirrored("{\n\"registry-mirrors\": \"x\"}").unwrap_err().to_string();
        assert!(error.starts_with("/etc/docker/daemon.json:2: registry-mirrors is not a list"));
        assert!(mirrored("[]").unwrap_err().to_string().contains("expected a JSON object"));
    }

    #[test]
    fn a_site_mirror_stays_behind_ours() {
        let old =
            r#"{"mtu": 1400, "registry-mirrors": ["http://mirror:8082", "https://reg:5000"]}"#;
        let new = mirrored(old).unwrap();
        assert_eq!(new["registry-mirrors"], json!(["https://reg:5000/", "http://mirror:8082"]));
        assert_eq!(new["mtu"], 1400);
    }

    #[test]
    fn an_empty_file_counts_as_no_settings() {
        assert_eq!(mirrored(" \n").unwrap(), json!({"registry-mirrors": ["https://reg:5000/"]}));
    }

    #[test]
    fn a_right_file_is_not_reformatted() {
        let old = r#"{ "registry-mirrors":["https://reg:5000/"] }"#;
        assert_eq!(with_registry_mirror(Path::new(PATH), old, "reg:5000").unwrap(), old);
    }

    #[test]
    fn other_logins_are_kept() {
        let old = r#"{"auths": {"quay.io": {"auth": "eDp5"}}, "credsStore": "pass"}"#;
        let text = with_auth(Path::new("c"), old, &connection()).unwrap();
        let new: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(new["auths"]["quay.io"]["auth"], "eDp5");
        assert_eq!(new["auths"]["reg:5000"]["auth"], "enV1bDphOmIsYw==");
        assert_eq!(with_auth(Path::new("c"), &text, &connection()).unwrap(), text);
    }

    #[test]
    fn an_error_never_shows_a_password() {
        let old = r#"{"auths": "secret-word"}"#;
        let error = with_auth(Path::new("c"), old, &connection()).unwrap_err().to_string();
        assert!(!error.contains("secret-word"), "{error}");
        let old = "{\"auths\": {\"quay.io\": {\"auth\": \"c2VjcmV0\" \"x\"}}}";
        let error = with_auth(Path::new("c"), old, &connection()).unwrap_err().to_string();
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}
