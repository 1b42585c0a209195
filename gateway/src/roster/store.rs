//! Where what is to outlive the process is kept.

use super::StoreError;
use super::layers::Layers;
use super::order::{Order, Orders, Registrations};

/// Keeps orders and registrations from one run to the next. A roster calls it from one thread at a time, before what is to be
/// kept takes effect.
pub trait Store: Send + Sync {
    /// Keeps orders: those that `changed`, where `None` is one that is no more, and with them `all` there are. It may
    /// block, and they are durable when it returns `Ok`.
    ///
    /// # Errors
    /// [`StoreError`], and then they are not in effect.
    fn save(&self, changed: &[(&str, Option<&Order>)], all: &Orders) -> Result<(), StoreError>;

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
pub(super) struct Forgetful;

impl Store for Forgetful {
    fn save(&self, _: &[(&str, Option<&Order>)], _: &Orders) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Saves what `next` has other than `last`: both its orders and its registrations, or neither.
pub(super) fn save(store: &dyn Store, last: &Layers, next: &Layers) -> Result<(), StoreError> {
    let changed = difference(&last.orders, &next.orders);
    // Orders first: one that is gone may have been about a registration that is still there, never about one that is gone.
    if !changed.is_empty() {
        store.save(&changed, &next.orders)?;
    }
    if last.registered == next.registered {
        return Ok(());
    }
    let saved = store.save_registrations(&next.registered);
    if saved.is_err() && !changed.is_empty() {
        store.save(&difference(&next.orders, &last.orders), &last.orders)?;
    }
    saved
}

fn difference<'o>(last: &'o Orders, next: &'o Orders) -> Vec<(&'o str, Option<&'o Order>)> {
    let changed = next.iter().filter(|(name, order)| last.get(*name) != Some(order));
    let gone = last.keys().filter(|name| !next.contains_key(*name));
    let changed = changed.map(|(name, order)| (&**name, Some(order)));
    changed.chain(gone.map(|name| (&**name, None))).collect()
}
