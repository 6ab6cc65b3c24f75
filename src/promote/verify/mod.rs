//! Phase one: looks at everything, writes nothing, and names every reason against it at once.

mod below;
mod platforms;
mod sources;

use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

pub(super) use self::below::Below;
use self::sources::{Sources, Wanted};
use super::record::{Batch, Before};
use super::{Current, Error, Options, Promotion, history};
use crate::client::{self, Client, Repository, Sight};
use crate::oci::{self, Digest, Manifest, Reference};

/// A promotion that may be made.
pub(super) struct Verified<'a> {
    pub(super) promotion: &'a Promotion,
    /// That of the final tag.
    pub(super) repository: Repository,
    /// What the final tag shall hold.
    pub(super) digest: Digest,
    /// What is to be done; none if the final tag holds the digest already.
    pub(super) change: Option<Change>,
    /// What the final tag held before an earlier run of this very promotion wrote it.
    pub(super) earlier: Option<Before>,
}

/// A tag that is to be written.
pub(super) struct Change {
    /// The very bytes to write.
    pub(super) manifest: Manifest,
    /// What the final tag was seen to hold, and that itself.
    pub(super) seen: Sight,
    pub(super) before: Option<Manifest>,
}

/// Looks at everything. What a record says of an earlier run of this promotion is believed as the digests
/// of an upload are: it says which digest to look for.
pub(super) async fn all<'a>(
    client: &Client,
    promotions: &'a [Promotion],
    options: &Options<'_>,
    recorded: Option<&Batch>,
) -> Result<Vec<Verified<'a>>, Error> {
    let wanted =
        promotions.iter().map(|promotion| Wanted::new(client, promotion, options, recorded));
    let looks = stream::iter(wanted).map(early).buffered(options.parallel.max(1));
    let looks: Vec<Look<'a>> = looks.try_collect().await?;
    let open = || looks.iter().filter(|look| !look.is_right());
    let sources = Sources::read(open().map(|look| &look.wanted), options.parallel).await?;
    // What waits elsewhere is looked through when it is carried.
    let roots = open().filter(|look| !look.wanted.promotion.is_carried()).filter_map(|look| {
        let waiting = sources.waiting(&look.wanted).ok()?;
        Some((&look.wanted.repository, waiting))
    });
    let below = Below::read(roots, options.parallel).await?;
    // What the final tags hold comes last, so that it need not be looked at again before the writes.
    let judged = stream::iter(looks).map(|look| judge(look, &sources, &below, options));
    let judged: Vec<Result<Verified<'a>, Vec<String>>> =
        judged.buffered(options.parallel.max(1)).try_collect().await?;
    let (verified, refused): (Vec<_>, Vec<_>) = judged.into_iter().partition(Result::is_ok);
    let reasons: Vec<String> = refused.into_iter().filter_map(Result::err).flatten().collect();
    match reasons.is_empty() {
        true => Ok(verified.into_iter().filter_map(Result::ok).collect()),
        false => Err(Error::Refused(reasons)),
    }
}

/// A promotion on the way through phase one.
struct Look<'a> {
    wanted: Wanted<'a>,
    /// None if the final tag was not looked at yet.
    held: Option<Held>,
}

/// What is known of a final tag.
enum Held {
    /// It holds the digest that is wanted.
    Right(Digest),
    /// It holds this.
    Seen(Box<Seen>),
    /// It holds what is no image, or one of a kind that is not carried.
    Odd(oci::Error),
}

struct Seen {
    sight: Sight,
    manifest: Option<Manifest>,
}

impl Look<'_> {
    fn is_right(&self) -> bool {
        matches!(self.held, Some(Held::Right(_)))
    }
}

/// A tag whose digest is known beforehand is looked at first: if it is right, nothing else is asked. Where
/// that is likely HEAD tells it; else GET, which also tells what stands there now.
async fn early(wanted: Wanted<'_>) -> Result<Look<'_>, client::Error> {
    let Promotion { to, expected, current, .. } = wanted.promotion;
    let (Some(expected), None) = (expected, current) else {
        return Ok(Look { wanted, held: None });
    };
    let right = || Some(Held::Right(expected.clone()));
    let held = if wanted.recorded.as_ref() == Some(expected) {
        let held = wanted.repository.head(&Reference::Tag(to.tag.clone())).await?;
        if held.is_some_and(|held| held.digest == *expected) { right() } else { None }
    } else {
        match see(&wanted).await? {
            Held::Seen(seen) if seen.sight.held() == Some(expected) => right(),
            held => Some(held),
        }
    };
    Ok(Look { wanted, held })
}

async fn see(wanted: &Wanted<'_>) -> Result<Held, client::Error> {
    let asked = Instant::now();
    let tag = Reference::Tag(wanted.promotion.to.tag.clone());
    let manifest = match wanted.repository.manifest(&tag).await {
        Err(client::Error::Manifest { source, .. }) => return Ok(Held::Odd(source)),
        manifest => manifest?,
    };
    let digest = manifest.as_ref().map(|manifest| manifest.digest().clone());
    Ok(Held::Seen(Box::new(Seen { sight: Sight::new(digest, asked), manifest })))
}

/// The outer error is a registry that cannot be asked, the inner one the reasons against it.
async fn judge<'a>(
    look: Look<'a>,
    sources: &Sources,
    below: &Below,
    options: &Options<'_>,
) -> Result<Result<Verified<'a>, Vec<String>>, client::Error> {
    let Look { wanted, held } = look;
    let promotion = wanted.promotion;
    let verified = |digest, change| {
        let repository = wanted.repository.clone();
        Ok(Ok(Verified { promotion, repository, digest, change, earlier: None }))
    };
    let item = format!("{}:{}", promotion.repository, promotion.to.tag);
    let refused = |reasons: Vec<String>| {
        Ok(Err(reasons.into_iter().map(|reason| format!("{item}: {reason}")).collect()))
    };
    let held = match held {
        Some(held) => held,
        None => see(&wanted).await?,
    };
    let seen = match held {
        Held::Right(digest) => return verified(digest, None),
        Held::Odd(reason) => {
            return refused(vec![format!(
                "what it holds could not be put back ({reason}); if it may go, delete the tag first"
            )]);
        }
        Held::Seen(seen) => *seen,
    };
    let mut reasons = Vec::from_iter(objection(promotion.current.as_ref(), seen.sight.held()));
    let manifest = match sources.waiting(&wanted) {
        Ok(manifest) => manifest,
        Err(reason) => {
            reasons.push(reason.against(promotion, seen.sight.held()));
            return refused(reasons);
        }
    };
    let is_right = seen.sight.held() == Some(manifest.digest());
    if !is_right {
        reasons.extend(against(&wanted, &seen, manifest, below, options).await?);
    }
    if !reasons.is_empty() {
        return refused(reasons);
    }
    let Seen { sight, manifest: before } = seen;
    let change = Change { manifest: manifest.clone(), seen: sight, before };
    verified(manifest.digest().clone(), (!is_right).then_some(change))
}

/// What speaks against a change of the tag.
async fn against(
    wanted: &Wanted<'_>,
    seen: &Seen,
    after: &Manifest,
    below: &Below,
    options: &Options<'_>,
) -> Result<Vec<String>, client::Error> {
    let mut reasons = Vec::new();
    if !wanted.promotion.is_carried() {
        reasons.extend(below.objections(&wanted.repository, after));
    }
    if let (false, Some(before)) = (options.allow_lost_platforms, &seen.manifest) {
        reasons.extend(platforms::lost(wanted, below, before, after).await?);
    }
    if let (false, Some(before)) = (options.move_back, seen.sight.held()) {
        let known = options.known;
        reasons.extend(history::moves_back(known, wanted.promotion, before, after.digest()));
    }
    Ok(reasons)
}

fn objection(demanded: Option<&Current>, held: Option<&Digest>) -> Option<String> {
    match (demanded?, held) {
        (Current::Absent, None) => None,
        (Current::Absent, Some(held)) => Some(format!("it holds {held} already")),
        (Current::Digest(wanted), Some(held)) if wanted == held => None,
        (Current::Digest(wanted), Some(held)) => Some(format!("it holds {held}, not {wanted}")),
        (Current::Digest(wanted), None) => {
            Some(format!("it does not exist, {wanted} was demanded"))
        }
    }
}
