//! The one place where causes become exit codes.

use std::process::ExitCode;

use serde::Serialize;

use crate::zuul;

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
