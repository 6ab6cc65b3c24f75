//! One word for what an error means.

use zuul_images::{client, copy, http};

pub trait Meaning {
    fn kind(&self) -> &'static str;
}

impl Meaning for copy::Error {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::Platform { .. } => "platform",
            Self::Client { source, .. } => source.kind(),
            _ => "other",
        }
    }
}

impl Meaning for client::Error {
    fn kind(&self) -> &'static str {
        match self {
            Self::Http { source, .. } => source.kind(),
            Self::Login { .. } => "unauthorized",
            Self::Realm { .. } => "realm",
            Self::Damaged { .. } => "damaged",
            Self::Protocol { .. } => "protocol",
            Self::Source { source, .. } => {
                source.downcast_ref::<Self>().map_or("source", Meaning::kind)
            }
            _ => "other",
        }
    }
}

impl Meaning for http::Error {
    fn kind(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge { .. } => "too-large",
            Self::Denied { .. } => "denied",
            Self::RateLimited { .. } => "rate-limited",
            Self::Server { .. } => "server",
            _ => "other",
        }
    }
}
