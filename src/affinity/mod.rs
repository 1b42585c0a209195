//! *Where* a session belongs: signed tokens, the keys that sign them, and who takes over for whom.
//!
//! A token is signed, not secret, and it is no login: it says which upstream holds a session, and that a proxy of
//! this pool said so. It never says who the user is.

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
pub use legacy::{AcceptedCookie, Format, LegacyCookie, MAX_ACCEPTED, Secret};
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
