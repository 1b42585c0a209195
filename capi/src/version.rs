//! What library this is, and what it last said.

use crate::boundary::{self, enter};
use crate::failure::Failure;
use crate::memory::Buffer;
use crate::status::*;
use homing::cluster::Decision;

/// The HOMING_ABI_VERSION that the library was built with. Where it is not the header's, use another one of
/// the two.
#[unsafe(no_mangle)]
pub extern "C" fn homing_abi_version() -> u32 {
    HOMING_ABI_VERSION
}

/// The library's version, such as 0.1.0.
///
/// # Safety
/// buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_version(buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        unsafe { Buffer::new("version", buf, cap, len) }?.fill(env!("CARGO_PKG_VERSION").as_bytes())?;
        Ok(HOMING_OK)
    })
}

/// The words for the last error of the calling thread, of whatever function; empty where there was none. For
/// logs: they may change.
///
/// # Safety
/// buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_last_error(buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    // Asking for the length, with a buffer that is too small, must not replace what is asked for.
    let text = boundary::last_error();
    let status = enter(|| {
        // SAFETY: as the host says.
        unsafe { Buffer::new("text", buf, cap, len) }?.fill(text.as_bytes())?;
        Ok(HOMING_OK)
    });
    if status == HOMING_ERR_BUFFER {
        boundary::remember(text);
    }
    status
}

/// The name of a decision in logs and metrics, such as pinned or not_serving.
///
/// # Safety
/// buf must take cap bytes, and len a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_decision_name(decision: i32, buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: as the host says.
        let name = unsafe { Buffer::new("name", buf, cap, len) }?;
        name.fill(decision_of(decision)?.as_str().as_bytes())?;
        Ok(HOMING_OK)
    })
}

pub(crate) fn decision_of(number: i32) -> Result<Decision, Failure> {
    let decision = usize::try_from(number).ok().and_then(|number| Decision::all().nth(number));
    decision.ok_or_else(|| Failure::value("decision", format!("{number} is no HOMING_DECISION_")))
}

/// Lets the calling thread's next call of any function panic inside. Only in libraries that were built with
/// the feature plant-panic, to test that no panic gets out.
#[cfg(feature = "plant-panic")]
#[unsafe(no_mangle)]
pub extern "C" fn homing_plant_panic() -> i32 {
    boundary::plant();
    HOMING_OK
}
