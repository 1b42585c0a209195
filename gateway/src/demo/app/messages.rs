//! Requests as the application reads them, and the responses it makes.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};

pub(super) type Request = hyper::Request<Incoming>;
pub(super) type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The application's own cookie: it names a session in the memory of one instance.
pub(super) const SESSION: &str = "demo_session";

/// The value of the client's session cookie.
pub(super) fn session(request: &Request) -> Option<&str> {
    let cookies = request.headers().get_all(header::COOKIE).into_iter();
    let mut pairs = cookies.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(SESSION)?.strip_prefix('='))
}

/// A parameter of the query. No name or value of this application needs percent-encoding.
pub(super) fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether a browser sent this for a page of another site. Clients that are no browsers send no such field.
pub(super) fn is_cross_site(request: &Request) -> bool {
    let site = request.headers().get(HeaderName::from_static("sec-fetch-site"));
    site.is_some_and(|site| site != "same-origin" && site != "none")
}

pub(super) fn not_allowed(methods: &'static str) -> Response {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, format!("this takes {methods}\n"));
    refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refusal
}

pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    whole(status, "text/plain; charset=utf-8", text)
}

pub(super) fn json_text(json: String) -> Response {
    whole(StatusCode::OK, "application/json", json)
}

pub(super) fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    response(status, content_type, Full::new(body.into()).boxed_unsync())
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Every response depends on the visit and the moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
