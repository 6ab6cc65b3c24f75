use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};

use super::scopes::Scopes;
use super::token::Token;
use crate::auth::Challenge;

/// How many tokens are kept. Whoever may read chooses the repositories they are for.
const MOST_TOKENS: usize = 1000;

/// What is known of a registry.
#[derive(Debug, Default)]
pub(super) struct Known {
    scheme: Mutex<Scheme>,
    /// Held by the first request, so that many at once do not all learn the same by a 401.
    pub(super) first: tokio::sync::Mutex<()>,
    tokens: Mutex<HashMap<Scopes, Arc<Slot>>>,
    lists_referrers: Mutex<Option<ListsReferrers>>,
    /// It answered an upload that names its digest, but no repository to mount from, with an error.
    refuses_lone_mounts: AtomicBool,
    pub(super) single_posts: SinglePosts,
}

/// Whether it takes a blob with the POST that begins its upload.
#[derive(Debug, Default)]
pub(super) struct SinglePosts {
    taken: OnceLock<bool>,
    /// Held by the first that tries, so that many at once do not all send their bytes in vain.
    pub(super) first: tokio::sync::Mutex<()>,
}

impl SinglePosts {
    /// `None` where it has not been tried.
    pub(super) fn are_taken(&self) -> Option<bool> {
        self.taken.get().copied()
    }

    pub(super) fn learn(&self, taken: bool) {
        // What was learnt first stays.
        let _ = self.taken.set(taken);
    }
}

/// Whether it has the list of referrers of distribution-spec 1.1.
#[derive(Debug, Clone, Copy)]
struct ListsReferrers {
    it_does: bool,
    /// Registries are brought up to date while a server runs.
    until: Instant,
}

/// How long it is believed that a registry lists no referrers.
const BELIEVED: Duration = Duration::from_secs(3600);

/// A token, or the one request for it that is under way.
pub(super) type Slot = tokio::sync::Mutex<Option<Token>>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Scheme {
    #[default]
    Unknown,
    Open,
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Known {
    pub(super) fn scheme(&self) -> Scheme {
        lock(&self.scheme).clone()
    }

    pub(super) fn answered_openly(&self) {
        let mut scheme = lock(&self.scheme);
        if *scheme == Scheme::Unknown {
            *scheme = Scheme::Open;
        }
    }

    /// Takes in a 401: how the registry authenticates, and that the token sent is of no use.
    pub(super) fn learn(&self, headers: &HeaderMap, sent: Option<&HeaderValue>) {
        let challenges: Vec<Challenge> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Challenge::parse)
            .collect();
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service, .. } => {
                Some(Scheme::Bearer { realm: realm.clone(), service: service.clone() })
            }
            Challenge::Basic { .. } => None,
        });
        if let Some(scheme) = bearer.or_else(|| (!challenges.is_empty()).then_some(Scheme::Basic)) {
            *lock(&self.scheme) = scheme;
        }
        lock(&self.tokens).retain(|_, slot| {
            let slot = slot.try_lock();
            let token = slot.as_ref().ok().and_then(|slot| slot.as_ref());
            token.is_none_or(|token| Some(&token.authorization) != sent)
        });
    }

    pub(super) fn refuses_lone_mounts(&self) -> bool {
        self.refuses_lone_mounts.load(Ordering::Relaxed)
    }

    pub(super) fn refused_a_lone_mount(&self) {
        self.refuses_lone_mounts.store(true, Ordering::Relaxed);
    }

    /// Whether the registry lists referrers, where that is known.
    pub(super) fn lists_referrers(&self) -> Option<bool> {
        let known = *lock(&self.lists_referrers);
        let known = known.filter(|known| known.it_does || Instant::now() < known.until);
        known.map(|known| known.it_does)
    }

    pub(super) fn learn_of_referrers(&self, it_does: bool) {
        let known = ListsReferrers { it_does, until: Instant::now() + BELIEVED };
        *lock(&self.lists_referrers) = Some(known);
    }

    pub(super) fn covering_token(&self, scopes: &Scopes) -> Option<Token> {
        let tokens = lock(&self.tokens);
        let covering = tokens.iter().filter(|(granted, _)| granted.cover(scopes));
        covering.filter_map(|(_, slot)| slot.try_lock().ok()?.clone()).find(Token::is_valid)
    }

    pub(super) fn slot(&self, scopes: &Scopes) -> Arc<Slot> {
        let mut tokens = lock(&self.tokens);
        if tokens.len() >= MOST_TOKENS && !tokens.contains_key(scopes) {
            let is_good = |token: &Option<Token>| token.as_ref().is_some_and(Token::is_valid);
            // One that is just asked for stays, too.
            tokens.retain(|_, slot| slot.try_lock().map_or(true, |token| is_good(&token)));
            if tokens.len() >= MOST_TOKENS {
                tokens.clear();
            }
        }
        Arc::clone(tokens.entry(scopes.clone()).or_default())
    }
}

/// Waits while another learns what is of use here, too; nothing where that takes long. Who does not answer
/// one must not keep all others waiting, one after the other.
pub(super) async fn while_it_is_short<T>(
    lock: &tokio::sync::Mutex<T>,
) -> Option<tokio::sync::MutexGuard<'_, T>> {
    const SHORT: Duration = Duration::from_secs(2);
    tokio::time::timeout(SHORT, lock.lock()).await.ok()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scopes(number: usize) -> Scopes {
        Scopes::read(&format!("a{number}").parse().unwrap())
    }

    #[test]
    fn tokens_of_any_number_of_repositories_are_not_kept() {
        let known = Known::default();
        let first = known.slot(&scopes(0));
        let _asking = first.try_lock().unwrap();
        for number in 0..3 * MOST_TOKENS {
            known.slot(&scopes(number));
            assert!(lock(&known.tokens).len() <= MOST_TOKENS);
        }
        assert!(Arc::ptr_eq(&first, &known.slot(&scopes(0))), "it was asked for twice");
    }
}
