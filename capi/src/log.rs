//! What an operator should know, told to a function of the host.

use crate::boundary::enter;
use crate::status::HOMING_OK;
use parking_lot::Mutex;
use std::ffi::c_void;

/// Something worth knowing: keys or upstreams were changed.
pub const HOMING_LOG_INFO: i32 = 1;
/// Something to look after: a key file that others can read.
pub const HOMING_LOG_WARN: i32 = 2;
/// A bug in the library.
pub const HOMING_LOG_ERROR: i32 = 3;

/// Takes a line of log: a HOMING_LOG_ level, UTF-8 that is not NUL-terminated, and what was given with it. It
/// is called within calls of this library, on their threads, several at a time where several threads call. It
/// must not call the library, and must not unwind or longjmp.
pub type homing_log_fn = Option<unsafe extern "C" fn(level: i32, text: *const u8, text_len: usize, user: *mut c_void)>;

struct Sink {
    log: unsafe extern "C" fn(i32, *const u8, usize, *mut c_void),
    /// An address that is only ever handed back.
    user: usize,
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Sends what an operator should know to log, with user as it is; NULL ends it. There is one for the process.
/// Nothing is logged by picks. A call of log that is under way in another thread may end after this function
/// returned.
#[unsafe(no_mangle)]
pub extern "C" fn homing_set_log(log: homing_log_fn, user: *mut c_void) -> i32 {
    let user = user as usize;
    enter(|| {
        *SINK.lock() = log.map(|log| Sink { log, user });
        Ok(HOMING_OK)
    })
}

fn write(level: i32, text: &str) {
    let sink = SINK.lock().as_ref().map(|sink| (sink.log, sink.user));
    if let Some((log, user)) = sink {
        // SAFETY: whoever set it says that it takes these, from any thread; the text lives until it returns.
        unsafe { log(level, text.as_ptr(), text.len(), user as *mut c_void) }
    }
}

pub(crate) fn info(text: &str) {
    write(HOMING_LOG_INFO, text);
}

pub(crate) fn warn(text: &str) {
    write(HOMING_LOG_WARN, text);
}

pub(crate) fn error(text: &str) {
    write(HOMING_LOG_ERROR, text);
}
