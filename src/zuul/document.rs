use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;

use super::Error;

/// The largest input file that is read, in bytes; image lists and artifacts are far below it.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// YAML nodes a document may have, far above any real list, and how many of them may come from
/// aliases: guards against bombs.
const MAX_NODES: usize = 1_000_000;
const MAX_ALIASED: usize = 10_000;

/// Standard input can be read by one document only.
static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// The text of one YAML or JSON file (JSON is read as the YAML it is) and where it came from.
pub struct Document {
    file: String,
    text: String,
    secrecy: Secrecy,
}

/// Whether a document's text may appear in error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Errors show the line and a caret.
    Public,
    /// Errors show only the place.
    Secret,
}

impl Document {
    /// Reads the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// A file that is missing, larger than 64 MiB or not UTF-8.
    pub fn read(path: &Path, secrecy: Secrecy) -> Result<Self, Error> {
        let stdin = path.as_os_str() == "-";
        if stdin && STDIN_TAKEN.swap(true, Ordering::Relaxed) {
            return Err(Error::value("-", "standard input can be read only once"));
        }
        let file = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let mut text = String::new();
        let source: std::io::Result<Box<dyn Read>> = if stdin {
            Ok(Box::new(std::io::stdin().lock()))
        } else {
            std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
        };
        match source.and_then(|source| source.take(MAX_BYTES + 1).read_to_string(&mut text)) {
            Ok(size) if size as u64 > MAX_BYTES => {
                Err(Error::Document { file, detail: "the file is larger than 64 MiB".to_owned() })
            }
            Ok(_) => Ok(Self { file, text, secrecy }),
            Err(source) => Err(Error::Unreadable { file, source }),
        }
    }

    /// A document from memory, named `file` in messages.
    #[must_use]
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), secrecy: Secrecy::Public }
    }

    /// Where the text came from, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether there is nothing but white space: `results.json` of a Zuul build starts empty.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The text as `T`.
    ///
    /// # Errors
    /// Names file, line and column, and shows the place unless the text is secret.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: MAX_NODES,
                max_events: 4 * MAX_NODES,
                max_recorded_anchor_events: MAX_ALIASED,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
            with_snippet: self.secrecy == Secrecy::Public,
        };
        serde_saphyr::from_str_with_options(&self.text, options).map_err(|error| {
            let detail = match (self.secrecy, error.location()) {
                (Secrecy::Public, _) => {
                    let shown = error.render().replace("<input>", &self.file);
                    shown.strip_prefix("error: ").unwrap_or(&shown).to_owned()
                }
                (Secrecy::Secret, place) => {
                    let place = place.map_or_else(String::new, |place| {
                        format!("line {} column {}: ", place.line(), place.column())
                    });
                    format!("{place}{} (the text is not shown: it is secret)", without_text(&error))
                }
            };
            Error::Document { file: self.file.clone(), detail }
        })
    }
}

/// What is wrong, in words that hold nothing of the document itself.
fn without_text(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let missing = message.split("missing field `").nth(1).and_then(|rest| rest.split('`').next());
    match missing {
        Some(field) => format!("the key `{field}` is missing"),
        None if message.contains("unknown field") => "this key is not known here".to_owned(),
        None if message.contains("duplicate") => "this key is there twice".to_owned(),
        None => "not what is expected here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    type Map = BTreeMap<String, Vec<String>>;

    #[test]
    fn an_error_names_file_line_and_column() {
        let document = Document::new("images.yaml", "a: [x]\nb: 3\n");
        let error = document.parse::<Map>().unwrap_err().to_string();
        assert!(error.contains("images.yaml") && error.contains("2"), "{error}");
    }

    #[test]
    fn the_same_key_twice_is_an_error() {
        assert!(Document::new("f", "a: [x]\na: [y]\n").parse::<Map>().is_err());
    }

    #[test]
    fn an_error_in_a_secret_file_does_not_show_it() {
        let mut document = Document::new("login.yaml", "quay.io: [hunter2]\nx: hunter2\n");
        document.secrecy = Secrecy::Secret;
        let error = document.parse::<BTreeMap<String, u32>>().unwrap_err().to_string();
        assert!(error.contains("login.yaml: line 1"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_missing_key_of_a_secret_file_is_named() {
        #[derive(Debug, serde::Deserialize)]
        #[allow(dead_code, reason = "only read")]
        struct Login {
            username: String,
        }
        let mut document = Document::new("login.yaml", "password: hunter2\n");
        document.secrecy = Secrecy::Secret;
        let error = document.parse::<Login>().unwrap_err().to_string();
        assert!(error.contains("`username` is missing"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_at_once() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
        }
        assert!(Document::new("bomb", &text).parse::<serde_json::Value>().is_err());
    }

    #[test]
    fn json_is_read_with_its_escapes() {
        let map: Map = Document::new("f", r#"{"a": ["\ud83d\ude00\/\u00e9"]}"#).parse().unwrap();
        assert_eq!(map["a"], ["😀/é"]);
    }

    #[test]
    fn a_version_like_tag_keeps_its_spelling() {
        let map: Map = Document::new("f", "a: [1.10, 010, yes]").parse().unwrap();
        assert_eq!(map["a"], ["1.10", "010", "yes"]);
    }
}
