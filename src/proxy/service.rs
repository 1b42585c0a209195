//! A request comes in, it is checked and forwarded, or refused in the proxy's own name.

use super::access_log::AccessLog;
use super::answer::Answer;
use super::body::{RequestBody, ResponseBody};
use super::check::check;
use super::client::{Client, ExchangeMark};
use super::fields::Fields;
use super::forward::forward;
use http::request::Parts;
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
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let upgrade = parts.extensions.remove::<OnUpgrade>();
            let body = RequestBody::of_hyper(body, parts.version, &client);
            let fields = Fields::of(&parts.headers);
            let answer = respond(&client, &mut parts, fields, body).await;
            Ok(answer.into_response(parts.version, upgrade))
        })
    }
}

/// The answer to a request with these fields.
pub(super) async fn respond(
    client: &Arc<Client>,
    parts: &mut Parts,
    fields: Fields,
    body: Option<RequestBody>,
) -> Answer {
    let mark = ExchangeMark::waiting(Arc::clone(client));
    let address = client.address(&parts.headers);
    let mut log = AccessLog::start(parts, address);
    let outcome = match check(parts, fields, &client.settings.limits) {
        Ok(()) => forward(mark, parts, fields, body, address, &mut log).await,
        Err(refusal) => {
            drop(body);
            Err(refusal)
        }
    };
    outcome.unwrap_or_else(|refusal| {
        client.shared.refusals.count(refusal);
        log.refused(refusal);
        Answer::refusal(refusal, client.activity.has_unread())
    })
}
