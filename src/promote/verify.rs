use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Current, Error, Options, PromotedTag, Promotion};
use crate::client::{self, Client, Repository};
use crate::oci::{Digest, Manifest, Reference};

/// How many tags are looked at at once; the client limits each host besides.
const AT_ONCE: usize = 8;

/// A promotion that may be made.
pub(super) struct Verified<'a> {
    pub(super) promotion: &'a Promotion,
    pub(super) repository: Repository,
    /// What the final tag shall hold.
    pub(super) digest: Digest,
    /// The very bytes to write; none if the final tag holds them already.
    pub(super) write: Option<Manifest>,
    /// What the final tag holds now, where it is to be written.
    pub(super) previous: Option<Manifest>,
}

impl Verified<'_> {
    pub(super) fn item(&self) -> String {
        format!("{}:{}", self.promotion.repository, self.promotion.to)
    }

    pub(super) fn report(&self) -> PromotedTag {
        PromotedTag {
            repository: self.promotion.repository.clone(),
            tag: self.promotion.to.clone(),
            temporary_tag: self.promotion.from.reference.to_string(),
            digest: self.digest.clone(),
            previous: match &self.write {
                Some(_) => self.previous.as_ref().map(|manifest| manifest.digest().clone()),
                None => Some(self.digest.clone()),
            },
            changed: self.write.is_some(),
        }
    }
}

/// Looks at everything and writes nothing; every reason against it is named at once.
pub(super) async fn all<'a>(
    client: &Client,
    promotions: &'a [Promotion],
    options: Options,
) -> Result<Vec<Verified<'a>>, Error> {
    let looks = promotions.iter().map(|promotion| one(client, promotion, options));
    let looks: Vec<Result<Verified<'a>, String>> =
        stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    let (verified, reasons): (Vec<_>, Vec<_>) = looks.into_iter().partition(Result::is_ok);
    if reasons.is_empty() {
        Ok(verified.into_iter().filter_map(Result::ok).collect())
    } else {
        Err(Error::Refused(reasons.into_iter().filter_map(Result::err).collect()))
    }
}

/// The outer error is a registry that cannot be asked, the inner one a reason against it.
async fn one<'a>(
    client: &Client,
    promotion: &'a Promotion,
    options: Options,
) -> Result<Result<Verified<'a>, String>, client::Error> {
    // Asking as a writer from the start finds a wrong login before anything is written.
    let repository = client.image(&promotion.from).writable();
    let to = Reference::Tag(promotion.to.clone());
    let against =
        |reason: String| Ok(Err(format!("{}:{}: {reason}", promotion.repository, promotion.to)));

    let there = |repository, digest| {
        Ok(Ok(Verified { promotion, repository, digest, write: None, previous: None }))
    };
    if let (Some(expected), None) = (&promotion.expected, &promotion.current) {
        let held = repository.head(&to).await?;
        if held.is_some_and(|held| held.digest == *expected) {
            return there(repository, expected.clone());
        }
    }
    let manifest = match waiting(&repository, promotion).await? {
        Ok(manifest) => manifest,
        Err(reason) => return against(reason),
    };
    let previous = repository.manifest(&to).await?;
    if let Some(reason) = objection(promotion, previous.as_ref()) {
        return against(reason);
    }
    let digest = manifest.digest().clone();
    if previous.as_ref().is_some_and(|held| *held.digest() == digest) {
        return there(repository, digest);
    }
    if let (false, Some(lost)) =
        (options.allow_lost_platforms, lost_platforms(previous.as_ref(), &manifest))
    {
        return against(lost);
    }
    if let Some(reason) = missing_child(&repository, &manifest).await? {
        return against(reason);
    }
    Ok(Ok(Verified { promotion, repository, digest, write: Some(manifest), previous }))
}

/// The image to promote: what the temporary tag holds, or the recorded digest itself when the
/// temporary tag is gone already.
async fn waiting(
    repository: &Repository,
    promotion: &Promotion,
) -> Result<Result<Manifest, String>, client::Error> {
    let from = &promotion.from.reference;
    let found = repository.manifest(from).await?;
    Ok(match (found, &promotion.expected) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(expected)) if found.digest() == expected => Ok(found),
        (Some(found), Some(expected)) => Err(format!(
            "`{from}` holds {}, but {expected} was uploaded and tested; a later upload replaced it",
            found.digest()
        )),
        (None, Some(expected)) => {
            let pinned = repository.manifest(&Reference::Digest(expected.clone())).await?;
            pinned.ok_or_else(|| {
                format!(
                    "neither `{from}` nor the uploaded {expected} is there; run the upload again"
                )
            })
        }
        (None, None) => Err(format!(
            "there is no `{from}`; it was not uploaded, or promoted already (then --uploads finds it by its digest)"
        )),
    })
}

fn objection(promotion: &Promotion, previous: Option<&Manifest>) -> Option<String> {
    match (promotion.current.as_ref()?, previous) {
        (Current::Absent, None) => None,
        (Current::Absent, Some(held)) => Some(format!("it holds {} already", held.digest())),
        (Current::Digest(wanted), Some(held)) if wanted == held.digest() => None,
        (Current::Digest(wanted), Some(held)) => {
            Some(format!("it holds {}, not {wanted}", held.digest()))
        }
        (Current::Digest(wanted), None) => {
            Some(format!("it does not exist, {wanted} was demanded"))
        }
    }
}

/// A plain image has its own platform only, which its manifest does not name; only indexes compare.
fn lost_platforms(previous: Option<&Manifest>, new: &Manifest) -> Option<String> {
    let kept = new.platforms();
    let lost: Vec<String> = previous?
        .platforms()
        .iter()
        .filter(|platform| !kept.contains(platform))
        .map(ToString::to_string)
        .collect();
    (!lost.is_empty()).then(|| {
        format!("the tag would lose {} (allow it with --allow-lost-platforms)", lost.join(", "))
    })
}

async fn missing_child(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Option<String>, client::Error> {
    let heads = manifest.children().iter().map(async |child| {
        let held = repository.head(&Reference::Digest(child.digest.clone())).await?;
        Ok(held.is_none().then(|| format!("the index lists {}, which is not there", child.digest)))
    });
    let missing: Vec<Option<String>> = stream::iter(heads).buffered(AT_ONCE).try_collect().await?;
    Ok(missing.into_iter().flatten().next())
}
