//! Handles: numbers in place of pointers, so that a wrong one is found out and never followed.
//!
//! A handle is a type (4 bits), a serial number (48 bits) that no other handle of the process has had, and a slot (12 bits). Looking
//! one up takes no lock and no reference count, since hosts do so for each request from all threads.

use crate::failure::Failure;
use crate::{balancer::Engine, config::Settings, events::Events, keyring::Ring, plan::Draft};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use std::sync::Arc;

/// The number of anything that this library keeps for its host; 0 is none. Parameters are called after what
/// they are to be: a ring, a config, a balancer, a plan, a lease, events. A handle may be used from any
/// thread, by several at a time; each is to be freed once, by the function that says so, and is good for the
/// process that made it and for those that it forked since.
pub type homing_handle = u64;

const SLOT_BITS: u32 = 12;
const SLOTS: usize = 1 << SLOT_BITS;
const TYPE_SHIFT: u32 = 60;

/// The first four bits of a lease's handle, which is no object of this table.
pub(crate) const LEASE: u64 = 15;

#[expect(clippy::large_enum_variant, reason = "behind a pointer each, and few")]
pub(crate) enum Object {
    Ring(Ring),
    Config(Mutex<Settings>),
    Balancer(Engine),
    Plan(Mutex<Draft>),
    Events(Events),
}

/// What an object is called, and how it is told from others.
pub(crate) trait Kind: Sized {
    const TYPE: u64;
    const NAME: &'static str;

    fn of(object: &Object) -> Option<&Self>;
    fn into_object(self) -> Object;
}

macro_rules! kinds {
    ($($variant:ident($type:ty) = $number:literal, $name:literal;)*) => {$(
        impl Kind for $type {
            const TYPE: u64 = $number;
            const NAME: &'static str = $name;

            fn of(object: &Object) -> Option<&Self> {
                match object {
                    Object::$variant(this) => Some(this),
                    _ => None,
                }
            }

            fn into_object(self) -> Object {
                Object::$variant(self)
            }
        }
    )*};
}

kinds! {
    Ring(Ring) = 1, "key ring";
    Config(Mutex<Settings>) = 2, "configuration";
    Balancer(Engine) = 3, "balancer";
    Plan(Mutex<Draft>) = 4, "plan";
    Events(Events) = 5, "stream of events";
}

struct Entry {
    handle: homing_handle,
    object: Object,
}

struct Free {
    /// Slots that were used before.
    slots: Vec<usize>,
    /// How many slots were ever used.
    used: usize,
    serial: u64,
}

static TABLE: [ArcSwapOption<Entry>; SLOTS] = [const { ArcSwapOption::const_empty() }; SLOTS];
static FREE: Mutex<Free> = Mutex::new(Free { slots: Vec::new(), used: 0, serial: 0 });

fn slot_of(handle: homing_handle) -> &'static ArcSwapOption<Entry> {
    &TABLE[handle as usize % SLOTS]
}

pub(crate) fn insert<K: Kind>(object: K) -> Result<homing_handle, Failure> {
    let handle = {
        let mut free = FREE.lock();
        let slot = match free.slots.pop() {
            Some(slot) => slot,
            None if free.used < SLOTS => {
                free.used += 1;
                free.used - 1
            }
            None => return Err(Failure::Limit(SLOTS)),
        };
        free.serial += 1;
        K::TYPE << TYPE_SHIFT | free.serial << SLOT_BITS | slot as u64
    };
    slot_of(handle).store(Some(Arc::new(Entry { handle, object: object.into_object() })));
    Ok(handle)
}

/// Does something with the object of a handle, which lives for so long though another thread frees it.
pub(crate) fn with<K: Kind, R>(
    name: &'static str,
    handle: homing_handle,
    what: impl FnOnce(&K) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let entry = slot_of(handle).load();
    what(object(entry.as_deref(), handle).ok_or(Failure::Handle { name, kind: K::NAME })?)
}

/// The object of a handle that may be 0, or of one that was freed.
pub(crate) fn optional<K: Kind, R>(
    name: &'static str,
    handle: homing_handle,
    what: impl FnOnce(Option<&K>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    if handle != 0 && handle >> TYPE_SHIFT != K::TYPE {
        return Err(Failure::Handle { name, kind: K::NAME });
    }
    let entry = slot_of(handle).load();
    what(object(entry.as_deref(), handle))
}

fn object<K: Kind>(entry: Option<&Entry>, handle: homing_handle) -> Option<&K> {
    entry.filter(|entry| entry.handle == handle).and_then(|entry| K::of(&entry.object))
}

/// Frees a handle; 0 is fine.
pub(crate) fn remove<K: Kind>(name: &'static str, handle: homing_handle) -> Result<(), Failure> {
    if handle == 0 {
        return Ok(());
    }
    let slot = slot_of(handle);
    let mut free = FREE.lock();
    let entry = slot.load_full().filter(|entry| entry.handle == handle && K::of(&entry.object).is_some());
    let Some(_entry) = entry else { return Err(Failure::Handle { name, kind: K::NAME }) };
    slot.store(None);
    free.slots.push(handle as usize % SLOTS);
    // Before the object, which may take long to drop.
    drop(free);
    Ok(())
}
