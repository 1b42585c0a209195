//! Plans: changes of membership that are collected, explained, and applied as a whole or not at all.

use crate::balancer::{BalancerObject, timestamp};
use crate::boundary::enter;
use crate::config::homing_upstream_options;
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::{Buffer, Out, text};
use crate::registry::{self, Handled, Kind, Table, homing_handle};
use crate::sink;
use homing::Balancer;
use homing::cluster::{ApplyError, Change, Generation, MAX_UPSTREAMS, Plan};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) struct PlanObject {
    balancer: Arc<Balancer>,
    /// The generation at which the plan was begun, which the host has seen.
    base: Generation,
    changes: Vec<Change>,
    /// Whether upstreams that are not put are removed.
    clears: bool,
}

impl Handled for Mutex<PlanObject> {
    const NAME: &'static str = "plan";

    fn table() -> &'static Table<Self> {
        static TABLE: Table<Mutex<PlanObject>> = Table::new(Kind::Plan);
        &TABLE
    }
}

impl PlanObject {
    fn add(&mut self, change: Change) -> Result<(), Failure> {
        let max = 2 * MAX_UPSTREAMS;
        if self.changes.len() == max {
            return Err(Failure::Length { name: "plan", len: max + 1, max });
        }
        self.changes.push(change);
        Ok(())
    }

    fn plan(&self) -> Result<Plan, Failure> {
        // First: changes that are valid at the base may be invalid since.
        self.check(self.balancer.generation())?;
        let plan = match self.clears {
            false => self.balancer.plan(&self.changes)?,
            true => self.balancer.plan(&self.with_removals())?,
        };
        self.check(plan.base())?;
        Ok(plan)
    }

    fn with_removals(&self) -> Vec<Change> {
        let put: HashSet<&str> = self
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Put(upstream) => Some(upstream.name.as_str()),
                Change::Remove(_) => None,
            })
            .collect();
        let cluster = self.balancer.cluster();
        let names = cluster.members().iter().map(|member| member.upstream().name());
        let gone = names.filter(|name| !put.contains(name)).map(|name| Change::Remove(name.to_owned()));
        gone.chain(self.changes.iter().filter(|change| matches!(change, Change::Put(_))).cloned()).collect()
    }

    fn check(&self, current: Generation) -> Result<(), Failure> {
        match current == self.base {
            true => Ok(()),
            false => Err(ApplyError::Stale { planned: self.base, current }.into()),
        }
    }
}

fn with(plan: homing_handle, f: impl FnOnce(&mut PlanObject) -> Result<(), Failure>) -> Result<i32, Failure> {
    registry::with("plan", plan, |plan: &Mutex<PlanObject>| f(&mut plan.lock()).map(|()| HOMING_OK))
}

/// Creates a plan: a change of the current cluster, which homing_plan_apply() makes as a whole or not at all. Free it
/// with homing_plan_free().
///
/// # Safety
/// plan must point to a writable homing_handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_new(balancer: homing_handle, plan: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("plan", plan) }?;
        let plan = registry::with("balancer", balancer, |object: &BalancerObject| {
            let balancer = Arc::clone(&object.balancer);
            Ok(PlanObject { base: balancer.generation(), balancer, changes: Vec::new(), clears: false })
        })?;
        out.set(registry::insert(Mutex::new(plan))?);
        Ok(HOMING_OK)
    })
}

/// Adds an upstream in the plan, or changes the one of this name. With a new address it is another process: its
/// counters start at 0.
///
/// # Safety
/// upstream and all that it points to must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_put(plan: homing_handle, upstream: *const homing_upstream_options) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let upstream = unsafe { homing_upstream_options::read(upstream) }?;
        with(plan, |plan| plan.add(Change::Put(upstream)))
    })
}

/// Removes the upstream of this name in the plan. Its requests in flight finish; its sessions move with their next
/// request.
///
/// # Safety
/// name must have name_len readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_remove(plan: homing_handle, name: *const u8, name_len: usize) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let name = unsafe { text("name", name, name_len, HOMING_NAME_MAX) }?;
        with(plan, |plan| plan.add(Change::Remove(name.to_owned())))
    })
}

/// Removes all upstreams that are not put in the plan, before or after this call: for hosts that get complete lists
/// of upstreams.
#[unsafe(no_mangle)]
pub extern "C" fn homing_plan_clear(plan: homing_handle) -> i32 {
    enter(|| {
        with(plan, |plan| {
            plan.clears = true;
            Ok(())
        })
    })
}

/// Explains, line by line as UTF-8 text for people, what the plan would do: which upstreams are added and removed,
/// which sessions move, how much capacity is left.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_explain(
    plan: homing_handle,
    now_ms: u64,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Buffer::new("text", buf, cap, len) }?;
        with(plan, |plan| {
            let forecast = plan.balancer.forecast(&plan.plan()?, timestamp(now_ms))?;
            out.fill(forecast.to_string().as_bytes())
        })
    })
}

/// Applies the plan, and gives the generation that begins with it. HOMING_ERR_CONFIG where the result would be
/// invalid; HOMING_ERR_GENERATION where another change came first: then create a new plan. Picks go on while the
/// change is prepared. The plan has to be freed afterwards.
///
/// # Safety
/// generation must point to a writable uint64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_apply(plan: homing_handle, generation: *mut u64) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let out = unsafe { Out::new("generation", generation) }?;
        let (generation, changes) = registry::with("plan", plan, |plan: &Mutex<PlanObject>| {
            let plan = plan.lock();
            Ok((plan.balancer.apply(plan.plan()?)?.as_u64(), plan.changes.len()))
        })?;
        out.set(generation);
        sink::info(&format!("generation {generation}: {changes} changes"));
        Ok(HOMING_OK)
    })
}

/// Frees a plan, whether it was applied or not.
#[unsafe(no_mangle)]
pub extern "C" fn homing_plan_free(plan: homing_handle) -> i32 {
    enter(|| registry::remove::<Mutex<PlanObject>>("plan", plan).map(|()| HOMING_OK))
}
