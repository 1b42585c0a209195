//! The entry of an exchange: a request is validated and forwarded, or answered by a local reply.

use super::client::{Client, ExchangeMark};
use super::forward::forward;
use super::request_body::RequestBody;
use super::response::DownstreamResponse;
use super::validate::validate;
use crate::proxy::access_log::AccessLog;
use crate::proxy::http1::fields::Fields;
use http::request::Parts;
use std::sync::Arc;

/// The response to a request that has these `fields`.
pub(crate) async fn respond(
    client: &Arc<Client>,
    parts: &mut Parts,
    fields: Fields,
    body: Option<RequestBody>,
) -> DownstreamResponse {
    let mark = ExchangeMark::waiting(Arc::clone(client));
    let address = client.address(&parts.headers);
    let mut log = AccessLog::start(parts, address);
    let outcome = match validate(parts, fields, &client.settings.limits) {
        Ok(()) => forward(mark, parts, fields, body, address, &mut log).await,
        Err(reply) => {
            drop(body);
            Err(reply)
        }
    };
    outcome.unwrap_or_else(|reply| {
        client.worker.local_replies.count(reply);
        log.replied(reply);
        DownstreamResponse::local(reply, client.activity.has_unread())
    })
}
