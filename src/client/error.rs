use crate::oci::{self, Digest, Registry};
use crate::zuul::Origin;
use crate::{auth, http};

/// What went wrong with a registry. Every message says what was being done, and on what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network failed or the registry refused.
    #[error("{doing}: {source}")]
    Http {
        /// What was being done, on what.
        doing: String,
        /// What happened.
        source: http::Error,
    },
    /// The registry wants a login that is not known, or refuses the one that is.
    #[error("{doing}: {registry} wants a login: {reason}")]
    Login {
        /// What was being done, on what.
        doing: String,
        /// Whose login.
        registry: Registry,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The registry names a token server that is not asked.
    #[error("{doing}: {registry} names the token server {realm}: {reason}")]
    Realm {
        /// What was being done, on what.
        doing: String,
        /// Who names it.
        registry: Registry,
        /// What it names.
        realm: String,
        /// Why it is not asked, and what to do.
        reason: String,
    },
    /// The credentials cannot be had.
    #[error("{doing}: {source}")]
    Credentials {
        /// What was being done, on what.
        doing: String,
        /// What happened.
        source: auth::Error,
    },
    /// Content that is not what its digest or length says. Nothing of it was committed.
    #[error(
        "{doing}: wrong content: {reason}; look at it with another client, \
         and for a proxy in between that changes what passes it"
    )]
    Damaged {
        /// What was being done, on what.
        doing: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// The registry keeps what it has under this tag, as it was asked to.
    #[error("{doing}: {digest} was pushed there and stays")]
    Kept {
        /// What was being done, on what.
        doing: String,
        /// What it has.
        digest: Digest,
    },
    /// A manifest that cannot be read.
    #[error("{doing}: {source}")]
    Manifest {
        /// What was being done, on what.
        doing: String,
        /// What is wrong with it.
        source: oci::Error,
    },
    /// The registry does not take a manifest because it does not find what the manifest names.
    #[error(
        "{doing}: {source}; if everything below it was pushed, the registry's storage lags behind or has \
         lost it: run again later"
    )]
    Incomplete {
        /// What was being done, on what.
        doing: String,
        /// What it said.
        source: http::Error,
    },
    /// An answer the distribution-spec does not allow.
    #[error(
        "{doing}: {registry} does not follow the distribution-spec: {reason}; \
         check that it is a registry, and what a proxy before it changes"
    )]
    Protocol {
        /// What was being done, on what.
        doing: String,
        /// Who answered.
        registry: Registry,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The bytes to be pushed could not be had.
    #[error("{doing}: {source}")]
    Source {
        /// What was being done, on what.
        doing: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the registry says that it does not have what was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Http { source: http::Error::NotFound { .. }, .. })
    }

    /// Whether the registry answered, and the answer is that it does not do or allow this, or nothing
    /// that can be understood.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Http { source, .. } => {
                source.answer().is_some_and(|answer| (400..429).contains(&answer.status))
                    || matches!(source, http::Error::TooLarge { .. })
            }
            Self::Login { .. } | Self::Protocol { .. } => true,
            _ => false,
        }
    }

    /// Whether there was no connection to the registry, so that nothing else can be asked there either.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        use http::Error::{Connect, Resolve, Tls};
        matches!(self, Self::Http { source: Resolve { .. } | Connect { .. } | Tls { .. }, .. })
    }

    /// Whether the registry knows who asks and says no.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Http { source: http::Error::Denied { .. }, .. })
    }

    /// Whether the registry refuses an image that is another tenant's.
    #[must_use]
    pub fn is_of_another_tenant(&self) -> bool {
        let code = oci::OciErrorCode::Other(Origin::DENIED.to_owned());
        matches!(self, Self::Http { source, .. }
            if source.answer().is_some_and(|answer| answer.has_code(&code)))
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http { source, .. } => source.kind(),
            Self::Login { .. } => "unauthorized",
            Self::Realm { .. } => "realm",
            Self::Credentials { .. } => "credentials",
            Self::Damaged { .. } => "damaged",
            Self::Kept { .. } => "kept",
            Self::Manifest { .. } => "manifest",
            Self::Incomplete { .. } => "incomplete",
            Self::Protocol { .. } => "protocol",
            Self::Source { source, .. } => {
                source.downcast_ref::<Self>().map_or("source", Self::kind)
            }
        }
    }
}
