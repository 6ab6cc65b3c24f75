use super::{Error, Moved};
use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Progress};
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
    let pair = |from: ImageReference, to: ImageReference| Item {
        name: to.to_string(),
        from,
        to,
        expect: None,
        builds: Builds::default(),
    };
    let items = if all_tags {
        let tags = client.image(source).tags().await?;
        tags.into_iter().map(|tag| pair(source.at(tag.clone()), destination.at(tag))).collect()
    } else {
        vec![pair(source.clone(), destination.clone())]
    };
    let outcome = copy::run(client, items, options, progress).await?;
    Ok(Moved { outcome, zuul: Returned::default() })
}
