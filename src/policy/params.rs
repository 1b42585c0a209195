//! The parameters of policies, as an operator writes them: names and values as text.

use super::{Factory, Policy};
use crate::cluster::Cluster;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Parameters of a policy, by name.
///
/// ```
/// use homing::policy::{self, Params};
///
/// let two = Params::new().with("prefix_v4", 16);
/// assert!(policy::find("ip_hash")?.configure(two).is_ok());
/// # Ok::<(), policy::UnknownPolicy>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// No parameters: each has its default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter; a second value for the same name replaces the first.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.insert(name.into(), value.to_string());
        self
    }

    /// Removes and parses the parameter `name`; its `default` if it was not given.
    ///
    /// # Errors
    /// [`ParamError::Invalid`] where the text does not parse as `T` or `valid` returns false; `expected` describes
    /// valid values.
    pub(super) fn take<T: FromStr>(
        &mut self,
        name: &'static str,
        default: T,
        expected: &'static str,
        valid: impl Fn(&T) -> bool,
    ) -> Result<T, ParamError> {
        let Some(text) = self.0.remove(name) else { return Ok(default) };
        match text.parse() {
            Ok(value) if valid(&value) => Ok(value),
            _ => Err(ParamError::Invalid { name: name.to_owned(), value: text, expected }),
        }
    }

    /// A parameter that was not taken.
    pub(super) fn left(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }
}

/// A duration as a parameter: a number, in seconds or with the unit `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let unit = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
        let seconds = match &text[unit..] {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(()),
        };
        let number: f64 = text[..unit].parse().map_err(drop)?;
        Duration::try_from_secs_f64(number * seconds).map(Self).map_err(drop)
    }
}

/// Why a policy refuses its parameters.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamError {
    /// The policy has no such parameter.
    #[error("the policy {policy} has no parameter {name:?}{}", choices(.known))]
    Unknown {
        /// The policy's name.
        policy: &'static str,
        /// The parameter's name.
        name: String,
        /// The names of its parameters.
        known: &'static [&'static str],
    },
    /// The value has the wrong type or is out of range.
    #[error("the policy's parameter {name} cannot be {value:?}: use {expected}")]
    Invalid {
        /// The parameter's name.
        name: String,
        /// The value that was given.
        value: String,
        /// Describes valid values.
        expected: &'static str,
    },
}

impl ParamError {
    /// The name of the invalid parameter.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } | Self::Invalid { name, .. } => name,
        }
    }
}

fn choices(names: &[&str]) -> String {
    match names {
        [] => ": it has none".to_owned(),
        _ => format!(": use one of {}", names.join(", ")),
    }
}

/// The parsed parameters of a policy: read once, they build the policy for each cluster.
pub(super) trait PolicyConfig: Send + Sync + Sized + 'static {
    /// The names of its parameters.
    const PARAMS: &'static [&'static str];

    /// Takes its parameters out of `params`.
    fn read(params: &mut Params) -> Result<Self, ParamError>;

    /// The policy for `cluster`.
    fn build(&self, cluster: &Cluster) -> Box<dyn Policy>;

    /// Reads all of `params`, and refuses unknown ones.
    fn factory(policy: &'static str, mut params: Params) -> Result<Factory, ParamError> {
        let config = Self::read(&mut params)?;
        match params.left() {
            Some(name) => Err(ParamError::Unknown { policy, name: name.to_owned(), known: Self::PARAMS }),
            None => Ok(Arc::new(move |cluster| config.build(cluster))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::find;

    fn refusal(policy: &str, params: Params) -> String {
        find(policy).unwrap().configure(params).err().unwrap().to_string()
    }

    #[test]
    fn refusals_say_what_to_do() {
        assert_eq!(refusal("p2c", Params::new().with("d", 3)), "the policy p2c has no parameter \"d\": it has none");
        assert_eq!(
            refusal("ip_hash", Params::new().with("prefix", 3)),
            "the policy ip_hash has no parameter \"prefix\": use one of prefix_v4, prefix_v6"
        );
        for value in ["0", "33", "-1", "x", ""] {
            assert_eq!(
                refusal("ip_hash", Params::new().with("prefix_v4", value)),
                format!("the policy's parameter prefix_v4 cannot be {value:?}: use a prefix length, 1 to 32")
            );
        }
    }
}
