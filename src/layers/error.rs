use std::sync::Arc;

use crate::storage;

/// Why no layer answers. Many may wait for one answer, so it can be told to each.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store did not do it, or does not have it and no lower layer is asked.
    #[error(transparent)]
    Storage(Arc<storage::Error>),
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}
