//! Leases that hosts hold: by the thousand, taken and given back at each request. Threads keep theirs apart, so that a lease
//! costs two locks that nobody else wants.
//!
//! A lease's handle is its type (4 bits), a serial number of its slot (32 bits), a shard (4 bits) and a slot (24 bits).

use super::failure::Failure;
use super::registry::{LEASE, homing_handle};
use crate::cluster::Lease;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 16;
const SLOT_BITS: u32 = 24;
const SERIAL_SHIFT: u32 = 28;
const TYPE_SHIFT: u32 = 60;

#[repr(align(128))] // two cache lines, since x86-64 prefetches them in pairs
struct Shard(Mutex<Slab>);

struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    serial: u32,
    lease: Option<Lease>,
}

static ALL: [Shard; SHARDS] = [const { Shard(Mutex::new(Slab { slots: Vec::new(), free: Vec::new() })) }; SHARDS];

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

pub(super) fn insert(lease: Lease) -> Result<homing_handle, Failure> {
    let shard = mine();
    let mut slab = ALL[shard].0.lock();
    let slot = match slab.free.pop() {
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

pub(super) fn take(handle: homing_handle) -> Result<Lease, Failure> {
    let stale = Failure::Handle { name: "lease", kind: "lease" };
    if handle >> TYPE_SHIFT != LEASE {
        return Err(stale);
    }
    let shard = (handle >> SLOT_BITS) as usize % SHARDS;
    let slot = (handle % (1 << SLOT_BITS)) as usize;
    let mut slab = ALL[shard].0.lock();
    let Some(place) = slab.slots.get_mut(slot).filter(|place| place.serial == (handle >> SERIAL_SHIFT) as u32) else {
        return Err(stale);
    };
    let Some(lease) = place.lease.take() else { return Err(stale) };
    place.serial = place.serial.wrapping_add(1);
    slab.free.push(slot as u32);
    Ok(lease)
}
