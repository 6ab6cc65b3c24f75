//! Images between a buildset's registry and the site's intermediate one, and from any registry to another.
//!
//! Which images go where under which names, which artifacts tell Zuul, and which Zuul has of the changes ahead;
//! the moving itself is `copy`'s. Names and artifacts are those of the `zuul-jobs` intermediate registry roles. What refers to
//! speculative images stays where it is: every job of a buildset can attach things to its images, and
//! nobody verifies an image by them before it is published.

mod ahead;
mod lazy;
mod mirror;
mod pull;
mod push;
mod references;

use serde::Serialize;

pub use self::ahead::{Ahead, ChangeAhead};
pub use self::mirror::mirror;
pub use self::pull::{Pull, Pulled, PulledImage, pull};
pub use self::push::{Build, push};
pub use self::references::{copy, copy_all_tags};
use crate::copy::{Item, Outcome};
use crate::oci::ImageReference;
use crate::zuul::{self, ImageArtifact, Returned};
use crate::{client, copy, oci, webapi};

/// An image of a registry to be carried.
type RegistryItem = Item<ImageReference>;

/// What was moved.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// Every image in the order of the input, and the sums.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What `zuul_return` takes.
    pub zuul: Returned<ImageArtifact>,
}

/// Why nothing or not everything was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input names something that cannot be.
    #[error(transparent)]
    Input(#[from] zuul::Error),
    /// An artifact points where no artifact of ours may point.
    #[error("artifact {name}: {reason}; nothing was pulled")]
    Refused {
        /// Name of the artifact.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that the roles build does not fit the grammar.
    #[error("{0}")]
    Name(#[from] oci::Error),
    /// A build ahead takes too long.
    #[error(
        "{job} of {change} (build {build}) still runs after {waited} s, so its images are not known and nothing was \
         pulled; run the job again, let it wait longer (--wait), or name the jobs that push images (--zuul-job)"
    )]
    StillRuns {
        /// The build's id.
        build: String,
        /// Its job.
        job: String,
        /// What it is run for.
        change: String,
        /// How long it was waited for, in seconds.
        waited: u64,
    },
    /// Zuul could not be asked.
    #[error(transparent)]
    Zuul(#[from] webapi::Error),
    /// A registry could not be asked.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Moving failed.
    #[error(transparent)]
    Copy(#[from] copy::Error),
}
