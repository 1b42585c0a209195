//! The layers as plain data, and the cluster that they make: later layers win, name by name.

use super::event::{Initiator, Origin};
use super::overrides::{Override, Overrides, UpstreamOverride};
use super::registration::{Registration, Registrations};
use homing::balancer::UnknownUpstream;
use homing::cluster::{Change, ClusterError, PlanError, UpstreamConfig};
use homing::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The lowest layer, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub(super) list: Vec<UpstreamConfig>,
    places: HashMap<String, usize>,
    pub(super) is_discovered: bool,
}

impl Base {
    pub(super) fn new(list: Vec<UpstreamConfig>, is_discovered: bool) -> Result<Self, ClusterError> {
        let mut places = HashMap::with_capacity(list.len());
        for (place, config) in list.iter().enumerate() {
            if places.insert(config.name.clone(), place).is_some() {
                return Err(ClusterError::Duplicate { name: config.name.clone() });
            }
        }
        Ok(Self { list, places, is_discovered })
    }

    pub(super) fn get(&self, name: &str) -> Option<&UpstreamConfig> {
        self.places.get(name).map(|place| &self.list[*place])
    }
}

/// The three layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    pub(super) base: Arc<Base>,
    pub(super) registered: Registrations,
    pub(super) overrides: Overrides,
}

impl Membership {
    /// The upstream called `name` by the layers below the overrides.
    fn below(&self, name: &str) -> Option<UpstreamConfig> {
        let registered = self.registered.get(name).map(|registration| registration.config(name));
        registered.or_else(|| self.base.get(name).cloned())
    }

    /// The upstream called `name` as it should be; `None` where it should not exist.
    pub(super) fn wanted(&self, name: &str) -> Option<UpstreamConfig> {
        let below = self.below(name);
        match self.overrides.get(name) {
            Some(Override { removed: true, .. }) => None,
            Some(Override { put: Some(put), .. }) => put.over(name, below.as_ref()),
            _ => below,
        }
    }

    pub(super) fn knows(&self, name: &str) -> Result<(), UnknownUpstream> {
        match self.wanted(name) {
            Some(_) => Ok(()),
            None => Err(UnknownUpstream { name: name.to_owned() }),
        }
    }

    /// The cluster as it should be: the base in its order, then the others by name. So equal layers make equal
    /// clusters, whatever the order in which they were changed.
    pub(super) fn wanted_all(&self) -> Vec<UpstreamConfig> {
        let base = self.base.list.iter().filter_map(|config| self.wanted(&config.name));
        let others: BTreeSet<&String> = self.registered.keys().chain(self.overrides.keys()).collect();
        let others = others.into_iter().filter(|name| self.base.get(name).is_none());
        base.chain(others.filter_map(|name| self.wanted(name))).collect()
    }

    /// Where the address of an upstream comes from.
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        match self.overrides.get(name) {
            Some(Override { removed: true, .. }) => None,
            Some(Override { put: Some(UpstreamOverride { address: Some(_), .. }), .. }) => Some(Origin::Operator),
            _ if self.registered.contains_key(name) => Some(Origin::Registered),
            _ if self.base.get(name).is_none() => None,
            _ if self.base.is_discovered => Some(Origin::Discovered),
            _ => Some(Origin::Configured),
        }
    }

    /// The upstreams to drain, and when their sessions begin to leave.
    pub(super) fn drains(&self) -> BTreeMap<String, Option<Timestamp>> {
        let overridden = self.overrides.iter().filter(|(_, override_)| override_.drain.is_some()).map(|(name, _)| name);
        let leaving = self.registered.iter().filter(|(_, it)| it.drain_deadline().is_some()).map(|(name, _)| name);
        let names = overridden.chain(leaving).filter(|name| self.wanted(name).is_some());
        names.filter_map(|name| Some((name.clone(), self.drain_of(name)?))).collect()
    }

    /// The earlier deadline, where both an override and the registration have one.
    pub(super) fn drain_of(&self, name: &str) -> Option<Option<Timestamp>> {
        let drain = self.overrides.get(name).and_then(|override_| override_.drain);
        let deadline = self.registered.get(name).and_then(Registration::drain_deadline);
        let until = drain.and_then(|drain| drain.until).into_iter().chain(deadline).min();
        (drain.is_some() || deadline.is_some()).then_some(until)
    }

    pub(super) fn drained_by(&self, name: &str) -> Option<Initiator> {
        let is_overridden = self.overrides.get(name).is_some_and(|override_| override_.drain.is_some());
        match self.registered.get(name) {
            _ if is_overridden => Some(Initiator::Operator),
            Some(registration) if registration.leaving.is_some() => Some(Initiator::Instance),
            Some(registration) if registration.silent.is_some() => Some(Initiator::Expiry),
            _ => None,
        }
    }

    /// Applies an operator's change.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), PlanError> {
        match change {
            Change::Put(config) => {
                let override_ = self.overrides.entry(config.name.clone()).or_default();
                override_.removed = false;
                // In full; minimizing drops the fields that equal the lower layers'.
                override_.put = UpstreamOverride::difference(config, None);
                self.minimize(&config.name);
            }
            Change::Remove(name) => {
                if self.wanted(name).is_none() {
                    return Err(PlanError::Unknown { name: name.clone() });
                }
                self.overrides.insert(name.clone(), Override { removed: true, ..Override::default() });
                self.minimize(name);
            }
        }
        Ok(())
    }

    /// Minimizes an override: drops fields equal to the lower layers, and all of an override that concerns no upstream.
    pub(super) fn minimize(&mut self, name: &str) {
        let Some(mut override_) = self.overrides.get(name).cloned() else { return };
        let below = self.below(name);
        let wanted = override_.put.and_then(|put| put.over(name, below.as_ref()));
        override_.put = wanted.and_then(|wanted| UpstreamOverride::difference(&wanted, below.as_ref()));
        let concerns_no_upstream = below.is_none() && override_.put.is_none();
        match concerns_no_upstream || override_.is_empty() {
            true => self.overrides.remove(name),
            false => self.overrides.insert(name.to_owned(), override_),
        };
    }

    pub(super) fn minimize_all(&mut self) {
        let names: Vec<String> = self.overrides.keys().cloned().collect();
        names.iter().for_each(|name| self.minimize(name));
    }

    /// The layers with the registrations that end or fall silent at `now`; `None` where none does. `last_heartbeat` is
    /// the time of an instance's last heartbeat, `is_empty` is whether it has neither sessions nor requests left, and
    /// `spread` is how long sessions take to leave.
    ///
    /// The last upstream is never removed, and silence never drains the last that accepts sessions: when all are
    /// silent, the fault is more likely this gateway's.
    pub(super) fn expired(
        &self,
        now: Timestamp,
        spread: Duration,
        last_heartbeat: impl Fn(&str) -> Timestamp,
        is_empty: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let is_gone = |name: &str, it: &Registration| {
            it.drain_deadline().is_some_and(|at| now >= at.after(spread)) || it.leaving.is_some() && is_empty(name)
        };
        let is_silent =
            |name: &str, it: &Registration| it.drain_deadline().is_none() && now >= last_heartbeat(name).after(it.ttl);
        let names = |is: &dyn Fn(&str, &Registration) -> bool| -> Vec<String> {
            self.registered.iter().filter(|(name, it)| is(name, it)).map(|(name, _)| name.clone()).collect()
        };
        let (gone, silent) = (names(&is_gone), names(&is_silent));
        if gone.is_empty() && silent.is_empty() {
            return None;
        }
        let mut next = self.clone();
        let wanted = self.wanted_all();
        let mut open = wanted.iter().filter(|config| self.drain_of(&config.name).is_none()).count();
        let mut left = wanted.len();
        for name in silent {
            let is_open = self.wanted(&name).is_some() && self.drain_of(&name).is_none();
            if is_open && open == 1 {
                continue;
            }
            open -= usize::from(is_open);
            if let Some(registration) = next.registered.get_mut(&name) {
                registration.silent = Some(now.after(registration.ttl));
            }
        }
        for name in gone {
            let mut without = next.clone();
            without.unregister(&name);
            let goes = next.wanted(&name).is_some() && without.wanted(&name).is_none();
            if goes && left == 1 {
                continue;
            }
            left -= usize::from(goes);
            next = without;
        }
        Some(next).filter(|next| next.registered != self.registered)
    }

    /// Ends a registration, and the overrides that concern it alone.
    pub(super) fn unregister(&mut self, name: &str) {
        self.registered.remove(name);
        self.minimize(name);
    }

    /// The host changed the cluster from `before` to `after` without the roster: the changes become part of the base.
    pub(super) fn adopt(&mut self, before: &[UpstreamConfig], after: &[UpstreamConfig]) -> Result<(), ClusterError> {
        let (known, found) = (Base::new(before.to_vec(), false)?, Base::new(after.to_vec(), false)?);
        let gone = before.iter().filter(|config| found.get(&config.name).is_none());
        let changed = after.iter().filter(|config| known.get(&config.name) != Some(config));
        let touched: BTreeSet<&String> = gone.chain(changed).map(|config| &config.name).collect();
        for name in &touched {
            self.registered.remove(*name);
            if let Some(override_) = self.overrides.get_mut(*name) {
                (override_.put, override_.removed) = (None, false);
            }
        }
        let kept = |config: &UpstreamConfig| match touched.contains(&config.name) {
            true => found.get(&config.name).cloned(),
            false => Some(config.clone()),
        };
        let mut list: Vec<UpstreamConfig> = self.base.list.iter().filter_map(kept).collect();
        let is_new = |config: &&UpstreamConfig| touched.contains(&config.name) && self.base.get(&config.name).is_none();
        list.extend(after.iter().filter(is_new).cloned());
        self.base = Arc::new(Base::new(list, self.base.is_discovered)?);
        touched.iter().for_each(|name| self.minimize(name));
        Ok(())
    }
}
