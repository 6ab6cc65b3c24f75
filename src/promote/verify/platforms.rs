use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;

use super::below::Below;
use super::sources::Wanted;
use crate::client::{self, Repository};
use crate::oci::{Content, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference};

/// Indexes in indexes of which the platforms are wanted.
const MAX_INDEXES: usize = 100;

/// What is lost for those who pull the tag if `after` takes the place of an index. A single image has the
/// platform that its configuration names.
pub(super) async fn lost(
    wanted: &Wanted<'_>,
    below: &Below,
    before: &Manifest,
    after: &Manifest,
) -> Result<Option<String>, client::Error> {
    if matches!(before.content(), Content::Image(_)) {
        return Ok(None);
    }
    let had = named(&wanted.repository, below, before).await?;
    if had.is_empty() {
        return Ok(None);
    }
    let has = match after.content() {
        Content::Index(_) => named(&wanted.source, below, after).await?,
        Content::Image(image) => {
            configured(&wanted.source, &image.config).await?.into_iter().collect()
        }
    };
    let lost: Vec<String> = had.difference(&has).map(ToString::to_string).collect();
    Ok((!lost.is_empty()).then(|| {
        let lost = lost.join(", ");
        format!("the tag would lose {lost} (allow it with --allow-lost-platforms)")
    }))
}

/// The platforms that an index names, and the indexes in it. One that is gone names none.
async fn named(
    repository: &Repository,
    below: &Below,
    index: &Manifest,
) -> Result<BTreeSet<Platform>, client::Error> {
    let mut platforms = BTreeSet::new();
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut indexes = vec![index.clone()];
    while let Some(index) = indexes.pop() {
        platforms.extend(index.platforms().into_iter().map(Platform::usual));
        for child in index.children().iter().filter(|child| child.is_index()) {
            if seen.len() >= MAX_INDEXES || !seen.insert(child.digest.clone()) {
                continue;
            }
            indexes.extend(match below.index(repository, &child.digest) {
                Some(index) => Some(index.clone()),
                None => repository.manifest(&Reference::Digest(child.digest.clone())).await?,
            });
        }
    }
    Ok(platforms)
}

/// The platform that a configuration names; artifacts have none.
async fn configured(
    repository: &Repository,
    config: &Descriptor,
) -> Result<Option<Platform>, client::Error> {
    if config.size > ImageConfig::MAX_BYTES {
        return Ok(None);
    }
    let chunks: Vec<_> = repository.blob(config).try_collect().await?;
    let config = ImageConfig::parse(&chunks.concat());
    Ok(config.map(|config| config.platform.usual()))
}
