use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::place::Place;
use super::stores::{self, OfStore};
use crate::cli::exit::Failure;
use crate::cli::output::{self, Report};
use crate::registry::Config;
use crate::storage::{Verified, Verifying};

/// How often a line about progress is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  Look for damage; the table says which images it hits:
    buildset-registry verify --root /srv/registry

  Make room for the same images to be pushed again:
    buildset-registry verify --root /srv/registry --remove-damaged

Exit codes: 0 no damage, 1 damage found or failed, 2 wrong arguments or configuration, 3 refused (the store
is being brought into another format).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,

    /// Remove damaged blobs, links to them, manifests and tags, so that the images can be pushed again:
    /// a client that is told that a blob is there does not send it
    #[arg(long)]
    remove_damaged: bool,
}

/// What each store holds, and what of it is damaged.
#[derive(Debug, Serialize)]
pub(super) struct VerifyReport {
    stores: Vec<OfStore<Verified>>,
    seconds: f64,
}

impl Arguments {
    /// A registry that serves goes on serving.
    pub(super) fn run(self) -> Result<VerifyReport, Failure> {
        let started = Instant::now();
        let config = Config::read(&self.place.config_file())?;
        let mut stores = Vec::new();
        for store in stores::open(&config)? {
            // What was fetched is filled in as it is asked for.
            let sparse = store.name != "local" || config.sparse_images;
            let how = Verifying { sparse, remove_damaged: self.remove_damaged };
            let lines = Lines::start(&store.name);
            let verified = store.storage.verify(how, &|count| lines.add(count));
            let verified = verified.map_err(stores::failure)?;
            stores.push(store.with(verified));
        }
        Ok(VerifyReport { stores, seconds: started.elapsed().as_secs_f64() })
    }
}

impl VerifyReport {
    fn damaged(&self) -> usize {
        self.stores.iter().map(|store| store.found.damage.len()).sum()
    }
}

impl Report for VerifyReport {
    fn text(&self) -> String {
        stores::text(&self.stores, text)
    }

    fn failure(&self) -> Option<Failure> {
        let damage = || self.stores.iter().flat_map(|store| &store.found.damage);
        let first = damage().next()?;
        let next = match damage().any(|found| !found.removed) {
            true => {
                "push these images again; `verify --remove-damaged` first, so that clients send what is damaged"
            }
            false => "push these images again",
        };
        let message = format!("{} things in the store are damaged; {next}", self.damaged());
        let item = first.images.first().unwrap_or(&first.name);
        Some(Failure::failed("damaged", message).on(item))
    }
}

fn text(verified: &Verified) -> String {
    let mut text = String::new();
    if !verified.damage.is_empty() {
        let header = ["DAMAGED", "REPOSITORY", "NAME", "PROBLEM", "IMAGES"];
        text += &output::table(header, &damaged(verified));
    }
    let totals = &verified.totals;
    let _ = writeln!(
        text,
        "{} blobs ({}), {} manifests, {} tags and {} referrers in {} repositories: {}",
        totals.blobs,
        output::bytes(totals.bytes),
        totals.manifests,
        totals.tags,
        totals.referrers,
        totals.repositories,
        match verified.damage.len() {
            0 => "no damage".to_owned(),
            count => format!("{count} damaged"),
        },
    );
    if totals.sparse > 0 {
        let _ = writeln!(text, "{} manifests lack blobs, as they may here", totals.sparse);
    }
    text
}

fn damaged(verified: &Verified) -> Vec<[String; 5]> {
    let rows = verified.damage.iter().map(|found| {
        let repository = found.repository.as_ref();
        [
            found.kind.to_string(),
            repository.map(ToString::to_string).unwrap_or_default(),
            found.name.clone(),
            found.problem.clone(),
            found.images.join(", "),
        ]
    });
    rows.collect()
}

/// A line every few seconds.
struct Lines<'a> {
    store: &'a str,
    state: Mutex<(u64, Instant)>,
}

impl<'a> Lines<'a> {
    fn start(store: &'a str) -> Self {
        Self { store, state: Mutex::new((0, Instant::now())) }
    }

    fn add(&self, count: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        state.0 += count;
        if state.1.elapsed() >= LINE_EVERY {
            state.1 = Instant::now();
            tracing::info!(store = self.store, "{} hashed", output::bytes(state.0));
        }
    }
}
