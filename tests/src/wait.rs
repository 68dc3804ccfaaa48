//! Waiting for the thing itself, with a limit.

use std::thread::park_timeout;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;

/// Asks again and again, every 5 ms, until there is an answer.
///
/// # Panics
/// When there is none within `limit`; the message says what was waited for.
pub fn until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    within(limit, ask).unwrap_or_else(|| panic!("waited {limit:?} for {what}"))
}

/// Asks again and again, every 5 ms, until there is an answer or `limit` has passed.
pub(crate) fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = mono_ns();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Duration::from_nanos(mono_ns() - start) >= limit {
            return None;
        }
        park_timeout(Duration::from_millis(5));
    }
}
