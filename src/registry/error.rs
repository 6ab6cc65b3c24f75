use std::io;

use crate::oci::Digest;
use crate::{layers, oci, pointers, proxy, storage, zuul};

/// Why a request does not get what it asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is none of the specification's.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// The upload in the path cannot exist.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// A name, tag, digest or manifest breaks its grammar.
    #[error(transparent)]
    Invalid(oci::Error),
    /// HTTP/1.1 without exactly one host (RFC 9112, section 3.2).
    #[error("a request needs one header `Host`")]
    Host,
    /// CONNECT without the login of a user.
    #[error("the proxy needs the login of a user of this registry")]
    ProxyLogin,
    /// CONNECT where no forward proxy is configured.
    #[error("this registry is no forward proxy: its configuration has no section `forward_proxy`")]
    NoProxy,
    /// What is named in a tunnel is not what CONNECT named.
    #[error("this tunnel leads to {target}, and to nothing else")]
    Misdirected {
        /// Where to.
        target: String,
    },
    /// It does not go through the proxy.
    #[error(transparent)]
    Proxy(#[from] proxy::Error),
    /// The path names one registry, `ns` another.
    #[error("`{name}` and ns={namespace} name different registries")]
    NamespaceConflict {
        /// The name in the path.
        name: String,
        /// The registry in `ns`.
        namespace: String,
    },
    /// The method means nothing here.
    #[error("this path takes only {allowed}")]
    Method {
        /// The methods that do.
        allowed: &'static str,
    },
    /// Nobody we know asks, or with a token for something else.
    #[error("{reason}")]
    Unauthorized {
        /// What is missing.
        reason: &'static str,
        /// Where to get a token, as the value of `WWW-Authenticate`.
        challenge: String,
    },
    /// Too many logins are being looked at.
    #[error("too many logins at once, try again")]
    LoginsBusy,
    /// We know who asks, and it is not allowed.
    #[error("user {user} may not {what}")]
    Denied {
        /// Who asks.
        user: String,
        /// What for.
        what: String,
    },
    /// The header `Zuul-Origin` cannot be read.
    #[error("Zuul-Origin: {0}")]
    Origin(#[source] zuul::Error),
    /// The image belongs to another tenant than the one it is pulled for.
    #[error("the image was pushed by another tenant's build than {asking}'s")]
    Tenant {
        /// Who wants it.
        asking: String,
    },
    /// The image belongs to a tenant, and this server gives it to nobody who names none.
    #[error("the image belongs to a tenant, and this pull names none (header Zuul-Origin)")]
    NoTenant,
    /// A token for one image was shown for something else.
    #[error("the token is for the image {image}, and {wanted} is no part of it")]
    OutsideImage {
        /// What it is for.
        image: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// Pointers are not kept.
    #[error(transparent)]
    Pointers(#[from] pointers::Error),
    /// A document of ours cannot be read.
    #[error("the body is not the document expected here: {0}")]
    Document(String),
    /// There are more of something than are taken.
    #[error("no more than {limit} {what} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: usize,
    },
    /// An upload cannot end without a digest.
    #[error("the parameter `digest` is missing")]
    DigestMissing,
    /// A parameter cannot be read.
    #[error("the parameter `{name}` is not {expected}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// `Content-Range` cannot be read or is not as long as the body.
    #[error("Content-Range: {0}")]
    ContentRange(&'static str),
    /// A chunk does not follow the bytes already there.
    #[error("the upload is at byte {offset}, the chunk starts elsewhere")]
    WrongOffset {
        /// How many bytes are there.
        offset: u64,
        /// Where the upload goes on.
        location: String,
    },
    /// The body is larger than such a body may be.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// How large it may be.
        limit: usize,
    },
    /// The blob is larger than a blob may be.
    #[error("the blob is larger than the {limit} bytes that are allowed")]
    BlobTooLarge {
        /// How large it may be.
        limit: u64,
    },
    /// The body stopped coming.
    #[error("the request broke off: {0}")]
    Body(#[source] io::Error),
    /// A token was asked for in a way this server does not know.
    #[error("grant type `{0}` is not offered, only `password`")]
    GrantType(String),
    /// The store can be used by nobody.
    #[error("{0}")]
    Unusable(&'static str),
    /// The store did not do it.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// No layer answers.
    #[error(transparent)]
    Layers(#[from] layers::Error),
}

impl Error {
    /// A document that cannot be read. Its text is not shown: it may hold a token.
    pub(super) fn document(error: serde_json::Error) -> Self {
        let place = format!("line {} column {}", error.line(), error.column());
        let category = match error.classify() {
            serde_json::error::Category::Data => "a field is missing, unknown or not allowed",
            _ => "that is not JSON",
        };
        Self::Document(format!("{category} ({place})"))
    }

    /// What the store said, if it was the store.
    pub(super) fn stored(&self) -> Option<&storage::Error> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Layers(layers::Error::Storage(error)) => Some(error),
            _ => None,
        }
    }
}

impl Error {
    /// The same for somebody with a browser, which asks for a login only where `Basic` is offered.
    pub(super) fn asking_a_person(self) -> Self {
        match self {
            Self::Unauthorized { reason, .. } => {
                let challenge = "Basic realm=\"registry\", charset=\"UTF-8\"".to_owned();
                Self::Unauthorized { reason, challenge }
            }
            error => error,
        }
    }

    /// Whether the client went while it was still sending.
    pub(super) fn is_broken_off(&self) -> bool {
        match self {
            Self::Body(error) | Self::Storage(storage::Error::BrokenOff(error)) => {
                !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::FileTooLarge)
            }
            _ => false,
        }
    }
}
