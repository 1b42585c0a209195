//! Deserializers of single values. An error carries the value's position and describes what was expected.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use crate::http::{SameSite, Secure, is_host_port};
use crate::{OnFull, OnRestart};
use http::HeaderName;

/// The longest duration: 400 days. Longer ones are taken for mistakes, as even cookies live no longer (RFC 6265bis);
/// and deadlines cannot overflow.
const MAX_DURATION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

#[derive(serde::Deserialize)]
#[serde(remote = "Secure", rename_all = "lowercase")]
pub(super) enum SecureValue {
    Auto,
    Always,
    Never,
}

#[derive(serde::Deserialize)]
#[serde(remote = "SameSite", rename_all = "lowercase")]
pub(super) enum SameSiteValue {
    Strict,
    Lax,
    None,
}

#[derive(serde::Deserialize)]
#[serde(remote = "OnFull", rename_all = "lowercase")]
pub(super) enum OnFullValue {
    Wait,
    Move,
}

#[derive(serde::Deserialize)]
#[serde(remote = "OnRestart", rename_all = "lowercase")]
pub(super) enum OnRestartValue {
    Replace,
    Keep,
}

/// An integer from `MIN` to `MAX`, both of which `T` can hold.
pub fn integer<'de, const MIN: i64, const MAX: i64, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    struct Range<const MIN: i64, const MAX: i64>;

    impl<const MIN: i64, const MAX: i64> Visitor<'_> for Range<MIN, MAX> {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an integer from {MIN} to {MAX}")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            if (MIN..=MAX).contains(&value) {
                Ok(value)
            } else {
                Err(E::invalid_value(Unexpected::Signed(value), &self))
            }
        }

        // Deserializers of JSON call this for integers that are not negative.
        fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
            let signed = i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))?;
            self.visit_i64(signed)
        }
    }

    let range = Range::<MIN, MAX>;
    let value = deserializer.deserialize_i64(range)?;
    T::try_from(value).map_err(|_| D::Error::invalid_value(Unexpected::Signed(value), &Range::<MIN, MAX>))
}

/// A string that `read` accepts; `expected` describes such strings in the error.
pub fn text<'de, D, T>(deserializer: D, expected: &'static str, read: fn(&str) -> Option<T>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    struct Text<T> {
        expected: &'static str,
        read: fn(&str) -> Option<T>,
    }

    impl<T> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.read)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(Text { expected, read })
}

/// A string that is parsed by `FromStr`, whose error is the message.
pub fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A duration above zero, up to 400 days.
pub fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, "a duration such as \"500ms\" or \"10s\", longer than zero and at most 400 days", |text| {
        duration(text).filter(|duration| !duration.is_zero())
    })
}

/// A duration up to 400 days, where zero turns the feature off.
pub fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, "a duration such as \"0s\", \"500ms\" or \"10s\", at most 400 days", duration)
}

/// Any float; its range is validated together with its table.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number_that(deserializer, "a number such as 0.5", |_| true)
}

/// A float for which `holds` returns true; `expected` describes such numbers in the error.
///
/// # Errors
/// The deserializer's.
pub fn number_that<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
    holds: fn(f64) -> bool,
) -> Result<f64, D::Error> {
    struct Number {
        expected: &'static str,
        holds: fn(f64) -> bool,
    }

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
            let refused = || E::invalid_value(Unexpected::Float(number), &self);
            if (self.holds)(number) { Ok(number) } else { Err(refused()) }
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            self.visit_f64(number as f64)
        }
    }

    deserializer.deserialize_f64(Number { expected, holds })
}

/// A lifetime of tokens, which count in seconds: 1 second to 400 days.
pub fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, "a duration such as \"30m\" or \"12h\", from 1 second to 400 days", |text| {
        duration(text).filter(|&duration| duration >= Duration::from_secs(1))
    })
}

/// As [`lifetime`], for an optional key.
///
/// # Errors
/// The deserializer's.
pub fn some_lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    lifetime(deserializer).map(Some)
}

/// A duration such as `500ms`, `10s` or `1h 30m`, at most 400 days; `None` for any other text.
pub fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|&duration| duration <= MAX_DURATION)
}

/// A path that is not empty.
///
/// # Errors
/// The deserializer's.
pub fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    text(deserializer, "the name of a file", |text| (!text.is_empty()).then(|| text.into()))
}

/// The name of a header field.
///
/// # Errors
/// The deserializer's.
pub fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
    text(deserializer, "the name of a header field such as \"homing-lost\"", |name| name.parse().ok().map(Some))
}

pub(super) fn upstream_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "a name of 1 to 255 visible ASCII characters without spaces", |name| {
        let visible = name.bytes().all(|b| b.is_ascii_graphic());
        ((1..=255).contains(&name.len()) && visible).then(|| name.to_owned())
    })
}

/// The address of an upstream, `host:port`.
///
/// # Errors
/// The deserializer's.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "host:port such as \"127.0.0.1:9001\", \"[::1]:9001\" or \"app.internal:9001\"", |address| {
        is_host_port(address).then(|| address.to_owned())
    })
}
