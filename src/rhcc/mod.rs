//! Certification in Red Hat's catalog, as a state machine that goes on wherever it was killed.
//!
//! An image is pinned by its digest, pushed once under a tag of its own, judged by Red Hat's `preflight`, and
//! when the public registry serves exactly that digest the floating tags are moved to the identical bytes, the
//! least pulled first. What was done stands in a `journal`, which is on the disk before each remote write; what
//! the registries say wins over it, so every step looks first. How `preflight` is run is `preflight`'s; the
//! catalog's own API is `webapi`'s.

mod catalog;
mod certify;
mod error;
mod freshen;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image;
mod journal;
mod moves;
mod number;
mod plan;
mod poll;
mod preflight;
mod push;
mod version;

use std::time::Duration;

pub use self::error::Error;
pub use self::image::{Made, Pinned, pin};
pub use self::journal::{Floating, Journal, Member, Moved, State};
pub use self::moves::{RolledBack, RolledBackTag, rollback};
pub use self::number::Numbers;
pub use self::plan::plan;
pub use self::poll::{Talk, Tick};
pub use self::preflight::Preflight;
pub use self::version::Version;

use crate::auth::Credentials;
use crate::client::{Client, Repository};
use crate::oci::{ImageReference, Reference, Tag};
use crate::webapi::Pyxis;

/// What a certification is made with.
pub struct Certifier<'a> {
    /// Speaks to both registries, with the login of the project for the one where images are uploaded.
    pub client: &'a Client,
    /// That login, which `preflight` pulls with.
    pub login: Credentials,
    /// How `preflight` is run.
    pub preflight: Preflight,
    /// The catalog's API, where a key for it is known.
    pub pyxis: Option<Pyxis>,
    /// How long what is waited for.
    pub limits: Limits,
    /// Put floating tags back that customers cannot pull.
    pub rollback_on_timeout: bool,
    /// Ask the catalog to show the tags at the end.
    pub sync_tags: bool,
    /// Is told while it waits.
    pub talk: &'a dyn Talk,
}

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Between two looks.
    pub interval: Duration,
    /// Until the catalog has scanned what was submitted.
    pub scan: Duration,
    /// Until what was published can be pulled.
    pub visible: Duration,
    /// Between the two looks that tell whether somebody else took the number.
    pub settle: Duration,
}

/// Takes a certification from where its journal says it is to its end.
///
/// # Errors
/// The first thing that does not go well; the journal tells where it stands, and `resume` goes on there.
pub async fn certify(
    certifier: &Certifier<'_>,
    journal: &mut Journal,
) -> Result<Vec<String>, Error> {
    let places = Places::new(certifier.client, journal)?;
    if journal.state == State::RolledBack {
        journal.begin_moves_again()?;
    }
    push::unique(certifier, &places, journal).await?;
    certify::image(certifier, &places, journal).await?;
    moves::wait_unique(certifier, &places, journal).await?;
    moves::all(certifier, &places, journal).await?;
    catalog::report(certifier, journal).await
}

/// Refuses to begin a certification of what was uploaded or submitted before. With `adopt` it goes on with one
/// whose journal is lost: then the unique tag has to hold this very image.
///
/// # Errors
/// It was; or a registry or the catalog cannot be asked.
pub async fn guard(
    client: &Client,
    pyxis: Option<&Pyxis>,
    journal: &Journal,
    pinned: &Pinned,
    adopt: bool,
) -> Result<(), Error> {
    let places = Places::new(client, journal)?;
    if adopt {
        return push::adopt(&places.upload, &places.uploaded, pinned).await;
    }
    push::guard(&places.upload, &places.uploaded, pinned).await?;
    catalog::guard(pyxis, &journal.project, &pinned.members).await
}

/// Where it goes on.
struct Places {
    upload: Repository,
    public: Repository,
    unique: Tag,
    /// For messages.
    uploaded: ImageReference,
    published: ImageReference,
}

impl Places {
    fn new(client: &Client, journal: &Journal) -> Result<Self, Error> {
        let (upload, public) = (journal.upload()?, journal.public()?);
        let unique = journal.unique()?;
        Ok(Self {
            upload: client.image(&upload).writable(),
            public: client.image(&public).impatient(),
            uploaded: upload.at(unique.clone()),
            published: public.at(unique.clone()),
            unique,
        })
    }

    fn unique(&self) -> Reference {
        Reference::Tag(self.unique.clone())
    }
}
