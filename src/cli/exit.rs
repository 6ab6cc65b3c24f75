//! The one place where causes become exit codes.

use std::process::ExitCode;

use serde::Serialize;

use crate::registry::StartError;
use crate::{auth, client, copy, hostconfig, http, promote, storage, sync, tls, upload, zuul};

/// Why a program did not do its work.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// What kind of thing went wrong; also decides the exit code.
    pub kind: Kind,
    /// What was being done, what happened, what to do next.
    pub message: String,
    /// The image, file or host it happened to.
    pub item: Option<String>,
}

/// Kinds of failure, as the JSON document names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Wrong arguments or unreadable input files (exit 2).
    Input,
    /// A safety rule forbids it (exit 3).
    Refused,
    /// The other side does not know or does not trust us (exit 1).
    Unauthorized,
    /// Something that should be there is not (exit 1).
    NotFound,
    /// The other side could not be reached, or broke off (exit 1).
    Network,
    /// The other side answered with an error, or with something that cannot be right (exit 1).
    Registry,
    /// A local file, folder or process (exit 1).
    Io,
}

impl Failure {
    /// A failure of `kind` with its message.
    pub fn new(kind: Kind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string(), item: None }
    }

    /// Wrong arguments or input.
    pub fn input(message: impl ToString) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Something local did not work.
    #[must_use]
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::new(Kind::Io, format!("cannot {doing}: {error}"))
    }

    /// Names the item it happened to.
    #[must_use]
    pub fn on(mut self, item: impl ToString) -> Self {
        self.item = Some(item.to_string());
        self
    }

    /// 1 failed, 2 wrong arguments or input, 3 refused by a safety rule.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Input => 2,
            Kind::Refused => 3,
            Kind::Unauthorized | Kind::NotFound | Kind::Network | Kind::Registry | Kind::Io => 1,
        })
    }
}

impl From<zuul::Error> for Failure {
    fn from(error: zuul::Error) -> Self {
        let item = match &error {
            zuul::Error::Unreadable { file, .. } | zuul::Error::Document { file, .. } => {
                file.clone()
            }
            zuul::Error::Value { item, .. } => item.clone(),
        };
        Self::input(error).on(item)
    }
}

impl From<auth::Error> for Failure {
    fn from(error: auth::Error) -> Self {
        Self::input(error)
    }
}

impl From<tls::Error> for Failure {
    fn from(error: tls::Error) -> Self {
        Self::input(error)
    }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        Self::new(of_http(&error), error)
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self::new(of_client(&error), error)
    }
}

impl From<copy::Error> for Failure {
    fn from(error: copy::Error) -> Self {
        let kind = match &error {
            copy::Error::NotFound { .. } => Kind::NotFound,
            copy::Error::Unsupported { .. } => Kind::Registry,
            copy::Error::Client { source, .. } => of_client(source),
            copy::Error::Refused { .. }
            | copy::Error::Conflict { .. }
            | copy::Error::Platform { .. } => Kind::Refused,
        };
        let item = error.item().to_owned();
        Self::new(kind, error).on(item)
    }
}

fn of_client(error: &client::Error) -> Kind {
    match error {
        client::Error::Http { source, .. } => of_http(source),
        client::Error::Login { .. } | client::Error::Credentials { .. } => Kind::Unauthorized,
        client::Error::Realm { .. }
        | client::Error::Damaged { .. }
        | client::Error::Manifest { .. }
        | client::Error::Protocol { .. } => Kind::Registry,
        // What could not be sent was to come from another registry.
        client::Error::Source { source, .. } => source.downcast_ref().map_or(Kind::Io, of_client),
    }
}

fn of_http(error: &http::Error) -> Kind {
    match error {
        http::Error::Setup(_) | http::Error::Trust(_) => Kind::Input,
        http::Error::Resolve { .. }
        | http::Error::Connect { .. }
        | http::Error::Tls { .. }
        | http::Error::Timeout { .. }
        | http::Error::Broken { .. } => Kind::Network,
        http::Error::Source(_) => Kind::Io,
        http::Error::Unauthorized { .. } | http::Error::Denied { .. } => Kind::Unauthorized,
        http::Error::NotFound { .. } => Kind::NotFound,
        http::Error::Redirect { .. }
        | http::Error::TooLarge { .. }
        | http::Error::RateLimited { .. }
        | http::Error::Server { .. }
        | http::Error::Unexpected { .. } => Kind::Registry,
    }
}

impl From<sync::Error> for Failure {
    fn from(error: sync::Error) -> Self {
        match error {
            sync::Error::Input(error) => error.into(),
            sync::Error::Name(error) => Self::input(error),
            sync::Error::Client(error) => error.into(),
            sync::Error::Copy(error) => error.into(),
            sync::Error::Refused { ref name, .. } => {
                let name = name.clone();
                Self::new(Kind::Refused, error).on(name)
            }
        }
    }
}

impl From<upload::Error> for Failure {
    fn from(error: upload::Error) -> Self {
        match error {
            upload::Error::Input(error) => error.into(),
            upload::Error::UnknownSource(ref repository) => {
                let repository = repository.clone();
                Self::input(error).on(repository)
            }
            upload::Error::Copy(error) => error.into(),
        }
    }
}

impl From<promote::Error> for Failure {
    fn from(error: promote::Error) -> Self {
        match error {
            promote::Error::Refused(_) => Self::new(Kind::Refused, error),
            promote::Error::Client(error) => error.into(),
            promote::Error::Broken { ref item, .. } => {
                let item = item.clone();
                Self::new(Kind::Registry, error).on(item)
            }
        }
    }
}

impl From<hostconfig::Error> for Failure {
    fn from(error: hostconfig::Error) -> Self {
        use hostconfig::Error;
        let (kind, item) = match &error {
            Error::Host(item)
            | Error::Username(item)
            | Error::Namespace(item)
            | Error::Target(item)
            | Error::NoUser { name: item, .. } => (Kind::Input, item.clone()),
            Error::Parse { path, .. } => (Kind::Input, path.display().to_string()),
            Error::Symlink(path) => (Kind::Refused, path.display().to_string()),
            Error::Io { path, .. } => (Kind::Io, path.display().to_string()),
            Error::TrustTool { program, .. } => (Kind::Io, (*program).to_owned()),
        };
        Self::new(kind, error).on(item)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Config { .. } | StartError::Argument(_) => Kind::Input,
            StartError::Tls(tls::Error::Name { .. }) => Kind::Input,
            StartError::Refused(_) => Kind::Refused,
            StartError::Storage(
                storage::Error::InUse(_) | storage::Error::UnknownFormat { .. },
            ) => Kind::Refused,
            _ => Kind::Io,
        };
        let item = match &error {
            StartError::Config { file, .. } => Some(file.clone()),
            StartError::Storage(storage::Error::InUse(folder)) => Some(folder.clone()),
            _ => None,
        };
        let failure = Self::new(kind, error);
        match item {
            Some(item) => failure.on(item),
            None => failure,
        }
    }
}
