//! A request comes in, it is checked and forwarded, or refused in the proxy's own name.

use crate::proxy::access_log::AccessLog;
use crate::proxy::exchange::body::{RequestBody, ResponseBody};
use crate::proxy::exchange::client::{Client, ExchangeMark};
use crate::proxy::exchange::forward::forward;
use crate::proxy::exchange::response::Answer;
use crate::proxy::exchange::validate::check;
use crate::proxy::http1::fields::Fields;
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
    pub(crate) fn new(client: Arc<Client>) -> Self {
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
pub(crate) async fn respond(
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
        Answer::local_reply(refusal, client.activity.has_unread())
    })
}
