//! The table `[affinity]`.

use super::Accept;
use super::value;
use crate::affinity::LifetimeError;
use crate::http::{CookieError, CookieName, CookieSpec, SameSite, Secure};
use crate::{KeyRing, OnFull, OnRestart};
use http::HeaderName;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// `[affinity]`: how sessions are pinned to their upstreams.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// Whether clients are given tokens. Default: yes, also without this table.
    pub enabled: bool,
    /// The cookie's name. Default: `homing`.
    #[serde(deserialize_with = "value::parsed")]
    pub cookie: CookieName,
    /// The absolute age of a session, 1 second to 400 days. Default: 12 hours.
    #[serde(deserialize_with = "value::lifetime")]
    pub max_age: Duration,
    /// The longest time between two requests of a session, 1 second to `max_age`. Default: none, so that a page that
    /// uses a WebSocket only keeps its session.
    #[serde(deserialize_with = "value::some_lifetime")]
    pub idle: Option<Duration>,
    /// How long a session counts as live without a request, for `least_sessions`: between one and two of these windows,
    /// rounded down to a power of two of seconds. Default: 128 seconds.
    #[serde(deserialize_with = "value::lifetime")]
    pub live_window: Duration,
    /// When the cookie has the `Secure` attribute. Default: `auto`.
    #[serde(with = "value::SecureValue")]
    pub secure: Secure,
    /// Which cross-site requests carry the cookie. Default: `lax`.
    #[serde(with = "value::SameSiteValue")]
    pub same_site: SameSite,
    /// The cookie's domain. Default: none, so that browsers send it to the host that set it only.
    pub domain: Option<String>,
    /// The cookie's path. Default: `/`.
    pub path: String,
    /// Whether the cookie is partitioned by top-level site. Default: no.
    pub partitioned: bool,
    /// What happens to a session whose upstream cannot serve it. Default: `repin`.
    pub on_unavailable: OnUnavailable,
    /// What happens to a session whose upstream is at its limit of requests in flight. Default: `wait`.
    #[serde(with = "value::OnFullValue")]
    pub on_full: OnFull,
    /// What happens to a session whose upstream was restarted. Default: `replace`.
    #[serde(with = "value::OnRestartValue")]
    pub on_restart: OnRestart,
    /// The response field that tells a displaced session why its pin was lost. Default: none.
    #[serde(deserialize_with = "value::header_name")]
    pub lost_header: Option<HeaderName>,
    /// Legacy cookies that are accepted, in order of precedence; at most
    /// [`MAX_ACCEPTED`](crate::affinity::MAX_ACCEPTED). Default: none.
    pub accept: Vec<Accept>,
    /// The key file, created if absent; relative to the folder of the configuration. Default: `homing.keys`.
    #[serde(deserialize_with = "value::path")]
    pub keys: PathBuf,
}

impl Affinity {
    /// The affinity cookie: a session cookie with the attributes configured here.
    ///
    /// # Errors
    /// [`CookieError`] where the attributes contradict each other; never for a table that was parsed.
    pub fn cookie_spec(&self) -> Result<CookieSpec, CookieError> {
        let mut spec = CookieSpec::builder(self.cookie.clone())
            .path(&self.path)
            .same_site(self.same_site)
            .secure(self.secure)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            spec = spec.domain(domain);
        }
        spec.build()
    }

    /// The core's affinity with these settings, by tokens that `keys` sign; ignores [`enabled`](Self::enabled).
    ///
    /// # Errors
    /// [`LifetimeError`] where the lifetimes contradict each other; never for a table that was parsed.
    pub fn with_keys(&self, keys: KeyRing) -> Result<crate::Affinity, LifetimeError> {
        crate::Affinity::builder(keys)
            .max_age(self.max_age)
            .idle(self.idle)
            .live_window(self.live_window)
            .on_unavailable(match self.on_unavailable {
                OnUnavailable::Repin => crate::OnUnavailable::Repin,
                OnUnavailable::Reject => crate::OnUnavailable::Reject,
            })
            .on_full(self.on_full)
            .on_restart(self.on_restart)
            .accept(self.accept.iter().map(Accept::to_core))
            .build()
    }
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            enabled: true,
            cookie: CookieName::default(),
            max_age: Duration::from_secs(12 * 60 * 60),
            idle: None,
            live_window: Duration::from_secs(128),
            secure: Secure::default(),
            same_site: SameSite::default(),
            domain: None,
            path: "/".to_owned(),
            partitioned: false,
            on_unavailable: OnUnavailable::default(),
            on_full: OnFull::default(),
            on_restart: OnRestart::default(),
            lost_header: None,
            accept: Vec::new(),
            keys: PathBuf::from("homing.keys"),
        }
    }
}

/// What happens to a session whose upstream cannot serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnavailable {
    /// It moves to another upstream.
    #[default]
    Repin,
    /// Its requests get a 503.
    Reject,
}
