use std::sync::Arc;
use std::time::Duration;

use super::health::UpstreamHealth;
use crate::oci::{Digest, RepositoryName};
use crate::{client, http, storage};

/// Why no layer answers. Many may wait for one answer, so it can be told to each.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store did not do it, or does not have it and no lower layer is asked.
    #[error(transparent)]
    Storage(Arc<storage::Error>),
    /// Only who may read the repository by a login gets what the site's login fetches.
    #[error("what comes from {namespace} is only for who logs in here")]
    LoginNeeded {
        /// Whose images.
        namespace: String,
    },
    /// A lower layer was asked for a blob and does not have it, or does not give it.
    #[error("blob {digest} is not in repository {repository}: {reason}")]
    BlobAbsent {
        /// Where it was looked for.
        repository: RepositoryName,
        /// What was looked for.
        digest: Digest,
        /// What the other side said.
        reason: String,
    },
    /// A lower layer was asked for a manifest and does not have it, or does not give it.
    #[error("manifest {reference} is not in repository {repository}: {reason}")]
    ManifestAbsent {
        /// Where it was looked for.
        repository: RepositoryName,
        /// The tag or digest.
        reference: String,
        /// What the other side said.
        reason: String,
    },
    /// The other side wants to be left alone for a while.
    #[error("{place} wants to be left alone for {} s more", .wait.as_secs())]
    Resting {
        /// Who.
        place: String,
        /// For how much longer.
        wait: Duration,
    },
    /// The other side cannot be had, or sent what it should not.
    #[error("{place} did not deliver: {reason}")]
    Failed {
        /// Who.
        place: String,
        /// What happened.
        reason: String,
    },
    /// There is no room for it, and none can be made.
    #[error("the cache holds at most {limit} bytes, and they are in use")]
    Full {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is more than may be kept.
    #[error("{what} is larger than the {limit} bytes that may be kept")]
    TooLarge {
        /// What.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
}

/// What the failure of another registry means here.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It does not have it, or does not give it to us: never served from what was kept.
    Absent(String),
    /// It cannot be asked now: what was kept is better than nothing.
    Unreachable(Error),
    /// It does not do what a registry should.
    Broken(Error),
}

impl Verdict {
    pub(super) fn of(place: &str, error: &client::Error) -> Self {
        let failed = || Error::Failed { place: place.to_owned(), reason: error.to_string() };
        let source = match error {
            client::Error::Http { source, .. } => source,
            client::Error::Login { .. } => return Self::Absent(error.to_string()),
            _ => return Self::Broken(failed()),
        };
        match source {
            http::Error::NotFound { .. }
            | http::Error::Unauthorized { .. }
            | http::Error::Denied { .. } => Self::Absent(error.to_string()),
            http::Error::RateLimited { answer, .. } => {
                let wait = answer.retry_after.unwrap_or(Duration::from_secs(1));
                let wait = wait.min(UpstreamHealth::LONGEST_REST);
                Self::Unreachable(Error::Resting { place: place.to_owned(), wait })
            }
            http::Error::Resolve { .. }
            | http::Error::Connect { .. }
            | http::Error::Timeout { .. }
            | http::Error::Broken { .. }
            | http::Error::Server { .. } => Self::Unreachable(failed()),
            _ => Self::Broken(failed()),
        }
    }
}

impl Error {
    /// Too much is under way here.
    pub(super) fn busy() -> Self {
        Self::Resting { place: "this registry".to_owned(), wait: Duration::from_secs(1) }
    }

    /// The more telling one of two: that nobody answered says more than that somebody has nothing.
    pub(super) fn or(self, next: Self) -> Self {
        if next.is_absence() && !self.is_absence() { self } else { next }
    }

    /// Whether it says that a layer does not have what was asked for, so that the next may.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Storage(error) => is_absent(error),
            Self::BlobAbsent { .. } | Self::ManifestAbsent { .. } => true,
            _ => false,
        }
    }
}

/// Whether a store says that it does not have it, or only something broken in its place.
pub(super) fn is_absent(error: &storage::Error) -> bool {
    matches!(
        error,
        storage::Error::RepositoryUnknown(_)
            | storage::Error::BlobUnknown { .. }
            | storage::Error::ManifestUnknown { .. }
    )
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}
