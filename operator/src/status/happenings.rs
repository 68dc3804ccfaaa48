//! What is new in a strategy's status, as events.

use kube::runtime::events::EventType;
use pinion_spec::status::{ConditionStatus, ConditionType, Reason, StrategyStatus};

use super::Happening;
use super::strategy::{Absent, StrategyView};

pub(super) fn happenings(before: &StrategyStatus, after: &StrategyStatus, view: &StrategyView<'_>) -> Vec<Happening> {
    let find =
        |status: &StrategyStatus, kind| status.conditions.iter().find(|condition| condition.kind == kind).cloned();
    let turned = |kind| {
        let (then, now) = (find(before, kind), find(after, kind)?);
        let same = then.is_some_and(|then| then.status == now.status && then.reason == now.reason);
        (!same).then_some(now)
    };
    let mut happenings = Vec::new();
    let mut tell = |kind, reason, note: String| happenings.push(Happening { kind, reason, note });
    if let StrategyView::Absent(Absent::Refused(_) | Absent::Module(_) | Absent::NoPool(_) | Absent::NoTenant) = view
        && let Some(ready) = turned(ConditionType::Ready)
    {
        tell(EventType::Warning, "Refused", ready.message);
    }
    if let StrategyView::Assigned(assigned) = view {
        if assigned.rolled_back
            && let Some(back) = find(after, ConditionType::RolledBack)
        {
            tell(EventType::Warning, "RolledBack", back.message);
        }
        if let Some(ready) = turned(ConditionType::Ready).filter(|ready| ready.reason == Reason::Quarantined) {
            tell(EventType::Warning, "Quarantined", format!("{}; {} faults", ready.message, assigned.faults));
        }
        if assigned.require_pinned
            && let Some(pinned) = turned(ConditionType::Pinned).filter(|now| now.status == ConditionStatus::False)
        {
            tell(EventType::Warning, "NotPinned", pinned.message);
        }
        // When it is decided, with the reason that decided it: the workers come later.
        let recommended = |status: &StrategyStatus| status.scaling.as_ref().map_or(0, |s| s.recommended_workers);
        let (from, to) = (recommended(before), recommended(after));
        if from != to && from > 0 {
            let reason = if assigned.only_recommended { "ScalingRecommended" } else { "Scaled" };
            let s = if to == 1 { "" } else { "s" };
            tell(EventType::Normal, reason, format!("{to} worker{s}, from {from}: {}", assigned.decision.why));
        }
        let lost = find(after, ConditionType::StateLost);
        if let Some(lost) = lost.filter(|lost| lost.status == ConditionStatus::True)
            && find(before, ConditionType::StateLost).is_none_or(|before| before.message != lost.message)
        {
            tell(EventType::Warning, "StateLost", lost.message);
        }
        let limited =
            |status: &StrategyStatus| find(status, ConditionType::ScalingLimited).map(|c| (c.status, c.reason));
        if limited(before) != limited(after)
            && let Some(held) = find(after, ConditionType::ScalingLimited)
            && held.status == ConditionStatus::True
            && matches!(held.reason, Reason::PoolFull | Reason::ReadFailed)
        {
            tell(EventType::Warning, "ScalingLimited", held.message);
        }
    }
    if let Some(halted) = turned(ConditionType::Halted) {
        let was = find(before, ConditionType::Halted).is_some();
        match halted.status {
            ConditionStatus::True => tell(EventType::Warning, "Halted", halted.message),
            _ if was => tell(EventType::Normal, "Resumed", halted.message),
            _ => {}
        }
    }
    happenings
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::fixtures;
    use crate::scale::Decision;
    use crate::status::{Assigned, strategy};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_change_of_the_workers_is_told_when_it_is_decided_with_its_reason() {
        let mut resource = fixtures::resource();
        let mut decide = |workers, recommended, limited| {
            let why = crate::scale::Why::AtMinimum { workers: recommended };
            let decision = Decision { workers, recommended, why, limited, ..Decision::default() };
            let only_recommended = workers != recommended;
            let assigned = Assigned { decision, only_recommended, ..Assigned::default() };
            let (status, happenings) = strategy(&resource, &StrategyView::Assigned(&assigned), at(0));
            resource.status = Some(status);
            happenings.into_iter().map(|happening| (happening.reason, happening.note)).collect::<Vec<_>>()
        };
        assert!(decide(1, 1, None).is_empty());
        assert_eq!(decide(2, 2, None), [("Scaled", "2 workers, from 1: at the minimum of 2".to_owned())]);
        assert!(decide(2, 2, None).is_empty());
        assert_eq!(decide(2, 3, None)[0].0, "ScalingRecommended");
        assert_eq!(decide(2, 3, Some(Reason::ReadFailed))[0].0, "ScalingLimited");
        assert!(decide(2, 3, Some(Reason::ReadFailed)).is_empty());
    }
}
