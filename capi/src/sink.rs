//! The host's log function: which one it is, and the calls to it.

use parking_lot::Mutex;
use std::ffi::c_void;

/// Level of a log line: something happened on purpose, such as a change of keys or upstreams.
pub const HOMING_LOG_INFO: i32 = 1;
/// Level of a log line: something an operator should correct, such as a key file that other users can read.
pub const HOMING_LOG_WARN: i32 = 2;
/// Level of a log line: a bug in the library.
pub const HOMING_LOG_ERROR: i32 = 3;

/// Receives a log line: a HOMING_LOG_ level, UTF-8 text that is not NUL-terminated, and the pointer that was set with
/// the function. It is called during calls of this library, on their threads, and concurrently where several threads
/// call. It must not call the library, and must not unwind or longjmp.
pub type homing_log_fn = Option<unsafe extern "C" fn(level: i32, text: *const u8, text_len: usize, user: *mut c_void)>;

struct Sink {
    log: unsafe extern "C" fn(i32, *const u8, usize, *mut c_void),
    /// An address that is only ever passed back.
    user: usize,
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

pub(crate) fn set(log: homing_log_fn, user: usize) {
    *SINK.lock() = log.map(|log| Sink { log, user });
}

fn write(level: i32, text: &str) {
    // Copied out: the host's function runs without the lock.
    let sink = SINK.lock().as_ref().map(|sink| (sink.log, sink.user));
    if let Some((log, user)) = sink {
        // SAFETY: the host set a function that takes these arguments from any thread; the text lives until it returns.
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
