//! Responses, and the header fields that each of them has.

use crate::admin::AdminBody;
use crate::admin::api::problem::Problem;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A response of this type, which is not cached, not sniffed, and not embedded by pages of other origins.
pub(crate) fn reply(status: StatusCode, content_type: HeaderValue, body: AdminBody) -> Response<AdminBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields: &mut HeaderMap = response.headers_mut();
    fields.insert(CONTENT_TYPE, content_type);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<AdminBody>, Problem> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "a response cannot be serialized");
        Problem::internal()
    })?;
    Ok(reply(status, JSON, AdminBody::whole(text)))
}

pub(crate) fn document(text: &'static str) -> Response<AdminBody> {
    reply(StatusCode::OK, JSON, AdminBody::whole(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn problem(problem: &Problem) -> Response<AdminBody> {
    let mut response = reply(problem.status, PROBLEM, AdminBody::whole(problem.document()));
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"homing\""));
    }
    let allow: Vec<&str> = problem.allow.iter().map(http::Method::as_str).collect();
    if let (false, Ok(allow)) = (allow.is_empty(), HeaderValue::try_from(allow.join(", "))) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
