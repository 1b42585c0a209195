//! Where overrides and registrations are saved.

use super::error::StoreError;
use super::membership::Membership;
use super::overrides::{Override, Overrides};
use super::registration::Registrations;

/// Keeps overrides and registrations from one run of the process to the next. A roster calls it from one thread at a
/// time, before a change takes effect.
pub trait RosterStore: Send + Sync {
    /// Saves overrides: those that `changed`, where `None` is one that was deleted, which make `all` there are. It may
    /// block, and must return `Ok` only once they are durable.
    ///
    /// # Errors
    /// [`StoreError`], and then the change does not take effect.
    fn save(&self, changed: &[(&str, Option<&Override>)], all: &Overrides) -> Result<(), StoreError>;

    /// Saves all registrations likewise. By default they are not saved: after a restart instances register again.
    ///
    /// # Errors
    /// [`StoreError`], and then the change does not take effect.
    fn save_registrations(&self, all: &Registrations) -> Result<(), StoreError> {
        let _ = all;
        Ok(())
    }
}

/// Saves nothing.
pub(super) struct NoStore;

impl RosterStore for NoStore {
    fn save(&self, _: &[(&str, Option<&Override>)], _: &Overrides) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Saves what differs between `last` and `next`: both overrides and registrations, or neither.
pub(super) fn save(store: &dyn RosterStore, last: &Membership, next: &Membership) -> Result<(), StoreError> {
    let changed = difference(&last.overrides, &next.overrides);
    // Overrides first: after a crash between the two, a registration may lack its override, but no override lacks its
    // registration.
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
