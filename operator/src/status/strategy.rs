//! What is said of a strategy.

use std::collections::BTreeSet;

use jiff::Timestamp;
use pinion_spec::assignment::ProblemKind;
use pinion_spec::status::{
    Condition, ConditionStatus, ConditionType, ModuleStatus, PodShards, Reason, ScalingStatus, StrategyStatus,
};
use pinion_spec::strategy::TradingState;

use super::happenings::happenings;
use super::state_lost::state_lost;
use super::{Happening, Say, conditions, say, text};
use crate::admit::Refusal;
use crate::crd::Strategy;
use crate::fence::Held;
use crate::figures::Shown;
use crate::modules::ModuleError;
use crate::names::{LABEL_POOL, LABEL_RUNTIME};
use crate::pinning::{self, Pinning};
use crate::place::Shortage;
use crate::rollout::Rollout;
use crate::scale::Decision;

/// Why a strategy is not assigned to any pod.
#[derive(Debug)]
pub enum Absent {
    /// The tenant does not allow it, or it contradicts itself.
    Refused(Vec<Refusal>),
    /// Its module cannot be had.
    Module(ModuleError),
    /// Its pool is not there, or goes.
    NoPool(String),
    /// Its namespace is no tenant's.
    NoTenant,
    /// It is to run nowhere.
    Paused,
    /// Its tenant goes.
    Deleting,
}

/// What a round has found of a strategy.
pub enum StrategyView<'a> {
    /// It is in no document.
    Absent(&'a Absent),
    /// It is assigned, as far as it can be.
    Assigned(&'a Assigned),
}

/// A strategy that is assigned.
#[derive(Debug, Default)]
pub struct Assigned {
    /// Its pool.
    pub pool: String,
    /// Its shards; 0 while nobody knows.
    pub shards: u16,
    /// How many workers it has.
    pub decision: Decision,
    /// What is decided by the load is only recommended.
    pub only_recommended: bool,
    /// Its releases.
    pub rollout: Rollout,
    /// It was rolled back in this round.
    pub rolled_back: bool,
    /// Its tenant is suspended.
    pub suspended: bool,
    /// What placement could not give it.
    pub shortage: Option<Shortage>,
    /// Shards that have begun, since that was last said, where they did not run before.
    pub begun: BTreeSet<u16>,
    /// Why shards of it run nowhere yet.
    pub waiting: Option<Held>,
    /// Each of its pods with its shards and their workers.
    pub pods: Vec<(String, Vec<u16>, Vec<u16>)>,
    /// Where its workers run, as its pods say.
    pub pinning: Option<Pinning>,
    /// Its pool is to be on cores of its own.
    pub require_pinned: bool,
    /// A pod does not run all that it is to run.
    pub unsettled: bool,
    /// A pod of it has said nothing yet to this operator, which has not led for long: what was said before is not unsaid.
    pub unheard: bool,
    /// A pod has put it into quarantine.
    pub quarantined: bool,
    /// Faults of the running release.
    pub faults: u64,
    /// Its figures, once its pods have been read.
    pub shown: Option<Shown>,
    /// This operator has not led for long enough to have read them: what was said before is not unsaid.
    pub pending: bool,
    /// The objective for p99, microseconds.
    pub objective_micros: Option<u32>,
    /// What p99 was in the last interval, microseconds.
    pub p99_micros: Option<f64>,
    /// What a pod complains of.
    pub problem: Option<(Option<ProblemKind>, String)>,
    /// Why it goes on with what it has: the spec's module cannot be read, or its pool cannot take in more.
    pub stands: Option<(Reason, String)>,
    /// SHA-256 of the bytes of the assigned module, where a pod runs it.
    pub wasm: Option<String>,
    /// Why its pool has fewer pods than it is to have.
    pub short: Option<(Reason, String)>,
}

impl Assigned {
    /// Whether all of it runs as it is to.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let placed: usize = self.pods.iter().map(|(_, shards, _)| shards.len()).sum();
        !self.unsettled && self.waiting.is_none() && self.shards > 0 && placed == usize::from(self.shards)
    }

    /// Whether it is to run on cores of its own and does not, as far as anybody knows.
    fn lacks_cores(&self) -> bool {
        self.require_pinned && self.pinning != Some(Pinning::Exclusive)
    }
}

/// A strategy's status, and what is new in it.
#[must_use]
pub fn strategy(resource: &Strategy, view: &StrategyView<'_>, now: Timestamp) -> (StrategyStatus, Vec<Happening>) {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation.unwrap_or_default();
    let mut status = StrategyStatus { observed_generation: generation, ..StrategyStatus::default() };
    let mut says = Vec::new();
    match view {
        StrategyView::Absent(why) => {
            let (reason, message) = absent(why);
            says.push(say(ConditionType::Ready, false, reason, message));
            says.push(say(ConditionType::Progressing, false, reason, "nothing is being done"));
            status.shards = before.shards;
            status.module = before.module.clone();
        }
        StrategyView::Assigned(assigned) => {
            says.extend(running(assigned));
            describe(&mut status, &before, assigned, now);
        }
    }
    says.push(halted(resource, view));
    status.conditions = conditions(&before.conditions, says, generation, now);
    if let StrategyView::Assigned(assigned) = view {
        status.conditions.push(state_lost(&before, assigned, generation, now));
        if assigned.pending {
            carry(&before, &mut status);
        }
        if assigned.unheard {
            carry_reported(&before, &mut status);
        }
    }
    let happenings = happenings(&before, &status, view);
    (status, happenings)
}

/// Leaves as it was what follows from figures: a change of leader is no news of a strategy.
fn carry(before: &StrategyStatus, status: &mut StrategyStatus) {
    status.latency.clone_from(&before.latency);
    status.lag_seconds = before.lag_seconds;
    status.orders_per_second.clone_from(&before.orders_per_second);
    if before.scaling.is_some() && before.workers == status.workers {
        status.scaling.clone_from(&before.scaling);
    }
    for condition in &mut status.conditions {
        let measured = matches!(condition.kind, ConditionType::SloMet | ConditionType::ScalingLimited);
        let same = before.conditions.iter().find(|before| before.kind == condition.kind).filter(|_| measured);
        if let Some(before) = same {
            condition.clone_from(before);
        }
    }
}

/// Leaves as it was what follows from what pods report, as long as it is about the same assignment of the same resource.
fn carry_reported(before: &StrategyStatus, status: &mut StrategyStatus) {
    let (was, is) = (before.module.as_ref(), status.module.as_mut());
    let same_module = was.map(|was| &was.running) == is.as_ref().map(|is| &is.running);
    if before.assignment != status.assignment || !same_module {
        return;
    }
    if let (Some(was), Some(is)) = (was, is) {
        is.wasm.clone_from(&was.wasm);
    }
    for condition in &mut status.conditions {
        let kinds = [ConditionType::Ready, ConditionType::Progressing, ConditionType::Pinned];
        let reported = kinds.contains(&condition.kind);
        let same = |before: &&Condition| {
            before.kind == condition.kind && before.observed_generation == condition.observed_generation
        };
        if let Some(before) = before.conditions.iter().find(same).filter(|_| reported) {
            condition.clone_from(before);
        }
    }
}

fn absent(why: &Absent) -> (Reason, String) {
    match why {
        Absent::Refused(refusals) => {
            let reason = match refusals.first() {
                Some(
                    Refusal::WriteForbidden { .. } | Refusal::ReadForbidden { .. } | Refusal::GroupForbidden { .. },
                ) => Reason::TopicForbidden,
                Some(Refusal::RegistryForbidden { .. }) => Reason::RegistryForbidden,
                Some(Refusal::Ceilings(_) | Refusal::NoInstrument) => Reason::RiskCeiling,
                Some(Refusal::Spec(_)) | None => Reason::InvalidSpec,
            };
            let all: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            (reason, all.join("; "))
        }
        Absent::Module(error) => {
            let reason = match error {
                ModuleError::NoConfigMap(_) | ModuleError::NoKey { .. } => Reason::MissingReference,
                ModuleError::Source | ModuleError::Name(_) => Reason::ModuleRefused,
                ModuleError::Read(_) => Reason::ApiError,
            };
            (reason, error.to_string())
        }
        Absent::NoPool(pool) => {
            let message = format!(
                "spec.pool: there is no RuntimePool {pool} in the namespace, or it is being deleted; create it"
            );
            (Reason::NoPool, message)
        }
        Absent::NoTenant => (Reason::NoTenant, "the namespace belongs to no Tenant".into()),
        Absent::Paused => (Reason::Paused, "spec.paused is true".into()),
        Absent::Deleting => (Reason::Deleting, "it is drained, and then gone".into()),
    }
}

fn running(assigned: &Assigned) -> Vec<Say> {
    let settled = assigned.is_settled();
    let pinned = pinning::condition(assigned.pinning.as_ref());
    // Of a release that is being replaced it says nothing any more: whoever has mended it waits for the next.
    let quarantined = assigned.quarantined && !assigned.unsettled;
    let (reason, message) = if quarantined {
        (Reason::Quarantined, "an instance faulted too often and is not called any more".to_owned())
    } else if let Some((kind, problem)) = &assigned.problem {
        let reason = match kind {
            Some(ProblemKind::TopicMissing) => Reason::TopicMissing,
            Some(ProblemKind::TopicForbidden) => Reason::TopicForbidden,
            Some(ProblemKind::ModuleRefused) => Reason::ModuleRefused,
            None => Reason::InProgress,
        };
        (reason, problem.clone())
    } else if let Some((reason, why)) = &assigned.stands {
        (*reason, format!("{why}; what ran before goes on"))
    } else if let (Some(Shortage::NoReadyPod | Shortage::Full), Some(short)) = (assigned.shortage, &assigned.short) {
        short.clone()
    } else if let Some(shortage @ (Shortage::NoReadyPod | Shortage::Full)) = assigned.shortage {
        let reason = if shortage == Shortage::Full { Reason::PoolFull } else { Reason::NoReadyPod };
        (reason, shortage.to_string())
    } else if let Some(held) = assigned.waiting {
        (Reason::WaitingForFence, held.to_string())
    } else if settled && assigned.lacks_cores() {
        (Reason::SharedCores, format!("the pool's requirePinned is not met: {}", pinned.3))
    } else if settled {
        (Reason::AsSpecified, "all shards run".to_owned())
    } else {
        (Reason::InProgress, "the pods are taking it on".to_owned())
    };
    let unhindered = assigned.problem.is_none() && assigned.stands.is_none() && !assigned.lacks_cores();
    let ready = settled && !quarantined && unhindered;
    let mut says = vec![
        say(ConditionType::Ready, ready, reason, message.clone()),
        say(ConditionType::Progressing, !ready && !quarantined, reason, message),
    ];
    says.push(match (assigned.shortage, assigned.decision.limited) {
        (Some(_), _) if assigned.short.is_some() => {
            let (reason, message) = assigned.short.clone().unwrap_or((Reason::PoolFull, String::new()));
            say(ConditionType::ScalingLimited, true, reason, message)
        }
        (Some(shortage @ Shortage::Starting { .. }), _) => {
            say(ConditionType::ScalingLimited, true, Reason::NoReadyPod, shortage.to_string())
        }
        (Some(shortage), _) => say(ConditionType::ScalingLimited, true, Reason::PoolFull, shortage.to_string()),
        (None, Some(reason)) => say(ConditionType::ScalingLimited, true, reason, assigned.decision.why.to_string()),
        (None, None) => say(ConditionType::ScalingLimited, false, Reason::AsSpecified, "nothing holds it back"),
    });
    says.push(match &assigned.rollout.refused {
        Some(refused) => say(
            ConditionType::RolledBack,
            true,
            Reason::ProbationFailed,
            format!("module {} or its params faulted on probation; the release before it runs again", refused.module),
        ),
        None => say(ConditionType::RolledBack, false, Reason::AsSpecified, "the release of the spec is assigned"),
    });
    says.push(pinned);
    says.push(objective(assigned));
    says
}

fn objective(assigned: &Assigned) -> Say {
    match (assigned.objective_micros, assigned.p99_micros) {
        (Some(objective), Some(p99)) if p99 > f64::from(objective) => {
            let message = format!("p99 of decision latency is over its objective of {objective} us");
            say(ConditionType::SloMet, false, Reason::ObjectiveMissed, message)
        }
        (Some(objective), Some(_)) => {
            let message = format!("p99 of decision latency is within {objective} us");
            say(ConditionType::SloMet, true, Reason::AsSpecified, message)
        }
        (Some(_), None) => (
            ConditionType::SloMet,
            ConditionStatus::Unknown,
            Reason::NotMeasured,
            "there were too few decisions to measure".into(),
        ),
        (None, _) => {
            (ConditionType::SloMet, ConditionStatus::Unknown, Reason::NotMeasured, "there is no objective".into())
        }
    }
}

fn halted(resource: &Strategy, view: &StrategyView<'_>) -> Say {
    let suspended = matches!(view, StrategyView::Assigned(assigned) if assigned.suspended);
    if suspended {
        say(ConditionType::Halted, true, Reason::TenantSuspended, "the tenant is suspended")
    } else if resource.spec.0.trading_state == TradingState::Halted {
        say(ConditionType::Halted, true, Reason::HaltedBySpec, "spec.tradingState is HALTED")
    } else {
        say(ConditionType::Halted, false, Reason::AsSpecified, "it may send orders")
    }
}

fn describe(status: &mut StrategyStatus, before: &StrategyStatus, assigned: &Assigned, now: Timestamp) {
    status.shards = u32::from(assigned.shards);
    status.selector = Some(format!("{}={},{LABEL_POOL}={}", LABEL_RUNTIME.0, LABEL_RUNTIME.1, assigned.pool));
    let before_scaling = before.scaling.clone().unwrap_or_default();
    let decision = &assigned.decision;
    let workers_of = |workers: &Vec<u16>| {
        let mut workers = workers.clone();
        workers.sort_unstable();
        workers.dedup();
        u32::try_from(workers.len()).unwrap_or(u32::MAX)
    };
    for (pod, shards, workers) in assigned.pods.iter().filter(|(_, shards, _)| !shards.is_empty()) {
        let workers = workers_of(workers);
        status.workers = status.workers.saturating_add(workers);
        status.assignment.push(PodShards { pod: pod.clone(), workers, shards: ranges(shards) });
    }
    status.scaling = Some(ScalingStatus {
        recommended_workers: decision.recommended,
        reason: decision.why.to_string(),
        changed_at: if decision.recommended == before_scaling.recommended_workers {
            before_scaling.changed_at
        } else {
            Some(text(now))
        },
        missed_with: decision.memory.missed.map(|missed| missed.workers),
        missed_at_millicores: decision.memory.missed.map(|missed| millicores(missed.load)),
    });
    if let Some(shown) = &assigned.shown {
        status.latency.clone_from(&shown.latency);
        status.lag_seconds = Some(shown.lag_seconds);
        status.orders_per_second = Some(shown.orders_per_second.clone());
    }
    status.module = assigned.rollout.running.as_ref().map(|running| ModuleStatus {
        running: running.module.clone(),
        wasm: assigned.wasm.clone(),
        previous: assigned.rollout.previous.as_ref().map(|previous| previous.module.clone()),
        previous_source: assigned.rollout.previous.as_ref().map(|previous| previous.source.clone()),
        since: Timestamp::from_second(assigned.rollout.since).ok().map(text),
    });
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, within bounds and not negative")]
fn millicores(cores: f64) -> u32 {
    (cores * 1_000.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// `0-3,7`.
pub(super) fn ranges(shards: &[u16]) -> String {
    let mut sorted = shards.to_vec();
    sorted.sort_unstable();
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for shard in sorted {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == shard => *last = shard,
            _ => parts.push((shard, shard)),
        }
    }
    let part = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::status::{PoolView, pool};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_pod_that_a_new_operator_has_not_heard_yet_changes_nothing_that_was_said_of_the_same() {
        let assigned = |unheard: bool| Assigned {
            shards: 1,
            pods: vec![("default-0".into(), vec![0], vec![0])],
            unsettled: unheard,
            unheard,
            ..Assigned::default()
        };
        let mut resource = fixtures::resource();
        let first = strategy(&resource, &StrategyView::Assigned(&assigned(false)), at(0)).0;
        resource.status = Some(first.clone());
        let (unheard, events) = strategy(&resource, &StrategyView::Assigned(&assigned(true)), at(5));
        assert_eq!((&unheard, events.len()), (&first, 0));
        // Of another generation nothing is known.
        resource.metadata.generation = Some(2);
        let next = strategy(&resource, &StrategyView::Assigned(&assigned(true)), at(6)).0;
        assert_eq!(next.conditions[0].reason, Reason::InProgress);

        let mut pool_resource = fixtures::pool();
        let view =
            |unheard: bool| PoolView { pods: 1, ready_pods: u32::from(!unheard), unheard, ..PoolView::default() };
        let said = pool(&pool_resource, &view(false), at(0));
        pool_resource.status = Some(said.clone());
        assert_eq!(pool(&pool_resource, &view(true), at(5)), said);
    }

    /// What a round says of a pool and of its strategy, whose pods have all answered so.
    fn ready(require_pinned: bool, pods: u32, pinning: Option<Pinning>) -> [(bool, Reason); 2] {
        let mut resource = crate::fixtures::pool();
        resource.spec.0.require_pinned = require_pinned;
        let view = PoolView { pods, ready_pods: pods, pinning: pinning.clone(), ..PoolView::default() };
        let assigned = Assigned {
            shards: 1,
            pods: vec![("default-0".into(), vec![0], vec![0])],
            pinning,
            require_pinned,
            ..Assigned::default()
        };
        let of_strategy = conditions(&[], running(&assigned), 1, at(0));
        [pool(&resource, &view, at(0)).conditions, of_strategy].map(|conditions| {
            let ready = conditions.iter().find(|condition| condition.kind == ConditionType::Ready).unwrap();
            (ready.status == ConditionStatus::True, ready.reason)
        })
    }

    #[test]
    fn ready_is_withheld_until_the_pods_say_that_their_cores_are_their_own_where_the_pool_asks_for_it() {
        let shared = || Some(Pinning::Shared("default-0: it may run on all 2 cores".into()));
        let (yes, no) = ((true, Reason::AsSpecified), (false, Reason::SharedCores));
        assert_eq!(ready(true, 1, Some(Pinning::Exclusive)), [yes, yes]);
        assert_eq!(ready(true, 1, shared()), [no, no]);
        assert_eq!(ready(true, 1, None), [no, no]);
        assert_eq!(ready(false, 1, shared()), [yes, yes]);
        assert_eq!(ready(true, 0, None)[0], yes, "no pod, no worker that shares a core");
    }

    #[test]
    fn a_quarantine_is_told_of_the_release_that_is_assigned_and_not_of_the_one_that_it_replaces() {
        let ready = |unsettled| {
            let pods = vec![("default-0".into(), vec![0], vec![0])];
            let assigned = Assigned { shards: 1, pods, quarantined: true, unsettled, ..Assigned::default() };
            let says = conditions(&[], running(&assigned), 1, at(0));
            let of = |kind| says.iter().find(|condition| condition.kind == kind).unwrap().clone();
            let (ready, progressing) = (of(ConditionType::Ready), of(ConditionType::Progressing));
            (ready.status, ready.reason, progressing.status)
        };
        assert_eq!(ready(false), (ConditionStatus::False, Reason::Quarantined, ConditionStatus::False));
        assert_eq!(ready(true), (ConditionStatus::False, Reason::InProgress, ConditionStatus::True));
    }

    #[test]
    fn an_operator_that_has_just_begun_unsays_no_figures() {
        let mut resource = Strategy::new("s", crate::crd::StrategyResource(crate::fixtures::strategy().spec));
        let shown = Shown { latency: None, lag_seconds: 3, orders_per_second: "12".into() };
        let mut assigned = Assigned {
            shards: 1,
            pods: vec![("p-0".into(), vec![0], vec![0])],
            objective_micros: Some(500),
            p99_micros: Some(41.0),
            shown: Some(shown),
            ..Assigned::default()
        };
        let (before, _) = strategy(&resource, &StrategyView::Assigned(&assigned), at(0));
        resource.status = Some(before.clone());
        (assigned.shown, assigned.p99_micros, assigned.pending) = (None, None, true);
        assert_eq!(strategy(&resource, &StrategyView::Assigned(&assigned), at(5)), (before.clone(), Vec::new()));
        assigned.pending = false;
        assert_ne!(strategy(&resource, &StrategyView::Assigned(&assigned), at(30)).0, before);
    }

    #[test]
    fn shards_are_shown_as_ranges() {
        assert_eq!(ranges(&[7, 0, 2, 1, 3, 9, 10]), "0-3,7,9-10");
        assert_eq!(ranges(&[]), "");
    }
}
