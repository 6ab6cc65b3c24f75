//! How long work shows itself on stderr: bars on a terminal, a line every few seconds elsewhere.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::output;
use crate::copy::{Moving, Progress};
use crate::oci::Descriptor;
use crate::rhcc::{Talk, Tick};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Blobs that are there at once get no bar of their own.
const WORTH_A_BAR_BYTES: u64 = 1024 * 1024;

/// What moves, how far it is, how fast, and how long still.
const BAR: &str = "{prefix:12} {wide_bar} {binary_bytes:>10} of {binary_total_bytes:<10} \
                   {binary_bytes_per_sec:>12} {eta:>4} left";

/// The bars on the terminal; hidden where stderr is none.
static TERMINAL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows how far a copy is: each blob that moves and all of them. Nothing is left of it at its end.
pub(super) struct Bars {
    count: Arc<Count>,
    look: Look,
}

enum Look {
    Nothing,
    Bars(ProgressBar),
    Lines(JoinHandle<()>),
}

impl Bars {
    /// Nothing is shown when `quiet`. Has to be called on the async runtime.
    #[must_use]
    pub(super) fn new(quiet: bool) -> Self {
        let count = Arc::new(Count::default());
        let look = if quiet {
            Look::Nothing
        } else if TERMINAL.is_hidden() {
            Look::Lines(tokio::spawn(say_lines(Arc::clone(&count))))
        } else {
            let total = TERMINAL.add(ProgressBar::new(0));
            total.set_style(style("{spinner} {msg}"));
            total.set_message("looking at the images");
            total.enable_steady_tick(Duration::from_millis(200));
            Look::Bars(total)
        };
        Self { count, look }
    }

    fn show(&self) {
        let Look::Bars(total) = &self.look else { return };
        let now = self.count.now();
        total.set_length(now.wanted);
        total.set_position(now.moved);
        total.set_prefix(format!("{}/{} blobs", now.placed, now.planned));
    }
}

impl Progress for Bars {
    fn planned(&self, blobs: u64, bytes: u64) {
        self.count.planned.fetch_add(blobs, Ordering::Relaxed);
        self.count.wanted.fetch_add(bytes, Ordering::Relaxed);
        if let Look::Bars(total) = &self.look {
            total.set_style(style(BAR));
        }
        self.show();
    }

    fn spared(&self, bytes: u64) {
        self.count.wanted.fetch_sub(bytes, Ordering::Relaxed);
        self.show();
    }

    fn moving(&self, blob: &Descriptor) -> Box<dyn Moving> {
        let bar = match &self.look {
            Look::Bars(total) if blob.size >= WORTH_A_BAR_BYTES => {
                let bar = ProgressBar::new(blob.size);
                bar.set_style(style(BAR));
                bar.set_prefix(blob.digest.short().to_owned());
                Some((bar, total.clone()))
            }
            _ => None,
        };
        Box::new(Blob { count: Arc::clone(&self.count), at: Mutex::new(0), bar })
    }

    fn placed(&self, _: &Descriptor) {
        self.count.placed.fetch_add(1, Ordering::Relaxed);
        self.show();
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        match &self.look {
            Look::Nothing => {}
            Look::Bars(total) => total.finish_and_clear(),
            Look::Lines(saying) => saying.abort(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// How often a line says what is waited for where there is no terminal.
const WAITING_EVERY: Duration = Duration::from_secs(30);

/// Shows what is waited for, how long by now and at most, and what was answered last: one line on a terminal,
/// which is gone at its end, and one now and then elsewhere.
pub(super) struct Waiting {
    quiet: bool,
    line: Option<ProgressBar>,
    /// What was waited for when a line was written last, and when that was.
    said: Mutex<Option<(String, Instant)>>,
}

impl Waiting {
    #[must_use]
    pub(super) fn new(quiet: bool) -> Self {
        let line = (!quiet && !TERMINAL.is_hidden()).then(|| {
            let line = TERMINAL.add(ProgressBar::new_spinner());
            line.set_style(style("{spinner} {wide_msg}"));
            line
        });
        Self { quiet, line, said: Mutex::default() }
    }
}

impl Talk for Waiting {
    fn tick(&self, tick: &Tick<'_>) {
        let Tick { waiting, answer, .. } = tick;
        let (elapsed, limit) = (tick.elapsed.as_secs(), tick.limit.as_secs());
        let said = format!(
            "{}: waiting for {waiting}, {elapsed} of {limit} s, {answer}",
            tick.state.name()
        );
        if let Some(line) = &self.line {
            line.set_message(said);
            line.tick();
            return;
        }
        let mut before = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = before
            .as_ref()
            .is_none_or(|(what, at)| what != waiting || at.elapsed() >= WAITING_EVERY);
        if !self.quiet && is_old {
            *before = Some(((*waiting).to_owned(), Instant::now()));
            tracing::info!("{said}");
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

/// How far all of it is.
#[derive(Debug, Default)]
struct Count {
    planned: AtomicU64,
    placed: AtomicU64,
    wanted: AtomicU64,
    moved: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Now {
    planned: u64,
    placed: u64,
    wanted: u64,
    moved: u64,
}

impl Count {
    fn now(&self) -> Now {
        Now {
            planned: self.planned.load(Ordering::Relaxed),
            placed: self.placed.load(Ordering::Relaxed),
            wanted: self.wanted.load(Ordering::Relaxed),
            moved: self.moved.load(Ordering::Relaxed),
        }
    }
}

/// A blob on its way.
struct Blob {
    count: Arc<Count>,
    at: Mutex<u64>,
    /// Its own bar and that of all, above which it stands.
    bar: Option<(ProgressBar, ProgressBar)>,
}

impl Moving for Blob {
    fn at(&self, bytes: u64) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if *at == bytes {
            return;
        }
        // It is fewer than before where the blob begins anew.
        self.count.moved.fetch_add(bytes, Ordering::Relaxed);
        self.count.moved.fetch_sub(*at, Ordering::Relaxed);
        if let Some((bar, total)) = &self.bar {
            if *at == 0 {
                TERMINAL.insert_before(total, bar.clone());
            }
            bar.set_position(bytes);
            total.set_position(self.count.now().moved);
        }
        *at = bytes;
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Some((bar, _)) = &self.bar {
            bar.finish_and_clear();
            TERMINAL.remove(bar);
        }
    }
}

/// A line every few seconds, for logs.
async fn say_lines(count: Arc<Count>) {
    let mut before = Now::default();
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let now = count.now();
        tracing::info!("{}", line(now, before, asked.elapsed()));
        (before, asked) = (now, Instant::now());
    }
}

/// `before` is what was true `passed` ago.
fn line(now: Now, before: Now, passed: Duration) -> String {
    if now.planned == 0 {
        return "looking at the images".to_owned();
    }
    if now.placed == now.planned {
        return format!("all {} blobs are in place, writing manifests", now.planned);
    }
    let done = format!("{} of {} blobs are in place", now.placed, now.planned);
    if now.wanted == 0 {
        return done;
    }
    let (moved, wanted) = (output::bytes(now.moved), output::bytes(now.wanted));
    let rate =
        u128::from(now.moved.saturating_sub(before.moved)) * 1000 / passed.as_millis().max(1);
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let left = match now.wanted.saturating_sub(now.moved).checked_div(rate) {
        Some(seconds) => format!("{} left", HumanDuration(Duration::from_secs(seconds))),
        None => "standing still".to_owned(),
    };
    format!("{done}; {moved} of {wanted} moved, {}/s, {left}", output::bytes(rate))
}

/// stderr for log lines on a terminal: the bars step aside while one is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TERMINAL.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_line_says_how_much_how_fast_and_how_long_still() {
        let second = Duration::from_secs(1);
        let nothing = Now::default();
        assert_eq!(line(nothing, nothing, second), "looking at the images");
        let before = Now { planned: 4, placed: 1, wanted: 100 * MIB, moved: 10 * MIB };
        let now = Now { placed: 2, moved: 40 * MIB, ..before };
        assert_eq!(
            line(now, before, 5 * second),
            "2 of 4 blobs are in place; 40.0 MiB of 100.0 MiB moved, 6.0 MiB/s, 10 seconds left"
        );
        assert!(line(now, now, second).ends_with("moved, 0 B/s, standing still"));
        // A blob that began anew.
        assert!(line(before, now, second).contains("0 B/s"));
        let all = Now { placed: 4, ..now };
        assert_eq!(line(all, now, second), "all 4 blobs are in place, writing manifests");
        let dry = Now { wanted: 0, moved: 0, ..now };
        assert_eq!(line(dry, nothing, second), "2 of 4 blobs are in place");
    }
}
