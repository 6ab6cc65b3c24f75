//! Medians, spreads, targets: as tables for people and as a document for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::bench::{Measured, Result};
use super::goals::{Verdict, verdicts};
use super::scenario::Contestant;
use super::support::figures::{high, low, median};
use super::support::machine;

/// All that was measured.
pub struct Report<'a> {
    machine: Value,
    scenarios: Vec<Measured<'a>>,
}

impl<'a> Report<'a> {
    pub fn new(machine: Value) -> Self {
        Self { machine, scenarios: Vec::new() }
    }

    /// Its rows, as soon as they are there.
    pub fn add(&mut self, measured: Measured<'a>) -> String {
        let mut text = rows(&measured);
        for Verdict { reached, text: said } in verdicts(&measured) {
            let _ = writeln!(text, "  [{said}: {}]", if reached { "ok" } else { "MISSED" });
        }
        for (contestant, reason) in &measured.missing {
            let _ = writeln!(text, "  not measured: {}: {reason}", who(*contestant));
        }
        self.scenarios.push(measured);
        text
    }

    /// Whether everything was measured and every target reached.
    pub fn reached(&self) -> bool {
        let complete = self.scenarios.iter().all(|measured| measured.missing.is_empty());
        complete && self.scenarios.iter().flat_map(verdicts).all(|verdict| verdict.reached)
    }

    /// Markdown.
    pub fn text(&self) -> String {
        let mut text = machine::heading(&self.machine);
        text.push_str("| scenario | target | |\n| --- | --- | --- |\n");
        for measured in &self.scenarios {
            for Verdict { reached, text: said } in verdicts(measured) {
                let reached = if reached { "reached" } else { "**missed**" };
                let _ = writeln!(text, "| `{}` | {said} | {reached} |", measured.scenario.name);
            }
        }
        for measured in &self.scenarios {
            let scenario = measured.scenario;
            let _ = writeln!(text, "\n`{}`: {}\n", scenario.name, scenario.title);
            text.push_str(
                "| registries | program | s | processor s: client | source | destination | \
                 client MiB | requests | load |\n\
                 | --- | --- | --: | --: | --: | --: | --: | --: | --: |\n",
            );
            text.push_str(&rows(measured));
        }
        text.push_str(&self.missing());
        text
    }

    fn missing(&self) -> String {
        let mut text = format!("\nNot measured: {UNAVAILABLE}\n");
        for measured in &self.scenarios {
            for (contestant, reason) in &measured.missing {
                let name = measured.scenario.name;
                let _ = writeln!(text, "\nNot measured: {name} of {}: {reason}", who(*contestant));
            }
        }
        text
    }

    pub fn document(&self) -> Value {
        let scenarios: Vec<Value> = self.scenarios.iter().map(document).collect();
        json!({ "machine": self.machine, "scenarios": scenarios })
    }
}

const UNAVAILABLE: &str = "a current skopeo. Its module, `github.com/containers/skopeo`, is refused by \
    the Go module proxy (403), so skopeo is Debian's 1.9.3.";

fn rows(measured: &Measured<'_>) -> String {
    let mut text = String::new();
    let mut results: Vec<_> = measured.results.iter().collect();
    results.sort_by_key(|(contestant, _)| contestant.site);
    for (Contestant { site, program }, result) in results {
        let figure = |figure: fn(&super::measure::Sample) -> f64| median(&result.each(figure));
        let source: Vec<f64> = result.samples.iter().filter_map(|sample| sample.source).collect();
        let source = if source.is_empty() { String::new() } else { two(median(&source)) };
        let requests = result.requests.map_or(String::new(), |(source, destination)| {
            let sides =
                if source > 0 { format!(" ({source} + {destination})") } else { String::new() };
            format!("{}{sides}", source + destination)
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {source} | {} | {:.0} | {requests} | {:.1} |",
            site.name(),
            program.name(),
            spread(&result.seconds()),
            two(figure(|sample| sample.client)),
            two(figure(|sample| sample.destination)),
            figure(|sample| sample.memory),
            figure(|sample| sample.load),
        );
    }
    text
}

fn spread(samples: &[f64]) -> String {
    let spread = if samples.len() > 1 {
        format!(" ({}–{})", two(low(samples)), two(high(samples)))
    } else {
        String::new()
    };
    format!("{}{spread}", two(median(samples)))
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn who(contestant: Contestant) -> String {
    format!("{} on {}", contestant.program.name(), contestant.site.name())
}

fn document(measured: &Measured<'_>) -> Value {
    let results: Vec<Value> = measured.results.iter().map(result).collect();
    let missing: BTreeMap<String, &String> =
        measured.missing.iter().map(|(contestant, reason)| (who(*contestant), reason)).collect();
    let targets: Vec<Value> = verdicts(measured)
        .iter()
        .map(|verdict| json!({"text": verdict.text, "reached": verdict.reached}))
        .collect();
    json!({
        "name": measured.scenario.name, "title": measured.scenario.title,
        "results": results, "not_measured": missing, "targets": targets,
    })
}

fn result((contestant, result): (&Contestant, &Result)) -> Value {
    let samples: Vec<Value> = result
        .samples
        .iter()
        .map(|sample| {
            json!({
                "seconds": sample.seconds, "client_processor_seconds": sample.client,
                "source_processor_seconds": sample.source,
                "destination_processor_seconds": sample.destination,
                "client_memory_mib": sample.memory, "load": sample.load,
            })
        })
        .collect();
    let requests = result
        .requests
        .map(|(source, destination)| json!({"source": source, "destination": destination}));
    json!({
        "program": contestant.program.name(), "registries": contestant.site.name(),
        "samples": samples, "requests": requests,
    })
}
