//! What is measured, with whom, and which target it has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestants::Contestant;
use super::load;
use super::support::client::Connection;
use super::support::clients::at_once;
use super::support::image::Image;
use super::support::place::Place;
use super::support::server::Server;
use super::support::{Outcome, machine};
use super::{footprint, reads, through, writes};

/// One row of the table.
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub contestants: &'static [Contestant],
    /// Each is reached when one of its ways is.
    pub goals: &'static [&'static [Goal]],
    /// At most so often, where it takes long.
    pub rounds: usize,
    pub run: fn(&mut Bench, Contestant) -> Outcome<f64>,
}

/// A target for one of ours.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So many times what another has; more is better.
    Times(Contestant, f64, Contestant),
    /// At most so many times what another has; less is better.
    Within(Contestant, f64, Contestant),
    /// At most so much more than another has.
    Beside(Contestant, f64, Contestant),
    /// At most so much.
    Below(Contestant, f64),
}

/// What one scenario gave.
pub struct Measured {
    pub scenario: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub goals: &'static [&'static [Goal]],
    pub samples: BTreeMap<Contestant, Vec<f64>>,
    pub missing: BTreeMap<Contestant, String>,
    pub load: f64,
}

/// Runs scenarios; keeps the servers that are only read from.
pub struct Bench {
    pub place: Place,
    pub library: Image,
    readers: BTreeMap<(Contestant, bool), Server>,
    upstreams: BTreeMap<&'static str, (Server, String)>,
}

/// A layer that takes a while, and one that does not.
pub const LARGE: u64 = 512 * 1024 * 1024;
const SMALL: u64 = 12 * 1024;

impl Bench {
    pub fn new(place: Place) -> Self {
        Self {
            place,
            library: Image::new("latest", &[SMALL, LARGE]),
            readers: BTreeMap::new(),
            upstreams: BTreeMap::new(),
        }
    }

    /// All contestants in turn, each round beginning with another.
    pub fn measure(
        &mut self,
        scenario: &Scenario,
        contestants: &[Contestant],
        rounds: usize,
    ) -> Measured {
        let mut measured = Measured {
            scenario: scenario.name,
            title: scenario.title,
            unit: scenario.unit,
            goals: scenario.goals,
            samples: BTreeMap::new(),
            missing: BTreeMap::new(),
            load: machine::load(),
        };
        for round in 0..rounds.min(scenario.rounds) {
            for index in 0..contestants.len() {
                let contestant = contestants[(round + index) % contestants.len()];
                if measured.missing.contains_key(&contestant) {
                    continue;
                }
                match (scenario.run)(self, contestant) {
                    Ok(value) => measured.samples.entry(contestant).or_default().push(value),
                    Err(error) => {
                        measured.missing.insert(contestant, error.to_string());
                    }
                }
            }
        }
        measured
    }

    /// A server that holds the library.
    pub fn reader(&mut self, contestant: Contestant, tls: bool) -> Outcome<&Server> {
        if !self.readers.contains_key(&(contestant, tls)) {
            let server = contestant.start(&self.place, tls)?;
            if contestant == Contestant::Nginx {
                writes::lay_out(&self.library, &server.folder.join("www"))?;
            } else {
                let (target, library) = (&server.target, &self.library);
                at_once(1, |_| async move {
                    let mut connection = Connection::open(target).await?;
                    library.push(&mut connection, load::REPOSITORY).await
                })?;
            }
            self.readers.insert((contestant, tls), server);
        }
        self.readers.get(&(contestant, tls)).ok_or_else(|| "not started".into())
    }

    /// An upstream with an image of these layers, and the digest of the last.
    pub fn upstream(&mut self, name: &'static str, layers: &[u64]) -> Outcome<(&Server, String)> {
        if !self.upstreams.contains_key(name) {
            let upstream = through::upstream(self, layers)?;
            self.upstreams.insert(name, upstream);
        }
        let (server, digest) = self.upstreams.get(name).ok_or("not started")?;
        Ok((server, digest.clone()))
    }

    pub fn small_blob(&self) -> String {
        format!("{}/blobs/{}", load::REPOSITORY, self.library.blobs[1].digest)
    }

    pub fn large_blob(&self) -> String {
        format!("{}/blobs/{}", load::REPOSITORY, self.library.blobs[2].digest)
    }

    pub fn manifest(&self, reference: &str) -> String {
        format!("{}/manifests/{reference}", load::REPOSITORY)
    }
}

/// How long requests are counted.
pub const HAMMER: Duration = Duration::from_secs(3);

pub fn all() -> Vec<Scenario> {
    let mut all = reads::scenarios();
    all.extend(writes::scenarios());
    all.extend(footprint::scenarios());
    all.extend(through::scenarios());
    all
}
