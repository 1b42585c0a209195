//! The function that connects the library's log to the host's.

use crate::boundary::enter;
use crate::constants::HOMING_OK;
use crate::sink::{self, homing_log_fn};
use std::ffi::c_void;

/// Sends the library's log lines to log, together with user, which is passed as it is; NULL stops the log. There is one
/// log function in a process. Picks log nothing. A call of the previous log function that is under way in another
/// thread may end after this function has returned.
#[unsafe(no_mangle)]
pub extern "C" fn homing_set_log(log: homing_log_fn, user: *mut c_void) -> i32 {
    let user = user as usize;
    enter(|| {
        sink::set(log, user);
        Ok(HOMING_OK)
    })
}
