use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt};

use super::plan::{BlobJob, Place, Plan, Target, place};
use crate::client::Repository;

/// How many looks have to be spared before it pays to ask whether a repository is empty.
const WORTH_ASKING: usize = 3;

/// Spares the look for each blob of repositories that are empty.
pub(super) async fn skip_looks(plan: &mut Plan, parallel: usize) {
    let asked = stream::iter(questions(&plan.blobs, parallel))
        .map(async |(place, job, target)| is_empty(job, target).await.then_some(place))
        .buffer_unordered(parallel);
    let empty: HashSet<Place> = asked.filter_map(std::future::ready).collect().await;
    for target in plan.blobs.iter_mut().flat_map(|job| &mut job.targets) {
        target.likely_missing |= empty.contains(&place(&target.to));
    }
}

/// The repositories that may be empty. With each goes the blob that a run that broke off is the most
/// likely to have left there: of those it began at once the smallest.
fn questions(jobs: &[BlobJob], parallel: usize) -> Vec<(Place, &BlobJob, &Target)> {
    let mut looks: HashMap<Place, Vec<(&BlobJob, &Target)>> = HashMap::new();
    let mut tagged: HashSet<Place> = HashSet::new();
    for job in jobs {
        for (position, target) in job.targets.iter().enumerate() {
            let place = place(&target.to);
            let near = job.from.repository().map(Repository::registry);
            let is_mounted = position > 0 || near == Some(target.to.registry());
            if !target.fresh {
                tagged.insert(place);
            } else if !is_mounted && !target.likely_missing {
                looks.entry(place).or_default().push((job, target));
            }
        }
    }
    looks.retain(|place, looks| looks.len() >= WORTH_ASKING && !tagged.contains(place));
    let questions = looks.into_iter().filter_map(|(place, looks)| {
        let (job, target) = *looks.get(parallel.min(looks.len()).saturating_sub(1))?;
        Some((place, job, target))
    });
    questions.collect()
}

/// Blobs may be left where no tag is. Of a registry that does not say, the blobs are looked for as ever.
async fn is_empty(job: &BlobJob, target: &Target) -> bool {
    matches!(target.to.has_tags().await, Ok(false))
        && matches!(target.to.blob_size(&job.blob.digest).await, Ok(None))
}
