//! The panic boundary: every exported function runs inside [`enter`], which lets no panic out and keeps the text of the
//! last error for the thread that called.

use crate::constants::HOMING_ERR_PANIC;
use crate::failure::Failure;
use crate::sink;
use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether the next call panics: see `homing_plant_panic`.
    static IS_PLANTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call and turns its result, or its panic, into a status.
///
/// The state that a panic leaves behind is consistent: locks of `parking_lot` are released and not poisoned, and
/// what each protects is changed by steps that do not panic, or replaced as a whole.
pub(crate) fn enter(call: impl FnOnce() -> Result<i32, Failure>) -> i32 {
    let guarded = AssertUnwindSafe(|| {
        if cfg!(feature = "plant-panic") && IS_PLANTED.try_with(|planted| planted.replace(false)).unwrap_or_default() {
            #[expect(clippy::panic, reason = "planted, by a library that was built for this test alone")]
            {
                panic!("planted");
            }
        }
        call()
    });
    match catch_unwind(guarded) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            set_last_error(failure.to_string());
            failure.status()
        }
        Err(payload) => {
            let text = format!("a bug in the library: {}", message(payload));
            sink::error(&text);
            set_last_error(text);
            HOMING_ERR_PANIC
        }
    }
}

fn message(payload: Box<dyn Any + Send>) -> Cow<'static, str> {
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return Cow::Borrowed(*text),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => Cow::Owned(*text),
        Err(other) => {
            // Its destructor could panic again.
            std::mem::forget(other);
            Cow::Borrowed("a panic without a message")
        }
    }
}

/// Does nothing on a thread whose thread-locals are destroyed already.
pub(crate) fn set_last_error(text: String) {
    let _ = LAST_ERROR.try_with(|last| last.replace(text));
}

pub(crate) fn last_error() -> String {
    LAST_ERROR.try_with(|last| last.borrow().clone()).unwrap_or_default()
}

#[cfg(feature = "plant-panic")]
pub(crate) fn plant() {
    let _ = IS_PLANTED.try_with(|planted| planted.set(true));
}
