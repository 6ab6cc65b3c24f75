use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::htpasswd;
use super::signer::{Seal, Signer};

/// How many comparisons may wait for their turn; further ones are sent away.
const QUEUE: usize = 32;

/// How many proven passwords are remembered.
const PROVEN: usize = 4096;

/// Compares passwords with hashes.
///
/// bcrypt is slow on purpose, so it runs on few threads of its own kind, and a password that was right
/// once is known again by a keyed hash.
pub(super) struct Comparisons {
    /// Makes the keyed hashes.
    sealer: Arc<Signer>,
    proven: Mutex<HashMap<String, Seal>>,
    queue: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// Too many others are being compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Comparisons {
    pub(super) fn new(sealer: Arc<Signer>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            sealer,
            proven: Mutex::default(),
            queue: Arc::new(Semaphore::new(QUEUE)),
            turns: Arc::new(Semaphore::new((threads / 2).max(1))),
        }
    }

    /// Whether this is the password of a name whose hash is this. Without a hash it is not, which takes
    /// as much work as any wrong password: that of a hash of the cost `full`.
    pub(super) async fn is_right(
        &self,
        name: &str,
        password: &str,
        hash: Option<&str>,
        full: u32,
    ) -> Result<bool, Busy> {
        let seal = self.sealer.seal(&[name, hash.unwrap_or_default(), password]);
        let is_proven = || hash.is_some() && self.is_proven(name, &seal);
        if is_proven() {
            return Ok(true);
        }
        // Both places go with the work, not with the request: who hangs up frees nothing.
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        if is_proven() {
            return Ok(true);
        }
        let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
        let compared = spawn_blocking(move || {
            let right = compare(&password, hash.as_deref(), full);
            drop((place, turn));
            right
        });
        let right = compared.await.unwrap_or(false);
        if right {
            self.remember(name, seal);
        }
        Ok(right)
    }

    fn is_proven(&self, name: &str, seal: &Seal) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.get(name).is_some_and(|known| bool::from(known.ct_eq(seal)))
    }

    fn remember(&self, name: &str, seal: Seal) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= PROVEN && !proven.contains_key(name) {
            let any = proven.keys().next().cloned();
            any.map(|any| proven.remove(&any));
        }
        proven.insert(name.to_owned(), seal);
    }
}

/// Whether a password belongs to a hash; without a hash it does not. A wrong one costs what a comparison
/// at the full cost does, so that time tells nothing of names and hashes. Blocking.
fn compare(password: &str, hash: Option<&str>, full: u32) -> bool {
    if hash.is_some_and(|hash| bcrypt::verify(password, hash).unwrap_or(false)) {
        return true;
    }
    for cost in rest(hash.map(htpasswd::cost), full) {
        let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, [0; 16]));
    }
    false
}

/// What is left to do after a comparison at `done`, each step twice the one before:
/// 2^n + (2^n + 2^(n+1) + … + 2^(full-1)) = 2^full.
fn rest(done: Option<u32>, full: u32) -> Range<u32> {
    done.map_or(full..full.saturating_add(1), |done| done..full)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::OwnedSemaphorePermit;

    use super::*;

    impl Comparisons {
        /// Makes it busy as long as what this returns is kept.
        pub(in crate::registry::users) fn take_every_place(&self) -> OwnedSemaphorePermit {
            let all = u32::try_from(QUEUE).unwrap();
            Arc::clone(&self.queue).try_acquire_many_owned(all).unwrap()
        }
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_holds_no_password() {
        let hash = bcrypt::hash("right", 4).unwrap();
        let process = || Comparisons::new(Arc::new(Signer::random().unwrap()));
        let comparisons = process();
        for number in 0..PROVEN + 10 {
            comparisons.remember(&number.to_string(), [0; 32]);
        }
        assert_eq!(comparisons.proven.lock().unwrap().len(), PROVEN);
        assert_eq!(comparisons.is_right("a", "right", Some(&hash), 4).await, Ok(true));
        let seal = *comparisons.proven.lock().unwrap().get("a").unwrap();
        assert!(!seal.windows(5).any(|bytes| bytes == b"right"));
        // Another process, another key.
        let other = process();
        assert_eq!(other.is_right("a", "right", Some(&hash), 4).await, Ok(true));
        assert_ne!(other.proven.lock().unwrap().get("a"), Some(&seal));
    }

    #[test]
    fn a_wrong_password_costs_the_same_whoever_it_is_for() {
        let work = |costs: Range<u32>| costs.map(|cost| 1_u64 << cost).sum::<u64>();
        for done in 4..=12 {
            assert_eq!((1 << done) + work(rest(Some(done), 12)), 1 << 12, "{done}");
        }
        assert_eq!(work(rest(None, 12)), 1 << 12);
    }
}
