//! How long a token is valid: an absolute age and an idle age, both covered by the signature.

use super::token::Claims;
use crate::cluster::PinLoss;
use crate::time::Timestamp;
use std::time::Duration;

/// How far ahead of our clock a token's issued-at may lie, in seconds: the clocks of a pool's machines differ a
/// little.
const SKEW: u64 = 60;

/// The absolute and the idle age of sessions.
///
/// Idle time is counted in windows of a power of two of seconds, about an eighth of the idle age or, without one, a
/// 256th to a 128th of the absolute age. So a busy client is sent a new token once a window rather than with every
/// response, and a session is forgotten between `idle` and `idle` plus one window after its last request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    max_age: u64,
    idle: Option<u64>,
    scale: u8,
}

/// Why lifetimes were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LifetimeError {
    /// An age below a second, or above what tokens can carry.
    #[error("{what} must be between 1 second and 68 years (2^31 seconds)")]
    Range {
        /// Which of the two.
        what: &'static str,
    },
    /// A token counts at most 65,535 idle windows over its absolute age.
    #[error("an idle age of {idle} s is too fine for a max_age of {max_age} s: raise it to {least} s or lower max_age")]
    TooFine {
        /// The idle age.
        idle: u64,
        /// The absolute age.
        max_age: u64,
        /// The shortest idle age for it.
        least: u64,
    },
}

impl Lifetimes {
    /// Sessions live for `max_age` from their first token on, and no longer than `idle` (where given) without a
    /// request.
    ///
    /// # Errors
    /// [`LifetimeError`] where an age is out of range or the two do not go together.
    pub fn new(max_age: Duration, idle: Option<Duration>) -> Result<Self, LifetimeError> {
        let max_age = secs("max_age", max_age)?;
        let idle = idle.map(|idle| secs("idle", idle)).transpose()?;
        let enough = |scale: u8| max_age >> scale <= u64::from(u16::MAX);
        let fine = idle.map_or(max_age / 256, |idle| idle / 8).max(1).ilog2() as u8;
        let scale = (fine..31).find(|scale| enough(*scale)).unwrap_or(31);
        match idle {
            Some(idle) if 1 << scale > idle => Err(LifetimeError::TooFine { idle, max_age, least: 1 << scale }),
            _ => Ok(Self { max_age, idle, scale }),
        }
    }

    /// Whether a token with these claims is still good at `now`.
    pub(crate) fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), PinLoss> {
        let (now, issued) = (now.as_secs(), u64::from(claims.issued));
        if issued > now.saturating_add(SKEW) || now.saturating_sub(issued) >= self.max_age {
            return Err(PinLoss::Expired);
        }
        let window_end = issued + ((u64::from(claims.window) + 1) << claims.scale);
        match self.idle {
            Some(idle) if now >= window_end.saturating_add(idle) => Err(PinLoss::Idle),
            _ => Ok(()),
        }
    }

    /// The window that `now` lies in for a session issued at `issued`, and the scale it is counted in.
    pub(crate) fn window(&self, issued: u32, now: Timestamp) -> (u16, u8) {
        let age = now.as_secs().saturating_sub(u64::from(issued));
        (u16::try_from(age >> self.scale).unwrap_or(u16::MAX), self.scale)
    }
}

/// The whole seconds of a duration, if tokens can carry it.
fn secs(what: &'static str, time: Duration) -> Result<u64, LifetimeError> {
    match time.as_secs() {
        secs @ 1..=0x8000_0000 => Ok(secs),
        _ => Err(LifetimeError::Range { what }),
    }
}

/// The largest power of two of seconds that is not above `window`.
pub(super) fn scale(what: &'static str, window: Duration) -> Result<u8, LifetimeError> {
    secs(what, window).map(|secs| secs.ilog2() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::UpstreamId;

    fn claims(issued: u32, window: u16, scale: u8) -> Claims {
        Claims { key: 0, upstream: UpstreamId(1), session_id: 2, issued, window, incarnation: 0, scale }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn twelve_hours_and_half_an_hour_count_in_128_second_windows() {
        let lifetimes = Lifetimes::new(secs(12 * 3600), Some(secs(1800))).unwrap();
        assert_eq!(lifetimes.window(1000, Timestamp::from_secs(1000 + 127)), (0, 7));
        assert_eq!(lifetimes.window(1000, Timestamp::from_secs(1000 + 128)), (1, 7));
        let at = |now| lifetimes.check(&claims(1000, 1, 7), Timestamp::from_secs(now));
        let window_end = 1000 + 2 * 128;
        assert_eq!(at(window_end + 1799), Ok(()));
        assert_eq!(at(window_end + 1800), Err(PinLoss::Idle));
        assert_eq!(at(1000 + 12 * 3600), Err(PinLoss::Expired));
    }

    #[test]
    fn without_an_idle_age_it_is_counted_and_ends_nothing() {
        let lifetimes = Lifetimes::new(secs(12 * 3600), None).unwrap();
        assert_eq!(lifetimes.window(1000, Timestamp::from_secs(1000 + 128)), (1, 7));
        let at = |age: u64| lifetimes.check(&claims(1000, 0, 7), Timestamp::from_secs(1000 + age));
        assert_eq!(at(12 * 3600 - 1), Ok(()));
        assert_eq!(at(12 * 3600), Err(PinLoss::Expired));
    }

    #[test]
    fn a_token_from_the_future_is_good_for_a_minute() {
        let lifetimes = Lifetimes::new(secs(100), None).unwrap();
        let at = |now| lifetimes.check(&claims(1000, 0, 31), Timestamp::from_secs(now));
        assert_eq!(at(940), Ok(()));
        assert_eq!(at(939), Err(PinLoss::Expired));
        assert_eq!(at(1099), Ok(()));
        assert_eq!(at(1100), Err(PinLoss::Expired));
    }

    #[test]
    fn the_windows_of_a_token_outlive_a_change_of_configuration() {
        // Issued when windows were 2 s long; now they are 128 s. Seen in window 900, so at 1800 s of age.
        let lifetimes = Lifetimes::new(secs(12 * 3600), Some(secs(1800))).unwrap();
        let old = claims(0, 900, 1);
        assert_eq!(lifetimes.check(&old, Timestamp::from_secs(1802 + 1799)), Ok(()));
        assert_eq!(lifetimes.check(&old, Timestamp::from_secs(1802 + 1800)), Err(PinLoss::Idle));
    }

    #[test]
    fn refuses_ages_that_tokens_cannot_carry() {
        let range = |what| Err(LifetimeError::Range { what });
        assert_eq!(Lifetimes::new(Duration::ZERO, None), range("max_age"));
        assert_eq!(Lifetimes::new(secs(1 << 32), None), range("max_age"));
        assert_eq!(Lifetimes::new(secs(10), Some(Duration::from_millis(999))), range("idle"));
        let year = 365 * 86400;
        let too_fine = LifetimeError::TooFine { idle: 60, max_age: year, least: 512 };
        assert_eq!(Lifetimes::new(secs(year), Some(secs(60))), Err(too_fine));
        assert!(Lifetimes::new(secs(year), Some(secs(512))).is_ok());
    }
}
