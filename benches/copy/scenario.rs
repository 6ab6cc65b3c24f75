//! What is measured, with whom, and which targets it has.

use super::programs::Program::{self, Crane, Curl, Ours, Regctl, Regsync, SkopeoCopy, SkopeoSync};
use super::sets::SetName;
use super::site::Site;

/// Some rows of the table.
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub case: Case,
    pub set: SetName,
    /// In several lists.
    pub contestants: &'static [&'static [Contestant]],
    pub goals: &'static [Goal],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The destination is empty, and new each time.
    Cold,
    /// The destination has everything.
    Unchanged,
    /// The destination has everything under temporary tags, and older images under the final ones.
    Retag,
}

/// A program between two registries of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contestant {
    pub site: Site,
    pub program: Program,
}

/// A target for one of ours.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So many times faster than the fastest of these.
    Faster(Contestant, f64, &'static [Contestant]),
    /// At most so many times as long as another.
    Within(Contestant, f64, Contestant),
    /// So many seconds of processor for the client.
    Processor(Contestant, f64),
    /// So many requests at both sides.
    Requests(Contestant, usize),
    /// Less than so many MiB for the client, wherever it runs.
    Memory(f64),
}

const fn on(site: Site, program: Program) -> Contestant {
    Contestant { site, program }
}

const fn debian(program: Program) -> Contestant {
    on(Site::Distribution, program)
}

const OURS: Contestant = debian(Ours);
/// Ours from ours to ours.
const HOME: Contestant = on(Site::Ours, Ours);
const CURL: Contestant = debian(Curl);
/// Whom targets compare with. regsync is shown beside them: over a list it asks as little as ours.
const PEERS: &[Contestant] =
    &[debian(SkopeoCopy), debian(SkopeoSync), debian(Crane), debian(Regctl)];

const BOTH: &[Contestant] = &[
    OURS,
    debian(SkopeoCopy),
    debian(SkopeoSync),
    debian(Crane),
    debian(Regctl),
    debian(Regsync),
    HOME,
    on(Site::Ours, SkopeoSync),
    on(Site::Ours, Crane),
    on(Site::Ours, Regsync),
    on(Site::OursCommit, Ours),
    on(Site::OursSecured, Ours),
    on(Site::OursSecured, Crane),
];
const RETAG: &[Contestant] = &[
    OURS,
    debian(SkopeoCopy),
    debian(Crane),
    debian(Regctl),
    HOME,
    on(Site::Ours, SkopeoCopy),
    on(Site::Ours, Crane),
    on(Site::Ours, Regctl),
    on(Site::OursCommit, Ours),
    on(Site::OursSecured, Ours),
];

const MEMORY: Goal = Goal::Memory(64.0);
const TWICE_AT_HOME: Goal = Goal::Faster(HOME, 2.0, PEERS);

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "cold-512m",
        title: "one layer of 512 MiB",
        case: Case::Cold,
        set: SetName::Large,
        // curl: what an upload costs at least.
        contestants: &[&[CURL], BOTH],
        goals: &[Goal::Within(OURS, 1.1, CURL), Goal::Processor(OURS, 0.6), TWICE_AT_HOME, MEMORY],
    },
    Scenario {
        name: "cold-40x8m",
        title: "40 layers of 8 MiB",
        case: Case::Cold,
        set: SetName::Forty,
        contestants: &[BOTH],
        goals: &[Goal::Faster(OURS, 1.5, PEERS), TWICE_AT_HOME, MEMORY],
    },
    Scenario {
        name: "cold-30-shared",
        title: "30 images that share 4 × 32 MiB, 2 × 2 MiB of their own",
        case: Case::Cold,
        set: SetName::Shared,
        contestants: &[BOTH],
        goals: &[Goal::Faster(OURS, 1.5, PEERS), TWICE_AT_HOME, MEMORY],
    },
    Scenario {
        name: "cold-300",
        title: "300 images of one layer of 10 KiB",
        case: Case::Cold,
        set: SetName::Many,
        contestants: &[BOTH],
        goals: &[
            Goal::Faster(OURS, 2.5, PEERS),
            Goal::Requests(OURS, 2700),
            Goal::Faster(HOME, 10.0, PEERS),
            MEMORY,
        ],
    },
    Scenario {
        name: "cold-index",
        title: "an index of 4 platforms, 2 × 8 MiB each",
        case: Case::Cold,
        set: SetName::Platforms,
        contestants: &[BOTH],
        goals: &[TWICE_AT_HOME, MEMORY],
    },
    Scenario {
        name: "unchanged-300",
        title: "nothing to do for the 300",
        case: Case::Unchanged,
        set: SetName::Many,
        contestants: &[BOTH],
        goals: &[Goal::Faster(OURS, 3.0, PEERS), MEMORY],
    },
    Scenario {
        name: "unchanged-30",
        title: "nothing to do for the 30",
        case: Case::Unchanged,
        set: SetName::Shared,
        contestants: &[BOTH],
        goals: &[Goal::Faster(OURS, 3.0, PEERS), MEMORY],
    },
    Scenario {
        name: "retag-300",
        title: "300 tags moved to what waits under temporary ones",
        case: Case::Retag,
        set: SetName::Many,
        contestants: &[RETAG],
        goals: &[
            Goal::Requests(OURS, 900),
            Goal::Faster(OURS, 10.0, &[debian(SkopeoCopy)]),
            Goal::Faster(HOME, 20.0, &[on(Site::Ours, SkopeoCopy)]),
            MEMORY,
        ],
    },
];
