use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Run;
use super::batches::{BATCH, Batch};
use crate::client::{self, Client};
use crate::oci::Digest;
use crate::promoter::Error;
use crate::promoter::edges::{Edge, TAGLESS};
use crate::promoter::place::{Failed, place};
use crate::promoter::plan::Planned;

impl Run<'_> {
    /// Carries what is attached to images that are in place, where the source has anything of the kind: at
    /// one request for each image and one for each source repository.
    pub(super) async fn repair(
        &mut self,
        planned: &Planned,
        edges: Vec<Edge>,
    ) -> Result<(), Error> {
        let mut repositories: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for edge in &edges {
            repositories.entry(edge.source).or_default().insert(edge.digest);
        }
        let (client, all) = (self.client, &planned.edges);
        let parallel = self.options.copying.parallel.max(1);
        let looks = repositories.into_iter().map(async |(source, numbers)| {
            let digests = numbers.into_iter().filter_map(|it| Some((it, all.digest(it)?.into())));
            let path = all.repository(source);
            (source, path, attached(client, path, digests.collect(), parallel).await)
        });
        let mut looks = stream::iter(looks).buffer_unordered(parallel);
        let mut found: BTreeSet<(u32, u32)> = BTreeSet::new();
        while let Some((source, path, attached)) = looks.next().await {
            match attached {
                Ok(digests) => found.extend(digests.into_iter().map(|digest| (source, digest))),
                Err(error) if self.options.keep_going => {
                    self.failures.push(Failed::new(path, &error));
                }
                Err(error) => return Err(error),
            }
        }
        drop(looks);
        // Referrers hang on digests, whatever tags there are.
        let places: BTreeSet<Edge> = edges
            .into_iter()
            .filter(|edge| found.contains(&(edge.source, edge.digest)))
            .map(|edge| Edge { tag: TAGLESS, ..edge })
            .collect();
        for places in places.into_iter().collect::<Vec<_>>().chunks(BATCH) {
            let mut batch = Batch::default();
            places.iter().try_for_each(|edge| batch.push(all, *edge, false))?;
            self.batch(batch).await?;
        }
        Ok(())
    }
}

/// Which of the digests anything is attached to.
async fn attached(
    client: &Client,
    path: &str,
    digests: Vec<(u32, Digest)>,
    parallel: usize,
) -> Result<Vec<u32>, Error> {
    let (registry, name) = place(path)?;
    let repository = client.repository(&registry, &name);
    // cosign's tags and those that list referrers are named after digests.
    let tags = repository.listing().await?.unwrap_or_default().tags;
    let found: Vec<Option<u32>> = stream::iter(digests)
        .map(async |(number, digest): (u32, Digest)| {
            let name = format!("sha256-{}", digest.hex());
            let by_tag = tags.iter().any(|tag| tag.as_str().starts_with(&name));
            let has = by_tag
                || repository.listed_referrers(&digest).await?.is_some_and(|it| !it.is_empty());
            Ok::<_, client::Error>(has.then_some(number))
        })
        .buffer_unordered(parallel)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}
