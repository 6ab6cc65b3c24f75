//! The one place where causes become exit codes.

use std::process::ExitCode;

use serde::Serialize;

use crate::registry::StartError;
use crate::{
    auth, client, copy, hostconfig, http, index, layout, promote, promoter, removal, rhcc, storage,
    sweep, sync, tls, upload, webapi, zuul,
};

/// Why a program did not do its work.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    #[serde(skip)]
    exit: Exit,
    /// One word for what went wrong; `docs/json.md` lists them.
    pub kind: &'static str,
    /// What was being done, what happened, what to do next.
    pub message: String,
    /// The image, file or host it happened to.
    pub item: Option<String>,
}

/// How a program ends that did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Network, I/O, or the other side.
    Failed = 1,
    /// Wrong arguments or unreadable input files.
    Input = 2,
    /// A safety rule forbids it.
    Refused = 3,
}

impl Failure {
    /// Something failed on the way; `kind` is one word for it.
    pub fn failed(kind: &'static str, message: impl ToString) -> Self {
        Self { exit: Exit::Failed, kind, message: message.to_string(), item: None }
    }

    /// Wrong arguments or input.
    pub fn input(message: impl ToString) -> Self {
        Self { exit: Exit::Input, ..Self::failed("input", message) }
    }

    /// A safety rule said no.
    pub fn refused(message: impl ToString) -> Self {
        Self { exit: Exit::Refused, ..Self::failed("refused", message) }
    }

    /// Something local did not work.
    #[must_use]
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self::failed("io", format!("cannot {doing}: {error}"))
    }

    /// Names the item it happened to.
    #[must_use]
    pub fn on(mut self, item: impl ToString) -> Self {
        self.item = Some(item.to_string());
        self
    }

    /// Says that so many images were written before, so that it is no refusal any more.
    #[must_use]
    pub fn after_writing(self, written: u64) -> Self {
        let kind = if self.exit == Exit::Refused { "partial" } else { self.kind };
        let message = format!("{}; {written} images were written before", self.message);
        Self { exit: Exit::Failed, kind, message, ..self }
    }

    /// Whether the arguments or input files were wrong: then there is no document.
    #[must_use]
    pub fn is_input(&self) -> bool {
        self.exit == Exit::Input
    }

    /// 1 failed, 2 wrong arguments or input, 3 refused by a safety rule.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
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
        match error {
            http::Error::Setup(_) | http::Error::Trust(_) => Self::input(error),
            _ => Self::failed(error.kind(), error),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self::failed(error.kind(), error)
    }
}

impl From<layout::Error> for Failure {
    fn from(error: layout::Error) -> Self {
        match error.is_input() {
            true => Self::input(error),
            false => Self::failed(error.kind(), error),
        }
    }
}

impl From<copy::Error> for Failure {
    fn from(error: copy::Error) -> Self {
        let item = error.item().to_owned();
        let failure = if error.is_refusal() {
            Self::refused(error)
        } else {
            Self::failed(error.kind(), error)
        };
        failure.on(item)
    }
}

impl From<sync::Error> for Failure {
    fn from(error: sync::Error) -> Self {
        match error {
            sync::Error::Input(error) => error.into(),
            sync::Error::Name(error) => Self::input(error),
            sync::Error::Client(error) => error.into(),
            sync::Error::Zuul(error) => error.into(),
            sync::Error::StillRuns { ref change, .. } => {
                let change = change.clone();
                Self::failed("timeout", error).on(change)
            }
            sync::Error::Copy(error) => error.into(),
            sync::Error::Refused { ref name, .. } => {
                let name = name.clone();
                Self::refused(error).on(name)
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
            upload::Error::OneForAll(ref repository) => {
                let repository = repository.clone();
                Self::input(error).on(repository)
            }
            upload::Error::Layout { item, source } => Self::from(source).on(item),
            upload::Error::Copy(error) => error.into(),
        }
    }
}

impl From<index::Error> for Failure {
    fn from(error: index::Error) -> Self {
        if error.is_input() {
            Self::input(error)
        } else if error.is_refusal() {
            Self::refused(error)
        } else {
            Self::failed(error.kind(), error)
        }
    }
}

impl From<rhcc::Error> for Failure {
    fn from(error: rhcc::Error) -> Self {
        match error {
            rhcc::Error::Input(_) => Self::input(error),
            rhcc::Error::Refused(_) => Self::refused(error),
            rhcc::Error::Api(error) => error.into(),
            _ => Self::failed(error.kind(), error),
        }
    }
}

impl From<promote::Error> for Failure {
    fn from(error: promote::Error) -> Self {
        match error {
            promote::Error::Refused(_) => Self::refused(error),
            promote::Error::Input(error) => error.into(),
            promote::Error::Client(error) => error.into(),
            promote::Error::Zuul(error) => error.into(),
            promote::Error::NoBuild { .. } => Self::failed("not-found", error),
            promote::Error::Removal(error) => error.into(),
            promote::Error::Copy(error) => error.into(),
            promote::Error::Interrupted => Self::failed("interrupted", error),
            promote::Error::Broken { ref item, .. } => {
                let item = item.clone();
                Self::failed("undone", error).on(item)
            }
            promote::Error::Unsettled { ref file, .. } => {
                let file = file.clone();
                Self::failed("undone", error).on(file)
            }
            promote::Error::Record(error) => error.into(),
        }
    }
}

impl From<promoter::Error> for Failure {
    fn from(error: promoter::Error) -> Self {
        use promoter::Error;
        match error {
            Error::Unreadable { ref path, .. } | Error::Invalid { ref path, .. } => {
                let path = path.display().to_string();
                Self::input(error).on(path)
            }
            Error::Unwritable { ref path, .. } => {
                let path = path.display().to_string();
                Self::failed("io", error).on(path)
            }
            Error::Argument(_) | Error::Git { .. } => Self::input(error),
            Error::Refused(_) => Self::refused(error),
            Error::Client(error) => Self::from(*error),
            Error::Copy(error) => error.into(),
        }
    }
}

impl From<webapi::Error> for Failure {
    fn from(error: webapi::Error) -> Self {
        match error {
            webapi::Error::Url { .. } | webapi::Error::Token => Self::input(error),
            _ => Self::failed(error.kind(), error),
        }
    }
}

impl From<removal::Error> for Failure {
    fn from(error: removal::Error) -> Self {
        match error {
            removal::Error::Client(error) => error.into(),
            removal::Error::Api(error) => error.into(),
            removal::Error::NoUrl(ref registry) => {
                let registry = registry.clone();
                Self::input(error).on(registry)
            }
            removal::Error::Elsewhere { ref registry, .. } => {
                let registry = registry.clone();
                Self::refused(error).on(registry)
            }
        }
    }
}

impl From<sweep::StateError> for Failure {
    fn from(error: sweep::StateError) -> Self {
        Self::input(error)
    }
}

impl From<promote::RecordError> for Failure {
    fn from(error: promote::RecordError) -> Self {
        use promote::Doing;
        use promote::RecordError::{Finished, InUse, Invalid, Io};
        let (Io { file, .. } | Invalid { file, .. } | InUse(file) | Finished(file)) = &error;
        let file = file.clone();
        let failure = match error {
            Io { doing: Doing::Write, .. } => Self::failed("io", error),
            Io { .. } | Invalid { .. } => Self::input(error),
            InUse(_) | Finished(_) => Self::refused(error),
        };
        failure.on(file)
    }
}

impl From<hostconfig::Error> for Failure {
    fn from(error: hostconfig::Error) -> Self {
        use hostconfig::Error;
        let item = match &error {
            Error::Host(item)
            | Error::Username(item)
            | Error::Namespace(item)
            | Error::Duplicate(item)
            | Error::Unqualified(item)
            | Error::Proxied(item)
            | Error::Target(item)
            | Error::NoUser { name: item, .. } => item.clone(),
            Error::Parse { path, .. }
            | Error::Io { path, .. }
            | Error::Unfinished { path, .. }
            | Error::Symlink(path) => path.display().to_string(),
            Error::TrustTool { program, .. } => (*program).to_owned(),
        };
        let failure = match error {
            Error::Symlink(_) => Self::refused(error),
            Error::Io { .. } | Error::TrustTool { .. } => Self::failed("io", error),
            Error::Unfinished { .. } => Self::failed("undone", error),
            _ => Self::input(error),
        };
        failure.on(item)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        use storage::Error::{InUse, OldFormat, UnknownFormat};
        let item = match &error {
            StartError::Config { file, .. } => Some(file.clone()),
            StartError::Storage(InUse(folder)) => Some(folder.clone()),
            _ => None,
        };
        let failure = match error {
            StartError::Config { .. }
            | StartError::Argument(_)
            | StartError::Tls(tls::Error::Name { .. }) => Self::input(error),
            StartError::Refused(_)
            | StartError::Storage(InUse(_) | OldFormat(_) | UnknownFormat { .. }) => {
                Self::refused(error)
            }
            _ => Self::failed("io", error),
        };
        match item {
            Some(item) => failure.on(item),
            None => failure,
        }
    }
}
