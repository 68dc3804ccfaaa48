//! Whether a strategy's instances have begun afresh elsewhere, which only it knows the cost of.

use jiff::{SignedDuration, Timestamp};
use pinion_spec::status::{Condition, ConditionStatus, ConditionType, Reason, StrategyStatus};

use super::strategy::{Assigned, ranges};
use super::{MESSAGE_CHARS_MAX, text};

/// How long it is said that state was lost: as long as Kubernetes keeps events, for who looks into an odd position.
const STATE_LOST_SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// Whether instances have begun afresh elsewhere lately. Whether a strategy keeps anything in memory nobody but itself knows, so it is said
/// of all.
pub(super) fn state_lost(before: &StrategyStatus, assigned: &Assigned, generation: i64, now: Timestamp) -> Condition {
    let known = before.conditions.iter().find(|condition| condition.kind == ConditionType::StateLost);
    // A strategy that begins for the first time, or on a new partition, has no state to lose.
    let lost: Vec<u16> = assigned.begun.iter().copied().filter(|shard| u32::from(*shard) < before.shards).collect();
    let condition = |status, reason, message: String, since| Condition {
        kind: ConditionType::StateLost,
        status,
        reason,
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
        last_transition_time: since,
        observed_generation: generation,
    };
    if known.is_some() && !lost.is_empty() {
        let message = format!(
            "shards {} began afresh elsewhere at {}: what the strategy kept in memory for them is lost",
            ranges(&lost),
            text(now)
        );
        return condition(ConditionStatus::True, Reason::Moved, message, text(now));
    }
    match known {
        Some(known) if known.status == ConditionStatus::True && is_recent(known, now) => {
            Condition { observed_generation: generation, ..known.clone() }
        }
        known => {
            let same = known.filter(|known| known.status == ConditionStatus::False);
            let since = same.map_or_else(|| text(now), |known| known.last_transition_time.clone());
            let message = "no shard has begun afresh elsewhere in the last hour".to_owned();
            condition(ConditionStatus::False, Reason::AsSpecified, message, since)
        }
    }
}

fn is_recent(condition: &Condition, now: Timestamp) -> bool {
    let since = condition.last_transition_time.parse::<Timestamp>();
    since.is_ok_and(|since| now.duration_since(since) < STATE_LOST_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::Strategy;
    use crate::fixtures;
    use crate::status::{StrategyView, strategy};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// What is said of a strategy whose shards have just begun afresh, after what was said before.
    fn told(resource: &mut Strategy, assigned: Assigned, now: Timestamp) -> (Condition, Vec<&'static str>) {
        let (status, happenings) = strategy(resource, &StrategyView::Assigned(&assigned), now);
        let lost = status.conditions.iter().find(|condition| condition.kind == ConditionType::StateLost).unwrap();
        let lost = lost.clone();
        resource.status = Some(status);
        (lost, happenings.into_iter().map(|happening| happening.reason).collect())
    }

    #[test]
    fn state_is_lost_by_what_begins_afresh_elsewhere_and_that_is_said_for_an_hour() {
        let mut resource = fixtures::resource();
        let assigned = |shards: u16, begun: &[u16]| Assigned {
            shards,
            begun: begun.iter().copied().collect(),
            ..Assigned::default()
        };
        let (lost, events) = told(&mut resource, assigned(4, &[0, 1, 2, 3]), at(0));
        assert_eq!((lost.status, events), (ConditionStatus::False, vec![]), "what begins for the first time has none");
        let (lost, events) = told(&mut resource, assigned(6, &[2, 3, 4, 5]), at(10));
        assert_eq!((lost.status, lost.reason, events), (ConditionStatus::True, Reason::Moved, vec!["StateLost"]));
        assert!(lost.message.starts_with("shards 2-3 began afresh"), "4 and 5 are new partitions: {}", lost.message);
        let (same, events) = told(&mut resource, assigned(6, &[]), at(3_609));
        assert_eq!((same.message, events), (lost.message, vec![]));
        let (again, events) = told(&mut resource, assigned(6, &[0]), at(3_609));
        assert_eq!((again.last_transition_time, events), (text(at(3_609)), vec!["StateLost"]));
        let (over, events) = told(&mut resource, assigned(6, &[]), at(3_609 + 3_600));
        assert_eq!((over.status, events), (ConditionStatus::False, vec![]));
    }
}
