//! Waiting for the thing itself, with a limit.

use std::thread::park_timeout;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;

/// Asks again and again, every 5 ms, until there is an answer.
///
/// # Panics
/// When there is none within `limit`; the message says what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = mono_ns();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let waited = Duration::from_nanos(mono_ns() - start);
        assert!(waited < limit, "waited {waited:?} for {what}");
        park_timeout(Duration::from_millis(5));
    }
}
