//! What is wrong with manifests, and where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::str::Lines;

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

    /// Behind the last character.
    pub(super) fn end_of(text: &str) -> Self {
        let line = text.rsplit('\n').next().unwrap_or_default();
        Self::new(text.matches('\n').count() + 1, line.chars().count() + 1)
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
    /// The line itself, of a long one what is around the column; empty where there is none.
    #[serde(skip)]
    pub text: String,
    /// How many characters of the line are left out before `text`.
    #[serde(skip)]
    pub text_from: u32,
}

/// What was wrong in a run, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
    /// Says that there are more than are told.
    #[serde(skip)]
    more: Option<Problem>,
    /// Files with errors: of each one is told, as such a file is left out.
    #[serde(skip)]
    bad: HashSet<String>,
}

/// How many problems are told of a run, apart from the first error of each file.
const MOST: usize = 10_000;

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
        self.list.iter().filter(|problem| problem.level == Level::Error)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Names files below a folder by their paths there.
    pub fn relative_to(&mut self, folder: &Path) {
        for problem in &mut self.list {
            if let Ok(file) = Path::new(&problem.file).strip_prefix(folder) {
                problem.file = file.display().to_string();
            }
        }
    }

    /// Warnings become errors.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.list.iter_mut().for_each(|problem| problem.level = Level::Error);
        self
    }

    /// By file, for `zuul_return`.
    #[must_use]
    pub fn file_comments(&self) -> BTreeMap<&str, Vec<FileComment>> {
        let mut files: BTreeMap<&str, Vec<FileComment>> = BTreeMap::new();
        for Problem { file, line, level, message, .. } in &self.list {
            let comment = FileComment { line: *line, message: message.clone(), level: *level };
            files.entry(file).or_default().push(comment);
        }
        files
    }

    /// And these.
    pub fn extend(&mut self, others: Self) {
        others.list.into_iter().for_each(|problem| self.add(problem));
    }

    pub(super) fn add(&mut self, problem: Problem) {
        let is_first = problem.level == Level::Error && !self.bad.contains(&problem.file);
        if is_first {
            self.bad.insert(problem.file.clone());
        }
        match &self.more {
            _ if is_first || self.list.len() < MOST => self.list.push(problem),
            Some(more) if more.level <= problem.level => {}
            _ => {
                let message = format!("there are more than {MOST} problems; mend these first");
                self.more = Some(Problem { message, ..problem });
            }
        }
    }

    /// In order, each with its line.
    pub(super) fn finish<'a>(&mut self, texts: impl Iterator<Item = (&'a str, &'a str)>) {
        self.list.extend(self.more.take());
        self.list.sort_by(|left, right| key(left).cmp(&key(right)));
        // What remains of manifests may be looked at again.
        self.list.dedup_by(|left, right| key(left) == key(right));
        if self.list.is_empty() {
            return;
        }
        let texts: HashMap<&str, &str> = texts.collect();
        for problems in self.list.chunk_by_mut(|left, right| left.file == right.file) {
            let text = problems.first().and_then(|it| texts.get(it.file.as_str()));
            let mut place = Place::new(text.copied().unwrap_or_default());
            for problem in problems {
                (problem.text_from, problem.text) = place.excerpt(problem.line, problem.column);
            }
        }
    }
}

/// A place in a text that moves forward only, so that a file with many problems is read once.
struct Place<'a> {
    line: u32,
    /// Of the line what begins `skipped` characters behind its start.
    rest: &'a str,
    skipped: u32,
    lines: Lines<'a>,
}

/// How much of a line is shown, in characters.
const EXCERPT: u32 = 120;

impl<'a> Place<'a> {
    fn new(text: &'a str) -> Self {
        let mut lines = text.lines();
        Self { line: 1, rest: lines.next().unwrap_or_default(), skipped: 0, lines }
    }

    /// What is around a place, and how many characters of its line are left out before it.
    fn excerpt(&mut self, line: u32, column: u32) -> (u32, String) {
        while self.line < line
            && let Some(next) = self.lines.next()
        {
            (self.line, self.rest, self.skipped) = (self.line + 1, next, 0);
        }
        if self.line != line {
            return (0, String::new());
        }
        let from = column.saturating_sub(1 + EXCERPT / 2);
        let more = from.saturating_sub(self.skipped);
        if more > 0 {
            let mut characters = self.rest.chars();
            self.skipped +=
                u32::try_from(characters.by_ref().take(more as usize).count()).unwrap_or(more);
            self.rest = characters.as_str();
        }
        (self.skipped, self.rest.chars().take(EXCERPT as usize).collect())
    }
}

fn key(problem: &Problem) -> (&str, u32, u32, &str) {
    (&problem.file, problem.line, problem.column, &problem.message)
}

impl Problem {
    /// `FILE:LINE:COLUMN: level: message`, the line and a caret below the place.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self { file, line, column, level, message, text, text_from } = self;
        let level = level.as_str();
        let mut shown =
            format!("{}:{line}:{column}: {level}: {message}\n", printable(file, usize::MAX));
        let text = text.trim_end();
        if text.is_empty() {
            return shown;
        }
        let before = column.saturating_sub(1).saturating_sub(*text_from);
        let before = usize::try_from(before).unwrap_or_default();
        // What is invisible is written out, which moves what follows.
        let width = |text: String| printable(&text, usize::MAX).chars().count();
        let caret = " ".repeat(width(text.chars().take(before).map(no_tab).collect()));
        let text: String = text.chars().map(no_tab).collect();
        let _ = writeln!(shown, "{line:>5} | {}\n      | {caret}^", printable(&text, usize::MAX));
        shown
    }
}

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
    use crate::promoter::edges::Edges;
    use crate::promoter::manifests::Manifests;

    #[test]
    fn the_caret_stands_below_the_place() {
        let problem = Problem {
            file: "a.yaml".to_owned(),
            line: 3,
            column: 5,
            level: Level::Error,
            message: "bad".to_owned(),
            text: "\tab: x\n".to_owned(),
            text_from: 0,
        };
        let shown = "a.yaml:3:5: error: bad\n    3 |  ab: x\n      |     ^\n";
        assert_eq!(problem.shown(), shown);
        let text = format!("{}\u{feff}x", "-".repeat(2)).to_owned();
        let problem = Problem { column: 104, text, text_from: 100, ..problem };
        let shown = problem.shown();
        assert!(shown.ends_with("    3 | --\\u{feff}x\n      |           ^\n"), "{shown}");
    }

    #[test]
    fn of_a_long_line_what_is_around_the_place_is_shown() {
        let line = format!("{}\u{e9}!{}", "a".repeat(1000), "b".repeat(1000));
        let text = format!("first\n{line}\nlast\n");
        let mut place = Place::new(&text);
        assert_eq!(place.excerpt(1, 3), (0, "first".to_owned()));
        for column in [1002, 1002] {
            let (from, shown) = place.excerpt(2, column);
            assert_eq!(shown.chars().count(), 120);
            assert_eq!(shown.chars().nth((column - 1 - from) as usize), Some('!'), "{shown}");
        }
        assert_eq!(place.excerpt(2, 1999).1.chars().last(), Some('b'));
        assert_eq!(place.excerpt(3, 1), (0, "last".to_owned()));
        assert_eq!(place.excerpt(9, 1), (0, String::new()));
    }

    #[test]
    fn of_very_many_problems_the_first_are_told_and_that_there_are_more() {
        let problem = |line, level| Problem {
            file: "a.yaml".to_owned(),
            line,
            column: 1,
            level,
            message: "bad".to_owned(),
            text: String::new(),
            text_from: 0,
        };
        let mut problems = Problems::default();
        for line in 1..=20_000 {
            problems.add(problem(line, Level::Warning));
        }
        problems.add(problem(20_001, Level::Error));
        problems.add(problem(20_002, Level::Error));
        problems.finish([("a.yaml", "x")].into_iter());
        let told: Vec<u32> = problems.errors().map(|it| it.line).collect();
        assert_eq!(told, [20_001, 20_002], "the file's first error, and that there are more");
        assert_eq!(problems.len(), 10_002);
    }

    #[test]
    fn a_file_with_errors_is_left_out_however_many_problems_others_have() {
        let manifest = |dmap: &str| {
            let text = "registries: [{name: s.example, src: true}, {name: d.example}]\n\
                        images: [{name: x, dmap: {DMAP}}]\n";
            text.replace("DMAP", dmap).into_bytes()
        };
        let digest = format!("sha256:{}", "1".repeat(64));
        let many = manifest(&format!("{digest}: [{}]", "'1',".repeat(MOST + 2)));
        let bad = manifest(&format!("{digest}: ['2'], 'sha256:2': [], 'sha256:3': []"));
        let texts = vec![("a.yaml".to_owned(), many), ("b.yaml".to_owned(), bad)];
        let mut manifests = Manifests::of_plain_contents(texts);
        let edges = Edges::of_good(&mut manifests);
        let left: Vec<String> = edges.iter().map(|it| it.destination().to_string()).collect();
        assert_eq!(left, ["d.example/x:1"]);
    }
}
