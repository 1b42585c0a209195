//! Changes of membership: collected, explained, and made whole or not at all.

use crate::balancer::{Engine, moment};
use crate::boundary::enter;
use crate::config::homing_upstream_options;
use crate::failure::Failure;
use crate::log;
use crate::memory::{Buffer, Out, text};
use crate::registry::{self, homing_handle};
use crate::status::*;
use homing::Balancer;
use homing::cluster::{ApplyError, Change, Generation, MAX_UPSTREAMS, Plan};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) struct Draft {
    balancer: Arc<Balancer>,
    /// The generation that it was begun at, which the host knows.
    base: Generation,
    changes: Vec<Change>,
    /// Whether upstreams that are not put go.
    clears: bool,
}

impl Draft {
    fn add(&mut self, change: Change) -> Result<(), Failure> {
        let max = 2 * MAX_UPSTREAMS;
        if self.changes.len() == max {
            return Err(Failure::Length { name: "plan", len: max + 1, max });
        }
        self.changes.push(change);
        Ok(())
    }

    fn plan(&self) -> Result<Plan, Failure> {
        // First: changes that made sense at the base may make none since.
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

fn with(plan: homing_handle, what: impl FnOnce(&mut Draft) -> Result<(), Failure>) -> Result<i32, Failure> {
    registry::with("plan", plan, |draft: &Mutex<Draft>| what(&mut draft.lock()).map(|()| HOMING_OK))
}

/// Begins a plan: a change of the cluster as it is now, which is made by homing_plan_apply() whole or not at
/// all. Free it with homing_plan_free().
///
/// # Safety
/// plan must take a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_new(balancer: homing_handle, plan: *mut homing_handle) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("plan", plan) }?;
        let draft = registry::with("balancer", balancer, |engine: &Engine| {
            let balancer = Arc::clone(&engine.balancer);
            Ok(Draft { base: balancer.generation(), balancer, changes: Vec::new(), clears: false })
        })?;
        out.set(registry::insert(Mutex::new(draft))?);
        Ok(HOMING_OK)
    })
}

/// Adds an upstream to the plan, or changes the one of its name. With a new address it is a new process,
/// whose counts start anew.
///
/// # Safety
/// upstream and all that it points to must be readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_put(plan: homing_handle, upstream: *const homing_upstream_options) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let upstream = unsafe { homing_upstream_options::read(upstream) }?;
        with(plan, |draft| draft.add(Change::Put(upstream)))
    })
}

/// Removes the upstream of this name in the plan. Its requests in flight finish, its sessions move at their
/// next.
///
/// # Safety
/// name must have name_len bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_remove(plan: homing_handle, name: *const u8, name_len: usize) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let name = unsafe { text("name", name, name_len, HOMING_NAME_MAX) }?;
        with(plan, |draft| draft.add(Change::Remove(name.to_owned())))
    })
}

/// Removes all upstreams that the plan does not put, now or later: for hosts that are told the whole cluster at a time.
#[unsafe(no_mangle)]
pub extern "C" fn homing_plan_clear(plan: homing_handle) -> i32 {
    enter(|| {
        with(plan, |draft| {
            draft.clears = true;
            Ok(())
        })
    })
}

/// Says line by line, as UTF-8 text for people, what the plan would do: who comes and goes, which sessions
/// break, how much capacity is left.
///
/// # Safety
/// buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_explain(
    plan: homing_handle,
    now_ms: u64,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Buffer::new("text", buf, cap, len) }?;
        with(plan, |draft| {
            let forecast = draft.balancer.forecast(&draft.plan()?, moment(now_ms))?;
            out.fill(forecast.to_string().as_bytes())
        })
    })
}

/// Makes the change, and says the generation that began with it. HOMING_ERR_CONFIG where it makes no sense;
/// HOMING_ERR_GENERATION where another change came first: then begin another plan. Requests are picked
/// meanwhile as before. The plan is still to be freed.
///
/// # Safety
/// generation must take a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_plan_apply(plan: homing_handle, generation: *mut u64) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let out = unsafe { Out::new("generation", generation) }?;
        let (generation, changes) = registry::with("plan", plan, |draft: &Mutex<Draft>| {
            let draft = draft.lock();
            Ok((draft.balancer.apply(draft.plan()?)?.as_u64(), draft.changes.len()))
        })?;
        out.set(generation);
        log::info(&format!("generation {generation}: {changes} changes were made"));
        Ok(HOMING_OK)
    })
}

/// Frees a plan, whether it was applied or not.
#[unsafe(no_mangle)]
pub extern "C" fn homing_plan_free(plan: homing_handle) -> i32 {
    enter(|| registry::remove::<Mutex<Draft>>("plan", plan).map(|()| HOMING_OK))
}
