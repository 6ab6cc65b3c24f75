use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit::Failure;
use crate::promote::Interrupt;

/// Told by every SIGTERM and SIGINT.
pub(super) fn interrupt() -> Result<Interrupt, Failure> {
    let failed = |error| Failure::io("listen for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let (interrupter, interrupt) = Interrupt::new();
    tokio::spawn(async move {
        loop {
            let reason = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupted.recv() => "SIGINT",
            };
            interrupter.interrupt();
            tracing::warn!(reason, "breaking off");
        }
    });
    Ok(interrupt)
}
