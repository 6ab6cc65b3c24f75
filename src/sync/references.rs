use super::{Error, Moved, MovedImage};
use crate::client::Client;
use crate::copy::{self, Item, Options, Progress};
use crate::oci::ImageReference;
use crate::zuul::Returned;

/// Copies one image, or with `all_tags` every tag of the source's repository.
///
/// # Errors
/// Nothing is tagged at the destination unless everything arrived whole.
pub async fn copy(
    client: &Client,
    source: &ImageReference,
    destination: &ImageReference,
    all_tags: bool,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    let items = if all_tags {
        let tags = client.image(source).tags().await?;
        let pair = |tag: crate::oci::Tag| Item {
            from: source.at(tag.clone()),
            to: destination.at(tag),
            expect: None,
        };
        tags.into_iter().map(pair).collect()
    } else {
        vec![Item { from: source.clone(), to: destination.clone(), expect: None }]
    };
    let names: Vec<String> = items.iter().map(|item| item.to.to_string()).collect();
    let outcome = copy::run(client, items, options, progress).await?;
    let images = names.into_iter().zip(outcome.images);
    Ok(Moved {
        images: images.map(|(name, outcome)| MovedImage { name, outcome }).collect(),
        totals: outcome.totals,
        zuul: Returned::default(),
    })
}
