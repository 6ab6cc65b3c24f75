//! Several clients at once, on few threads.

use std::future::Future;
use std::thread;
use std::time::Duration;

use super::Outcome;

/// On how many threads clients run: half of what a machine for this has.
const THREADS: usize = 2;

/// A server that stands still is told of, not waited for.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs one client for each index, all at once on few threads; the results by index.
pub fn at_once<T, F>(clients: usize, client: impl Fn(usize) -> F + Send + Sync) -> Outcome<Vec<T>>
where
    T: Send,
    F: Future<Output = Outcome<T>>,
{
    let threads = THREADS.min(clients);
    let client = &client;
    let results: Vec<Outcome<Vec<(usize, T)>>> = thread::scope(|scope| {
        let run = |first: usize| {
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let mine = (first..clients).step_by(threads);
                let all = mine.map(|index| async move {
                    let ended = tokio::time::timeout(LIMIT, client(index)).await;
                    Ok((index, ended.map_err(|_| "it took too long")??))
                });
                runtime.block_on(futures_util::future::try_join_all(all))
            }
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(run(first))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a client panicked".into())))
            .collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}
