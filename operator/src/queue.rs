//! Whose turn is due, and when: each tenant once, never two turns of one tenant at a time. Rounds that fail are tried again after
//! growing pauses; meanwhile a tenant's leases are kept, at a pace that does not grow.

use std::collections::{BTreeMap, BTreeSet};

/// The first pause after a failure; each further one is twice as long.
const PAUSE_FIRST_NS: u64 = 200_000_000;
/// The longest pause after failures.
const PAUSE_NS_MAX: u64 = 30_000_000_000;
/// How often leases are kept while rounds fail: as often as a round would, and two calls may fail within the shortest lease.
const KEEP_EVERY_NS: u64 = 1_500_000_000;

/// What is due of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A round.
    Round,
    /// Its rounds fail, and the next is not due yet: what its pods have, they keep.
    Keep,
}

/// The queue. Times are nanoseconds of one monotonic clock.
#[derive(Debug, Default)]
pub struct Queue {
    due: BTreeMap<String, u64>,
    keep: BTreeMap<String, u64>,
    running: BTreeSet<String>,
    failures: BTreeMap<String, Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    last_ns: u64,
}

impl Queue {
    /// A round of the tenant is due at a time, or sooner if one is already. Right after a failure it waits for the first pause: what a
    /// failing round has changed must not bring on the next at once.
    pub fn add(&mut self, tenant: &str, at_ns: u64) {
        let earliest_ns = self.failures.get(tenant).map_or(0, |failed| failed.last_ns.saturating_add(PAUSE_FIRST_NS));
        let at_ns = at_ns.max(earliest_ns);
        let due = self.due.entry(tenant.to_owned()).or_insert(at_ns);
        *due = (*due).min(at_ns);
    }

    /// The tenant whose turn it is, if it is anybody's. The longest due comes first.
    pub fn take(&mut self, now_ns: u64) -> Option<(String, Turn)> {
        let round = self.first(&self.due).map(|(tenant, at)| (at, tenant, Turn::Round));
        let keep = self.first(&self.keep).map(|(tenant, at)| (at, tenant, Turn::Keep));
        let (at, tenant, turn) = round.into_iter().chain(keep).min_by_key(|(at, ..)| *at)?;
        if at > now_ns {
            return None;
        }
        let tenant = tenant.clone();
        // A round keeps the leases too.
        self.keep.remove(&tenant);
        if turn == Turn::Round {
            self.due.remove(&tenant);
        }
        self.running.insert(tenant.clone());
        Some((tenant, turn))
    }

    /// When the next turn is due, if any waits.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        let round = self.first(&self.due).map(|(_, at)| at);
        round.into_iter().chain(self.first(&self.keep).map(|(_, at)| at)).min()
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
        let pause = PAUSE_FIRST_NS.saturating_mul(1 << failures.count.min(30)).min(PAUSE_NS_MAX);
        *failures = Failures { count: failures.count.saturating_add(1), last_ns: now_ns };
        let changed = self.due.remove(tenant);
        self.add(tenant, changed.unwrap_or(u64::MAX).min(now_ns.saturating_add(pause)));
        self.keep.insert(tenant.to_owned(), now_ns.saturating_add(KEEP_EVERY_NS));
    }

    /// A tenant's leases have been kept.
    pub fn kept(&mut self, tenant: &str, now_ns: u64) {
        self.running.remove(tenant);
        self.keep.insert(tenant.to_owned(), now_ns.saturating_add(KEEP_EVERY_NS));
    }

    fn first<'a>(&self, turns: &'a BTreeMap<String, u64>) -> Option<(&'a String, u64)> {
        let waiting = turns.iter().filter(|(tenant, _)| !self.running.contains(*tenant));
        waiting.map(|(tenant, at)| (tenant, *at)).min_by_key(|(_, at)| *at)
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
        assert_eq!(queue.take(3), Some(("a".into(), Turn::Round)));
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
        assert_eq!(queue.take(1), Some(("a".into(), Turn::Round)));
    }

    /// Takes turns until it is a round's.
    fn round(queue: &mut Queue) {
        while let Some((tenant, Turn::Keep)) = queue.take(u64::MAX) {
            queue.kept(&tenant, u64::MAX / 2);
        }
    }

    #[test]
    fn a_change_during_a_round_that_fails_waits_for_the_first_pause_only() {
        let mut queue = Queue::default();
        queue.add("a", 0);
        for _ in 0..6 {
            round(&mut queue);
            queue.failed("a", 0);
        }
        round(&mut queue);
        queue.add("a", 1);
        queue.failed("a", 1_000);
        assert_eq!(queue.next_ns(), Some(1_000 + PAUSE_FIRST_NS));
        round(&mut queue);
        queue.failed("a", 2_000);
        queue.add("a", 2_001);
        assert_eq!(queue.next_ns(), Some(2_000 + PAUSE_FIRST_NS));
    }

    #[test]
    fn leases_are_kept_at_an_even_pace_while_rounds_fail_and_no_longer() {
        let mut queue = Queue::default();
        queue.add("a", 0);
        for _ in 0..8 {
            round(&mut queue);
            queue.failed("a", 0);
        }
        let (pause, mut now, mut kept) = (PAUSE_FIRST_NS << 7, 0, 0);
        while now + KEEP_EVERY_NS < pause {
            assert_eq!(queue.next_ns(), Some(now + KEEP_EVERY_NS));
            now += KEEP_EVERY_NS;
            assert_eq!(queue.take(now), Some(("a".into(), Turn::Keep)));
            assert_eq!(queue.take(u64::MAX), None, "no second turn beside it");
            queue.kept("a", now);
            kept += 1;
        }
        assert!(kept > 10);
        assert_eq!(queue.take(pause), Some(("a".into(), Turn::Round)));
        queue.succeeded("a", pause + 1);
        assert_eq!(queue.next_ns(), Some(pause + 1));
    }

    #[test]
    fn pauses_after_failures_grow_to_a_limit_and_end_with_a_success() {
        let mut queue = Queue::default();
        let mut pauses = Vec::new();
        queue.add("a", 0);
        for _ in 0..12 {
            round(&mut queue);
            queue.failed("a", 0);
            pauses.push(queue.due["a"]);
        }
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]));
        assert_eq!((pauses[0], pauses[1], pauses[11]), (PAUSE_FIRST_NS, 2 * PAUSE_FIRST_NS, PAUSE_NS_MAX));
        round(&mut queue);
        queue.succeeded("a", 7);
        assert_eq!(queue.take(7), Some(("a".into(), Turn::Round)));
        queue.failed("a", 0);
        assert_eq!(queue.next_ns(), Some(PAUSE_FIRST_NS));
    }
}
