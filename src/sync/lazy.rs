//! `pull --lazy`: pointers instead of bytes, where both registries can do with them.

use std::iter::Peekable;

use futures_util::stream::{self, StreamExt};
use http::Method;

use super::{Error, RegistryItem};
use crate::client::{self, Client, Said};
use crate::copy::{self, Blobs, ImageOutcome, Options};
use crate::oci::{Digest, Reference, Registry, Tag};
use crate::zuul::{
    ImageWanted, Issued, Pointer, PointerUrl, Pointers, PointersTaken, PullToken, Refusal, Taken,
    TokensIssued, TokensWanted,
};

/// How many tokens are asked for in one request.
const AT_ONCE: usize = 1000;

/// How many pointers are left in one request: the buildset registry looks at every image before it
/// answers.
const POINTERS_AT_ONCE: usize = 250;

/// How long a list of pointers may get: each carries the authority's certificate, and a registry takes
/// up to 8 MiB.
const PORTION_BYTES: usize = 4 * 1024 * 1024;

/// How a registry is left pointers, and asked for tokens.
const POINTERS: &str = "zuul/v1/pointers";
const TOKENS: &str = "zuul/v1/pull-tokens";

/// What became of an image.
pub(super) enum Left {
    /// A pointer stands for it.
    Pointer(Box<ImageOutcome>),
    /// It has to be copied at once.
    Eager(String),
}

impl Left {
    /// Why it has to be copied.
    pub(super) fn reason(self) -> Option<String> {
        match self {
            Self::Pointer(_) => None,
            Self::Eager(reason) => Some(reason),
        }
    }
}

/// An image as it is at its source.
struct Found {
    digest: Digest,
    size: u64,
    token: Option<PullToken>,
    expires: Option<u64>,
    origin: Option<crate::zuul::Origin>,
}

/// One pull.
pub(super) struct Lazy<'a> {
    pub(super) client: &'a Client,
    pub(super) from: &'a Registry,
    pub(super) to: &'a Registry,
    /// PEM of the authority of `from`, where it is not one of the system's.
    pub(super) cert: Option<&'a str>,
    pub(super) options: &'a Options,
}

impl Lazy<'_> {
    /// Leaves a pointer for every item it can; the answers are in their order. No byte of a blob moves.
    pub(super) async fn leave(&self, items: &[RegistryItem]) -> Result<Vec<Left>, Error> {
        let found = self.find(items).await?;
        let mut left = Vec::new();
        let mut pointers = Vec::new();
        for (item, found) in items.iter().zip(found) {
            match found {
                Err(reason) => left.push(Left::Eager(reason)),
                Ok(found) => {
                    if let Some(expected) = item.expect.clone().filter(|it| *it != found.digest) {
                        let item = format!("{} to {}", item.from, item.to);
                        let found = found.digest;
                        return Err(copy::Error::Refused { item, expected, found }.into());
                    }
                    let pointer = self.pointer(item, found)?;
                    left.push(Left::Pointer(Box::new(outcome(item, &pointer))));
                    pointers.push(pointer);
                }
            }
        }
        if self.options.dry_run {
            return Ok(left);
        }
        let mut taken = self.register(pointers).await.into_iter();
        for place in &mut left {
            let Left::Pointer(image) = place else { continue };
            match taken.next() {
                Some(Ok(taken)) => {
                    image.changed = taken.changed && taken.pushed.is_none();
                    image.kept = taken.pushed.is_some();
                    image.digest = taken.pushed.unwrap_or_else(|| image.digest.clone());
                }
                Some(Err(reason)) => *place = Left::Eager(reason),
                None => *place = Left::Eager("the buildset registry left it out".to_owned()),
            }
        }
        Ok(left)
    }

    /// What the source has, or why it cannot be pointed at.
    async fn find(&self, items: &[RegistryItem]) -> Result<Vec<Result<Found, String>>, Error> {
        let mut found = Vec::new();
        for items in items.chunks(AT_ONCE) {
            let images = items.iter().map(wanted).collect::<Result<_, Error>>()?;
            let reader = items.first().and_then(|item| item.builds.reader.as_ref());
            let question = TokensWanted { images };
            let said = self.client.ask(self.from, Method::POST, TOKENS, &question, reader).await?;
            match said {
                Said::Answer(TokensIssued { images }) if images.len() == items.len() => {
                    for (item, issued) in items.iter().zip(images) {
                        found.push(issued_to(item, issued)?);
                    }
                }
                Said::Answer(_) => {
                    let reason = format!("{} answered for other images", self.from);
                    found.extend(items.iter().map(|_| Err(reason.clone())));
                }
                Said::No(words) => found.extend(self.look(items, &words).await),
            }
        }
        Ok(found)
    }

    /// A registry that issues no tokens, and said so in these words, is pointed at only if everybody may
    /// read it.
    async fn look(&self, items: &[RegistryItem], words: &str) -> Vec<Result<Found, String>> {
        let everybody = self.client.anonymous();
        let look = |item: &RegistryItem| {
            let repository = everybody.image(&item.from).for_build(item.builds.reader.as_ref());
            let reference = item.from.reference.clone();
            async move { open(&repository, &reference).await }
        };
        let looks: Vec<_> = items.iter().map(look).collect();
        let found: Vec<_> =
            stream::iter(looks).buffered(self.options.parallel.max(1)).collect().await;
        let reason = |why: &str| {
            format!(
                "{} issues no token for one image ({words}) and cannot be read without a login{why}",
                self.from
            )
        };
        let judge = |found: Result<Option<Found>, client::Error>| match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(reason("")),
            Err(error) => Err(reason(&format!(" ({error})"))),
        };
        found.into_iter().map(judge).collect()
    }

    fn pointer(&self, item: &RegistryItem, found: Found) -> Result<Pointer, Error> {
        let plain = self.client.is_plain(self.from);
        Ok(Pointer {
            name: item.to.repository.clone(),
            tag: tag(&item.to.reference)?,
            digest: found.digest,
            size: found.size,
            url: PointerUrl::new(self.from.clone(), item.from.repository.clone(), plain),
            token: found.token,
            expires: found.expires,
            cert: self.cert.map(str::to_owned).filter(|_| !plain),
            origin: found.origin.or_else(|| item.builds.origin.clone()),
        })
    }

    /// What the buildset registry says to each pointer, or why it has to be copied.
    async fn register(&self, pointers: Vec<Pointer>) -> Vec<Result<Taken, String>> {
        let mut taken = Vec::new();
        let mut rest = pointers.into_iter().peekable();
        while rest.peek().is_some() {
            let pointers = portion(&mut rest);
            let mut count = pointers.len();
            let question = Pointers { pointers };
            let said = self.client.ask(self.to, Method::PUT, POINTERS, &question, None).await;
            let reason = match said {
                Ok(Said::Answer(PointersTaken { pointers })) if pointers.len() == count => {
                    let judge = |it: Taken| match it.refused {
                        Some(reason) => {
                            Err(format!("{} takes no pointer to it: {reason}", self.to))
                        }
                        None => Ok(it),
                    };
                    taken.extend(pointers.into_iter().map(judge));
                    continue;
                }
                Ok(Said::Answer(_)) => format!("{} answered for other pointers", self.to),
                Ok(Said::No(words)) => format!("{} takes no pointers: {words}", self.to),
                // If it does not answer to anything, the copy says so.
                Err(error) => {
                    count += rest.by_ref().count();
                    format!("{} takes no pointers: {error}", self.to)
                }
            };
            taken.extend((0..count).map(|_| Err(reason.clone())));
        }
        taken
    }
}

/// As many pointers as fit into one request.
fn portion(rest: &mut Peekable<impl Iterator<Item = Pointer>>) -> Vec<Pointer> {
    let mut portion = Vec::new();
    let mut bytes = 0;
    while let Some(pointer) =
        rest.next_if(|_| portion.len() < POINTERS_AT_ONCE && bytes < PORTION_BYTES)
    {
        // Names and origin are short; lines of a certificate end with two characters in JSON.
        let cert = pointer.cert.as_ref().map_or(0, |cert| cert.len() + cert.lines().count());
        bytes += 4096 + cert + pointer.token.as_ref().map_or(0, |token| token.reveal().len());
        portion.push(pointer);
    }
    portion
}

fn wanted(item: &RegistryItem) -> Result<ImageWanted, Error> {
    let repository = item.from.repository.clone();
    Ok(ImageWanted { repository, tag: tag(&item.from.reference)? })
}

fn tag(reference: &Reference) -> Result<Tag, Error> {
    match reference {
        Reference::Tag(tag) => Ok(tag.clone()),
        Reference::Digest(digest) => Ok(digest.as_str().parse()?),
    }
}

fn issued_to(item: &RegistryItem, issued: Issued) -> Result<Result<Found, String>, Error> {
    let name = || format!("{} to {}", item.from, item.to);
    match issued {
        Issued::Token { digest, size, token, expires, origin } => {
            Ok(Ok(Found { digest, size, token: Some(token), expires: Some(expires), origin }))
        }
        Issued::Refused { refused: Refusal::Tenant, message } => {
            Err(Error::Refused { name: item.name.clone(), reason: message })
        }
        Issued::Refused { refused: Refusal::Absent, .. } => {
            Err(copy::Error::NotFound { item: name() }.into())
        }
        // Copying it says what is wrong, in the words of a pull.
        Issued::Refused { message, .. } => Ok(Err(format!("no token for it: {message}"))),
    }
}

/// What everybody sees of an image.
async fn open(
    repository: &client::Repository,
    reference: &Reference,
) -> Result<Option<Found>, client::Error> {
    let found = |digest, size| Found { digest, size, token: None, expires: None, origin: None };
    match repository.head(reference).await? {
        None => Ok(None),
        Some(client::ManifestHead { digest, size: Some(size), .. }) => {
            Ok(Some(found(digest, size)))
        }
        Some(client::ManifestHead { digest, .. }) => {
            let manifest = repository.manifest(&digest.into()).await?;
            Ok(manifest.map(|it| found(it.digest().clone(), it.bytes().len() as u64)))
        }
    }
}

fn outcome(item: &RegistryItem, pointer: &Pointer) -> ImageOutcome {
    ImageOutcome {
        name: item.name.clone(),
        from: item.from.clone().into(),
        to: item.to.clone(),
        digest: pointer.digest.clone(),
        platforms: Vec::new(),
        changed: true,
        kept: false,
        blobs: Blobs::default(),
        referrers: Vec::new(),
    }
}
