//! Changes as registries tell them: Google's over Pub/Sub, distribution's notifications, zot's events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// One change of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What was done.
    pub action: Action,
    /// `HOST/REPOSITORY@DIGEST` or, where it is not known, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `HOST/REPOSITORY:TAG`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `HOST/REPOSITORY` where it is about neither, but the repository as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// Something is new.
    Insert,
    /// Something is gone.
    Delete,
    /// It is not said.
    #[serde(rename = "")]
    Missing,
    /// Something else.
    #[serde(untagged)]
    Other(String),
}

/// A body that tells no changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no event of a registry: {0}")]
pub struct Malformed(String);

/// The changes in a body. `host` is the registry's name where the event does not say it.
///
/// # Errors
/// A body that is nothing of the kind.
pub fn events(
    headers: &HeaderMap,
    body: &[u8],
    host: Option<&str>,
) -> Result<Vec<Event>, Malformed> {
    let body: Body = serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))?;
    let ce_type = headers.get("ce-type").and_then(|it| it.to_str().ok()).map(str::to_owned);
    match (body, ce_type) {
        (Body { message: Some(message), .. }, _) => Ok(vec![message.event()?]),
        (Body { events: Some(events), .. }, _) => {
            events.into_iter().filter_map(|event| event.event(host).transpose()).collect()
        }
        (Body { kind: Some(kind), data: Some(data), .. }, _) => data.events(&kind, host),
        (Body { image, .. }, Some(kind)) => image.events(&kind, host),
        _ => Err(Malformed("it is neither Pub/Sub's, nor a notification, nor zot's".to_owned())),
    }
}

#[derive(Deserialize)]
struct Body {
    /// Pub/Sub's push.
    message: Option<Message>,
    /// distribution's notification.
    events: Option<Vec<Notification>>,
    /// A CloudEvent of zot's.
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<ZotImage>,
    #[serde(flatten)]
    image: ZotImage,
}

#[derive(Deserialize)]
struct Message {
    data: String,
}

#[derive(Deserialize)]
struct Change {
    action: Option<String>,
    digest: Option<String>,
    tag: Option<String>,
}

impl Message {
    fn event(&self) -> Result<Event, Malformed> {
        let malformed = |error: &dyn ToString| Malformed(error.to_string());
        let data = STANDARD.decode(&self.data).map_err(|error| malformed(&error))?;
        let Change { action, digest, tag } =
            serde_json::from_slice(&data).map_err(|error| malformed(&error))?;
        let action = match action.as_deref() {
            None | Some("") => Action::Missing,
            Some("INSERT") => Action::Insert,
            Some("DELETE") => Action::Delete,
            Some(other) => Action::Other(other.chars().take(80).collect()),
        };
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Event { action, digest: some(digest), tag: some(tag), repository: None })
    }
}

#[derive(Deserialize)]
struct Notification {
    action: String,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    request: Asked,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Target {
    media_type: String,
    repository: String,
    digest: String,
    tag: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    host: String,
}

impl Notification {
    /// Pulls and blobs change no image.
    fn event(self, host: Option<&str>) -> Result<Option<Event>, Malformed> {
        let Self { action, target, request } = self;
        let action = match action.as_str() {
            "push" => Action::Insert,
            "delete" => Action::Delete,
            "pull" | "mount" => return Ok(None),
            other => Action::Other(other.chars().take(80).collect()),
        };
        let is_blob = target.media_type == "application/octet-stream";
        if action == Action::Insert && is_blob {
            return Ok(None);
        }
        let asked = Some(request.host.as_str()).filter(|host| !host.is_empty());
        let host = host.or(asked);
        image(action, host, &target.repository, &target.digest, &target.tag).map(Some)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ZotImage {
    name: String,
    reference: String,
    digest: String,
}

impl ZotImage {
    fn events(&self, kind: &str, host: Option<&str>) -> Result<Vec<Event>, Malformed> {
        let action = match kind {
            "zotregistry.image.updated" => Action::Insert,
            "zotregistry.image.deleted" => Action::Delete,
            "zotregistry.repository.created" | "zotregistry.image.lint_failed" => {
                return Ok(Vec::new());
            }
            other => Action::Other(other.chars().take(80).collect()),
        };
        let tag = if self.reference.contains(':') { "" } else { &self.reference };
        let digest =
            if self.digest.is_empty() && tag.is_empty() { &self.reference } else { &self.digest };
        Ok(vec![image(action, host, &self.name, digest, tag)?])
    }
}

fn image(
    action: Action,
    host: Option<&str>,
    repository: &str,
    digest: &str,
    tag: &str,
) -> Result<Event, Malformed> {
    let host = host.ok_or_else(|| {
        Malformed("it does not say which registry it is from; name it with --registry".to_owned())
    })?;
    let some = |mark: &str, text: &str| {
        (!text.is_empty()).then(|| format!("{host}/{repository}{mark}{text}"))
    };
    let (digest, tag) = (some("@", digest), some(":", tag));
    let is_whole = digest.is_none() && tag.is_none() && !repository.is_empty();
    let repository = is_whole.then(|| format!("{host}/{repository}"));
    Ok(Event { action, digest, tag, repository })
}
