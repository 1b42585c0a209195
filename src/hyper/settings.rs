//! What all clones of a [`Sticky`](super::Sticky) share, and how a request is directed to its upstream.

use super::error::StickyError;
use crate::cluster::Upstream;
use crate::health::Outcome;
use crate::http::{CookieSpec, RequestKey, TrustedProxies, header_map};
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What an error of the client says about its upstream.
pub(super) type OutcomeOf = dyn Fn(&(dyn Error + 'static), Duration) -> Option<Outcome> + Send + Sync;

pub(super) struct Settings {
    /// `None` where the balancer has no affinity.
    pub(super) cookie: Option<CookieSpec>,
    pub(super) key: RequestKey,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) scheme: Scheme,
    pub(super) preserve_host: bool,
    pub(super) outcome_of: Box<OutcomeOf>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("cookie", &self.cookie).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Settings {
    /// Directs a request to `upstream`: its URI, its cookies, its `Host` and its version.
    pub(super) fn direct<B>(&self, request: &mut Request<B>, upstream: &Upstream) -> Result<(), StickyError> {
        let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(upstream.address()).path_and_query(target);
        let uri =
            uri.build().map_err(|source| StickyError::Address { upstream: upstream.name().to_owned(), source })?;
        let asked = std::mem::replace(request.uri_mut(), uri);
        // The client's version is its connection's; this side's depends on the upstream (RFC 9110, section 6.2).
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        match &self.cookie {
            Some(cookie) => header_map::strip_cookie(headers, cookie.name()),
            None => header_map::join_cookies(headers),
        }
        if !self.preserve_host {
            // The client service sets it from the URI.
            headers.remove(HOST);
        } else if let Some(asked) = asked.authority() {
            // HTTP/2 has `:authority` for it, and in HTTP/1.1 a whole URI overrides it (RFC 9112, section 3.2.2).
            let host = asked.as_str().rsplit('@').next().unwrap_or_default();
            if let Ok(host) = HeaderValue::try_from(host) {
                headers.insert(HOST, host);
            }
        }
        Ok(())
    }
}
