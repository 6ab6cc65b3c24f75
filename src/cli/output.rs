//! stdout is data: a text for people or exactly one JSON document.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::exit::Failure;
use crate::copy::{Amount, Blobs, ImageOutcome, Outcome, Totals};
use crate::oci::push_visible;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; the default on a terminal.
    Text,
    /// One JSON document; the default elsewhere.
    Json,
}

impl Format {
    /// What suits stdout when nothing was asked for.
    #[must_use]
    pub fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// What a program found out or did. Its JSON form is described in `docs/json.md`.
pub trait Report: Serialize {
    /// The form for people, ending with a line break. What may be long is written by
    /// [`Report::write_text`] instead.
    fn text(&self) -> String {
        String::new()
    }

    /// Writes the form for people.
    ///
    /// # Errors
    /// Those of `out`.
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.text().as_bytes())
    }

    /// Why the program fails although it has something to report.
    fn failure(&self) -> Option<Failure> {
        None
    }
}

#[derive(Serialize)]
struct Document<'a, R> {
    ok: bool,
    #[serde(flatten)]
    report: Option<&'a R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

/// Prints the result and says how the program ended. Nothing is printed on stdout for wrong
/// arguments: then there is no document.
pub fn finish<R: Report>(format: Format, result: Result<R, Failure>) -> ExitCode {
    let found = result.as_ref().ok().and_then(Report::failure);
    let (report, error) = match &result {
        Ok(report) => (Some(report), found.as_ref()),
        Err(failure) => (None, Some(failure)),
    };
    let write = |out: &mut dyn Write| match (format, report, error) {
        (Format::Text, Some(report), _) => report.write_text(out),
        (Format::Json, ..) if error.is_none_or(|failure| !failure.is_input()) => {
            let document = Document { ok: error.is_none(), report, error };
            serde_json::to_writer(&mut *out, &document)?;
            out.write_all(b"\n")
        }
        _ => Ok(()),
    };
    finish_as(write, error)
}

/// As [`finish`], with a result that `write` prints.
pub fn finish_as(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    failure: Option<&Failure>,
) -> ExitCode {
    if let Some(failure) = failure {
        say(&format!("error: {}\n", printable(&failure.message)));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("error: cannot write the result: {error}\n"));
            ExitCode::FAILURE
        }
        _ => failure.map_or(ExitCode::SUCCESS, Failure::exit_code),
    }
}

/// Talks on stderr; when that is gone there is nobody left to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Names from jobs and words of servers are in messages: control characters are shown, not sent to the
/// terminal, and further lines are set in, so that none looks like a message of its own.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' => shown.push_str("\n  "),
            character => push_visible(&mut shown, character),
        }
    }
    shown
}

/// Rows as an aligned table with a header; numbers are as they come, columns are left-aligned.
#[must_use]
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let mut widths = header.map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(header);
    for row in &rows {
        line(std::array::from_fn(|column| row.get(column).map_or("", String::as_str)));
    }
    text
}

/// What a copy did or would do, as a table with its sums.
#[must_use]
pub fn copies(outcome: &Outcome) -> String {
    images(outcome.images.iter().map(|image| (image, false)), &outcome.totals, outcome.dry_run)
}

/// As [`copies`], of images for which a pointer may have been left.
#[must_use]
pub fn images<'a>(
    images: impl Iterator<Item = (&'a ImageOutcome, bool)>,
    totals: &Totals,
    dry_run: bool,
) -> String {
    let images: Vec<_> = images.collect();
    let along = along(images.iter().map(|(image, _)| *image));
    let rows: Vec<[String; 7]> = images
        .into_iter()
        .map(|(image, lazy)| {
            let state = match (image.kept, image.changed, dry_run) {
                (true, ..) => "kept as it is",
                (_, true, false) if lazy => "pointer left",
                (_, true, true) if lazy => "to be pointed at",
                (_, true, false) => "written",
                (_, true, true) => "to be written",
                (_, false, _) => "already there",
            };
            let Blobs { moved, mounted, present } = image.blobs;
            [
                image.name.clone(),
                image.to.to_string(),
                image.digest.short().to_owned(),
                state.to_owned(),
                amount(moved),
                amount(mounted),
                amount(present),
            ]
        })
        .collect();
    let header = match dry_run {
        false => ["IMAGE", "TO", "DIGEST", "STATE", "MOVED", "MOUNTED", "THERE"],
        true => ["IMAGE", "TO", "DIGEST", "STATE", "TO MOVE", "TO MOUNT", "THERE"],
    };
    table(header, &rows) + &along + &sums(totals, dry_run)
}

/// What travels with the images, in a line if there is anything.
fn along<'a>(images: impl Iterator<Item = &'a ImageOutcome>) -> String {
    let (mut all, mut new) = (0, 0);
    for referrer in images.flat_map(|image| &image.referrers) {
        all += 1;
        new += usize::from(referrer.changed);
    }
    match all {
        0 => String::new(),
        all => format!("{all} signatures and other referrers along, {new} of them new\n"),
    }
}

fn amount(Amount { count, bytes: size }: Amount) -> String {
    match count {
        0 => "-".to_owned(),
        count => format!("{count} ({})", bytes(size)),
    }
}

fn sums(totals: &Totals, dry_run: bool) -> String {
    let (moved, mounted) = match dry_run {
        false => ("moved", "mounted"),
        true => ("to move", "to mount"),
    };
    format!(
        "{} blobs {moved} ({}), {} {mounted} ({}), {} already there ({}); \
         {} requests, {} retries, {:.2} s\n",
        totals.blobs_moved,
        bytes(totals.bytes_moved),
        totals.blobs_mounted,
        bytes(totals.bytes_mounted),
        totals.blobs_present,
        bytes(totals.bytes_present),
        totals.requests,
        totals.retries,
        totals.seconds
    )
}

/// A number of bytes for people, e.g. `3.2 MiB`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let rows = [["x".to_owned(), "1".to_owned()], ["longer".to_owned(), "22".to_owned()]];
        assert_eq!(table(["A", "B"], &rows), "A       B\nx       1\nlonger  22\n");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_control() {
        assert_eq!(printable("a\u{1b}[31m\r\nerror: forged\n"), "a\\u{1b}[31m\\r\n  error: forged");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(512 * 1024 * 1024), "512.0 MiB");
    }
}
