//! When a shard may be given to another pod: only when the old one provably reads no more of it.
//!
//! Two pods that run one shard would both send its orders. A pod may be cut off from the operator and still reach Kafka, so
//! silence proves nothing. What does: its own word, the end of its process, or the end of its lease, after which it has
//! stopped itself.

use pinion_spec::assignment::{PodReport, Version};

/// How much longer a lease of 11 s may seem here than to its pod, seconds. chrony, the most eager of what sets clocks, makes one run
/// faster or slower by a twelfth at most (`maxslewrate` of chrony.conf): 13 s pass on the one where 11 s pass on the other.
const DRIFT_OF_11: u64 = 2;
/// For what is rounded.
const SPARE_NS: u64 = 1_000_000_000;

/// When a lease is over by this process' clock, which counts from a time of the pod's clock that was heard then: monotonic nanoseconds.
/// The pod had told it before, so by its own clock the lease is over sooner.
#[must_use]
pub const fn lease_end_ns(heard_ns: u64, lease_seconds: u32) -> u64 {
    let lease_ns = lease_seconds as u64 * 1_000_000_000;
    heard_ns.saturating_add(lease_ns + lease_ns / 11 * DRIFT_OF_11 + SPARE_NS)
}

/// The pod that had a shard.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The first document without the shard that was made for it.
    pub released_in: Version,
    /// The last report of it, if it ever answered.
    pub report: Option<&'a PodReport>,
    /// When every lease that it may have is over ([`lease_end_ns`]).
    pub lease_end_ns: u64,
    /// Kubernetes says that its containers have ended for good: the pod has succeeded or failed. That the pod object is gone does not say
    /// so: its node may be one that nobody reaches.
    pub process_ended: bool,
}

/// Why a shard may be given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// The pod said that it does not run it.
    Reported,
    /// The pod's process has ended.
    ProcessEnded,
    /// The pod's lease has run out.
    LeaseOver,
}

/// Why it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pod that had it has not let go of it; its lease is over in {seconds} s at the latest")]
pub struct Held {
    /// Until the lease is over, unless it is renewed. In steps of five, because what is said of it is written down each time that it
    /// changes.
    pub seconds: u64,
}

/// Whether `shard` of the strategy may be given to another pod.
///
/// # Errors
/// While the old pod may still run it.
pub fn may_move(holder: &Holder<'_>, namespace: &str, name: &str, shard: u16, now_ns: u64) -> Result<Cleared, Held> {
    if holder.process_ended {
        return Ok(Cleared::ProcessEnded);
    }
    // A report of an earlier document may say "not running" of a shard that is about to start.
    let released = |report: &&PodReport| {
        report.version >= holder.released_in
            && !report.strategies.iter().any(|strategy| {
                strategy.namespace == namespace && strategy.name == name && strategy.shards.contains(&shard)
            })
    };
    if holder.report.as_ref().is_some_and(released) {
        return Ok(Cleared::Reported);
    }
    let left_ns = holder.lease_end_ns.saturating_sub(now_ns);
    if left_ns > 0 { Err(Held { seconds: left_ns.div_ceil(5_000_000_000) * 5 }) } else { Ok(Cleared::LeaseOver) }
}

#[cfg(test)]
mod tests {
    use pinion_spec::assignment::StrategyReport;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> u64 {
        (1_000 + seconds) * 1_000_000_000
    }

    fn report(revision: u64, shards: &[u16]) -> PodReport {
        let strategy = StrategyReport {
            namespace: "desk".into(),
            name: "ema".into(),
            shards: shards.into(),
            ..StrategyReport::default()
        };
        PodReport { version: Version { epoch: 1, revision }, strategies: vec![strategy], ..PodReport::default() }
    }

    fn holder(report: Option<&PodReport>) -> Holder<'_> {
        let released_in = Version { epoch: 1, revision: 5 };
        Holder { released_in, report, lease_end_ns: lease_end_ns(at(0), 60), process_ended: false }
    }

    #[test]
    fn a_lease_is_over_by_the_pods_clock_before_it_is_here_however_the_two_are_slewed() {
        for lease in [5_u32, 60, 3_600] {
            // 13 s here are 11 s there.
            let here_ns = u64::from(lease) * 13_000_000_000 / 11;
            assert!(lease_end_ns(0, lease) > here_ns, "{lease}");
        }
    }

    #[test]
    fn silence_is_no_proof_until_the_lease_is_over_by_the_slower_of_two_clocks() {
        let holder = holder(None);
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(0)), Err(Held { seconds: 75 }));
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(71)), Err(Held { seconds: 5 }));
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(72)), Ok(Cleared::LeaseOver));
    }

    #[test]
    fn the_pods_word_counts_once_it_holds_the_document_that_took_the_shard_away() {
        for (revision, shards, cleared) in
            [(4, [1, 2].as_slice(), false), (5, &[1, 3], false), (5, &[1, 2], true), (9, &[], true)]
        {
            let report = report(revision, shards);
            let answer = may_move(&holder(Some(&report)), "desk", "ema", 3, at(1));
            assert_eq!(answer.is_ok(), cleared, "{revision} {shards:?}");
        }
    }

    #[test]
    fn an_older_leaders_high_revision_is_not_newer() {
        let report = report(900, &[]);
        let holder = Holder { released_in: Version { epoch: 2, revision: 0 }, ..holder(Some(&report)) };
        assert!(may_move(&holder, "desk", "ema", 3, at(1)).is_err());
    }

    #[test]
    fn another_strategys_shard_of_the_same_number_does_not_count() {
        let report = report(5, &[3]);
        assert_eq!(may_move(&holder(Some(&report)), "desk", "other", 3, at(1)), Ok(Cleared::Reported));
        assert!(may_move(&holder(Some(&report)), "desk", "ema", 3, at(1)).is_err());
    }

    #[test]
    fn a_process_that_has_ended_holds_nothing() {
        let holder = Holder { process_ended: true, ..holder(None) };
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(0)), Ok(Cleared::ProcessEnded));
    }

    proptest! {
        #[test]
        fn inside_the_lease_only_word_or_death_clears(
            elapsed in 0_u64..5_000, lease in 5_u32..3_600, revision in 0_u64..10, runs in any::<bool>(),
            answered in any::<bool>(), process_ended in any::<bool>(),
        ) {
            let report = report(revision, if runs { &[3] } else { &[] });
            let holder = Holder { lease_end_ns: lease_end_ns(at(0), lease), process_ended, ..holder(answered.then_some(&report)) };
            let cleared = may_move(&holder, "desk", "ema", 3, at(elapsed)).is_ok();
            let word = answered && revision >= 5 && !runs;
            let over = at(elapsed) >= lease_end_ns(at(0), lease);
            prop_assert_eq!(cleared, process_ended || word || over);
        }
    }
}
