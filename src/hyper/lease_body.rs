//! A body that holds a lease.

use super::reporter::Reporter;
use crate::cluster::Lease;
use crate::health::Outcome;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A response body that holds the [`Lease`] of its request: until the body ends, fails or is dropped, the request
    /// is counted in flight on its upstream. Limits, `least_conn` and drains thereby see a download for as long as it
    /// lasts. (tower's `ConcurrencyLimit` counts a request only up to the head of its response.)
    ///
    /// For hosts that call [`Balancer::pick`](crate::Balancer::pick) themselves; [`Sticky`](super::Sticky) returns it.
    /// Data, errors and size hints are the inner body's. Costs nothing but the lease.
    ///
    /// ```
    /// # async fn example(balancer: &homing::Balancer, now: homing::Timestamp) -> Result<(), homing::PickError> {
    /// use homing::Request;
    /// use homing::hyper::LeaseBody;
    ///
    /// let pick = balancer.pick(&Request::new(now))?;
    /// let response = http::Response::new(String::from("from the upstream"));
    /// let response = response.map(|body| LeaseBody::new(body, pick.lease));
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct LeaseBody<B> {
        #[pin]
        body: B,
        lease: Option<Lease>,
        reporter: Option<Reporter>,
    }
}

impl<B: Body> LeaseBody<B> {
    /// `body` with this lease, which ends at once where the body is empty.
    pub fn new(body: B, lease: Lease) -> Self {
        let lease = (!body.is_end_stream()).then_some(lease);
        Self { body, lease, reporter: None }
    }

    /// A body whose failure is reported.
    pub(super) fn reporting(body: B, lease: Lease, reporter: Reporter) -> Self {
        Self { reporter: Some(reporter), ..Self::new(body, lease) }
    }

    /// A body whose lease is held elsewhere.
    pub(super) fn without_lease(body: B) -> Self {
        Self { body, lease: None, reporter: None }
    }

    /// The inner body. The lease ends.
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B> LeaseBody<B> {
    /// The inner body.
    pub const fn get_ref(&self) -> &B {
        &self.body
    }
}

impl<B: Body> Body for LeaseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if let Some(Err(_)) = &frame
            && let (Some(lease), Some(reporter)) = (&*this.lease, this.reporter.take())
        {
            reporter.report(lease.upstream(), Outcome::Broken);
        }
        // Servers stop polling at the last byte of a body whose length is known, and may drop it much later.
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            this.lease.take();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
