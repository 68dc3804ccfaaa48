//! What is said of resources: statuses, conditions and events, as functions of what a round has found.

mod happenings;
mod pool;
mod state_lost;
mod strategy;
mod tenant;

use jiff::Timestamp;
use kube::runtime::events::EventType;
use pinion_spec::status::{Condition, ConditionStatus, ConditionType, Reason};

pub use pool::{PoolView, pool};
pub use strategy::{Absent, Assigned, StrategyView, strategy};
pub use tenant::{TenantView, tenant};

/// Characters of a condition's message.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Something that happened, for `kubectl describe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Happening {
    /// Whether somebody should look.
    pub kind: EventType,
    /// What, for programs.
    pub reason: &'static str,
    /// What, for people.
    pub note: String,
}

/// What a condition says, without when.
type Say = (ConditionType, ConditionStatus, Reason, String);

fn say(kind: ConditionType, holds: bool, reason: Reason, message: impl Into<String>) -> Say {
    (kind, if holds { ConditionStatus::True } else { ConditionStatus::False }, reason, message.into())
}

/// Conditions with their times: one that holds as before keeps the time from which it does.
fn conditions(before: &[Condition], says: Vec<Say>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let condition = |(kind, status, reason, message): Say| {
        let same = before.iter().find(|before| before.kind == kind && before.status == status);
        let since = same.map_or_else(|| text(now), |same| same.last_transition_time.clone());
        let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
        Condition { kind, status, reason, message, last_transition_time: since, observed_generation: generation }
    };
    says.into_iter().map(condition).collect()
}

/// RFC 3339 in whole seconds.
fn text(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_it_holds_whatever_its_reason() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let ready = |holds, reason| vec![say(ConditionType::Ready, holds, reason, "x")];
        let first = conditions(&[], ready(false, Reason::NoPool), 1, at(0));
        let second = conditions(&first, ready(false, Reason::InProgress), 2, at(10));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        let third = conditions(&second, ready(true, Reason::AsSpecified), 2, at(20));
        assert_ne!(third[0].last_transition_time, second[0].last_transition_time);
    }
}
