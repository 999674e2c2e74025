//! Whom a token belongs to, remembered for a while, so that the world outside is asked rarely, and by few at a time.
//!
//! A token is remembered by its SHA-256. Those that are nobody's are remembered apart, so that they displace no worker; and an
//! address that sends many of them is not heard for a while with tokens that are not known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::edge::{Identify, IdentifyError, Identity, Refused};
use crate::limits::{Bucket, Rate};
use crate::moment::{Clock, Moment};

/// How long an identity is believed: 10,000 workers are 17 questions a second to the API server.
const LIFE: Duration = Duration::from_secs(600);
/// How long a token that is nobody's is believed to stay so.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// So many identities are remembered, twice: of 10,000 workers, and again after their tokens have changed.
const MAX_KNOWN: usize = 20_000;
/// So many tokens that are nobody's, twice; and so many addresses.
const MAX_STRANGERS: usize = 5_000;
/// So many are asked for at a time.
const ASKED_AT_A_TIME: usize = 32;
/// How long a request waits for its turn, and then for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many tokens that are nobody's may come from one address.
const STRIKES: Rate = Rate { per_second: 2.0, burst: 20.0 };
/// No process needs more requests than this: it polls four times a second, and sends a batch every ten seconds.
pub const REQUESTS: Rate = Rate { per_second: 20.0, burst: 50.0 };
/// Nor more at a time.
const AT_A_TIME: u32 = 4;

/// A worker that is known, and what it may ask for.
#[derive(Debug)]
pub struct Known {
    /// Who it is.
    pub identity: Identity,
    requests: Mutex<Bucket>,
    in_work: AtomicU32,
}

/// Why a request is not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// For good.
    Refused(Refused),
    /// Its token is nobody's.
    Invalid,
    /// It cannot be found out whose it is.
    Unavailable(String),
    /// There are too many; it may come again after this time.
    TooMany(Duration),
}

/// One request of a worker, in work until this is dropped.
#[derive(Debug)]
pub struct InWork(Arc<Known>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Known {
    /// Counts a request, by its weight.
    ///
    /// # Errors
    /// There are too many.
    pub fn admit(self: &Arc<Self>, now: Moment) -> Result<InWork, Unheard> {
        let in_work = InWork(Arc::clone(self));
        if self.in_work.fetch_add(1, Ordering::Relaxed) >= AT_A_TIME {
            return Err(Unheard::TooMany(Duration::from_secs(1)));
        }
        self.weigh(1.0, now)?;
        Ok(in_work)
    }

    /// Counts so many requests more: a large one costs as much as several.
    ///
    /// # Errors
    /// There are too many.
    pub fn weigh(&self, requests: f64, now: Moment) -> Result<(), Unheard> {
        let mut bucket = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(requests, REQUESTS, now).map_err(Unheard::TooMany)
    }
}

type Key = [u8; 32];

/// All tokens that are remembered.
pub struct Tokens {
    remembered: Mutex<Remembered>,
    turns: Semaphore,
}

struct Remembered {
    known: Generations<Key, Arc<Known>>,
    strangers: Generations<Key, Unheard>,
    strikes: Generations<IpAddr, Bucket>,
}

impl Tokens {
    /// None.
    pub fn new() -> Self {
        let remembered = Remembered {
            known: Generations::new(MAX_KNOWN, LIFE),
            strangers: Generations::new(MAX_STRANGERS, SHORT_LIFE),
            strikes: Generations::new(MAX_STRANGERS, LIFE),
        };
        Self { remembered: Mutex::new(remembered), turns: Semaphore::new(ASKED_AT_A_TIME) }
    }

    /// Whose that token is.
    ///
    /// # Errors
    /// It is nobody's, may not take part, or that cannot be found out now.
    pub async fn identify(
        &self,
        identify: &impl Identify,
        token: &str,
        peer: Option<IpAddr>,
        clock: &Clock,
    ) -> Result<Arc<Known>, Unheard> {
        let mut key = Key::default();
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(remembered) = self.remember(&key, clock.now()) {
            return remembered;
        }
        self.check_strikes(peer, clock.now())?;
        let late = |what: &str| Unheard::Unavailable(format!("{what} within {} s", PATIENCE.as_secs()));
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(late("too many tokens are being checked: it was not this one's turn"));
        };
        // while this one waited, others may have found out
        if let Some(remembered) = self.remember(&key, clock.now()) {
            return remembered;
        }
        self.check_strikes(peer, clock.now())?;
        let answer = timeout(PATIENCE, identify.identify(token)).await;
        let now = clock.now();
        match answer {
            Err(_) => Err(late("the token was not checked")),
            Ok(Err(IdentifyError::Unavailable(why))) => Err(Unheard::Unavailable(why)),
            Ok(Err(IdentifyError::Refused(refused))) => {
                let unheard = Unheard::Refused(refused);
                self.lock().strangers.insert(key, unheard.clone(), now);
                Err(unheard)
            }
            Ok(Err(IdentifyError::Invalid)) => {
                let mut remembered = self.lock();
                remembered.strangers.insert(key, Unheard::Invalid, now);
                if let Some(peer) = peer {
                    remembered.strike(peer, now);
                }
                Err(Unheard::Invalid)
            }
            Ok(Ok(identity)) => {
                let known = Arc::new(Known {
                    identity,
                    requests: Mutex::new(Bucket::new(REQUESTS, now)),
                    in_work: AtomicU32::new(0),
                });
                self.lock().known.insert(key, Arc::clone(&known), now);
                Ok(known)
            }
        }
    }

    /// Forgets the workers of a load test.
    pub fn forget(&self, test_uid: &str) {
        self.lock().known.retain(|known| known.identity.test.uid != test_uid);
    }

    fn remember(&self, key: &Key, now: Moment) -> Option<Result<Arc<Known>, Unheard>> {
        let remembered = self.lock();
        if let Some(known) = remembered.known.get(key, now) {
            return Some(Ok(Arc::clone(known)));
        }
        remembered.strangers.get(key, now).map(|unheard| Err(unheard.clone()))
    }

    fn check_strikes(&self, peer: Option<IpAddr>, now: Moment) -> Result<(), Unheard> {
        let Some(peer) = peer else { return Ok(()) };
        match self.lock().strikes.get(&peer, now) {
            Some(bucket) => bucket.clone().take(1.0, STRIKES, now).map_err(Unheard::TooMany),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn strike(&mut self, peer: IpAddr, now: Moment) {
        let known = self.strikes.get(&peer, now).copied();
        let mut bucket = known.unwrap_or_else(|| Bucket::new(STRIKES, now));
        bucket.owe(STRIKES, now);
        self.strikes.insert(peer, bucket, now);
    }
}

/// A map of bounded size whose entries live for a while: what is new goes into one half; when that is full, or old, the other half is
/// dropped, and they change places. Each step takes constant time.
struct Generations<K, V> {
    young: HashMap<K, (V, Moment)>,
    old: HashMap<K, (V, Moment)>,
    turned: Moment,
    limit: usize,
    life: Duration,
}

impl<K: std::hash::Hash + Eq, V> Generations<K, V> {
    fn new(limit: usize, life: Duration) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), turned: Moment::default(), limit, life }
    }

    fn get(&self, key: &K, now: Moment) -> Option<&V> {
        let (value, since) = self.young.get(key).or_else(|| self.old.get(key))?;
        (now.since(*since) < self.life).then_some(value)
    }

    fn insert(&mut self, key: K, value: V, now: Moment) {
        if self.young.len() >= self.limit || now.since(self.turned) >= self.life {
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
        self.young.insert(key, (value, now));
    }

    fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        for half in [&mut self.young, &mut self.old] {
            half.retain(|_, (value, _)| keep(value));
            half.shrink_to(half.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::edge::{Distribution, OnTimeout, StartPolicy, TestRef};

    /// Tokens that begin with `good` are of a worker; others of nobody. It counts how often it is asked.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Identify for Asked {
        async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if !token.starts_with("good") {
                return Err(IdentifyError::Invalid);
            }
            let test = TestRef { uid: "uid".into(), namespace: "default".into(), name: "t".into() };
            let start = StartPolicy { timeout: Duration::from_secs(1), on_timeout: OnTimeout::Run };
            Ok(Identity {
                test,
                index: 0,
                pod_uid: token.to_owned(),
                workers: 1,
                start,
                distribution: Distribution::Replicate,
            })
        }
    }

    /// How often it was asked about these tokens, one after the other.
    async fn asked(tokens: &Tokens, clock: &Clock, peer: Option<IpAddr>, of: &[&str]) -> usize {
        let asked = Asked::default();
        for token in of {
            let _ = tokens.identify(&asked, token, peer, clock).await;
        }
        asked.0.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_is_believed_for_ten_minutes_and_nobody_for_five_seconds() {
        let (tokens, clock) = (Tokens::new(), Clock::default());
        assert_eq!(asked(&tokens, &clock, None, &["good", "bad", "good", "bad"]).await, 2);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(asked(&tokens, &clock, None, &["good", "bad"]).await, 1);
        tokio::time::advance(Duration::from_secs(595)).await;
        assert_eq!(asked(&tokens, &clock, None, &["good"]).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn workers_of_a_test_that_is_forgotten_are_asked_for_again() {
        let (tokens, clock) = (Tokens::new(), Clock::default());
        asked(&tokens, &clock, None, &["good"]).await;
        tokens.forget("other");
        assert_eq!(asked(&tokens, &clock, None, &["good"]).await, 0);
        tokens.forget("uid");
        assert_eq!(asked(&tokens, &clock, None, &["good"]).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_bad_tokens_displaces_no_worker_and_takes_bounded_memory() {
        let (tokens, clock) = (Tokens::new(), Clock::default());
        asked(&tokens, &clock, None, &["good"]).await;
        let bad: Vec<_> = (0..3 * MAX_STRANGERS).map(|i| i.to_string()).collect();
        let bad: Vec<_> = bad.iter().map(String::as_str).collect();
        assert_eq!(asked(&tokens, &clock, None, &bad).await, bad.len());
        assert_eq!(asked(&tokens, &clock, None, &["good"]).await, 0);
        let remembered = tokens.lock();
        assert!(remembered.strangers.young.len() + remembered.strangers.old.len() <= 2 * MAX_STRANGERS);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_sends_bad_tokens_is_not_heard_for_a_while_with_unknown_ones_and_others_are() {
        let (tokens, clock) = (Tokens::new(), Clock::default());
        let [bad, other] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        asked(&tokens, &clock, bad, &["good"]).await;
        let many: Vec<_> = (0..100).map(|i| i.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(asked(&tokens, &clock, bad, &many).await, 20);
        assert_eq!(asked(&tokens, &clock, bad, &["good-2"]).await, 0);
        assert!(tokens.identify(&Asked::default(), "good", bad, &clock).await.is_ok(), "it is known");
        assert_eq!(asked(&tokens, &clock, other, &["good-2"]).await, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asked(&tokens, &clock, bad, &["good-3"]).await, 1);
    }
}
