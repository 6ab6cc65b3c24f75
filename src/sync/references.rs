use super::{Error, Moved};
use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Progress, Source};
use crate::oci::ImageReference;
use crate::zuul::Returned;

/// Copies one image.
///
/// # Errors
/// Nothing is tagged at the destination unless everything arrived whole.
pub async fn copy(
    client: &Client,
    source: Source,
    destination: &ImageReference,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    carry(client, vec![pair(source, destination.clone())], options, progress).await
}

/// Copies every tag of the source's repository.
///
/// # Errors
/// Nothing is tagged at the destination unless everything arrived whole.
pub async fn copy_all_tags(
    client: &Client,
    source: &ImageReference,
    destination: &ImageReference,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    let tags = client.image(source).tags().await?.into_iter();
    let items = tags.map(|tag| pair(source.at(tag.clone()).into(), destination.at(tag)));
    carry(client, items.collect(), options, progress).await
}

fn pair(from: Source, to: ImageReference) -> Item {
    Item { name: to.to_string(), from, to, expect: None, builds: Builds::default() }
}

async fn carry(
    client: &Client,
    items: Vec<Item>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    let outcome = copy::run(client, items, options, progress).await?;
    Ok(Moved { outcome, zuul: Returned::default() })
}
