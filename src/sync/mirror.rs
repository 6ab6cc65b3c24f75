use super::{Error, Moved};
use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Progress};
use crate::zuul::{MirrorList, Returned};

/// Copies every image of a list from its registry to another.
///
/// # Errors
/// Nothing is tagged at any destination unless everything arrived whole.
pub async fn mirror(
    client: &Client,
    images: &MirrorList,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    let items = images.iter().map(|image| Item {
        name: image.to.to_string(),
        from: image.from.clone().into(),
        to: image.to.clone(),
        expect: None,
        builds: Builds::default(),
    });
    let outcome = copy::run(client, items.collect(), options, progress).await?;
    Ok(Moved { outcome, zuul: Returned::default() })
}
