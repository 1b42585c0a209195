//! A worker's own handle of a balancer, which caches the snapshot.

use super::balancer::Balancer;
use super::explain::Explanation;
use super::pick::{Pick, PickError};
use super::request::Request;
use super::snapshot::Snapshot;
use super::view::{Opened, View};
use crate::affinity::Token;
use crate::cluster::{Decision, Generation, Lease, Upstream, UpstreamId};
use crate::rng::EntropyError;
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A worker's own handle of a [`Balancer`], with the same calls, which caches the snapshot.
///
/// A pick by the balancer loads the snapshot: two atomic read-modify-write operations. A pick by a picker looks once,
/// relaxed, whether the cached snapshot is still the current one. A change that happened before a call is seen by the
/// call, as with the balancer.
///
/// The calls take `&mut self`, so that the cache needs no lock: each thread, task or connection has a picker of its
/// own, moves it where it runs (it is [`Send`]), and clones it for others. A host whose requests share one value across
/// threads calls the balancer instead; a lock around a picker costs what the picker saves.
///
/// # What an idle picker keeps alive
///
/// It keeps the snapshot of its last call, at most one: the tables of that cluster and policy, and the counters of
/// upstreams that were removed since. A worker that may be idle for long calls [`refresh`](Self::refresh) on a timer of
/// its own, or drops the picker.
///
/// # Example
///
/// ```
/// use homing::{Balancer, Request, Timestamp, UpstreamConfig};
/// use std::sync::Arc;
///
/// let app = |name| UpstreamConfig::new(name, format!("{name}.internal:8080"));
/// let balancer = Arc::new(Balancer::builder().upstreams([app("app-1"), app("app-2")]).build()?);
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         let mut picker = balancer.picker();
///         scope.spawn(move || {
///             let pick = picker.pick(&Request::new(Timestamp::from_secs(1_700_000_000)))?;
///             // ... serve the request; it is in flight until `pick` is dropped.
///             Ok::<_, homing::PickError>(pick.upstream().name().to_owned())
///         });
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Picker {
    balancer: Arc<Balancer>,
    cache: Cache<Source, Arc<Snapshot>>,
}

/// Where the cached snapshot comes from.
struct Source(Arc<Balancer>);

impl Deref for Source {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &ArcSwap<Snapshot> {
        &self.0.snapshot
    }
}

impl Balancer {
    /// A handle for one worker, which caches the snapshot. It shares ownership of the balancer, since workers, services
    /// and tasks outlive the scope that makes them. Costs one load of the snapshot.
    #[must_use]
    pub fn picker(self: &Arc<Self>) -> Picker {
        Picker { balancer: Arc::clone(self), cache: Cache::new(Source(Arc::clone(self))) }
    }
}

impl Picker {
    /// The balancer, for everything but picks: changes, health, events.
    #[must_use]
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.balancer
    }

    /// Lets go of a snapshot that is no longer current, and returns the generation of the one that is. For workers that
    /// may be idle; every other call does the same. One relaxed load, and a load of the snapshot if there is a new one;
    /// the last picker that lets go of a snapshot frees it.
    pub fn refresh(&mut self) -> Generation {
        self.view().generation()
    }

    /// The current snapshot, for several questions about one request. Costs one relaxed load.
    #[must_use]
    #[inline]
    pub fn view(&mut self) -> View<'_> {
        View::cached(&self.balancer, self.cache.load())
    }

    /// [`Balancer::pick`], with the cached snapshot.
    ///
    /// # Errors
    /// [`PickError`] if no upstream can take the request. No counter has changed then.
    #[inline]
    pub fn pick(&mut self, request: &Request<'_>) -> Result<Pick, PickError> {
        self.view().pick(request)
    }

    /// [`Balancer::open`], with the cached snapshot.
    ///
    /// # Errors
    /// [`EntropyError`] if there is no random number for a new session.
    pub fn open(&mut self, request: &Request<'_>) -> Result<Opened, EntropyError> {
        self.view().open(request)
    }

    /// [`Balancer::lease`], with the cached snapshot.
    ///
    /// # Errors
    /// [`PickError::Unavailable`] if the cluster does not have the upstream, [`PickError::Full`] if it is at its limit
    /// of requests in flight.
    pub fn lease(
        &mut self,
        upstream: UpstreamId,
        session_id: u64,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Lease, PickError> {
        self.view().lease(upstream, session_id, decision, now)
    }

    /// [`Balancer::token_for`], with the cached snapshot.
    #[must_use]
    pub fn token_for(&mut self, upstream: &Upstream, session_id: u64, request: &Request<'_>) -> Option<Token> {
        self.view().token_for(upstream, session_id, request)
    }

    /// [`Balancer::pinned_upstream`], with the cached snapshot.
    #[must_use]
    pub fn pinned_upstream(&mut self, request: &Request<'_>) -> Option<UpstreamId> {
        self.view().pinned_upstream(request)
    }

    /// [`Balancer::explain`], with the cached snapshot.
    #[must_use]
    pub fn explain(&mut self, request: &Request<'_>) -> Explanation {
        self.view().explain(request)
    }
}

impl Clone for Picker {
    /// A handle for another worker.
    fn clone(&self) -> Self {
        self.balancer.picker()
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker").field("balancer", &self.balancer).finish_non_exhaustive()
    }
}
