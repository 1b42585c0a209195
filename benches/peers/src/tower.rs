//! tower's `p2c::Balance`: the less loaded of two ready services, by requests in flight. The service here responds at
//! once with its number, so a placement includes counting the request in and out.

use crate::{Key, Placement};
use futures_util::stream::Stream;
use futures_util::{FutureExt, task::noop_waker_ref};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::{CompleteOnResponse, PendingRequests};

#[derive(Clone, Copy)]
struct Upstream(usize);

impl Service<Key> for Upstream {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Key) -> Self::Future {
        ready(Ok(self.0))
    }
}

type Counted = PendingRequests<Upstream>;

/// Changes that discovery has not delivered yet.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<VecDeque<Change<usize, Counted>>>>);

impl Changes {
    fn push(&self, change: Change<usize, Counted>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

impl Stream for Changes {
    type Item = Result<Change<usize, Counted>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let change = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        change.map_or(Poll::Pending, |change| Poll::Ready(Some(Ok(change))))
    }
}

pub(crate) struct P2c {
    changes: Changes,
    balance: Balance<Changes, Key>,
}

impl P2c {
    pub(crate) fn new(numbers: Range<usize>) -> Self {
        let changes = Changes::default();
        let mut p2c = Self { balance: Balance::new(changes.clone()), changes };
        for number in numbers {
            p2c.changes.push(insert(number));
        }
        p2c.poll();
        p2c
    }

    fn poll(&mut self) -> bool {
        self.balance.poll_ready(&mut Context::from_waker(noop_waker_ref())).is_ready()
    }
}

fn insert(number: usize) -> Change<usize, Counted> {
    Change::Insert(number, PendingRequests::new(Upstream(number), CompleteOnResponse::default()))
}

impl Placement for P2c {
    type Answer = Option<usize>;

    const KEYED: bool = false;

    fn place(&mut self, key: &Key) -> Option<usize> {
        if !self.poll() {
            return None;
        }
        self.balance.call(*key).now_or_never().and_then(Result::ok)
    }

    fn number(&self, answer: &Option<usize>) -> usize {
        answer.unwrap_or(usize::MAX)
    }

    fn add(&mut self, number: usize) {
        self.changes.push(insert(number));
        self.poll();
    }

    fn remove(&mut self, number: usize) {
        self.changes.push(Change::Remove(number));
        self.poll();
    }
}
