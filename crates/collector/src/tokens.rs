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

/// How long an identity is believed.
const LIFE: Duration = Duration::from_secs(60);
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
