//! Validates combinations of values.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::balancer_tables::BalancerTables;
use super::document::{Diagnostic, Document};
use super::{Affinity, Policy, Upstream};
use crate::HealthSettings;
use crate::affinity::{Lifetimes, MAX_ACCEPTED};
use crate::cluster::MAX_UPSTREAMS;
use crate::http::CookieError;
use crate::policy::{self, ParamError};

/// Validates `parts`, which were read from `document`, except for what [`upstreams`] validates.
///
/// # Errors
/// The first contradiction.
pub fn tables(parts: &BalancerTables<'_>, document: &Document<'_>) -> Result<(), Diagnostic> {
    lifetimes(parts.affinity, document)?;
    cookie(parts.affinity, document)?;
    accept(parts, document)?;
    policy(parts.policy, document)?;
    health(parts.health_settings(), document)
}

fn lifetimes(affinity: &Affinity, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Affinity { idle, max_age, .. } = affinity;
    let message = if let Some(idle) = idle.filter(|idle| idle > max_age) {
        let [idle, max_age] = [idle, *max_age].map(humantime::format_duration);
        format!("idle is {idle}, which is longer than max_age, {max_age}; shorten idle or lengthen max_age")
    } else {
        match Lifetimes::new(*max_age, *idle) {
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

fn accept(parts: &BalancerTables<'_>, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Affinity { accept, cookie, .. } = parts.affinity;
    if accept.len() > MAX_ACCEPTED {
        let message = format!("there are {}; leave at most {MAX_ACCEPTED}", accept.len());
        return Err(document.at(&format!("affinity.accept[{MAX_ACCEPTED}]"), message));
    }
    for (index, accept) in accept.iter().enumerate() {
        if accept.cookie == *cookie {
            let message = format!("{:?} is our own cookie; give one of the two another name", cookie.as_str());
            return Err(document.at(&format!("affinity.accept[{index}].cookie"), message));
        }
        let is_name = |upstream: &&Upstream| upstream.address.parse::<SocketAddr>().is_err();
        if accept.format.needs_ip_address()
            && let Some(Upstream { name, address, .. }) = parts.upstreams.iter().find(is_name)
        {
            let message =
                format!("needs IP addresses, and {address:?} of upstream {name:?} is a name; give its address");
            return Err(document.at(&format!("affinity.accept[{index}].from"), message));
        }
    }
    Ok(())
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

fn health(settings: HealthSettings, document: &Document<'_>) -> Result<(), Diagnostic> {
    let Err(error) = settings.check() else {
        return Ok(());
    };
    // In the file the thresholds of probes are keys of `[health]`.
    let key = error.name.replace("probes.", "health.");
    let nearest = if document.has(&key) { &key } else { "outlier.base" };
    Err(document.at(nearest, error))
}

/// Validates the number of upstreams, and that their names are unique.
///
/// # Errors
/// The first upstream beyond the maximum or with the name of an earlier one; an empty list.
pub fn upstreams(upstreams: &[Upstream], document: &Document<'_>) -> Result<(), Diagnostic> {
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
