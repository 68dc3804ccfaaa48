//! The only place that asks what time it is.

use rustix::time::{ClockId, clock_gettime};

/// Time source of the control plane, replaced in tests. Workers call [`mono_ns`] directly: it is a vDSO read.
pub trait Clock: Send + Sync {
    /// Monotonic nanoseconds from an arbitrary start.
    fn mono_ns(&self) -> u64;
    /// Nanoseconds since the Unix epoch.
    fn wall_ns(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn mono_ns(&self) -> u64 {
        mono_ns()
    }

    fn wall_ns(&self) -> u64 {
        wall_ns()
    }
}

/// Monotonic nanoseconds since the machine's start, those that it slept included: a lease runs out while it sleeps. About 20 ns,
/// no system call.
#[must_use]
#[inline]
pub fn mono_ns() -> u64 {
    ns(ClockId::Boottime)
}

/// Nanoseconds since the Unix epoch.
#[must_use]
#[inline]
pub fn wall_ns() -> u64 {
    ns(ClockId::Realtime)
}

/// CPU nanoseconds that the calling thread has had. A system call: about 300 ns.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    ns(ClockId::ThreadCPUTime)
}

/// CPU nanoseconds that all threads of the process have had together. A system call.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    ns(ClockId::ProcessCPUTime)
}

#[expect(clippy::cast_sign_loss, reason = "all clocks are past their epoch")]
fn ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
