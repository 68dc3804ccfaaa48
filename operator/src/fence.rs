//! When a shard may be given to another pod: only when the old one provably reads no more of it.
//!
//! Two pods that run one shard would both send its orders. A pod may be cut off from the operator and still reach Kafka, so
//! silence proves nothing. What does: its own word, the end of its process, or the end of its lease, after which it has
//! stopped itself.

use jiff::{SignedDuration, Timestamp};
use pinion_spec::assignment::{PodReport, Version};

/// Added to a lease: how far the two machines' clocks may drift apart over it, and how long the last renewal may have been under way.
pub const LEASE_MARGIN_SECONDS: i64 = 10;

/// The pod that had a shard.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// The first document without the shard that was made for it.
    pub released_in: Version,
    /// The last report of it, if it ever answered.
    pub report: Option<&'a PodReport>,
    /// When the last attempt to renew its lease ended, whether it seemed to succeed or not: an answer can be lost when the
    /// request was not. An operator that has just become the leader does not know, and takes the moment it became it.
    pub renewal_attempted_at: Timestamp,
    /// The longest lease that any of those attempts may have given it, seconds.
    pub lease_seconds: u32,
    /// Kubernetes says that its containers have ended for good: the pod has succeeded or failed, or one of another UID has its
    /// name and reads the present document. That the pod object is gone does not say so: it may have been deleted by
    /// force, or from a node that nobody reaches.
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
    /// Until the lease and its margin are over, unless it is renewed.
    pub seconds: i64,
}

/// Whether `shard` of the strategy may be given to another pod.
///
/// # Errors
/// While the old pod may still run it.
pub fn may_move(holder: &Holder<'_>, namespace: &str, name: &str, shard: u16, now: Timestamp) -> Result<Cleared, Held> {
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
    let lease = SignedDuration::from_secs(i64::from(holder.lease_seconds) + LEASE_MARGIN_SECONDS);
    let left = lease - now.duration_since(holder.renewal_attempted_at);
    if left > SignedDuration::ZERO { Err(Held { seconds: left.as_secs() + 1 }) } else { Ok(Cleared::LeaseOver) }
}

#[cfg(test)]
mod tests {
    use pinion_spec::assignment::StrategyReport;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
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
        Holder { released_in, report, renewal_attempted_at: at(0), lease_seconds: 60, process_ended: false }
    }

    #[test]
    fn silence_is_no_proof_until_the_lease_and_its_margin_are_over() {
        let holder = holder(None);
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(0)), Err(Held { seconds: 71 }));
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(69)), Err(Held { seconds: 2 }));
        assert_eq!(may_move(&holder, "desk", "ema", 3, at(70)), Ok(Cleared::LeaseOver));
        assert!(may_move(&holder, "desk", "ema", 3, at(-500)).is_err(), "a clock that went back");
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
            elapsed in -100_i64..5_000, lease in 5_u32..3_600, revision in 0_u64..10, runs in any::<bool>(),
            answered in any::<bool>(), process_ended in any::<bool>(),
        ) {
            let report = report(revision, if runs { &[3] } else { &[] });
            let holder = Holder { lease_seconds: lease, process_ended, ..holder(answered.then_some(&report)) };
            let cleared = may_move(&holder, "desk", "ema", 3, at(elapsed)).is_ok();
            let word = answered && revision >= 5 && !runs;
            let over = elapsed >= i64::from(lease) + LEASE_MARGIN_SECONDS;
            prop_assert_eq!(cleared, process_ended || word || over);
        }
    }
}
