use serde::Serialize;

use super::Report;
use crate::cli::output::table;
use crate::oci::Digest;
use crate::rhcc::{Journal, Moved, RolledBack, State};

/// How far a certification is.
#[derive(Serialize)]
pub(super) struct Certified {
    state: State,
    product: String,
    project: String,
    image: String,
    public: String,
    source: String,
    digest: Digest,
    members: Vec<Member>,
    floating: Vec<FloatingTag>,
    images: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Member {
    architecture: String,
    digest: Digest,
}

#[derive(Serialize)]
struct FloatingTag {
    tag: String,
    moved: Moved,
    previous: Option<Digest>,
}

/// A certification that was gone on with, or not.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Resumed {
    Done(Box<Certified>),
    Not(Planned),
}

/// What would be written.
#[derive(Serialize)]
pub(super) struct Planned {
    dry_run: bool,
    digest: Digest,
    writes: Vec<String>,
}

/// A rebuild number.
#[derive(Serialize)]
pub(super) struct Number {
    pub(super) base: String,
    pub(super) number: u64,
}

impl Certified {
    pub(super) fn new(journal: Journal, warnings: Vec<String>) -> Self {
        let members = journal.members.iter().map(|member| Member {
            architecture: member.architecture.clone(),
            digest: member.digest.clone(),
        });
        let floating = journal.floating.iter().map(|floating| FloatingTag {
            tag: floating.tag.to_string(),
            moved: floating.moved,
            previous: floating.previous.as_ref().map(|previous| previous.digest.clone()),
        });
        Self {
            state: journal.state,
            image: format!("{}:{}-{}", journal.upload, journal.base, journal.number),
            members: members.collect(),
            floating: floating.collect(),
            results: journal.results.as_ref().map(|results| results.display().to_string()),
            digest: journal.digest.clone(),
            warnings,
            product: journal.product.clone(),
            project: journal.project.clone(),
            public: journal.public.clone(),
            source: journal.source.clone(),
            images: journal.images.clone(),
        }
    }
}

impl Planned {
    pub(super) fn new(journal: &Journal, writes: Vec<String>) -> Self {
        Self { dry_run: true, digest: journal.digest.clone(), writes }
    }
}

impl Report for Resumed {
    fn text(&self) -> String {
        match self {
            Self::Done(certified) => certified.text(),
            Self::Not(planned) => planned.text(),
        }
    }
}

impl Report for Certified {
    fn text(&self) -> String {
        let mut text = format!("{} is {}\n", self.image, self.state.name());
        for member in &self.members {
            text += &format!("  {} {}\n", member.architecture, member.digest);
        }
        let rows: Vec<[String; 3]> = self
            .floating
            .iter()
            .map(|it| {
                let previous = it.previous.as_ref().map_or("nothing", Digest::short);
                [it.tag.clone(), word(&it.moved), previous.to_owned()]
            })
            .collect();
        text += &table(["TAG", "MOVED", "BEFORE"], &rows);
        for warning in &self.warnings {
            text += &format!("warning: {warning}\n");
        }
        text
    }
}

impl Report for Planned {
    fn text(&self) -> String {
        if self.writes.is_empty() {
            return format!("nothing is left to write for {}\n", self.digest);
        }
        let mut text = format!("would certify {}:\n", self.digest);
        for write in &self.writes {
            text += &format!("  {write}\n");
        }
        text
    }
}

impl Report for Number {
    fn text(&self) -> String {
        format!("{}\n", self.number)
    }
}

impl Report for RolledBack {
    fn text(&self) -> String {
        let rows: Vec<[String; 3]> = self
            .rolled_back
            .iter()
            .map(|it| {
                let previous = it.previous.as_ref().map_or("nothing", Digest::short);
                let state = match (&it.reason, it.changed) {
                    (Some(reason), _) => reason.clone(),
                    (None, true) => "put back".to_owned(),
                    (None, false) => "back already".to_owned(),
                };
                [it.image.clone(), previous.to_owned(), state]
            })
            .collect();
        table(["TAG", "BEFORE", "STATE"], &rows)
    }
}

/// As it stands in the JSON document.
fn word(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().trim_matches('"').to_owned()
}
