//! What is wrong with manifests, and where.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::oci::printable;

/// A place in a file; both count from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl At {
    /// The first character.
    pub const START: Self = Self { line: 1, column: 1 };

    pub(super) fn new(line: usize, column: usize) -> Self {
        let number = |value: usize| u32::try_from(value.max(1)).unwrap_or(u32::MAX);
        Self { line: number(line), column: number(column) }
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is promoted from these manifests.
    Error,
    /// Probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from one.
    pub line: u32,
    /// The column, counted from one.
    pub column: u32,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, and what to do.
    pub message: String,
    /// The line itself; empty where there is none.
    #[serde(skip)]
    pub text: String,
}

/// What was wrong in a run, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

/// A comment on a line, as Zuul's `zuul_return` takes it (Zuul, "Leaving file comments").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileComment {
    /// The line, counted from one.
    pub line: u32,
    /// What is said.
    pub message: String,
    /// `error` or `warning`.
    pub level: Level,
}

impl Problems {
    /// Whether anything is bad enough to promote nothing.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// What is bad enough to promote nothing.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter().filter(|problem| problem.level == Level::Error)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Names files below a folder by their paths there.
    pub fn relative_to(&mut self, folder: &Path) {
        for problem in &mut self.0 {
            if let Ok(file) = Path::new(&problem.file).strip_prefix(folder) {
                problem.file = file.display().to_string();
            }
        }
    }

    /// Warnings become errors.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.0.iter_mut().for_each(|problem| problem.level = Level::Error);
        self
    }

    /// By file, for `zuul_return`.
    #[must_use]
    pub fn file_comments(&self) -> BTreeMap<&str, Vec<FileComment>> {
        let mut files: BTreeMap<&str, Vec<FileComment>> = BTreeMap::new();
        for Problem { file, line, level, message, .. } in &self.0 {
            let comment = FileComment { line: *line, message: message.clone(), level: *level };
            files.entry(file).or_default().push(comment);
        }
        files
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// In order, each with its line.
    pub(super) fn finish<'a>(&mut self, texts: impl Iterator<Item = (&'a str, &'a str)>) {
        self.0.sort_by(|left, right| key(left).cmp(&key(right)));
        let files: HashMap<&str, Vec<&str>> = match self.0.is_empty() {
            true => return,
            false => texts.map(|(file, text)| (file, text.lines().collect())).collect(),
        };
        for problem in &mut self.0 {
            let lines = files.get(problem.file.as_str());
            let line = lines.and_then(|lines| lines.get((problem.line as usize).saturating_sub(1)));
            problem.text = line.map(|line| (*line).to_owned()).unwrap_or_default();
        }
    }
}

fn key(problem: &Problem) -> (&str, u32, u32, &str) {
    (&problem.file, problem.line, problem.column, &problem.message)
}

impl Problem {
    /// `FILE:LINE:COLUMN: level: message`, the line and a caret below the place.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self { file, line, column, level, message, text } = self;
        let level = level.as_str();
        let mut shown =
            format!("{}:{line}:{column}: {level}: {message}\n", printable(file, usize::MAX));
        let text = text.trim_end();
        if text.is_empty() {
            return shown;
        }
        let column = (*column as usize).saturating_sub(1);
        // A line may be a whole file.
        let from = column.saturating_sub(EXCERPT / 2);
        let excerpt: String = text.chars().skip(from).take(EXCERPT).map(no_tab).collect();
        let caret = " ".repeat(column - from);
        let _ =
            writeln!(shown, "{line:>5} | {}\n      | {caret}^", printable(&excerpt, usize::MAX));
        shown
    }
}

const EXCERPT: usize = 120;

/// A tab would move the caret away.
fn no_tab(character: char) -> char {
    if character == '\t' { ' ' } else { character }
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_place() {
        let problem = Problem {
            file: "a.yaml".to_owned(),
            line: 3,
            column: 5,
            level: Level::Error,
            message: "bad".to_owned(),
            text: "\tab: x\n".to_owned(),
        };
        let shown = "a.yaml:3:5: error: bad\n    3 |  ab: x\n      |     ^\n";
        assert_eq!(problem.shown(), shown);
    }
}
