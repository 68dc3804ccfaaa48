//! Until when this process may act.
//!
//! A pod acts on a lease. Once it has run out, another pod may have this one's shards, so nothing more may be consumed or sent. A
//! process can be stopped at any instruction and go on much later; so a worker looks before every event and egress before every
//! record, by a clock that does not stop with the process or the machine ([`mono_ns`]). What was handed to Kafka's client before
//! cannot be called back: its ids are those that the successor's orders repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::mono_ns;

/// The end of the lease, shared by everything that acts on it.
#[derive(Debug, Clone)]
pub struct Fence(Arc<AtomicU64>);

impl Default for Fence {
    /// No lease: a process of its own may act for ever.
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Fence {
    /// A fence that is closed until the first lease.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// Whether the lease has run out at this time, and if so it stays so.
    #[must_use]
    #[inline]
    pub fn is_passed(&self, now_ns: u64) -> bool {
        now_ns >= self.0.load(Ordering::Acquire)
    }

    /// Moves the end of the lease on, never back, and never to what is past: that is no lease. False where it has run out: then only
    /// a new process may act again.
    #[must_use]
    pub fn renew(&self, until_ns: u64) -> bool {
        let renewed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |end| {
            let now_ns = mono_ns();
            let until_ns = if until_ns > now_ns { until_ns } else { 0 };
            (end == 0 || now_ns < end).then_some(end.max(until_ns))
        });
        renewed.is_ok()
    }

    /// The end of the lease, monotonic ns: 0 before the first.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_has_run_out_cannot_be_renewed() {
        let fence = Fence::closed();
        assert!(fence.is_passed(mono_ns()));
        let end = mono_ns() + 1_000_000;
        assert!(fence.renew(end));
        assert!(!fence.is_passed(end - 1) && fence.is_passed(end));
        while mono_ns() < end {}
        assert!(!fence.renew(mono_ns() + 1_000_000_000));
        assert!(fence.is_passed(mono_ns()));
    }

    #[test]
    fn a_shorter_lease_takes_nothing_away() {
        let fence = Fence::closed();
        let far = mono_ns() + 60_000_000_000;
        assert!(fence.renew(far) && fence.renew(far - 1));
        assert_eq!(fence.end_ns(), far);
    }

    #[test]
    fn a_lease_that_would_be_over_already_is_none() {
        let fence = Fence::closed();
        assert!(fence.renew(mono_ns()));
        assert_eq!(fence.end_ns(), 0, "it still waits for its first");
    }

    #[test]
    fn without_a_lease_a_process_may_act_for_ever() {
        assert!(!Fence::default().is_passed(u64::MAX - 1));
    }
}
