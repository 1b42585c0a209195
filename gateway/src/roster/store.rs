//! Where what is to outlive the process is kept.

use super::StoreError;
use super::membership::Membership;
use super::overrides::{Override, Overrides, Registrations};

/// Keeps orders and registrations from one run to the next. A roster calls it from one thread at a time, before what is to be
/// kept takes effect.
pub trait RosterStore: Send + Sync {
    /// Keeps orders: those that `changed`, where `None` is one that is no more, and with them `all` there are. It may
    /// block, and they are durable when it returns `Ok`.
    ///
    /// # Errors
    /// [`StoreError`], and then they are not in effect.
    fn save(&self, changed: &[(&str, Option<&Override>)], all: &Overrides) -> Result<(), StoreError>;

    /// Likewise all registrations. By default they are not kept: instances that have gone unnoticed register again.
    ///
    /// # Errors
    /// [`StoreError`], and then they are not in effect.
    fn save_registrations(&self, all: &Registrations) -> Result<(), StoreError> {
        let _ = all;
        Ok(())
    }
}

/// Keeps nothing.
pub(super) struct NoStore;

impl RosterStore for NoStore {
    fn save(&self, _: &[(&str, Option<&Override>)], _: &Overrides) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Saves what `next` has other than `last`: both its orders and its registrations, or neither.
pub(super) fn save(store: &dyn RosterStore, last: &Membership, next: &Membership) -> Result<(), StoreError> {
    let changed = difference(&last.overrides, &next.overrides);
    // Orders first: one that is gone may have been about a registration that is still there, never about one that is gone.
    if !changed.is_empty() {
        store.save(&changed, &next.overrides)?;
    }
    if last.registered == next.registered {
        return Ok(());
    }
    let saved = store.save_registrations(&next.registered);
    if saved.is_err() && !changed.is_empty() {
        store.save(&difference(&next.overrides, &last.overrides), &last.overrides)?;
    }
    saved
}

fn difference<'o>(last: &'o Overrides, next: &'o Overrides) -> Vec<(&'o str, Option<&'o Override>)> {
    let changed = next.iter().filter(|(name, override_)| last.get(*name) != Some(override_));
    let gone = last.keys().filter(|name| !next.contains_key(*name));
    let changed = changed.map(|(name, override_)| (&**name, Some(override_)));
    changed.chain(gone.map(|name| (&**name, None))).collect()
}
