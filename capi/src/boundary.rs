//! The one way in: no panic crosses it, and what went wrong is kept for the thread that asked.

use crate::failure::Failure;
use crate::log;
use crate::status::HOMING_ERR_PANIC;
use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether the next call is to panic: see `homing_plant_panic`.
    static PLANTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call and makes a status of what comes of it.
///
/// What a panic leaves behind is sound: locks of `parking_lot` are not poisoned but released, and the state
/// behind each is changed by steps that do not panic or is replaced whole.
pub(crate) fn enter(call: impl FnOnce() -> Result<i32, Failure>) -> i32 {
    let guarded = AssertUnwindSafe(|| {
        if cfg!(feature = "plant-panic") && PLANTED.try_with(|planted| planted.replace(false)).unwrap_or_default() {
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
            remember(failure.to_string());
            failure.status()
        }
        Err(payload) => {
            let text = format!("a bug in the library: {}", words(payload));
            log::error(&text);
            remember(text);
            HOMING_ERR_PANIC
        }
    }
}

fn words(payload: Box<dyn Any + Send>) -> Cow<'static, str> {
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return Cow::Borrowed(*text),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => Cow::Owned(*text),
        Err(stranger) => {
            // Dropping it could panic once more.
            std::mem::forget(stranger);
            Cow::Borrowed("a panic without words")
        }
    }
}

/// A thread that is ending has nobody to tell.
pub(crate) fn remember(text: String) {
    let _ = LAST_ERROR.try_with(|last| last.replace(text));
}

pub(crate) fn last_error() -> String {
    LAST_ERROR.try_with(|last| last.borrow().clone()).unwrap_or_default()
}

#[cfg(feature = "plant-panic")]
pub(crate) fn plant() {
    let _ = PLANTED.try_with(|planted| planted.set(true));
}
