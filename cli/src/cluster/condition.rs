//! Reading the conditions of a strategy: whether they are about what is asked for now, and which of them nothing but a person mends.

use kube::Resource as _;
use pinion_operator::crd::Strategy;
use pinion_spec::status::{Condition, ConditionStatus, ConditionType, Reason};

/// A condition, whichever generation it is about.
pub(super) fn condition(strategy: &Strategy, kind: ConditionType) -> Option<&Condition> {
    strategy.status.as_ref()?.conditions.iter().find(|condition| condition.kind == kind)
}

/// A condition that is about the resource as it is at `generation` or later.
pub(super) fn condition_at(strategy: &Strategy, kind: ConditionType, generation: i64) -> Option<&Condition> {
    condition(strategy, kind).filter(|condition| condition.observed_generation >= generation)
}

/// Whether a condition is True and about `generation` or later.
pub(super) fn holds(strategy: &Strategy, kind: ConditionType, generation: i64) -> bool {
    condition_at(strategy, kind, generation).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// The condition for which waiting on is in vain: a person must change something.
pub(super) fn hopeless(strategy: &Strategy, generation: i64) -> Option<&Condition> {
    let rolled_back = condition_at(strategy, ConditionType::RolledBack, generation)
        .filter(|condition| condition.status == ConditionStatus::True);
    let not_ready = condition_at(strategy, ConditionType::Ready, generation)
        .filter(|condition| condition.status == ConditionStatus::False && needs_a_person(condition.reason));
    rolled_back.or(not_ready)
}

/// Whether nothing but a change of the strategy or of its tenant ends it. The others may end by themselves: a pod becomes ready,
/// a topic is made.
const fn needs_a_person(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InvalidSpec
            | Reason::TopicForbidden
            | Reason::RegistryForbidden
            | Reason::RiskCeiling
            | Reason::NoTenant
            | Reason::NamespaceTaken
            | Reason::ModuleRefused
            | Reason::Quarantined
            | Reason::ProbationFailed
            | Reason::Paused
            | Reason::Deleting
    )
}

/// The name of a condition, as `kubectl` shows it.
pub(super) fn type_name(kind: ConditionType) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One condition on a line: `Ready False NoPool: there is no pool "fast"`.
pub(super) fn line(condition: &Condition) -> String {
    let Condition { kind, status, reason, message, .. } = condition;
    let text = format!("{} {status:?} {reason:?}", type_name(*kind));
    if message.is_empty() { text } else { format!("{text}: {}", printable(message)) }
}

/// Text of others, which cannot drive the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// What the resource was made or changed to, by the apiserver's count.
pub(super) fn generation(strategy: &Strategy) -> i64 {
    strategy.meta().generation.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(kind: &str, status: &str, reason: &str, generation: i64) -> Strategy {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "pinion.dev/v1alpha1", "kind": "Strategy", "metadata": {"name": "s"},
            "spec": {
                "module": {"oci": "r/i@sha256:00"},
                "inputs": [{"topic": "md", "encoding": "binance-spot"}],
                "outputs": {"orders": {"topic": "orders"}},
            },
            "status": {"conditions": [{
                "type": kind, "status": status, "reason": reason, "message": "why",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn a_condition_about_an_older_generation_says_nothing_of_the_new_one() {
        let ready = strategy("Ready", "True", "AsSpecified", 3);
        assert!(holds(&ready, ConditionType::Ready, 3));
        assert!(!holds(&ready, ConditionType::Ready, 4));
        let refused = strategy("Ready", "False", "ModuleRefused", 3);
        assert!(hopeless(&refused, 3).is_some());
        assert!(hopeless(&refused, 4).is_none());
    }

    #[test]
    fn waiting_goes_on_while_it_may_become_ready_by_itself() {
        for (reason, vain) in [("TopicMissing", false), ("NoReadyPod", false), ("TopicForbidden", true)] {
            assert_eq!(hopeless(&strategy("Ready", "False", reason, 1), 1).is_some(), vain, "{reason}");
        }
        assert!(hopeless(&strategy("RolledBack", "True", "ProbationFailed", 1), 1).is_some());
    }

    #[test]
    fn a_condition_is_a_line_that_cannot_drive_a_terminal() {
        let mut strategy = strategy("SLOMet", "False", "ObjectiveMissed", 1);
        strategy.status.as_mut().unwrap().conditions[0].message = "p99\u{1b}[2J".to_owned();
        let slo = condition(&strategy, ConditionType::SloMet).unwrap();
        assert_eq!(line(slo), "SLOMet False ObjectiveMissed: p99\u{fffd}[2J");
    }
}
