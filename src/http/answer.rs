use std::fmt;
use std::time::Duration;

use crate::oci::{OciEnvelope, OciErrorCode, printable};

/// What a server said when it did not do as asked.
#[derive(Debug)]
pub struct Answer {
    /// The status, e.g. 404.
    pub status: u16,
    /// The registry's error codes, if it named any (distribution-spec, "Error Codes").
    pub codes: Vec<OciErrorCode>,
    /// The server's own words: bounded, without control characters, perhaps empty.
    pub message: String,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// How much of an error's body is read, in bytes.
    pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
    const MAX_MESSAGE_CHARS: usize = 400;

    pub(super) fn new(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let envelope: Option<OciEnvelope> = serde_json::from_slice(body).ok();
        let (codes, message) = match envelope {
            Some(envelope) => {
                let message = envelope
                    .errors
                    .iter()
                    .map(|error| format!("{}: {}", name(&error.code), error.message))
                    .collect::<Vec<_>>()
                    .join("; ");
                let codes = envelope.errors.into_iter().map(|error| error.code);
                (codes.collect(), message)
            }
            None => (Vec::new(), other_words(body)),
        };
        let message = printable(&message, Self::MAX_MESSAGE_CHARS);
        Self { status, codes, message, retry_after }
    }

    /// Whether the registry named this error code.
    #[must_use]
    pub fn has_code(&self, code: &OciErrorCode) -> bool {
        self.codes.contains(code)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Ok(status) = http::StatusCode::from_u16(self.status)
            && let Some(reason) = status.canonical_reason()
        {
            write!(f, " {reason}")?;
        }
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.message)
    }
}

/// The words of servers that do not speak in envelopes: token servers, proxies, blob stores.
fn other_words(body: &[u8]) -> String {
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(body) {
        return ["details", "message", "error_description", "error"]
            .into_iter()
            .find_map(|key| object.get(key)?.as_str())
            .unwrap_or_default()
            .to_owned();
    }
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    text.trim().to_owned()
}

fn name(code: &OciErrorCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{code:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_are_bounded_and_escaped() {
        let answer = Answer::new(500, None, "\u{1b}[31mred\n".repeat(1000).as_bytes());
        assert!(!answer.message.contains('\u{1b}') && !answer.message.contains('\n'));
        assert!(answer.message.chars().count() < 1600);
        let html = Answer::new(502, None, b"<html><body>Bad gateway</body>");
        assert_eq!(html.to_string(), "502 Bad Gateway");
        assert_eq!(Answer::new(404, None, b"\xff\xfe").codes, []);
    }

    #[test]
    fn the_registrys_own_words_are_kept() {
        let body =
            br#"{"errors":[{"code":"DENIED","message":"no"},{"code":"NEW_ONE","message":"2"}]}"#;
        let answer = Answer::new(403, None, body);
        assert_eq!(answer.to_string(), "403 Forbidden (DENIED: no; NEW_ONE: 2)");
        assert!(answer.has_code(&OciErrorCode::Denied));
        let hub = Answer::new(401, None, br#"{"details":"incorrect username or password"}"#);
        assert_eq!(hub.message, "incorrect username or password");
    }
}
