use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Document, Error, Label, Secrecy};

/// What is tested together with the own change: the part of the `zuul` variable that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// `zuul.pipeline`
    pub pipeline: Label,
    /// The changes ahead, the farthest first; none of them is of the own buildset.
    pub ahead: Vec<TestedChange>,
}

/// One change of a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestedChange {
    /// The project's name.
    pub project: Label,
    /// Its number.
    pub change: Label,
    /// Its patch set, as far as the code review system has such.
    pub patchset: Option<Label>,
}

impl Tested {
    /// Reads the file of a `zuul` variable, or of one that has it.
    ///
    /// # Errors
    /// Names file and place of what is not as Zuul writes it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let document = Document::read(path, Secrecy::Public)?;
        let variable = match document.parse::<Whole>()? {
            Whole::Variables { zuul } => zuul,
            Whole::Zuul(zuul) => zuul,
        };
        Ok(variable.into())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    Variables { zuul: Variable },
    Zuul(Variable),
}

#[derive(Deserialize)]
struct Variable {
    pipeline: Label,
    #[serde(flatten)]
    own: Item,
    #[serde(default)]
    items: Vec<Item>,
    /// What shares the own buildset: changes that depend on each other in a circle.
    #[serde(default)]
    buildset_refs: Vec<Item>,
}

/// A change, or a branch or tag, which has no number.
#[derive(Deserialize)]
struct Item {
    project: Project,
    #[serde(default, deserialize_with = "number")]
    change: Option<Label>,
    #[serde(default, deserialize_with = "number")]
    patchset: Option<Label>,
}

#[derive(Deserialize)]
struct Project {
    name: Label,
}

impl From<Variable> for Tested {
    fn from(Variable { pipeline, own, items, buildset_refs }: Variable) -> Self {
        let changes = |items: Vec<Item>| items.into_iter().filter_map(Item::change);
        let own: Vec<TestedChange> = changes(buildset_refs).chain(own.change()).collect();
        let is_own = |it: &TestedChange| {
            own.iter().any(|own| (&own.project, &own.change) == (&it.project, &it.change))
        };
        Self { pipeline, ahead: changes(items).filter(|it| !is_own(it)).collect() }
    }
}

impl fmt::Display for TestedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "change {}", self.change)?;
        if let Some(patchset) = &self.patchset {
            write!(f, ",{patchset}")?;
        }
        write!(f, " of {}", self.project)
    }
}

impl Item {
    fn change(self) -> Option<TestedChange> {
        let Self { project: Project { name: project }, change, patchset } = self;
        Some(TestedChange { project, change: change?, patchset })
    }
}

/// A text in one version of Zuul and a number in another.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Label>, D::Error> {
    let text = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Err(serde::de::Error::custom("expected a text or a number")),
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Tested, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zuul.json");
        std::fs::write(&path, value.to_string()).unwrap();
        Tested::read(&path)
    }

    #[test]
    fn what_is_no_variable_of_zuul_is_refused() {
        let project = json!({"name": "p"});
        for wrong in [
            json!([]),
            json!({"items": []}),
            json!({"pipeline": "check", "items": []}),
            json!({"pipeline": "", "project": project}),
            json!({"pipeline": "check", "project": project, "items": {}}),
            json!({"pipeline": "check", "project": project, "items": [{"change": "1"}]}),
            json!({"pipeline": "check", "project": project,
                "items": [{"project": project, "change": ["1"]}]}),
            json!({"pipeline": "check", "project": project,
                "items": [{"project": project, "change": "1\n2"}]}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_own_changes_are_not_ahead() {
        let item = |project: &str, change: Value| json!({"project": {"name": project}, "change": change, "patchset": "2"});
        let branch = json!({"project": {"name": "p"}, "branch": "main", "ref": "refs/heads/main"});
        let zuul = json!({
            "pipeline": "gate", "project": {"name": "p", "src_dir": "src/p"}, "change": "3",
            "patchset": "2", "tenant": "one",
            "items": [item("p", json!(1)), branch, item("q", json!("3")), item("q", json!("4")), item("p", json!("3"))],
            "buildset_refs": [item("q", json!("4")), item("p", json!("3"))],
        });
        for zuul in [json!({"zuul": zuul}), zuul] {
            let tested = read(&zuul).unwrap();
            assert_eq!(tested.pipeline.as_str(), "gate");
            let ahead = tested.ahead.iter().map(|it| (it.project.as_str(), it.change.as_str()));
            // A number of another project is another change.
            assert_eq!(ahead.collect::<Vec<_>>(), [("p", "1"), ("q", "3")]);
        }
        let of_a_branch = json!({"pipeline": "post", "project": {"name": "p"}, "items": [branch]});
        assert_eq!(read(&of_a_branch).unwrap().ahead, []);
    }
}
