//! A door for the fuzz target alone: what a record says, and what must be true of it.
#![allow(clippy::expect_used)]

use super::lines::{Batch, Header, Line, whole_lines};

/// How many places of a record are tried as its end.
const CUTS: usize = 64;

/// A record written down again says the same, and cut off anywhere it is still one.
pub fn record(data: &[u8]) {
    let Ok((lines, rest)) = whole_lines(data) else { return };
    assert!(lines.len() + rest.len() == data.len() && !rest.contains(&b'\n'));
    let Ok(Some(batch)) = Batch::last_of(lines) else { return };
    let text = written(&batch);
    let again = Batch::last_of(&text).expect("it was one before").expect("its lines are all there");
    let tags = |text: &str| text.split_once('\n').map(|(_, tags)| tags.to_owned());
    assert_eq!(tags(&written(&again)), tags(&text));
    for end in (0..text.len()).step_by(text.len() / CUTS + 1) {
        let cut = text.as_bytes().get(..end).unwrap_or_default();
        let (lines, _) = whole_lines(cut).expect("it ends inside a line of a record");
        let left = Batch::last_of(lines).expect("these are the first of its lines");
        assert!(left.is_none_or(|left| left.outcome.is_none() || batch.entries.is_empty()));
    }
}

fn written(batch: &Batch) -> String {
    let tags = batch.entries.iter().cloned().map(|entry| Line::Tag(Box::new(entry)));
    let lines = std::iter::once(Line::Promotion(Header::new(batch.entries.len())));
    let lines = lines.chain(tags).chain(batch.outcome.clone().map(Line::Outcome));
    let text = lines.map(|line| serde_json::to_string(&line).expect("it was read as one") + "\n");
    text.collect()
}
