//! Catches panics of code that must not end the loop or a helper thread.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// A panic of this thread is expected, so the log doesn't report it.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// A call panicked. The panic hook has reported where and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Panicked;

/// Calls a function that may panic.
///
/// # Errors
/// If it panics.
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        // The payload of a panic may have a destructor, which may panic too.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Panicked
    })
}

/// Like [`catch`], but the panic hook doesn't log the panic. For calls whose errors the
/// caller reports better.
///
/// # Errors
/// If it panics.
pub(crate) fn catch_expected<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = EXPECTED.replace(true);
    let result = catch(call);
    EXPECTED.set(before);
    result
}

/// Whether this thread is in a call of [`catch_expected`].
pub(crate) fn is_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_even_if_its_payload_panics_again() {
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("in the destructor");
            }
        }
        assert!(!is_expected() && catch_expected(is_expected) == Ok(true) && !is_expected());
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| -> u8 { std::panic::panic_any(PanicsOnDrop) }), Err(Panicked));
    }
}
