//! What the values may be together.

use std::collections::HashMap;

use super::{Affinity, Config, Health, MAX_UPSTREAMS, Policy, Upstream};
use crate::affinity::Lifetimes;
use crate::config::document::{Diagnostic, Document};
use crate::http::CookieError;
use crate::policy::{self, ParamError};

/// The first contradiction in `config`, which was read from `document`.
pub(super) fn check(config: &Config, document: &Document<'_>) -> Result<(), Diagnostic> {
    lifetimes(&config.affinity, document)?;
    cookie(&config.affinity, document)?;
    policy(&config.policy, document)?;
    health(config, document)?;
    incarnations(&config.health, document)?;
    upstreams(&config.upstreams, document)
}

fn lifetimes(affinity: &Affinity, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Affinity { idle, max_age, .. } = affinity;
    let message = if idle > max_age {
        let [idle, max_age] = [idle, max_age].map(|duration| humantime::format_duration(*duration));
        format!("idle is {idle}, which is longer than max_age, {max_age}; shorten idle or lengthen max_age")
    } else {
        match Lifetimes::new(*max_age, Some(*idle)) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        }
    };
    let keys = ["affinity.idle", "affinity.max_age"];
    let key = keys.into_iter().find(|key| document.has(key)).unwrap_or(keys[0]);
    Err(document.at(key, message))
}

fn cookie(affinity: &Affinity, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Err(error) = affinity.cookie_spec() else {
        return Ok(());
    };
    let key = match error {
        CookieError::Path => "affinity.path",
        CookieError::Domain => "affinity.domain",
        CookieError::SameSiteNone => "affinity.same_site",
        CookieError::Partitioned => "affinity.partitioned",
        CookieError::MaxAge => "affinity.max_age",
        CookieError::HostPrefix | CookieError::SecurePrefix | CookieError::Name(_) => "affinity.cookie",
    };
    Err(document.at(key, error))
}

fn policy(policy: &Policy, document: &Document<'_>) -> Result<(), Diagnostic> {
    let entry = policy::find(&policy.name).map_err(|unknown| document.at("policy.name", unknown))?;
    entry.configure(policy.params()).map(drop).map_err(|error| {
        let key = format!("policy.{}", error.name());
        match error {
            ParamError::Unknown { .. } => document.at_key(&key, format!("{error}, besides name and key")),
            ParamError::Invalid { .. } => document.at(&key, error),
        }
    })
}

fn health(config: &Config, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Err(error) = config.health_settings().check() else {
        return Ok(());
    };
    // Here the counts of probes stand with the rest of them.
    let key = error.name.replace("probes.", "health.");
    let nearest = if document.has(&key) { &key } else { "outlier.base" };
    Err(document.at(nearest, error))
}

/// Who asks for processes to be told apart asks for probes that are answered.
fn incarnations(health: &Health, document: &Document<'_>) -> Result<(), Diagnostic> {
    if health.target().is_some() {
        return Ok(());
    }
    let mut keys = ["health.incarnation_header", "health.incarnation_json"].into_iter();
    match keys.find(|key| document.has(key)) {
        Some(key) => Err(document.at(key, "is read from the answers to probes; say by health.path what they get")),
        None => Ok(()),
    }
}

fn upstreams(upstreams: &[Upstream], document: &Document<'_>) -> Result<(), Diagnostic> {
    if upstreams.is_empty() {
        let message = "there is none; add an [[upstream]] with a name and an address";
        return Err(document.at("upstream", message));
    }
    if upstreams.len() > MAX_UPSTREAMS {
        let message = format!("there are {}; leave at most {MAX_UPSTREAMS}", upstreams.len());
        return Err(document.at(&format!("upstream[{MAX_UPSTREAMS}]"), message));
    }
    let mut seen = HashMap::with_capacity(upstreams.len());
    for (index, Upstream { name, .. }) in upstreams.iter().enumerate() {
        if let Some(first) = seen.insert(name, index) {
            let line = document.line_of(&format!("upstream[{first}].name"));
            let message = format!("{name:?} is already the name of the upstream on line {line}; give each its own");
            return Err(document.at(&format!("upstream[{index}].name"), message));
        }
    }
    Ok(())
}
