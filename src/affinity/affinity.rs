//! Affinity as configured: keys, lifetimes, and what to do when an upstream cannot take its session.

use super::{AcceptedCookie, Claims, KeyError, KeyRing, LifetimeError, Lifetimes, MAX_ACCEPTED, Token, lifetimes};
use crate::cluster::{PinLoss, Upstream};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How many tokens of one request are verified; a bound on the work that a client can cause.
pub(crate) const MAX_TOKENS: usize = 4;

/// What happens to a session whose upstream is in the cluster but cannot take it now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnUnavailable {
    /// It moves to a failover target, once, and stays there.
    #[default]
    Repin,
    /// The request is refused, and the session waits for its upstream.
    Reject,
}

/// What happens to a session whose upstream is at its limit of requests in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFull {
    /// The request waits for room ([`PickError::Full`](crate::PickError::Full)), and the session stays.
    #[default]
    Wait,
    /// The session moves to a failover target, once, and stays there.
    Move,
}

/// What happens to a session whose upstream is another process than the one that held it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnRestart {
    /// It goes to the first in its own rendezvous order, as if its upstream had been removed; that may be the same
    /// one.
    #[default]
    Replace,
    /// It stays on its upstream: for applications that store sessions where the next process finds them. The decision
    /// still is [`PinLoss::OtherIncarnation`].
    Keep,
}

/// Pins sessions to their upstreams. Pass it to
/// [`BalancerBuilder::affinity`](crate::balancer::BalancerBuilder::affinity).
#[derive(Clone, Debug)]
pub struct Affinity {
    keys: KeyRing,
    lifetimes: Lifetimes,
    /// A power of two of seconds.
    live_window: u8,
    on_unavailable: OnUnavailable,
    on_full: OnFull,
    on_restart: OnRestart,
    accepted: Arc<[AcceptedCookie]>,
}

/// Configures an [`Affinity`].
#[derive(Clone, Debug)]
pub struct AffinityBuilder {
    keys: KeyRing,
    max_age: Duration,
    idle: Option<Duration>,
    live_window: Duration,
    on_unavailable: OnUnavailable,
    on_full: OnFull,
    on_restart: OnRestart,
    accepted: Vec<AcceptedCookie>,
}

impl AffinityBuilder {
    /// The absolute age of a session; default 12 hours.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How long a session may make no request: it is forgotten between this time and an eighth more. `None`, the
    /// default: as long as its absolute age lasts.
    ///
    /// Only requests count. A page that lives by a WebSocket makes none, so an idle age shorter than its life loses
    /// its session when the socket breaks and reconnects.
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session counts as [live](Upstream::live_sessions) without a request: between one and two of these
    /// windows. Rounded down to a power of two of seconds; default 128 seconds.
    ///
    /// It only influences where new sessions are placed, and forgets none. A short window misses sessions that make
    /// requests seldom, the more so where their requests spread over many proxies; a long one still counts those that
    /// ended, so upstreams that were added get more than their share. In `examples/scale_out.rs`, where sessions last
    /// 20 minutes and three choices are drawn, windows of 128 seconds fill them to 1 % above it with one proxy and 3 %
    /// with ten; windows of 512 seconds to 11 % and 27 %.
    #[must_use]
    pub fn live_window(mut self, window: Duration) -> Self {
        self.live_window = window;
        self
    }

    /// What to do when a session's upstream cannot take it; default [`OnUnavailable::Repin`].
    #[must_use]
    pub fn on_unavailable(mut self, choice: OnUnavailable) -> Self {
        self.on_unavailable = choice;
        self
    }

    /// What to do when a session's upstream is at its limit; default [`OnFull::Wait`]. With [`OnUnavailable::Reject`]
    /// the request is refused in any case.
    #[must_use]
    pub fn on_full(mut self, choice: OnFull) -> Self {
        self.on_full = choice;
        self
    }

    /// What to do when a session's upstream was restarted; default [`OnRestart::Replace`].
    #[must_use]
    pub fn on_restart(mut self, choice: OnRestart) -> Self {
        self.on_restart = choice;
        self
    }

    /// Migrates the sessions of another proxy: where a request brings no good token, the first of its [legacy
    /// cookies](crate::Request::legacy_cookies) that means exactly one upstream pins it there, and its client is given
    /// a token. At most [`MAX_ACCEPTED`](super::MAX_ACCEPTED) kinds; requests refer to them by their index here. Those
    /// beyond are ignored.
    ///
    /// The meaning of such cookies is computed for every cluster: one hash and about 100 bytes an upstream and kind.
    #[must_use]
    pub fn accept(mut self, accepted: impl IntoIterator<Item = AcceptedCookie>) -> Self {
        self.accepted.extend(accepted);
        self.accepted.truncate(MAX_ACCEPTED);
        self
    }

    /// Checks the lifetimes.
    ///
    /// # Errors
    /// [`LifetimeError`] where an age is out of range or the two do not go together.
    pub fn build(self) -> Result<Affinity, LifetimeError> {
        let lifetimes = Lifetimes::new(self.max_age, self.idle)?;
        let live_window = lifetimes::scale("live_window", self.live_window)?;
        let Self { keys, on_unavailable, on_full, on_restart, .. } = self;
        let accepted = self.accepted.into();
        Ok(Affinity { keys, lifetimes, live_window, on_unavailable, on_full, on_restart, accepted })
    }
}

impl Affinity {
    /// Affinity by tokens signed with `keys`.
    #[must_use]
    pub fn builder(keys: KeyRing) -> AffinityBuilder {
        AffinityBuilder {
            keys,
            max_age: Duration::from_secs(12 * 3600),
            idle: None,
            live_window: Duration::from_secs(128),
            on_unavailable: OnUnavailable::default(),
            on_full: OnFull::default(),
            on_restart: OnRestart::default(),
            accepted: Vec::new(),
        }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// What happens to a session whose upstream cannot take it.
    #[must_use]
    pub fn on_unavailable(&self) -> OnUnavailable {
        self.on_unavailable
    }

    /// What happens to a session whose upstream is at its limit.
    #[must_use]
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// What happens to a session whose upstream was restarted.
    #[must_use]
    pub fn on_restart(&self) -> OnRestart {
        self.on_restart
    }

    /// The legacy cookies that are accepted, in order of precedence.
    #[must_use]
    pub fn accepted(&self) -> &Arc<[AcceptedCookie]> {
        &self.accepted
    }

    /// The window that live sessions are counted in, a power of two of seconds.
    pub(crate) fn live_window(&self) -> u8 {
        self.live_window
    }

    /// The same affinity with other keys of the same pool.
    pub(crate) fn with_keys(&self, keys: KeyRing) -> Result<Self, KeyError> {
        match self.keys.same_identity(&keys) {
            true => Ok(Self { keys, ..self.clone() }),
            false => Err(KeyError::OtherIdentity),
        }
    }

    /// The claims of the first good token, or why the first of them is not good (`None`: there is no token).
    pub(crate) fn open(&self, tokens: &[&[u8]], now: Timestamp) -> Result<Claims, Option<PinLoss>> {
        let mut reason = None;
        for token in tokens.iter().take(MAX_TOKENS) {
            let checked = Claims::verify(token, &self.keys)
                .and_then(|claims| self.lifetimes.check(&claims, now).map(|()| claims));
            match checked {
                Ok(claims) => return Ok(claims),
                Err(loss) => reason = reason.or(Some(loss)),
            }
        }
        Err(reason)
    }

    /// The token to send to the client of a session that is now on `upstream`; `None` where the client has it already.
    /// `known` is what its good token says, if there is one; a session without begins now. `session_id` is the
    /// session's, known or new.
    pub(crate) fn issue(
        &self,
        known: Option<&Claims>,
        session_id: u64,
        upstream: &Upstream,
        now: Timestamp,
    ) -> Option<Token> {
        let claims = self.next_claims(known, session_id, upstream, now);
        if known.is_some_and(|known| *known == claims) {
            return None;
        }
        // Never fails: by construction, the ring has the key it signs with.
        claims.sign(&self.keys)
    }

    /// The claims of the session's token from now on.
    pub(crate) fn next_claims(
        &self,
        known: Option<&Claims>,
        session_id: u64,
        upstream: &Upstream,
        now: Timestamp,
    ) -> Claims {
        let issued = known.map_or_else(|| u32::try_from(now.as_secs()).unwrap_or(u32::MAX), |c| c.issued);
        let (window, scale) = self.lifetimes.window(issued, now);
        let mut claims = Claims {
            key: self.keys.signer(),
            upstream: upstream.id(),
            session_id,
            issued,
            window,
            incarnation: upstream.incarnation(),
            scale,
        };
        if let Some(known) = known {
            // A clock that went back must not shorten a session's idle time.
            if known.scale == scale {
                claims.window = claims.window.max(known.window);
            }
            // A proxy that does not know the incarnation keeps what another proxy wrote.
            if known.upstream == claims.upstream && claims.incarnation == 0 {
                claims.incarnation = known.incarnation;
            }
        }
        claims
    }
}
