use serde::Serialize;

use super::Error;
use super::problem::Problem;
use crate::oci::{Registry, RepositoryName};

/// Something that was passed over because it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The repository, or an image in it.
    pub item: String,
    /// What happened.
    pub message: String,
}

impl Failed {
    pub(super) fn new(item: impl ToString, error: &impl ToString) -> Self {
        Self { item: item.to_string(), message: error.to_string() }
    }
}

impl From<&Problem> for Failed {
    fn from(problem: &Problem) -> Self {
        let Problem { file, line, column, message, .. } = problem;
        Self { item: format!("{file}:{line}:{column}"), message: message.clone() }
    }
}

/// Registry and repository of `HOST[:PORT]/PATH`. The host is whatever stands before the first slash.
///
/// # Errors
/// A path that is none.
pub(super) fn place(path: &str) -> Result<(Registry, RepositoryName), Error> {
    let wrong = |reason: String| Error::Argument(format!("`{path}` is no repository: {reason}"));
    let (host, name) =
        path.split_once('/').ok_or_else(|| wrong("expected HOST[:PORT]/PATH".to_owned()))?;
    let registry = host.parse().map_err(|error: crate::oci::Error| wrong(error.to_string()))?;
    let name = name.parse().map_err(|error: crate::oci::Error| wrong(error.to_string()))?;
    Ok((registry, name))
}
