//! [`Sticky`] as hyper's service, which is called without being asked whether it is ready.

use super::error::{BoxError, StickyError};
use super::lease_body::LeaseBody;
use super::response::ResponseFuture;
use super::sticky::Sticky;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// The response of a [`Sticky`] as hyper's service: waits until it is ready, and calls it.
    #[must_use = "futures do nothing unless polled"]
    pub struct WhenReady<C, B>
    where
        C: Service<Request<B>>,
    {
        sticky: Sticky<C>,
        request: Option<Request<B>>,
        #[pin]
        response: Option<ResponseFuture<C::Future>>,
    }
}

impl<C: Service<Request<B>>, B> WhenReady<C, B> {
    pub(super) fn new(sticky: Sticky<C>, request: Request<B>) -> Self {
        Self { sticky, request: Some(request), response: None }
    }
}

impl<C: Service<Request<B>>, B> std::fmt::Debug for WhenReady<C, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhenReady").field("is_called", &self.response.is_some()).finish_non_exhaustive()
    }
}

impl<C, B, R> Future for WhenReady<C, B>
where
    C: Service<Request<B>, Response = Response<R>>,
    C::Error: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<LeaseBody<R>>, StickyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            ready!(this.sticky.poll_ready(cx))?;
            if let Some(request) = this.request.take() {
                this.response.set(Some(this.sticky.call(request)));
            }
        }
        this.response.as_pin_mut().map_or(Poll::Pending, |response| response.poll(cx))
    }
}

impl<C, B, R> hyper::service::Service<Request<B>> for Sticky<C>
where
    C: Service<Request<B>, Response = Response<R>> + Clone,
    C::Error: Into<BoxError>,
    R: Body,
{
    type Response = Response<LeaseBody<R>>;
    type Error = StickyError;
    type Future = WhenReady<C, B>;

    /// Waits until a clone is ready, and calls it.
    fn call(&self, request: Request<B>) -> Self::Future {
        WhenReady::new(self.clone(), request)
    }
}
