use std::time::{Duration, Instant};

use http::Response;
use tokio::sync::Mutex;

use crate::registry::call::Call;
use crate::registry::{Error, Registry, respond};
use crate::serve::Body;
use crate::storage::{self, Storage};

/// How long an answer is good: whoever asks, the store is not looked at more often.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the store could be used when it was last tried.
#[derive(Default)]
pub(in crate::registry) struct Health(Mutex<Option<(Instant, Verdict)>>);

/// What is wrong with the store, in words that everybody may read.
pub(super) type Verdict = Result<(), &'static str>;

impl Health {
    /// Tries the store, unless somebody just has.
    pub(in crate::registry) async fn of(&self, storage: &dyn Storage) -> Verdict {
        let mut last = self.0.lock().await;
        if let Some((at, verdict)) = *last
            && at.elapsed() < FRESH
        {
            return verdict;
        }
        let verdict = match tokio::time::timeout(PATIENCE, storage.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot be used");
                Err(said(&error))
            }
            Err(_) => Err("the store does not answer"),
        };
        *last = Some((Instant::now(), verdict));
        verdict
    }
}

fn said(error: &storage::Error) -> &'static str {
    match error {
        error if error.is_full() => "the disk of the store is full",
        storage::Error::Damaged(_) => "the store is not there, or damaged",
        _ => "the store cannot be read or written",
    }
}

impl Registry {
    /// `GET /healthz`: open to everybody. Says whether the store can be read and written.
    pub(in crate::registry) async fn healthz(&self, call: &Call) -> Result<Response<Body>, Error> {
        call.demand_read()?;
        self.health.of(&*self.storage).await.map_err(Error::Unusable)?;
        Ok(respond::full("text/plain; charset=utf-8", "ok\n"))
    }
}
