//! The dashboard: one page without data, which fetches everything from this interface and nothing from elsewhere.
//!
//! The page is the same for every client, and its content security policy allows that very text by the hash of the
//! bytes that are served, and no other script or style. Its scripts set what the interface returns as text, never as
//! markup.

use crate::admin::AdminBody;
use crate::admin::api::reply::reply;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

macro_rules! style {
    () => {
        include_str!("style.css")
    };
}

macro_rules! script {
    () => {
        concat!(
            include_str!("format.js"),
            include_str!("api.js"),
            include_str!("figures.js"),
            include_str!("chart.js"),
            include_str!("cards.js"),
            include_str!("reasons.js"),
            include_str!("events.js"),
            include_str!("changes.js"),
            include_str!("main.js"),
        )
    };
}

const PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n",
    include_str!("head.html"),
    "<style>",
    style!(),
    "</style>\n</head>\n<body>\n",
    include_str!("body.html"),
    "<script type=\"module\">",
    script!(),
    "</script>\n</body>\n</html>\n"
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The content security policy: the style and script that the page was built with, and requests to its own origin.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        source(style!()),
        source(script!()),
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The hash source (CSP Level 3) of this text.
fn source(text: &str) -> String {
    // Base64 of 32 bytes, which is ASCII.
    let mut hash = [0; 44];
    let length = STANDARD.encode_slice(Sha256::digest(text), &mut hash).unwrap_or_default();
    format!("'sha256-{}'", String::from_utf8_lossy(&hash[..length]))
}

pub(crate) fn page() -> Response<AdminBody> {
    let mut response = reply(StatusCode::OK, HTML, AdminBody::whole(Bytes::from_static(PAGE.as_bytes())));
    let fields = response.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
