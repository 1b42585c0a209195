//! Waiting for a free place, without an executor.

use super::balancer::Balancer;
use crate::cluster::{Decision, UpstreamId, WaitFor, WakeReason};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A request that waits for a place at an upstream, from [`Balancer::waiter`] until it is dropped: first come, first
/// served.
///
/// A pick that fails with [`PickError::Full`](crate::PickError::Full) is made again when
/// [`poll_freed`](Self::poll_freed) or [`freed`](Self::freed) is ready. A waiter becomes ready when it is its turn and
///
/// - a lease ends, wherever it was dropped, on an upstream that it waits for;
/// - the availability of such an upstream changes;
/// - another cluster or other settings are published: [`apply`](Balancer::apply) and
///   [`reconfigure`](Balancer::reconfigure), so higher limits too;
/// - the waiter in front of it has been served or has left.
///
/// It may also become ready without cause. Being ready reserves no place: the host picks again, and a waiter that picks
/// in vain keeps its position. What time alone changes (a drain deadline that passes, the pace of
/// [`PickError::Later`](crate::PickError::Later)) wakes no waiter: a host sets a timer for it.
///
/// Any number of waiters may wait from any threads. While there is none, the end of a lease pays nothing for them: the
/// bit that says so is in the word that it changes anyway. While there are some, it costs a lock that all waiters of
/// the balancer share. Wakers are called with no lock of the waiters held; a waker must only schedule its task.
///
/// # Example
///
/// A host that queues requests:
///
/// ```
/// use homing::cluster::WaitFor;
/// use homing::{Balancer, Pick, PickError, Request, Timestamp, UpstreamConfig};
/// use std::sync::Arc;
///
/// /// A place for a request, after a wait where all upstreams are at their limit.
/// async fn place(balancer: &Arc<Balancer>, request: &Request<'_>) -> Result<Pick, PickError> {
///     match balancer.pick(request) {
///         Ok(pick) if !balancer.overtakes(pick.decision, pick.upstream().id()) => return Ok(pick),
///         Ok(_) | Err(PickError::Full) => {}
///         Err(error) => return Err(error),
///     }
///     let mut waiter = balancer.waiter();
///     loop {
///         waiter.freed(balancer.pinned_upstream(request).map_or(WaitFor::Any, WaitFor::Upstream)).await;
///         match balancer.pick(request) {
///             Ok(pick) => {
///                 waiter.served(pick.upstream().id());
///                 return Ok(pick);
///             }
///             Err(PickError::Full) => {}
///             Err(error) => return Err(error),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = UpstreamConfig::new("app-1", "10.0.0.1:8080").max_in_flight(1);
/// let balancer = Arc::new(Balancer::builder().upstream(app).build()?);
/// let request = Request::new(Timestamp::from_secs(1_700_000_000));
/// let first = place(&balancer, &request).await?;
///
/// let second = tokio::spawn({
///     let balancer = Arc::clone(&balancer);
///     async move { place(&balancer, &request).await }
/// });
/// while balancer.waiting() == 0 {
///     tokio::task::yield_now().await;
/// }
/// drop(first);
/// assert_eq!(second.await??.upstream().name(), "app-1");
/// # Ok(())
/// # }
/// ```
pub struct PlaceWaiter {
    balancer: Arc<Balancer>,
    /// Its position: waiters are numbered in the order of arrival.
    number: u64,
    /// The list that it is on.
    target: Option<WaitFor>,
    /// Why it was woken last; the place may be unused.
    woken: Option<WakeReason>,
}

impl Balancer {
    /// A waiter for a free place, behind those that there are. Costs a lock; the waiter waits for nothing before it is
    /// polled.
    #[must_use]
    pub fn waiter(self: &Arc<Self>) -> PlaceWaiter {
        let number = self.waiters.next_number();
        PlaceWaiter { balancer: Arc::clone(self), number, target: None, woken: None }
    }

    /// How many waiters there are that were polled for a place and are not served yet. One relaxed load.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.count()
    }

    /// Whether a request that was placed on `upstream` without having waited would overtake a waiter. A fair host then
    /// drops the lease and waits too.
    ///
    /// A [pinned](Decision::Pinned) session overtakes only those that wait for the same upstream: others do not compete
    /// for its place. One relaxed load while nothing waits, otherwise a lock.
    #[must_use]
    pub fn overtakes(&self, decision: Decision, upstream: UpstreamId) -> bool {
        self.waiting() > 0 && self.waiters.are_overtaken(decision, upstream)
    }

    /// Tells the waiters that a snapshot was published.
    pub(super) fn wake_waiters(&self) {
        self.waiters.cluster_changed(|| self.watch(WaitFor::Any));
    }

    /// Watches the upstreams of the current cluster that `target` means. Call it with the waiters' lock held: a cluster
    /// that is published later watches its upstreams itself.
    fn watch(&self, target: WaitFor) {
        let snapshot = self.snapshot.load();
        match target {
            WaitFor::Any => snapshot.cluster.members().iter().for_each(|member| member.upstream().watch()),
            WaitFor::Upstream(id) => snapshot.cluster.find(id).into_iter().for_each(|member| member.upstream().watch()),
        }
    }
}

impl PlaceWaiter {
    /// Ready when the request is to pick again; otherwise the task is woken then.
    ///
    /// With another `target` than before it waits for that from now on, in the position of its arrival. The first call
    /// for a target may be ready at once: a place may have come free since the request picked. To call it again without
    /// having been [served](Self::served) says that the place which it was woken for could not be used, and it goes to
    /// the next that can.
    ///
    /// Costs a lock, and the first call for [`WaitFor::Any`] a look at each upstream.
    pub fn poll_freed(&mut self, target: WaitFor, cx: &mut Context<'_>) -> Poll<()> {
        self.wait_for(Some(target));
        self.woken = self.balancer.waiters.poll(self.number, target, cx.waker());
        if self.woken.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// [`poll_freed`](Self::poll_freed) as a future. Dropping the future loses nothing.
    pub async fn freed(&mut self, target: WaitFor) {
        poll_fn(|cx| self.poll_freed(target, cx)).await;
    }

    /// Waits for nothing any more, such as while the request has to wait for a time instead; its position stays.
    pub fn pause(&mut self) {
        self.wait_for(None);
    }

    /// Whether no other request has waited longer for the same. Of several requests that look again after some time,
    /// whether or not they were woken, only the first of each kind need to. Also true if it waits for nothing. Costs a
    /// lock.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.target.is_none_or(|target| self.balancer.waiters.is_first(self.number, target))
    }

    /// Whether another request has waited longer for a place at `upstream`, where this one has been placed, and can
    /// take no other. A fair host drops the lease and waits on. Costs a lock.
    #[must_use]
    pub fn is_behind(&self, upstream: UpstreamId) -> bool {
        self.balancer.waiters.is_behind(self.number, upstream)
    }

    /// The request has a lease on `upstream` and waits no longer. The next one is woken, since there may be more places,
    /// and the place that this one was woken for may be another. A waiter that is dropped instead passes on what it was
    /// woken for.
    pub fn served(mut self, upstream: UpstreamId) {
        self.woken = self.woken.filter(|woken| *woken != WakeReason::Place(upstream));
        self.leave(true);
    }

    /// Moves to the list of this target, or to none.
    fn wait_for(&mut self, target: Option<WaitFor>) {
        if let (Some(WakeReason::Place(upstream)), Some(WaitFor::Any)) = (self.woken.take(), self.target) {
            self.balancer.waiters.pass_on(upstream);
        }
        if self.target == target {
            return;
        }
        self.leave(false);
        self.target = target;
        if let Some(target) = target {
            self.balancer.waiters.enter(self.number, target, || self.balancer.watch(target));
        }
    }

    fn leave(&mut self, more: bool) {
        let woken = self.woken.take();
        if let Some(target) = self.target.take() {
            self.balancer.waiters.leave(self.number, target, woken, more);
        }
    }
}

impl Drop for PlaceWaiter {
    fn drop(&mut self) {
        self.leave(false);
    }
}

impl fmt::Debug for PlaceWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaceWaiter")
            .field("number", &self.number)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
