//! The only place that asks what time it is.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine's start, those that it slept included: a lease runs out while it sleeps.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "the clock is past its epoch")]
pub fn mono_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}
