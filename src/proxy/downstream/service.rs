//! The proxy as a service for hyper's server.

use crate::proxy::exchange::client::Client;
use crate::proxy::exchange::request_body::RequestBody;
use crate::proxy::exchange::respond::respond;
use crate::proxy::exchange::response_body::ResponseBody;
use crate::proxy::http1::fields::Fields;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A hyper service that forwards the requests of one client connection. Clones are of the same connection.
#[derive(Clone, Debug)]
pub struct ProxyService {
    client: Arc<Client>,
}

impl ProxyService {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

impl hyper::service::Service<Request<Incoming>> for ProxyService {
    type Response = Response<ResponseBody>;
    /// Every failure is a response.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let client = Arc::clone(&self.client);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let upgrade = parts.extensions.remove::<OnUpgrade>();
            let body = RequestBody::from_hyper(body, parts.version, &client);
            let fields = Fields::of(&parts.headers);
            let response = respond(&client, &mut parts, fields, body).await;
            Ok(response.into_response(parts.version, upgrade))
        })
    }
}
