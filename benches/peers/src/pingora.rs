//! pingora-load-balancing, whose `select` checks health as a Homing pick does, and the ring of pingora-ketama alone.

use crate::{Key, Placement, address, number};
use async_trait::async_trait;
use futures_util::FutureExt;
use pingora_error::Result;
use pingora_ketama::{Bucket, Continuum};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Backends, LoadBalancer, selection};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use selection::{Consistent as Ketama, FNVHash as Fnv, Random, RoundRobin};

/// The most steps of the search for a healthy backend, as in pingora's examples.
const STEPS: usize = 256;

/// A discovery whose membership the benchmark changes; pingora's static discovery cannot change.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<BTreeSet<Backend>>>);

#[async_trait]
impl ServiceDiscovery for Known {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok((self.0.lock().unwrap_or_else(PoisonError::into_inner).clone(), HashMap::new()))
    }
}

pub(crate) struct Pool<S: BackendSelection> {
    known: Known,
    pool: LoadBalancer<S>,
}

fn backend(number: usize) -> Backend {
    Backend::new(&address(number).to_string()).expect("an address of an upstream is one")
}

impl<S> Pool<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let known = Known::default();
        let pool = LoadBalancer::from_backends(Backends::new(Box::new(known.clone())));
        let mut pool = Self { known, pool };
        pool.change(|backends| backends.extend(numbers.map(backend)));
        pool
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeSet<Backend>)) {
        change(&mut self.known.0.lock().unwrap_or_else(PoisonError::into_inner));
        let updated = self.pool.update().now_or_never();
        updated.expect("nothing waits").expect("discovery cannot fail");
    }
}

impl<S> Placement for Pool<S>
where
    S: BackendSelection + Keyed + 'static,
    S::Iter: BackendIter,
{
    type Answer = Option<Backend>;

    const KEYED: bool = S::KEYED;

    fn place(&mut self, key: &Key) -> Option<Backend> {
        self.pool.select(key, STEPS)
    }

    fn number(&self, answer: &Option<Backend>) -> usize {
        answer.as_ref().and_then(|backend| backend.addr.as_inet()).map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        self.change(|backends| {
            backends.insert(backend(number));
        });
    }

    fn remove(&mut self, number: usize) {
        self.change(|backends| {
            backends.remove(&backend(number));
        });
    }
}

/// Whether a selection depends on the key alone.
pub(crate) trait Keyed {
    const KEYED: bool;
}

impl Keyed for Ketama {
    const KEYED: bool = true;
}

impl Keyed for Fnv {
    const KEYED: bool = true;
}

impl Keyed for RoundRobin {
    const KEYED: bool = false;
}

impl Keyed for Random {
    const KEYED: bool = false;
}

pub(crate) struct Ring {
    buckets: Vec<Bucket>,
    /// The upstream of each bucket.
    numbers: Vec<usize>,
    ring: Continuum,
}

impl Ring {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let mut ring = Self { buckets: Vec::new(), numbers: Vec::new(), ring: Continuum::new(&[]) };
        ring.change(numbers.collect());
        ring
    }

    fn change(&mut self, numbers: Vec<usize>) {
        self.buckets = numbers.iter().map(|number| Bucket::new(address(*number), 1)).collect();
        self.numbers = numbers;
        self.ring = Continuum::new(&self.buckets);
    }
}

impl Placement for Ring {
    type Answer = Option<SocketAddr>;

    fn place(&mut self, key: &Key) -> Option<SocketAddr> {
        self.ring.node(key)
    }

    fn number(&self, answer: &Option<SocketAddr>) -> usize {
        answer.as_ref().map_or(usize::MAX, number)
    }

    fn add(&mut self, number: usize) {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.push(number);
        self.change(numbers);
    }

    fn remove(&mut self, number: usize) {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.retain(|other| *other != number);
        self.change(numbers);
    }
}
