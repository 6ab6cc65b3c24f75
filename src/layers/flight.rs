use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::Error;

/// How many fetches there are at once. Whoever wants more is to come again: those who leave leave their
/// work behind for a while.
pub(super) const MOST: usize = 4096;

/// Work that is done once, however many want it at the same time. It is a task of its own: who wants
/// it may leave.
pub(super) struct Flights<K, V: Clone> {
    running: Arc<Mutex<Running<K, V>>>,
}

type Running<K, V> = HashMap<K, Shared<BoxFuture<'static, Result<V, Error>>>>;

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result of the work under way for `key`, or else of `work`.
    pub(super) async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let flight = {
            let mut running = lock(&self.running);
            match running.get(&key) {
                Some(flight) => flight.clone(),
                None if running.len() >= MOST => return Err(Error::busy()),
                None => {
                    let landing = Landing { running: Arc::clone(&self.running), key: key.clone() };
                    let work = work();
                    let task = tokio::spawn(async move {
                        let _landing = landing;
                        work.await
                    });
                    let flight = task.map(|done| done.unwrap_or_else(|error| Err(gone(&error))));
                    let flight = flight.boxed().shared();
                    running.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }
}

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

/// Takes the work from the list when it ends, however it does.
struct Landing<K: Hash + Eq, V: Clone> {
    running: Arc<Mutex<Running<K, V>>>,
    key: K,
}

impl<K: Hash + Eq, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn gone(error: &tokio::task::JoinError) -> Error {
    Error::Failed { place: "this registry".to_owned(), reason: error.to_string() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn more_than_there_may_be_are_sent_away() {
        let flights: Flights<usize, ()> = Flights::default();
        for key in 0..MOST {
            // Who leaves leaves the work behind.
            assert!(flights.join(key, std::future::pending).now_or_never().is_none());
        }
        let refused = flights.join(MOST, || async { Ok(()) }).await;
        assert!(matches!(refused, Err(Error::Resting { .. })), "{refused:?}");
        // Who asks for what is under way waits for it.
        assert!(flights.join(0, || async { Ok(()) }).now_or_never().is_none());
    }

    #[tokio::test]
    async fn many_at_once_are_one_and_the_next_is_another() {
        let flights: Arc<Flights<&str, usize>> = Arc::default();
        let count = Arc::new(AtomicUsize::new(0));
        for round in 1..=3 {
            let (open, opened) = tokio::sync::watch::channel(false);
            let joining = (0..50).map(|_| {
                let (flights, count) = (Arc::clone(&flights), Arc::clone(&count));
                let mut opened = opened.clone();
                tokio::spawn(async move {
                    let work = move || async move {
                        opened.wait_for(|open| *open).await.unwrap();
                        Ok(count.fetch_add(1, Ordering::SeqCst) + 1)
                    };
                    flights.join("key", work).await.unwrap()
                })
            });
            let joined: Vec<_> = joining.collect();
            // On one thread, all have joined when this one has its turn again.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            // Who leaves takes nothing with him.
            joined[0].abort();
            open.send(true).unwrap();
            for one in joined.into_iter().skip(1) {
                assert_eq!(one.await.unwrap(), round);
            }
            assert!(lock(&flights.running).is_empty());
        }
    }
}
