//! Handles: numbers in place of pointers, so that a wrong one is detected and never dereferenced.
//!
//! A handle is a kind (4 bits), a serial number (48 bits) that no other handle of its kind has had in this process, and
//! a slot (12 bits) of its kind's table. A lookup is wait-free: one load of the slot, protected by arc-swap's debt
//! slots, no lock and no reference count, since hosts look handles up for each request from all threads. Allocating and
//! freeing lock the table.

use crate::failure::Failure;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::Arc;

/// A number in place of a pointer: what stands for a configuration, a key ring, a balancer, a plan, a lease or a stream
/// of events; 0 is none. The name of a parameter says which one it has to be. A handle may be used from any thread, by
/// several at a time. It is freed once, by the function named where it is created, and is valid in the process that
/// created it and in those forked from it later.
pub type homing_handle = u64;

const SLOT_BITS: u32 = 12;
const SLOTS: usize = 1 << SLOT_BITS;
const KIND_SHIFT: u32 = 60;

/// The first four bits of a handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    KeyRing = 1,
    Config = 2,
    Balancer = 3,
    Plan = 4,
    Events = 5,
    /// Leases come and go with each request: they are kept in [`leases`](crate::leases).
    Lease = 15,
}

impl Kind {
    /// The kind's bits, in their place in a handle.
    pub(crate) const fn bits(self) -> u64 {
        (self as u64) << KIND_SHIFT
    }

    pub(crate) const fn is_of(self, handle: homing_handle) -> bool {
        handle >> KIND_SHIFT == self as u64
    }
}

/// A type whose values hosts know by handles.
pub(crate) trait Handled: Send + Sync + 'static {
    /// What error messages call it.
    const NAME: &'static str;

    /// The one table of its values.
    fn table() -> &'static Table<Self>
    where
        Self: Sized;
}

/// All values of one type that have handles.
pub(crate) struct Table<T> {
    kind: Kind,
    slots: [ArcSwapOption<Entry<T>>; SLOTS],
    free: Mutex<FreeSlots>,
}

struct Entry<T> {
    handle: homing_handle,
    object: T,
}

struct FreeSlots {
    /// Slots that were used before.
    returned: Vec<usize>,
    /// How many slots were ever used.
    used: usize,
    serial: u64,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        let free = FreeSlots { returned: Vec::new(), used: 0, serial: 0 };
        Self { kind, slots: [const { ArcSwapOption::const_empty() }; SLOTS], free: Mutex::new(free) }
    }

    fn slot_of(&self, handle: homing_handle) -> &ArcSwapOption<Entry<T>> {
        &self.slots[handle as usize % SLOTS]
    }
}

pub(crate) fn insert<T: Handled>(object: T) -> Result<homing_handle, Failure> {
    let table = T::table();
    let handle = {
        let mut free = table.free.lock();
        let slot = match free.returned.pop() {
            Some(slot) => slot,
            None if free.used < SLOTS => {
                free.used += 1;
                free.used - 1
            }
            None => return Err(Failure::Limit(SLOTS)),
        };
        free.serial += 1;
        table.kind.bits() | free.serial << SLOT_BITS | slot as u64
    };
    table.slot_of(handle).store(Some(Arc::new(Entry { handle, object })));
    Ok(handle)
}

/// Calls `f` with the object of a handle, which stays alive until `f` returns, even if another thread frees it.
pub(crate) fn with<T: Handled, R>(
    name: &'static str,
    handle: homing_handle,
    f: impl FnOnce(&T) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let entry = T::table().slot_of(handle).load();
    match entry.as_deref().filter(|entry| entry.handle == handle) {
        Some(entry) => f(&entry.object),
        None => Err(Failure::Handle { name, kind: T::NAME }),
    }
}

/// Calls `f` with the object of a handle, or with `None` where the handle is 0 or was freed.
pub(crate) fn optional<T: Handled, R>(
    name: &'static str,
    handle: homing_handle,
    f: impl FnOnce(Option<&T>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let table = T::table();
    if handle != 0 && !table.kind.is_of(handle) {
        return Err(Failure::Handle { name, kind: T::NAME });
    }
    let entry = table.slot_of(handle).load();
    f(entry.as_deref().filter(|entry| entry.handle == handle).map(|entry| &entry.object))
}

/// Frees a handle. Freeing 0 does nothing.
pub(crate) fn remove<T: Handled>(name: &'static str, handle: homing_handle) -> Result<(), Failure> {
    if handle == 0 {
        return Ok(());
    }
    let table = T::table();
    let slot = table.slot_of(handle);
    let mut free = table.free.lock();
    let entry = slot.load_full().filter(|entry| entry.handle == handle);
    let Some(_entry) = entry else { return Err(Failure::Handle { name, kind: T::NAME }) };
    slot.store(None);
    free.returned.push(handle as usize % SLOTS);
    // The lock ends before the object, which may take long to drop.
    drop(free);
    Ok(())
}
