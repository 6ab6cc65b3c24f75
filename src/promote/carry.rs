use super::verify::{Below, Verified};
use super::{Error, Options};
use crate::client::Client;
use crate::copy::{self, Builds, Item, Totals};
use crate::oci::ImageReference;

/// Brings what waits in other repositories to those of the final tags, by digest: no tag is written. Nothing
/// where all waits in its own.
pub(super) async fn all(
    client: &Client,
    verified: &[Verified<'_>],
    options: &Options<'_>,
) -> Result<Option<Totals>, Error> {
    let carried = || {
        let carried = verified.iter().filter(|verified| verified.promotion.is_carried());
        carried.filter_map(|verified| Some((verified, verified.change.as_ref()?)))
    };
    let items = carried().map(|(verified, _)| item(verified, options).into());
    let items: Vec<Item> = items.collect();
    if items.is_empty() {
        return Ok(None);
    }
    let copying = copy::Options {
        parallel: options.parallel,
        dry_run: options.dry_run,
        ..copy::Options::default()
    };
    let outcome = copy::run(client, items, &copying, options.progress).await?;
    if !options.dry_run {
        // An index that was there before may have been there without what it lists.
        let roots = carried().map(|(verified, change)| (&verified.repository, &change.manifest));
        let below = Below::read(roots, options.parallel).await?;
        let reasons = carried().flat_map(|(verified, change)| {
            let reasons = below.objections(&verified.repository, &change.manifest).into_iter();
            reasons.map(|reason| format!("{}: {reason}", verified.promotion.to))
        });
        let reasons: Vec<String> = reasons.collect();
        if !reasons.is_empty() {
            return Err(Error::Refused(reasons));
        }
    }
    Ok(Some(outcome.totals))
}

fn item(verified: &Verified<'_>, options: &Options<'_>) -> Item<ImageReference> {
    let promotion = verified.promotion;
    let to = ImageReference {
        registry: promotion.to.registry.clone(),
        repository: promotion.to.repository.clone(),
        reference: verified.digest.clone().into(),
        tag: None,
    };
    Item {
        name: format!("{}:{}", promotion.repository, promotion.to.tag),
        from: promotion.from.at(verified.digest.clone()),
        to,
        expect: Some(verified.digest.clone()),
        builds: Builds { reader: options.reader.clone(), ..Builds::default() },
    }
}
