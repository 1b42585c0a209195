//! Leases that hosts hold: by the thousand, taken and given back at each request. Threads keep theirs apart, so that a lease
//! costs two locks that nobody else wants.
//!
//! A lease's handle is its type (4 bits), a serial number of its slot (32 bits), a shard (4 bits) and a slot (24 bits).

use crate::failure::Failure;
use crate::registry::{LEASE, homing_handle};
use homing::cluster::{Lease, Upstream};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 16;
const SLOT_BITS: u32 = 24;
const SERIAL_SHIFT: u32 = 28;
const TYPE_SHIFT: u32 = 60;

#[repr(align(128))] // two cache lines, since x86-64 prefetches them in pairs
struct Shard(Mutex<Slab>);

struct Slab {
    slots: Vec<Slot>,
    /// Used again from the front, so that serial numbers of slots grow slowly: an old handle meets its own again after
    /// some 2^32 leases of every free slot.
    free: VecDeque<u32>,
}

struct Slot {
    serial: u32,
    lease: Option<Lease>,
}

static ALL: [Shard; SHARDS] = [const { Shard(Mutex::new(Slab { slots: Vec::new(), free: VecDeque::new() })) }; SHARDS];

thread_local! {
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
}

fn mine() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let chosen = MINE.try_with(|mine| {
        mine.get().unwrap_or_else(|| {
            let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            mine.set(Some(shard));
            shard
        })
    });
    chosen.unwrap_or_default()
}

pub(crate) fn insert(lease: Lease) -> Result<homing_handle, Failure> {
    let shard = mine();
    let mut slab = ALL[shard].0.lock();
    let slot = match slab.free.pop_front() {
        Some(slot) => slot,
        None if slab.slots.len() < 1 << SLOT_BITS => {
            slab.slots.push(Slot { serial: 0, lease: None });
            (slab.slots.len() - 1) as u32
        }
        None => return Err(Failure::Limit(1 << SLOT_BITS)),
    };
    let place = &mut slab.slots[slot as usize];
    place.lease = Some(lease);
    let serial = u64::from(place.serial) << SERIAL_SHIFT;
    Ok(LEASE << TYPE_SHIFT | serial | (shard as u64) << SLOT_BITS | u64::from(slot))
}

pub(crate) fn take(handle: homing_handle) -> Result<Lease, Failure> {
    with(handle, |slab, slot| {
        let place = &mut slab.slots[slot];
        let lease = place.lease.take()?;
        place.serial = place.serial.wrapping_add(1);
        slab.free.push_back(slot as u32);
        Some(lease)
    })
}

/// The upstream of a lease that goes on.
pub(crate) fn upstream(handle: homing_handle) -> Result<Arc<Upstream>, Failure> {
    with(handle, |slab, slot| slab.slots[slot].lease.as_ref().map(|lease| Arc::clone(lease.upstream())))
}

fn with<R>(handle: homing_handle, what: impl FnOnce(&mut Slab, usize) -> Option<R>) -> Result<R, Failure> {
    let shard = (handle >> SLOT_BITS) as usize % SHARDS;
    let slot = (handle % (1 << SLOT_BITS)) as usize;
    let mut slab = ALL[shard].0.lock();
    let serial = slab.slots.get(slot).map(|place| place.serial);
    let is_current = handle >> TYPE_SHIFT == LEASE && serial == Some((handle >> SERIAL_SHIFT) as u32);
    let done = if is_current { what(&mut slab, slot) } else { None };
    done.ok_or(Failure::Handle { name: "lease", kind: "lease" })
}
