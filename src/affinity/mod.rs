//! Session affinity: signed tokens, the keys that sign them, what happens to a pin that cannot be honoured, and the
//! cookies of legacy proxies.
//!
//! A token is signed, not secret, and it is no login: it names the upstream that holds a session, and proves that a
//! proxy of this pool issued it. It never says who the user is. Nothing here knows HTTP: cookies are found by
//! [`http`](crate::http) or by the host.
//!
//! Files, in reading order:
//!
//! - `token.rs` (the wire format and its claims), `mac.rs` (HMAC-SHA256), `keys.rs` (key ring and rotation),
//!   `lifetimes.rs` (absolute and idle age).
//! - `affinity.rs`: [`Affinity`], which joins them with the settings.
//! - `failover_target.rs`: where a displaced session moves. `rebalance.rs`: which sessions move to upstreams with
//!   room.
//! - `legacy/`: cookies that other proxies set.
//!
//! # Invariants
//!
//! - **The tag first.** Nothing in a token is used before its tag is verified, in constant time.
//! - **Golden bytes.** Tokens cross processes and versions: tests hold them against bytes of an independent program.
//! - **The length of an idle window is in the token** (five bits of its flags). Otherwise a change of the configured
//!   idle age would change what the tokens that clients hold mean. Windows are counted even without an idle age, since
//!   rebalancing uses them.
//! - **`idle` has no default.** A page that lives by a WebSocket makes no requests; with a default of half an hour it
//!   would lose its session when the socket breaks and reconnects.

#[expect(clippy::module_inception, reason = "the type that the folder is named after")]
mod affinity;
mod failover_target;
mod keys;
mod legacy;
mod lifetimes;
mod mac;
mod rebalance;
mod token;

pub use affinity::{Affinity, AffinityBuilder, OnFull, OnRestart, OnUnavailable};
pub use keys::{KeyError, KeyRing, KeyRingBuilder, MAX_KEYS, MIN_SECRET};
pub use legacy::{AcceptedCookie, LegacyCookie, LegacyFormat, MAX_ACCEPTED, Secret};
pub use lifetimes::{LifetimeError, Lifetimes};
pub use rebalance::{Candidate, Rebalance};
pub use token::{TOKEN_LEN, Token};

pub(crate) use affinity::MAX_TOKENS;
pub(crate) use failover_target::failover_target;
pub(crate) use legacy::LegacyCookieTable;
#[cfg(feature = "http")]
pub(crate) use legacy::MAX_VALUES;
pub(crate) use rebalance::{MoveRank, Veto};
pub(crate) use token::Claims;
