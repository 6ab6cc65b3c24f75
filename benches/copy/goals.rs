//! Whether targets are reached.

use super::bench::{Measured, Result};
use super::programs::Program;
use super::scenario::{Contestant, Goal};
use super::support::figures::{high, median};

/// Whether a target was reached, and what was compared.
pub struct Verdict {
    pub reached: bool,
    pub text: String,
}

/// A target without what it compares is not judged.
pub fn verdicts(measured: &Measured<'_>) -> Vec<Verdict> {
    measured.scenario.goals.iter().filter_map(|goal| judge(measured, *goal)).collect()
}

fn judge(measured: &Measured<'_>, goal: Goal) -> Option<Verdict> {
    let result = |contestant: Contestant| measured.results.get(&contestant);
    let seconds = |contestant| result(contestant).map(|it| median(&it.seconds()));
    Some(match goal {
        Goal::Faster(ours, factor, versus) => {
            let times = versus.iter().filter_map(|it| Some((seconds(*it)?, *it)));
            let (best, who) = times.min_by(|a, b| a.0.total_cmp(&b.0))?;
            let ratio = best / seconds(ours)?;
            let mut text = format!("{} {ratio:.2}× {} (≥ {factor}×)", at(ours), at(who));
            let list = Contestant { program: Program::Regsync, ..who };
            if let (Some(other), Some(own)) = (seconds(list), seconds(ours)) {
                text += &format!("; {:.2}× {}", other / own, at(list));
            }
            Verdict { reached: ratio >= factor, text }
        }
        Goal::Within(ours, factor, versus) => {
            let ratio = seconds(ours)? / seconds(versus)?;
            let text = format!("{} {ratio:.2}× {} (≤ {factor}×)", at(ours), at(versus));
            Verdict { reached: ratio <= factor, text }
        }
        Goal::Processor(ours, limit) => {
            let value = median(&result(ours)?.each(|sample| sample.client));
            let text = format!("{} {value:.2} s of processor (≤ {limit} s)", at(ours));
            Verdict { reached: value <= limit, text }
        }
        Goal::Requests(ours, limit) => {
            let (source, destination) = result(ours)?.requests?;
            let value = source + destination;
            let text = format!("{} {value} requests (≤ {limit})", at(ours));
            Verdict { reached: value <= limit, text }
        }
        Goal::Memory(limit) => {
            let ours = measured.results.iter().filter(|(it, _)| it.program == Program::Ours);
            let memory: Vec<f64> =
                ours.flat_map(|(_, result)| result.each(|sample| sample.memory)).collect();
            let most = (!memory.is_empty()).then(|| high(&memory))?;
            let text = format!("ours at most {most:.1} MiB (< {limit} MiB)");
            Verdict { reached: most < limit, text }
        }
    })
}

/// Who, and where.
fn at(contestant: Contestant) -> String {
    format!("{} on {}", contestant.program.name(), contestant.site.name())
}

impl Result {
    pub fn seconds(&self) -> Vec<f64> {
        self.each(|sample| sample.seconds)
    }

    pub fn each(&self, figure: impl Fn(&super::measure::Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }
}
