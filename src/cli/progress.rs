//! How long work shows itself on stderr: a bar on a terminal, a line every few seconds elsewhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::copy::Progress;
use crate::oci::Descriptor;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the bytes of all blobs that are moving.
pub(super) struct Bars {
    bar: ProgressBar,
    moved: AtomicU64,
    wanted: AtomicU64,
    last_line: Mutex<Instant>,
}

impl Bars {
    /// Nothing is shown when `quiet`.
    #[must_use]
    pub(super) fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template =
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            moved: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            last_line: Mutex::new(Instant::now()),
        }
    }

    /// A line every few seconds when nobody looks at a bar.
    fn line(&self) {
        let Ok(mut last) = self.last_line.try_lock() else {
            return;
        };
        if !self.bar.is_hidden() || last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let moved = self.moved.load(Ordering::Relaxed);
        let wanted = self.wanted.load(Ordering::Relaxed);
        tracing::info!("{} of {} moved", output::bytes(moved), output::bytes(wanted));
    }
}

impl Progress for Bars {
    fn blob_started(&self, blob: &Descriptor) {
        self.wanted.fetch_add(blob.size, Ordering::Relaxed);
        self.bar.inc_length(blob.size);
    }

    fn bytes(&self, count: u64) {
        self.moved.fetch_add(count, Ordering::Relaxed);
        self.bar.inc(count);
        self.line();
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
