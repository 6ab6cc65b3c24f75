use std::error::Error as StdError;
use std::time::Duration;

use super::{Answer, Forbidden, Unreachable};
use crate::tls;

/// What went wrong on the network, by meaning. Every message names the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings that do not fit together.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    /// Certificates that cannot be used.
    #[error(transparent)]
    Trust(#[from] tls::Error),
    /// The name has no address, or nobody who knows could be asked.
    #[error("the name of {host} cannot be resolved: {reason}; check the name and /etc/resolv.conf")]
    Resolve {
        /// `HOST:PORT`.
        host: String,
        /// Why.
        reason: String,
        /// Whether it was said that there is none.
        absent: bool,
    },
    /// An answer named a place where nothing is connected to.
    #[error("no connection to {host}, which an answer named: {reason}")]
    OutOfReach {
        /// `HOST:PORT`.
        host: String,
        /// Why.
        reason: Forbidden,
    },
    /// No connection.
    #[error("no connection to {host}: {reason}; check that it runs and can be reached from here")]
    Connect {
        /// `HOST:PORT`.
        host: String,
        /// Why.
        reason: String,
    },
    /// The other side is not believed to be who it should be, or does not speak TLS.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// `HOST:PORT`.
        host: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The other side was silent for too long.
    #[error(
        "{host} {what} for {} s; it may be overloaded, or something in between keeps its packets \
         (--idle-timeout)", .limit.as_secs_f32()
    )]
    Timeout {
        /// `HOST:PORT`.
        host: String,
        /// What it did not do.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection broke.
    #[error(
        "the connection to {host} broke: {reason}; its log, or that of a proxy in between, may say more"
    )]
    Broken {
        /// `HOST:PORT`.
        host: String,
        /// Why.
        reason: String,
    },
    /// What came was no HTTP.
    #[error("{host} does not answer in HTTP: {reason}; {advice}")]
    Garbled {
        /// `HOST:PORT`.
        host: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The bytes that were to be sent could not be had.
    #[error("{0}")]
    Source(#[source] Box<dyn StdError + Send + Sync>),
    /// A redirect that is not followed.
    #[error("{host} redirects to {target}: {reason}")]
    Redirect {
        /// `HOST:PORT`.
        host: String,
        /// Where to; without its query, which may hold a signature.
        target: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// An answer larger than anything sensible.
    #[error("the answer of {host} is longer than {limit} bytes; check that it is a registry")]
    TooLarge {
        /// `HOST:PORT`.
        host: String,
        /// How much would have been read.
        limit: usize,
    },
    /// 401: nobody, or the wrong user.
    #[error(
        "{host} answered {answer}; check the login for this registry (--authfile, --credentials)"
    )]
    Unauthorized {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// 403: the user may not.
    #[error("{host} answered {answer}; this login may not do that")]
    Denied {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// 404: it is not there.
    #[error("{host} answered {answer}")]
    NotFound {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// 429: too many requests.
    #[error("{host} answered {answer}{}; try again later, or log in for a higher limit", wait(.answer))]
    RateLimited {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// 408, 425 and 5xx: the server failed.
    #[error("{host} answered {answer}{}; its own log may say more", wait(.answer))]
    Server {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// Any other status.
    #[error("{host} answered {answer}")]
    Unexpected {
        /// `HOST:PORT`.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
}

fn wait(answer: &Answer) -> String {
    answer
        .retry_after
        .map(|wait| format!(", to be asked again in {} s", wait.as_secs()))
        .unwrap_or_default()
}

impl Error {
    /// The error an answer stands for.
    pub(super) fn from_answer(host: String, answer: Answer) -> Self {
        let status = answer.status;
        let answer = Box::new(answer);
        match status {
            401 => Self::Unauthorized { host, answer },
            403 => Self::Denied { host, answer },
            404 => Self::NotFound { host, answer },
            429 => Self::RateLimited { host, answer },
            408 | 425 | 500..=599 => Self::Server { host, answer },
            _ => Self::Unexpected { host, answer },
        }
    }

    /// What the server said, if it said anything.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Unauthorized { answer, .. }
            | Self::Denied { answer, .. }
            | Self::NotFound { answer, .. }
            | Self::RateLimited { answer, .. }
            | Self::Server { answer, .. }
            | Self::Unexpected { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { absent, .. } => !absent,
            Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::RateLimited { .. } => true,
            Self::Server { answer, .. } => is_transient_status(answer.status),
            _ => false,
        }
    }

    /// Whether the request may have been carried out although it failed here.
    #[must_use]
    pub fn may_be_done(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. } | Self::Broken { .. } | Self::Garbled { .. } | Self::Server { .. }
        )
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Setup(_) | Self::Trust(_) => "setup",
            Self::OutOfReach { .. } => "out-of-reach",
            Self::Resolve { .. } | Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Broken { .. } | Self::Garbled { .. } => "broken",
            Self::Source(_) => "source",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge { .. } => "too-large",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Denied { .. } => "denied",
            Self::NotFound { .. } => "not-found",
            Self::RateLimited { .. } => "rate-limited",
            Self::Server { .. } => "server",
            Self::Unexpected { .. } => "unexpected",
        }
    }

    /// What reqwest's error means.
    pub(super) fn from_reqwest(
        host: &str,
        plain: bool,
        error: &reqwest::Error,
        limit: Duration,
    ) -> Self {
        let host = host.to_owned();
        if let Some(tls) = chain(error).find_map(tls_cause) {
            let reason = tls::explain(tls, &host);
            return Self::Tls { host, reason };
        }
        if let Some(error) = chain(error).find_map(|error| error.downcast_ref()) {
            return Self::unreachable(host, error);
        }
        let reason = deepest(error);
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => Self::Timeout { host, what: "did not accept a connection", limit },
            (false, true) => Self::Connect { host, reason },
            _ if reason.starts_with(NO_HTTP) => {
                let advice = match plain {
                    true => format!("if it speaks TLS, leave --plain-http {host} away"),
                    false => "check that it is a registry".to_owned(),
                };
                Self::Garbled { host, reason, advice }
            }
            _ => Self::Broken { host, reason },
        }
    }

    fn unreachable(host: String, error: &Unreachable) -> Self {
        match error {
            Unreachable::Forbidden(reason) => Self::OutOfReach { host, reason: *reason },
            Unreachable::Unknown { reason, .. } => {
                Self::Resolve { host, reason: reason.clone(), absent: true }
            }
            Unreachable::Unanswered { reason, .. } => {
                Self::Resolve { host, reason: reason.clone(), absent: false }
            }
        }
    }
}

/// What hyper calls the answer of something that speaks another protocol.
const NO_HTTP: &str = "invalid HTTP version parsed";

/// 408, 429 and what servers and gateways say when they are overloaded or restarting.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// rustls hides its errors inside one `io::Error` or more, which do not name them as their source.
fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref().or_else(|| {
        let io: &std::io::Error = error.downcast_ref()?;
        tls_cause(io.get_ref()?)
    })
}

/// The cause without what it is wrapped in, which names URLs: their queries may hold signatures.
fn deepest(error: &reqwest::Error) -> String {
    let causes = chain(error).skip(1).filter(|cause| !cause.is::<reqwest::Error>());
    causes.last().map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
}
