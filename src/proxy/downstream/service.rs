//! The proxy as a service, for servers of hyper, axum and tower.

use crate::proxy::exchange::client::Client;
use crate::proxy::exchange::request_body::RequestBody;
use crate::proxy::exchange::respond::respond;
use crate::proxy::exchange::response_body::ResponseBody;
use crate::proxy::http1::fields::Fields;
use http::{Request, Response};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A service that forwards the requests of one client connection: see [`Proxy::service`](crate::proxy::Proxy::service).
///
/// It is a [`tower_service::Service`] and a [`hyper::service::Service`], is always ready, takes requests with any body,
/// and turns every failure into a response. Clones are of the same connection.
#[derive(Clone, Debug)]
pub struct ProxyService {
    client: Arc<Client>,
}

impl ProxyService {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    fn respond<B>(&self, request: Request<B>) -> Responding
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let client = Arc::clone(&self.client);
        let (mut parts, body) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let body = RequestBody::from_server(body, parts.version, &client);
        Box::pin(async move {
            let fields = Fields::of(&parts.headers);
            let response = respond(&client, &mut parts, fields, body).await;
            Ok(response.into_response(parts.version, upgrade))
        })
    }
}

/// The response of a [`ProxyService`].
type Responding = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

impl<B> hyper::service::Service<Request<B>> for ProxyService
where
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    /// Every failure is a response.
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, request: Request<B>) -> Self::Future {
        self.respond(request)
    }
}

impl<B> tower_service::Service<Request<B>> for ProxyService
where
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    /// Every failure is a response.
    type Error = Infallible;
    type Future = Responding;

    /// Always ready: requests wait in the proxy's queue, which knows their upstreams.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.respond(request)
    }
}
