use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::oci::{Digest, ImageReference, Manifest, Reference};
use crate::promote::verify::Verified;
use crate::promote::{FinalTag, Promotion};

/// One line of a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// A run begins, of so many tags.
    Promotion(Header),
    /// One of its tags.
    Tag(Box<Entry>),
    /// How it ended.
    Outcome(Outcome),
}

/// As lines are written.
const LINE_STARTS: [&str; 3] = ["{\"promotion\":", "{\"tag\":", "{\"outcome\":"];

/// How a run begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    /// For people, RFC 3339.
    started: String,
    tags: usize,
}

/// What a run does to one tag, and what undoes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "EntryLine", into = "EntryLine")]
pub(in crate::promote) struct Entry {
    /// The repository as the job spells it.
    pub(in crate::promote) repository: String,
    /// The tag.
    pub(in crate::promote) to: FinalTag,
    /// Where its image comes from.
    pub(in crate::promote) from: ImageReference,
    /// What it shall hold.
    pub(in crate::promote) digest: Digest,
    /// What it held.
    pub(in crate::promote) before: Before,
}

/// What a tag held before it was written.
#[derive(Debug, Clone)]
pub(in crate::promote) enum Before {
    /// What it shall hold; it is not written.
    Same,
    /// Nothing.
    Absent,
    /// This.
    Held(Box<Manifest>),
}

/// How a run ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::promote) struct Outcome {
    pub(in crate::promote) result: Ending,
    /// For people, RFC 3339.
    pub(in crate::promote) at: String,
    /// The tags that were not put back although they should have been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::promote) left: Vec<Left>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::promote) enum Ending {
    /// All tags were written.
    Promoted,
    /// It failed, and what was written was put back.
    Undone,
    /// It was done, and rolled back later.
    RolledBack,
}

/// A tag that was not put back, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::promote) struct Left {
    pub(in crate::promote) tag: String,
    pub(in crate::promote) reason: String,
}

/// A run of which all lines are there.
#[derive(Debug)]
pub(in crate::promote) struct Batch {
    pub(in crate::promote) entries: Vec<Entry>,
    pub(in crate::promote) outcome: Option<Outcome>,
}

impl Header {
    const VERSION: u32 = 1;

    pub(super) fn new(tags: usize) -> Self {
        Self { version: Self::VERSION, started: Timestamp::now().to_string(), tags }
    }
}

impl Batch {
    /// The last run of which all lines are there.
    pub(super) fn last_of(lines: &str) -> Result<Option<Self>, String> {
        let mut last: Option<Self> = None;
        let mut begun: Option<(usize, Vec<Entry>)> = None;
        for (number, line) in lines.lines().enumerate() {
            let wrong = |reason: &dyn std::fmt::Display| format!("line {}: {reason}", number + 1);
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(&error))?;
            match (line, &mut begun, &mut last) {
                (Line::Promotion(Header { version: Header::VERSION, tags, .. }), ..) => {
                    begun = Some((tags, Vec::new()));
                }
                (Line::Promotion(Header { version, .. }), ..) => {
                    return Err(wrong(&format!("version {version} is not known to this program")));
                }
                (Line::Tag(entry), Some((_, entries)), _) => entries.push(*entry),
                (Line::Outcome(outcome), begun, Some(batch)) => {
                    // What was begun after it and killed before its first write is forgotten.
                    *begun = None;
                    batch.outcome = Some(outcome);
                }
                (Line::Tag(_) | Line::Outcome(_), ..) => {
                    return Err(wrong(&"it belongs to no promotion"));
                }
            }
            if let Some((_, entries)) = begun.take_if(|(tags, entries)| entries.len() == *tags) {
                last = Some(Self { entries, outcome: None });
            }
        }
        Ok(last)
    }

    /// Whether it is the same promotion: the same tags with the same digests.
    pub(in crate::promote) fn is_of(&self, verified: &[Verified<'_>]) -> bool {
        let own: BTreeSet<_> =
            self.entries.iter().map(|entry| (&entry.to, &entry.digest)).collect();
        let other = verified.iter().map(|verified| (&verified.promotion.to, &verified.digest));
        own == other.collect()
    }

    /// The digest that it gave to this tag from this source.
    pub(in crate::promote) fn digest(&self, promotion: &Promotion) -> Option<&Digest> {
        let same = |entry: &&Entry| entry.to == promotion.to && entry.from == promotion.from;
        self.entries.iter().find(same).map(|entry| &entry.digest)
    }

    /// What undoes it: of a run that was put back only what was left then.
    pub(in crate::promote) fn to_undo(&self) -> impl Iterator<Item = &Entry> {
        let written = self.entries.iter().filter(|entry| !matches!(entry.before, Before::Same));
        written.filter(|entry| match &self.outcome {
            None | Some(Outcome { result: Ending::Promoted, .. }) => true,
            Some(Outcome { left, .. }) => left.iter().any(|left| left.tag == entry.to.to_string()),
        })
    }
}

/// The lines of a record, and what a run that was killed left of one more, which may end inside a letter.
pub(super) fn whole_lines(bytes: &[u8]) -> Result<(&str, &[u8]), String> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (lines, rest) = bytes.split_at(end);
    let lines = std::str::from_utf8(lines).map_err(|error| error.to_string())?;
    let begins =
        |start: &str| start.as_bytes().starts_with(rest) || rest.starts_with(start.as_bytes());
    match LINE_STARTS.into_iter().any(begins) {
        true => Ok((lines, rest)),
        false => Err("its last line is none of a record".to_owned()),
    }
}

impl From<&Verified<'_>> for Entry {
    fn from(verified: &Verified<'_>) -> Self {
        let before = match (&verified.change, &verified.earlier) {
            (None, None) => Before::Same,
            (None, Some(earlier)) => earlier.clone(),
            (Some(change), _) => {
                change.before.clone().map_or(Before::Absent, |it| Before::Held(Box::new(it)))
            }
        };
        let promotion = verified.promotion;
        Self {
            repository: promotion.repository.clone(),
            to: promotion.to.clone(),
            from: promotion.from.clone(),
            digest: verified.digest.clone(),
            before,
        }
    }
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    tag: String,
    repository: String,
    from: String,
    digest: Digest,
    before: BeforeLine,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BeforeLine {
    Same,
    Absent,
    Held { digest: Digest, media_type: String, manifest: String },
}

impl From<Entry> for EntryLine {
    fn from(entry: Entry) -> Self {
        let before = match entry.before {
            Before::Same => BeforeLine::Same,
            Before::Absent => BeforeLine::Absent,
            Before::Held(manifest) => BeforeLine::Held {
                digest: manifest.digest().clone(),
                media_type: manifest.media_type().to_owned(),
                // A manifest is UTF-8, which was checked when it was read.
                manifest: String::from_utf8_lossy(manifest.bytes()).into_owned(),
            },
        };
        Self {
            tag: entry.to.to_string(),
            repository: entry.repository,
            from: entry.from.to_string(),
            digest: entry.digest,
            before,
        }
    }
}

impl TryFrom<EntryLine> for Entry {
    type Error = String;

    fn try_from(line: EntryLine) -> Result<Self, String> {
        let image = |text: &str| text.parse().map_err(|error: crate::oci::Error| error.to_string());
        let to: ImageReference = image(&line.tag)?;
        let Reference::Tag(tag) = to.reference.clone() else {
            return Err(format!("{} is no tag", line.tag));
        };
        Ok(Self {
            to: FinalTag::beside(&to, tag),
            repository: line.repository,
            from: image(&line.from)?,
            digest: line.digest,
            before: match line.before {
                BeforeLine::Same => Before::Same,
                BeforeLine::Absent => Before::Absent,
                BeforeLine::Held { digest, media_type, manifest } => {
                    Before::Held(Box::new(held(&digest, &media_type, manifest)?))
                }
            },
        })
    }
}

/// Bytes that are not what the digest beside them says are never written anywhere.
fn held(digest: &Digest, media_type: &str, manifest: String) -> Result<Manifest, String> {
    let manifest = Manifest::parse(Bytes::from(manifest), Some(media_type));
    let manifest = manifest.map_err(|error| error.to_string())?;
    match manifest.digest() == digest {
        true => Ok(manifest),
        false => Err(format!("its manifest is {}, not {digest}", manifest.digest())),
    }
}
