//! The hyper service: a request comes in, it is checked and forwarded, or refused in the proxy's own name.

use super::Refusal;
use super::access_log::AccessLog;
use super::body::{RequestBody, ResponseBody};
use super::check::check;
use super::client::{Client, ExchangeMark};
use super::forward::forward;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
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
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }
}

impl hyper::service::Service<Request<Incoming>> for ProxyService {
    type Response = Response<ResponseBody>;
    /// Every failure is an answer.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let client = Arc::clone(&self.client);
        Box::pin(async move { Ok(respond(&client, request).await) })
    }
}

async fn respond(client: &Arc<Client>, request: Request<Incoming>) -> Response<ResponseBody> {
    let mark = ExchangeMark::waiting(Arc::clone(client));
    let (mut parts, body) = request.into_parts();
    let version = parts.version;
    let body = RequestBody::new(body, version, client);
    let address = client.address(&parts.headers);
    let mut log = AccessLog::start(&parts, address);
    let outcome = match check(&mut parts, &client.shared.limits) {
        Ok(fields) => forward(mark, parts, fields, body, address, &mut log).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| {
        client.shared.refusals.count(refusal);
        log.refused(refusal);
        refuse(refusal, version, client.activity.has_unread())
    })
}

/// An answer in the proxy's own name.
fn refuse(refusal: Refusal, version: Version, has_unread: bool) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::text(refusal.text()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // After a bad request nobody knows where the next one begins, and after a body that nobody reads it is far off.
    if (refusal.status().is_client_error() || has_unread) && version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
