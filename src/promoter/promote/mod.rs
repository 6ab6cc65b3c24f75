//! Carries a plan out: images first by their digests, then the tags, nothing twice.

mod batches;
mod platforms;
mod referrers;

use std::collections::HashSet;
use std::time::Instant;

use serde::Serialize;

use self::batches::{Batch, batches};
use super::Error;
use super::edges::Edge;
use super::place::Failed;
use super::plan::{Copy, Planned};
use crate::client::Client;
use crate::copy::{self, Outcome, Progress, Totals};
use crate::oci::Platform;

/// How a plan is carried out.
pub struct Options<'a> {
    /// Write; without it nothing is.
    pub confirm: bool,
    /// Go on with the rest where something fails.
    pub keep_going: bool,
    /// Also look whether images that are in place lack referrers that their source has.
    pub repair: bool,
    /// Platforms that every image has to have.
    pub require_platforms: &'a [Platform],
    /// How images are moved.
    pub copying: copy::Options,
    /// Is told how it goes on.
    pub progress: &'a dyn Progress,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Promoted {
    /// Whether it was only planned.
    pub dry_run: bool,
    /// What was planned.
    #[serde(flatten)]
    pub planned: Planned,
    /// What was passed over because it failed, or because a rule forbids it.
    pub failures: Vec<Failed>,
    /// How many tags, and digests without tags, were written.
    pub written: u64,
    /// How many referrers were written.
    pub referrers_written: u64,
    /// Sums over all.
    pub totals: Totals,
    /// What ended it before all was done.
    #[serde(skip)]
    pub stopped: Option<Error>,
}

/// Carries a plan out as far as nothing speaks against it. What failed before is in `failures`. The first
/// failure ends it, unless the rest is to be done all the same; what was done until then is told all the same.
pub async fn promote(
    client: &Client,
    planned: Planned,
    failures: Vec<Failed>,
    options: &Options<'_>,
) -> Promoted {
    let before = client.statistics();
    let started = Instant::now();
    let mut run =
        Run { client, options, failures, written: 0, referrers: 0, totals: Totals::default() };
    let may_go_on = planned.is_clean() || options.keep_going;
    let stopped = if may_go_on { run.carry(&planned).await.err() } else { None };
    let Run { mut failures, written, referrers, totals, .. } = run;
    failures.sort_by(|left, right| left.item.cmp(&right.item));
    let after = client.statistics();
    let totals = Totals {
        requests: after.requests - before.requests,
        retries: after.retries - before.retries,
        seconds: started.elapsed().as_secs_f64(),
        ..totals
    };
    let dry_run = !options.confirm;
    let referrers_written = referrers;
    Promoted { dry_run, planned, failures, written, referrers_written, totals, stopped }
}

struct Run<'a> {
    client: &'a Client,
    options: &'a Options<'a>,
    failures: Vec<Failed>,
    written: u64,
    referrers: u64,
    totals: Totals,
}

impl Run<'_> {
    async fn carry(&mut self, planned: &Planned) -> Result<(), Error> {
        let left = self.leave(planned);
        let mut copies: Vec<Copy> = planned.plan.copies.clone();
        copies.retain(|copy| !left.contains(&copy.edge.source));
        self.demand_platforms(planned, &mut copies).await?;
        if !self.options.confirm {
            return Ok(());
        }
        for batch in batches(&planned.edges, &copies)? {
            self.written += self.batch(batch).await?;
        }
        if self.options.repair {
            let edges = planned.in_place().filter(|edge| !left.contains(&edge.source));
            self.repair(planned, edges.collect::<Vec<Edge>>()).await?;
        }
        Ok(())
    }

    /// The source repositories that a rule forbids to touch, when the rest goes on without them.
    fn leave(&mut self, planned: &Planned) -> HashSet<u32> {
        let objections = planned.objections();
        let left = objections.iter().map(|(edge, _)| edge.source).collect();
        self.failures.extend(
            objections
                .into_iter()
                .map(|(edge, reason)| Failed::new(planned.edges.show(edge).destination(), &reason)),
        );
        left
    }

    /// How many of its images were written, as far as that is known.
    async fn batch(&mut self, batch: Batch) -> Result<u64, Error> {
        match self.run(batch.items()).await {
            Ok(written) => Ok(written),
            Err(error) if !self.options.keep_going => Err(error),
            // What of it is to blame shows one by one.
            Err(_) => {
                let mut written = 0;
                for (path, items) in batch.apart() {
                    // Some of them were written before the other failed, and are in place now.
                    let all = items.len() as u64;
                    match self.run(items).await {
                        Ok(_) => written += all,
                        Err(error) => self.failures.push(Failed::new(path, &error)),
                    }
                }
                Ok(written)
            }
        }
    }

    async fn run(&mut self, items: Vec<copy::Item>) -> Result<u64, Error> {
        let options = &self.options.copying;
        let outcome = copy::run(self.client, items, options, self.options.progress).await?;
        self.count(&outcome);
        Ok(outcome.images.iter().filter(|image| image.changed).count() as u64)
    }

    fn count(&mut self, outcome: &Outcome) {
        let Outcome { images, totals, .. } = outcome;
        // Images under several tags tell of the same referrers.
        let referrers: HashSet<(String, &str)> = images
            .iter()
            .flat_map(|image| {
                let place = format!("{}/{}", image.to.registry, image.to.repository);
                let new = image.referrers.iter().filter(|referrer| referrer.changed);
                new.map(move |referrer| (place.clone(), referrer.reference.as_str()))
            })
            .collect();
        self.referrers += referrers.len() as u64;
        let sum = &mut self.totals;
        sum.blobs_moved += totals.blobs_moved;
        sum.blobs_mounted += totals.blobs_mounted;
        sum.blobs_present += totals.blobs_present;
        sum.bytes_moved += totals.bytes_moved;
        sum.bytes_mounted += totals.bytes_mounted;
        sum.bytes_present += totals.bytes_present;
        sum.manifests_written += totals.manifests_written;
    }
}
