//! The leases that hosts hold. A host takes and returns one for each request, so they are not kept in the registry's
//! table: slabs are sharded by thread, and taking or returning a lease locks a mutex that other threads rarely want.
//!
//! A lease's handle is its kind (4 bits), a serial number of its slot (32 bits), a shard (4 bits) and a slot (24 bits).

use crate::failure::Failure;
use crate::registry::{Kind, homing_handle};
use homing::cluster::{Lease, Upstream};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 16;
const SLOT_BITS: u32 = 24;
const SERIAL_SHIFT: u32 = 28;

#[repr(align(128))] // two cache lines: x86-64 prefetches them in pairs
struct Shard(Mutex<Slab>);

struct Slab {
    slots: Vec<Slot>,
    /// First in, first out, so that serial numbers of slots grow slowly: a stale handle matches a live one again only
    /// after 2^32 leases of every free slot.
    free: VecDeque<u32>,
}

struct Slot {
    serial: u32,
    lease: Option<Lease>,
}

static SHARD: [Shard; SHARDS] =
    [const { Shard(Mutex::new(Slab { slots: Vec::new(), free: VecDeque::new() })) }; SHARDS];

thread_local! {
    static OWN_SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The shard of this thread; threads take shards in turn. A thread whose thread-locals are destroyed uses the first.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let chosen = OWN_SHARD.try_with(|own| {
        own.get().unwrap_or_else(|| {
            let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            own.set(Some(shard));
            shard
        })
    });
    chosen.unwrap_or_default()
}

pub(crate) fn insert(lease: Lease) -> Result<homing_handle, Failure> {
    let shard = own_shard();
    let mut slab = SHARD[shard].0.lock();
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
    Ok(Kind::Lease.bits() | serial | (shard as u64) << SLOT_BITS | u64::from(slot))
}

/// Frees a lease's handle and returns the lease.
pub(crate) fn take(handle: homing_handle) -> Result<Lease, Failure> {
    with_slot(handle, |slab, slot| {
        let place = &mut slab.slots[slot];
        let lease = place.lease.take()?;
        place.serial = place.serial.wrapping_add(1);
        slab.free.push_back(slot as u32);
        Some(lease)
    })
}

/// The upstream of a lease, which stays with its host.
pub(crate) fn upstream(handle: homing_handle) -> Result<Arc<Upstream>, Failure> {
    with_slot(handle, |slab, slot| slab.slots[slot].lease.as_ref().map(|lease| Arc::clone(lease.upstream())))
}

fn with_slot<R>(handle: homing_handle, f: impl FnOnce(&mut Slab, usize) -> Option<R>) -> Result<R, Failure> {
    let shard = (handle >> SLOT_BITS) as usize % SHARDS;
    let slot = (handle % (1 << SLOT_BITS)) as usize;
    let mut slab = SHARD[shard].0.lock();
    let serial = slab.slots.get(slot).map(|place| place.serial);
    let is_current = Kind::Lease.is_of(handle) && serial == Some((handle >> SERIAL_SHIFT) as u32);
    let result = if is_current { f(&mut slab, slot) } else { None };
    result.ok_or(Failure::Handle { name: "lease", kind: "lease" })
}
