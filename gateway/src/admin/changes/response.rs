//! What a client learns of a change that was made.

use super::audit;
use crate::admin::api::body::AdminBody;
use crate::admin::api::problem::Problem;
use crate::roster::{Applied, RosterChange};
use homing::cluster::Effect;
use homing::config::value;
use http::Response;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

pub(super) type HandlerResult = Result<Response<AdminBody>, Problem>;

/// The generations before and after, and the effects between them.
#[derive(Serialize)]
pub(super) struct ChangeResponse {
    from_generation: u64,
    generation: u64,
    effects: Vec<EffectJson>,
}

/// The effect of a change on one upstream.
#[derive(Serialize)]
pub(super) struct EffectJson {
    upstream: String,
    effect: &'static str,
    text: String,
}

impl ChangeResponse {
    /// Of a change that `peer` made by `action`. Writes it to the audit log, where anything changed.
    pub(super) fn audited(peer: SocketAddr, action: &str, applied: &Applied) -> Self {
        let Applied { from, generation, effects } = applied;
        if from != generation {
            let effects = RosterChange::Applied(effects.clone());
            audit::applied(peer, action, &effects, *from, *generation);
        }
        Self { from_generation: from.as_u64(), generation: generation.as_u64(), effects: EffectJson::all(effects) }
    }

    pub(super) fn adds_an_upstream(&self) -> bool {
        self.effects.iter().any(|effect| effect.effect == "added")
    }
}

impl EffectJson {
    pub(super) fn all(effects: &[Effect]) -> Vec<Self> {
        let one = |effect: &Effect| {
            let kind = match effect {
                Effect::Added(_) => "added",
                Effect::Removed { .. } => "removed",
                _ => "changed",
            };
            Self { upstream: effect.upstream().to_owned(), effect: kind, text: effect.to_string() }
        };
        effects.iter().map(one).collect()
    }
}

/// A deadline, in the grammar of the configuration file.
pub(super) fn deadline(text: &str) -> Result<Duration, Problem> {
    value::duration(text)
        .ok_or_else(|| Problem::value(format!("the deadline {text:?} is no duration such as \"10m\", up to 400 days")))
}
