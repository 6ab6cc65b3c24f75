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
    let (name, to) = (destination.to_string(), destination.clone());
    let item = Item { name, from: source, to, expect: None, builds: Builds::default() };
    let outcome = copy::run(client, vec![item], options, progress).await?;
    Ok(Moved { outcome, zuul: Returned::default() })
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
    let outcome = copy::run_all_tags(client, source, destination, options, progress).await?;
    Ok(Moved { outcome, zuul: Returned::default() })
}
