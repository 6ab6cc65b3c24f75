//! Medians, spreads, targets: as a table for people and as a document for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::contestants::Contestant;
use super::scenario::{Goal, Measured};
use super::support::figures::{cell, high, low, median};
use super::support::machine;

/// All that was measured.
pub struct Report {
    machine: Value,
    rows: Vec<Measured>,
}

/// Whether a target was reached, and what was compared.
struct Verdict {
    reached: bool,
    text: String,
}

impl Report {
    pub fn new(machine: Value) -> Self {
        Self { machine, rows: Vec::new() }
    }

    pub fn add(&mut self, measured: Measured) -> &Measured {
        self.rows.push(measured);
        &self.rows[self.rows.len() - 1]
    }

    /// Whether everything was measured and every target reached.
    pub fn reached(&self) -> bool {
        let complete = self.rows.iter().all(|row| row.missing.is_empty());
        complete && self.rows.iter().flat_map(verdicts).all(|verdict| verdict.reached)
    }

    pub fn document(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(document).collect();
        json!({ "machine": self.machine, "scenarios": rows })
    }

    /// Markdown.
    pub fn table(&self) -> String {
        let mut text = machine::heading(&self.machine);
        let mut columns: Vec<Contestant> =
            self.rows.iter().flat_map(|row| row.samples.keys().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        text.push_str("| scenario | unit |");
        columns.iter().for_each(|column| text.push_str(&format!(" {} |", column.name())));
        text.push_str(" target | |\n| --- | --- |");
        columns.iter().for_each(|_| text.push_str(" --: |"));
        text.push_str(" --- | --- |\n");
        for row in &self.rows {
            let _ = write!(text, "| {} `{}` | {} |", row.title, row.scenario, row.unit);
            for column in &columns {
                let value = row.samples.get(column).map(|samples| cell(samples));
                text.push_str(&format!(" {} |", value.unwrap_or_default()));
            }
            let verdicts = verdicts(row);
            let said: Vec<_> = verdicts.iter().map(|verdict| verdict.text.as_str()).collect();
            let reached = if verdicts.is_empty() {
                ""
            } else if verdicts.iter().all(|verdict| verdict.reached) {
                "reached"
            } else {
                "**missed**"
            };
            let _ = writeln!(text, " {} | {reached} |", said.join("; "));
        }
        for row in &self.rows {
            for (contestant, reason) in &row.missing {
                let _ = write!(
                    text,
                    "\nNot measured: {} of {}: {reason}",
                    row.scenario,
                    contestant.name()
                );
            }
        }
        text
    }
}

/// One row, as soon as it is there.
pub fn line(row: &Measured) -> String {
    let mut text = format!("{:22} {:10}", row.scenario, row.unit);
    for (contestant, samples) in &row.samples {
        let _ = write!(text, "  {} {}", contestant.name(), cell(samples));
    }
    for verdict in verdicts(row) {
        let _ =
            write!(text, "  [{}: {}]", verdict.text, if verdict.reached { "ok" } else { "MISSED" });
    }
    for (contestant, reason) in &row.missing {
        let _ = write!(text, "\n    not measured: {}: {reason}", contestant.name());
    }
    text
}

fn document(row: &Measured) -> Value {
    let results: Vec<Value> = row
        .samples
        .iter()
        .map(|(contestant, samples)| {
            json!({
                "contestant": contestant.name(), "median": median(samples),
                "low": low(samples), "high": high(samples), "samples": samples,
            })
        })
        .collect();
    let missing: Vec<Value> = row
        .missing
        .iter()
        .map(|(contestant, reason)| json!({"contestant": contestant.name(), "reason": reason}))
        .collect();
    let targets: Vec<Value> = verdicts(row)
        .iter()
        .map(|verdict| json!({"text": verdict.text, "reached": verdict.reached}))
        .collect();
    json!({
        "name": row.scenario, "title": row.title, "unit": row.unit, "load": row.load,
        "results": results, "not_measured": missing, "targets": targets,
    })
}

/// The way of each target that is reached, or the first.
fn verdicts(row: &Measured) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for ways in row.goals {
        let mut judged: Vec<Verdict> = ways.iter().filter_map(|goal| judge(row, *goal)).collect();
        judged.sort_by_key(|verdict| !verdict.reached);
        verdicts.extend(judged.into_iter().next());
    }
    verdicts
}

fn judge(row: &Measured, goal: Goal) -> Option<Verdict> {
    let of = |contestant| row.samples.get(&contestant).map(|samples| median(samples));
    Some(match goal {
        Goal::Times(ours, factor, versus) => {
            let ratio = of(ours)? / of(versus)?;
            let text = format!("{} {ratio:.2}× {} (≥ {factor}×)", ours.name(), versus.name());
            Verdict { reached: ratio >= factor, text }
        }
        Goal::Within(ours, factor, versus) => {
            let ratio = of(ours)? / of(versus)?;
            let text = format!("{} {ratio:.2}× {} (≤ {factor}×)", ours.name(), versus.name());
            Verdict { reached: ratio <= factor, text }
        }
        Goal::Beside(ours, more, versus) => {
            let beside = of(ours)? - of(versus)?;
            let text = format!("{} {beside:+.1} {} (≤ +{more})", ours.name(), versus.name());
            Verdict { reached: beside <= more, text }
        }
        Goal::Below(ours, limit) => {
            let value = of(ours)?;
            let text = format!("{} ≤ {limit} {}", ours.name(), row.unit);
            Verdict { reached: value <= limit, text }
        }
    })
}
