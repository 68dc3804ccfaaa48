//! Whose round is due, and when: each tenant once, never two rounds of one tenant at a time, failures with growing pauses.

use std::collections::{BTreeMap, BTreeSet};

/// The first pause after a failure; each further one is twice as long.
const PAUSE_FIRST_NS: u64 = 200_000_000;
/// The longest pause after failures.
const PAUSE_NS_MAX: u64 = 30_000_000_000;

/// The queue. Times are nanoseconds of one monotonic clock.
#[derive(Debug, Default)]
pub struct Queue {
    due: BTreeMap<String, u64>,
    running: BTreeSet<String>,
    failures: BTreeMap<String, u32>,
}

impl Queue {
    /// A round of the tenant is due at a time, or sooner if one is already.
    pub fn add(&mut self, tenant: &str, at_ns: u64) {
        let due = self.due.entry(tenant.to_owned()).or_insert(at_ns);
        *due = (*due).min(at_ns);
    }

    /// The tenant whose round is to begin, if any. The longest due comes first.
    pub fn take(&mut self, now_ns: u64) -> Option<String> {
        let (tenant, _) = self.waiting().filter(|(_, due)| **due <= now_ns).min_by_key(|(_, due)| **due)?;
        let tenant = tenant.clone();
        self.due.remove(&tenant);
        self.running.insert(tenant.clone());
        Some(tenant)
    }

    /// When the next round is due, if any waits.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        self.waiting().map(|(_, due)| *due).min()
    }

    /// A round has ended well; the next is due at a time, if nothing changes before.
    pub fn succeeded(&mut self, tenant: &str, next_ns: u64) {
        self.running.remove(tenant);
        self.failures.remove(tenant);
        self.add(tenant, next_ns);
    }

    /// A round has failed; it is tried again after a pause, or when something changes.
    pub fn failed(&mut self, tenant: &str, now_ns: u64) {
        self.running.remove(tenant);
        let failures = self.failures.entry(tenant.to_owned()).or_default();
        let pause = PAUSE_FIRST_NS.saturating_mul(1 << (*failures).min(30)).min(PAUSE_NS_MAX);
        *failures = failures.saturating_add(1);
        self.due.insert(tenant.to_owned(), now_ns.saturating_add(pause));
    }

    fn waiting(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.due.iter().filter(|(tenant, _)| !self.running.contains(*tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_changes_often_has_one_round() {
        let mut queue = Queue::default();
        for at in [5, 3, 9] {
            queue.add("a", at);
        }
        assert_eq!(queue.next_ns(), Some(3));
        assert_eq!(queue.take(2), None);
        assert_eq!(queue.take(3).as_deref(), Some("a"));
        assert_eq!(queue.take(100), None);
    }

    #[test]
    fn a_change_during_a_round_is_not_lost_and_waits_for_its_end() {
        let mut queue = Queue::default();
        queue.add("a", 0);
        assert!(queue.take(0).is_some());
        queue.add("a", 1);
        assert_eq!((queue.take(1), queue.next_ns()), (None, None));
        queue.succeeded("a", 1_000);
        assert_eq!(queue.take(1).as_deref(), Some("a"));
    }

    #[test]
    fn pauses_after_failures_grow_to_a_limit_and_end_with_a_success() {
        let mut queue = Queue::default();
        let mut pauses = Vec::new();
        queue.add("a", 0);
        for _ in 0..12 {
            assert!(queue.take(u64::MAX).is_some());
            queue.failed("a", 0);
            pauses.push(queue.next_ns().unwrap());
        }
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]));
        assert_eq!((pauses[0], pauses[1], pauses[11]), (PAUSE_FIRST_NS, 2 * PAUSE_FIRST_NS, PAUSE_NS_MAX));
        assert!(queue.take(u64::MAX).is_some());
        queue.succeeded("a", 7);
        assert!(queue.take(7).is_some());
        queue.failed("a", 0);
        assert_eq!(queue.next_ns(), Some(PAUSE_FIRST_NS));
    }
}
