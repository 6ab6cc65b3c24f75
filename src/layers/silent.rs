use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::oci::Registry;
use crate::{client, http};

/// How often the pause after a failure doubles at most: 1, 2, 4, 8 seconds.
const DOUBLINGS: u32 = 3;

/// The registries that do not answer: nobody waits for them but one who tries whether they do again.
#[derive(Default)]
pub(super) struct Silent(Mutex<HashMap<Registry, Silence>>);

struct Silence {
    /// Nobody tries before.
    until: Instant,
    failures: u32,
    is_tried: bool,
    reason: String,
}

/// Leave to ask a registry.
pub(super) struct Leave {
    silent: Arc<Silent>,
    registry: Registry,
    /// Whether it is to be found out whether the registry answers again.
    pub(super) is_trial: bool,
}

impl Silent {
    /// Whether a registry may be asked.
    pub(super) fn may_ask(self: &Arc<Self>, registry: &Registry) -> Result<Leave, Error> {
        self.may_ask_at(Instant::now(), registry)
    }

    fn may_ask_at(self: &Arc<Self>, now: Instant, registry: &Registry) -> Result<Leave, Error> {
        let mut silent = self.lock();
        let is_trial = match silent.get_mut(registry) {
            None => false,
            Some(silence) if silence.is_tried || now < silence.until => {
                let (place, reason) = (registry.to_string(), silence.reason.clone());
                return Err(Error::Failed { place, reason });
            }
            Some(silence) => {
                silence.is_tried = true;
                true
            }
        };
        Ok(Leave { silent: Arc::clone(self), registry: registry.clone(), is_trial })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Registry, Silence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave {
    /// Takes in how it went.
    pub(super) fn used(self, failure: Option<&client::Error>) {
        let reason = failure.filter(|error| is_silence(error, &self.registry));
        self.used_at(Instant::now(), reason.map(ToString::to_string));
    }

    fn used_at(self, now: Instant, reason: Option<String>) {
        let mut silent = self.silent.lock();
        let Some(reason) = reason else {
            silent.remove(&self.registry);
            return;
        };
        let failures = match silent.get(&self.registry) {
            None => 0,
            Some(silence) if self.is_trial => silence.failures + 1,
            // It was asked before that was known.
            Some(_) => return,
        };
        let until = now + Duration::from_secs(1 << failures.min(DOUBLINGS));
        let silence = Silence { until, failures, is_tried: false, reason };
        silent.insert(self.registry.clone(), silence);
    }
}

impl Drop for Leave {
    /// Also who leaves before there was an answer lets the next one try.
    fn drop(&mut self) {
        let mut silent = self.silent.lock();
        if let Some(silence) = silent.get_mut(&self.registry).filter(|_| self.is_trial) {
            silence.is_tried = false;
        }
    }
}

/// Whether a registry did not answer. Where it leads – a store of blobs, a token server – may be down
/// while it is not.
fn is_silence(error: &client::Error, registry: &Registry) -> bool {
    let client::Error::Http { source, .. } = error else { return false };
    let (http::Error::Resolve { host, .. }
    | http::Error::Connect { host, .. }
    | http::Error::Timeout { host, .. }
    | http::Error::Broken { host, .. }) = source
    else {
        return false;
    };
    let registry = registry.to_string();
    let port = host.strip_prefix(&registry);
    port.is_some_and(|port| matches!(port, "" | ":80" | ":443"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOBODY: &str = "nobody";

    fn registry() -> Registry {
        "inter.example:5000".parse().unwrap()
    }

    /// Asks at a second, and hears nothing.
    fn fail(silent: &Arc<Silent>, start: Instant, second: u64) {
        let now = start + Duration::from_secs(second);
        silent.may_ask_at(now, &registry()).unwrap().used_at(now, Some(NOBODY.to_owned()));
    }

    #[test]
    fn one_at_a_time_tries_whether_it_answers_again() {
        let (silent, start) = (Arc::<Silent>::default(), Instant::now());
        let ask = |second| silent.may_ask_at(start + Duration::from_secs(second), &registry());
        let before = ask(0).unwrap();
        fail(&silent, start, 0);
        let refused = ask(0).err().unwrap();
        assert!(matches!(refused, Error::Failed { reason, .. } if reason == NOBODY));
        let other = "other.example".parse().unwrap();
        assert!(silent.may_ask_at(start, &other).is_ok_and(|leave| !leave.is_trial));
        let trial = ask(1).unwrap();
        assert!(trial.is_trial && ask(1).is_err());
        // Who gives up leaves it to the next.
        drop(trial);
        let trial = ask(1).unwrap();
        before.used_at(start, Some("another".to_owned()));
        assert!(ask(1).is_err(), "one that was under way is no trial");
        trial.used_at(start, None);
        assert!([ask(1), ask(1)].iter().all(|leave| leave.as_ref().is_ok_and(|it| !it.is_trial)));
    }

    #[test]
    fn the_pause_doubles_up_to_eight_seconds_and_begins_anew_after_an_answer() {
        let (silent, start) = (Arc::<Silent>::default(), Instant::now());
        let mut second = 0;
        for pause in [1, 2, 4, 8, 8] {
            fail(&silent, start, second);
            let almost = start + Duration::from_secs(second + pause) - Duration::from_millis(1);
            assert!(silent.may_ask_at(almost, &registry()).is_err(), "{pause}");
            second += pause;
        }
        let now = start + Duration::from_secs(second);
        silent.may_ask_at(now, &registry()).unwrap().used_at(now, None);
        fail(&silent, start, second);
        assert!(silent.may_ask_at(now + Duration::from_secs(1), &registry()).is_ok());
    }

    #[test]
    fn where_a_registry_leads_says_nothing_of_it() {
        let connect = |host: &str| client::Error::Http {
            doing: String::new(),
            source: http::Error::Connect { host: host.to_owned(), reason: String::new() },
        };
        let plain: Registry = "inter.example".parse().unwrap();
        assert!(is_silence(&connect("inter.example:5000"), &registry()));
        assert!(is_silence(&connect("inter.example:443"), &plain));
        for host in ["inter.example:50001", "inter.example:443", "blobs.example:5000"] {
            assert!(!is_silence(&connect(host), &registry()), "{host}");
        }
        assert!(!is_silence(&connect("inter.example:5000"), &plain));
    }
}
