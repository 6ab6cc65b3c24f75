//! Web APIs beside the distribution-spec: what Zuul built; the tags of Docker Hub and Quay;
//! images of Red Hat's catalog.
//!
//! Each knows its own paths and documents and nothing of the others; connections, retries and rate limits are
//! `http`'s. Answers are bounded, and nothing in them says where the next request goes.

mod api;
mod hub;
mod pyxis;
mod quay;
mod tags;
mod zuul;

pub use self::api::ApiUrl;
pub use self::hub::Hub;
pub use self::pyxis::{Pyxis, PyxisImage, PyxisRequest};
pub use self::quay::Quay;
pub use self::tags::{ApiTag, TagApi, Told};
pub use self::zuul::{Build, BuildFilter, BuildQuery, BuildRef, Zuul};

use crate::http;

/// What went wrong with a web API. Every message says what was being done, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not one of a web API.
    #[error("{url} is no URL of a web API: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The API's token cannot be sent.
    #[error("the token of the web API (`api_token`) cannot stand in a header")]
    Token,
    /// The network failed or the API refused.
    #[error("{doing}: {source}")]
    Http {
        /// What was being done, on what.
        doing: String,
        /// What happened.
        source: http::Error,
    },
    /// The answer is not what this API answers.
    #[error("{doing}: {host} does not answer as this API does: {reason}; check its URL")]
    Answer {
        /// What was being done, on what.
        doing: String,
        /// Who answered.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether the API tells it only to who logs in.
    #[must_use]
    pub fn wants_login(&self) -> bool {
        use http::Error::{Denied, Unauthorized};
        matches!(self, Self::Http { source: Unauthorized { .. } | Denied { .. }, .. })
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Token => "input",
            Self::Http { source, .. } => source.kind(),
            Self::Answer { .. } => "protocol",
        }
    }
}
