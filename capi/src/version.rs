//! Versions, names of decisions, and the last error.

use crate::boundary::{self, enter};
use crate::constants::*;
use crate::failure::Failure;
use crate::memory::Buffer;
use homing::cluster::Decision;

/// The HOMING_ABI_VERSION of the library. If it is not that of the header, the program must not go on.
#[unsafe(no_mangle)]
pub extern "C" fn homing_abi_version() -> u32 {
    HOMING_ABI_VERSION
}

/// The version of the library, such as 0.1.0.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_version(buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        unsafe { Buffer::new("version", buf, cap, len) }?.fill(env!("CARGO_PKG_VERSION").as_bytes())?;
        Ok(HOMING_OK)
    })
}

/// The text of the last error of the calling thread, of any function; empty where there was none. It is meant for
/// logs: texts may change.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_last_error(buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    // A call that asks for the length only, with a buffer that is too small, must not replace the text.
    let text = boundary::last_error();
    let status = enter(|| {
        // SAFETY: by the host's guarantee, see above.
        unsafe { Buffer::new("text", buf, cap, len) }?.fill(text.as_bytes())?;
        Ok(HOMING_OK)
    });
    if status == HOMING_ERR_BUFFER {
        boundary::set_last_error(text);
    }
    status
}

/// The name of a decision in logs and metrics, such as pinned or not_serving.
///
/// # Safety
/// cap bytes must be writable at buf, and a size_t at len.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn homing_decision_name(decision: i32, buf: *mut u8, cap: usize, len: *mut usize) -> i32 {
    enter(|| {
        // SAFETY: by the host's guarantee, see above.
        let name = unsafe { Buffer::new("name", buf, cap, len) }?;
        name.fill(decision_of(decision)?.as_str().as_bytes())?;
        Ok(HOMING_OK)
    })
}

pub(crate) fn decision_of(number: i32) -> Result<Decision, Failure> {
    let decision = usize::try_from(number).ok().and_then(|number| Decision::all().nth(number));
    decision.ok_or_else(|| Failure::value("decision", format!("{number} is not a HOMING_DECISION_")))
}

/// Makes the next call of any function on the calling thread panic inside the library. Only in libraries that were
/// built with the feature plant-panic, to test that no panic crosses the boundary.
#[cfg(feature = "plant-panic")]
#[unsafe(no_mangle)]
pub extern "C" fn homing_plant_panic() -> i32 {
    boundary::plant();
    HOMING_OK
}
