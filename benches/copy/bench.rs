//! Runs scenarios; keeps the registries that are only read from.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::measure::{self, Sample};
use super::programs::{Job, Program};
use super::scenario::{Case, Contestant, Scenario};
use super::sets::{FINAL, Set, SetName, TEMPORARY};
use super::site::{Registry, Site};
use super::support::Outcome;
use super::support::place::{Place, remove_large_files};
use super::support::server::Server;

pub struct Bench {
    pub place: Place,
    /// Where our programs are.
    pub programs: PathBuf,
    sets: BTreeMap<SetName, Set>,
    /// What the final tags hold before they are moved.
    older: BTreeMap<SetName, Set>,
    sources: BTreeMap<(Site, SetName), Registry>,
    /// Registries that have everything.
    full: BTreeMap<(Site, SetName), Registry>,
    /// Registries in which tags are moved.
    waiting: BTreeMap<(Site, SetName), Registry>,
}

/// What a scenario gave.
pub struct Measured<'a> {
    pub scenario: &'a Scenario,
    pub results: BTreeMap<Contestant, Result>,
    pub missing: BTreeMap<Contestant, String>,
}

#[derive(Default)]
pub struct Result {
    pub samples: Vec<Sample>,
    /// At the source, where it is another, and at the destination.
    pub requests: Option<(usize, usize)>,
}

impl Bench {
    pub fn new(place: Place, programs: PathBuf) -> Self {
        Self {
            place,
            programs,
            sets: BTreeMap::new(),
            older: BTreeMap::new(),
            sources: BTreeMap::new(),
            full: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// All contestants in turn, each round beginning with another; then each once more while requests are
    /// counted.
    pub fn measure<'a>(
        &mut self,
        scenario: &'a Scenario,
        contestants: &[Contestant],
        rounds: usize,
    ) -> Measured<'a> {
        let (results, missing) = (BTreeMap::new(), BTreeMap::new());
        let mut measured = Measured { scenario, results, missing };
        for round in 0..=rounds {
            let counting = round == rounds;
            for index in 0..contestants.len() {
                let contestant = contestants[(round + index) % contestants.len()];
                if measured.missing.contains_key(&contestant) {
                    continue;
                }
                let result = measured.results.entry(contestant).or_default();
                let done = match counting {
                    true => self.count(scenario, contestant).map(|it| result.requests = Some(it)),
                    false => self.run(scenario, contestant).map(|it| result.samples.push(it)),
                };
                if let Err(error) = done {
                    measured.missing.insert(contestant, error.to_string());
                    measured.results.remove(&contestant);
                }
            }
        }
        self.forget(scenario.set);
        measured
    }

    fn run(&mut self, scenario: &Scenario, contestant: Contestant) -> Outcome<Sample> {
        self.once(scenario, contestant, false).map(|(sample, _)| sample)
    }

    fn count(&mut self, scenario: &Scenario, contestant: Contestant) -> Outcome<(usize, usize)> {
        self.once(scenario, contestant, true).map(|(_, requests)| requests)
    }

    /// One run in the situation of the scenario; its outcome is checked.
    fn once(
        &mut self,
        scenario: &Scenario,
        contestant: Contestant,
        counting: bool,
    ) -> Outcome<(Sample, (usize, usize))> {
        let Scenario { case, set, .. } = *scenario;
        let Contestant { site, program } = contestant;
        self.prepare(case, set, site)?;
        let Self { place, programs, sets, older, sources, full, waiting } = self;
        let set_content = &sets[&set];
        let mut new = None;
        let (source, destination) = match case {
            Case::Cold => {
                let source = sources.get_mut(&(site.source(), set));
                (source, new.insert(site.start(place)?))
            }
            Case::Unchanged => {
                let full = full.get_mut(&(site, set)).ok_or("not started")?;
                (sources.get_mut(&(site.source(), set)), full)
            }
            Case::Retag => {
                let waiting = waiting.get_mut(&(site, set)).ok_or("not started")?;
                older[&set].tag(&waiting.server.target, FINAL)?;
                (None, waiting)
            }
        };
        let source = source.map(|it| it.choose(counting, site.source(), place)).transpose()?;
        let destination = destination.choose(counting, site, place)?;
        let folder = place.new_folder()?;
        let job = Job {
            folder: &folder,
            programs,
            tools: &place.tools,
            ca: site.secured().then(|| place.ca()),
            login: site.has_logins(),
            source: source.unwrap_or(destination).target.address.to_string(),
            destination: destination.target.address.to_string(),
            set: set_content,
        };
        let script = match case {
            Case::Retag => program.retag(&job)?,
            Case::Cold | Case::Unchanged => program.copy(&job)?,
        };
        let count = || counted(counting, source, destination);
        let before = count()?;
        let sample = measure::run(&job, &script, source, destination)?;
        let after = count()?;
        if program != Program::Curl {
            set_content.verify(&destination.target)?;
        }
        remove_large_files(&folder)?;
        Ok((sample, (after.0 - before.0, after.1 - before.1)))
    }

    /// Fills the registries that a case needs beside a new one.
    fn prepare(&mut self, case: Case, set: SetName, site: Site) -> Outcome<()> {
        let content = &*self.sets.entry(set).or_insert_with(|| Set::new(set));
        let place = &self.place;
        let filled = |site: Site| {
            let registry = site.start(place)?;
            content.push(&registry.server.target)?;
            Ok(registry)
        };
        if case == Case::Retag {
            let older = &*self.older.entry(set).or_insert_with(|| Set::new(set));
            return keep(&mut self.waiting, (site, set), || {
                let registry = filled(site)?;
                content.tag(&registry.server.target, TEMPORARY)?;
                older.push(&registry.server.target)?;
                Ok(registry)
            });
        }
        let source = site.source();
        keep(&mut self.sources, (source, set), || filled(source))?;
        match case {
            Case::Unchanged => keep(&mut self.full, (site, set), || filled(site)),
            Case::Cold | Case::Retag => Ok(()),
        }
    }

    /// Ends the registries of a set, so that the next scenario has the machine for itself.
    fn forget(&mut self, set: SetName) {
        for registries in [&mut self.sources, &mut self.full, &mut self.waiting] {
            registries.retain(|(_, of), _| *of != set);
        }
    }
}

/// Starts what is not there yet.
fn keep(
    registries: &mut BTreeMap<(Site, SetName), Registry>,
    key: (Site, SetName),
    start: impl FnOnce() -> Outcome<Registry>,
) -> Outcome<()> {
    if let Entry::Vacant(place) = registries.entry(key) {
        place.insert(start()?);
    }
    Ok(())
}

impl Registry {
    fn choose(&mut self, counting: bool, site: Site, place: &Place) -> Outcome<&Server> {
        if counting { self.counting(site, place) } else { Ok(&self.server) }
    }
}

fn counted(
    counting: bool,
    source: Option<&Server>,
    destination: &Server,
) -> Outcome<(usize, usize)> {
    if !counting {
        return Ok((0, 0));
    }
    let source = source.map(Server::requests).transpose()?;
    Ok((source.unwrap_or_default(), destination.requests()?))
}

/// Whether our programs are there.
pub fn programs(folder: &Path) -> Outcome<PathBuf> {
    for name in ["intermediate-registry-sync", "promote-retag"] {
        let program = folder.join(name);
        if !program.is_file() {
            return Err(format!("{} is not there", program.display()).into());
        }
    }
    Ok(std::path::absolute(folder)?)
}
