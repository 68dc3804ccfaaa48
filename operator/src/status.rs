//! What is said of resources: statuses, conditions and events, as functions of what a round has found.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::runtime::events::EventType;
use pinion_spec::assignment::ProblemKind;
use pinion_spec::status::{
    Condition, ConditionStatus, ConditionType, ModuleStatus, PodShards, Reason, RuntimePoolStatus, ScalingStatus,
    StrategyStatus, TenantStatus,
};
use pinion_spec::strategy::TradingState;

use crate::admit::Refusal;
use crate::crd::{RuntimePool, Strategy, Tenant};
use crate::fence::Held;
use crate::figures::Shown;
use crate::modules::ModuleError;
use crate::names::{LABEL_POOL, LABEL_RUNTIME};
use crate::pinning::{self, Pinning};
use crate::place::Shortage;
use crate::rollout::Rollout;
use crate::round::Absent;
use crate::scale::Decision;

/// Characters of a condition's message.
const MESSAGE_CHARS_MAX: usize = 1_000;

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
    /// Why it goes on with the release that it has, where the spec's module cannot be read.
    pub unread: Option<String>,
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

/// What a round has found of a pool.
#[derive(Debug, Default)]
pub struct PoolView {
    /// Pods that it is to have.
    pub pods: u32,
    /// Pods that answer.
    pub ready_pods: u32,
    /// Their workers.
    pub workers: u32,
    /// Workers that serve a strategy.
    pub workers_used: u32,
    /// Where their workers run, as they say.
    pub pinning: Option<Pinning>,
    /// One that was there before has said nothing yet to this operator, which has not led for long.
    pub unheard: bool,
    /// Why it has fewer pods than it is to have.
    pub short: Option<(Reason, String)>,
}

/// What a round has found of a tenant.
#[derive(Debug, Default)]
pub struct TenantView {
    /// Strategies that it has.
    pub strategies: usize,
    /// Cores of its pods.
    pub cores: u32,
    /// Topic prefixes that are its own.
    pub prefixes: Vec<String>,
    /// Why it is not as its spec asks.
    pub trouble: Vec<(Reason, String)>,
}

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
    } else if let Some(unread) = &assigned.unread {
        (Reason::ApiError, format!("{unread}; the release before goes on"))
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
    let unhindered = assigned.problem.is_none() && assigned.unread.is_none() && !assigned.lacks_cores();
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

/// How long it is said that state was lost: as long as Kubernetes keeps events, for who looks into an odd position.
const STATE_LOST_SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// Whether instances have begun afresh elsewhere lately. Whether a strategy keeps anything in memory nobody but itself knows, so it is said
/// of all.
fn state_lost(before: &StrategyStatus, assigned: &Assigned, generation: i64, now: Timestamp) -> Condition {
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
fn ranges(shards: &[u16]) -> String {
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

fn happenings(before: &StrategyStatus, after: &StrategyStatus, view: &StrategyView<'_>) -> Vec<Happening> {
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

/// A pool's status.
#[must_use]
pub fn pool(resource: &RuntimePool, view: &PoolView, now: Timestamp) -> RuntimePoolStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation.unwrap_or_default();
    if view.unheard && before.observed_generation == generation && before.pods == view.pods {
        return RuntimePoolStatus { workers_used: view.workers_used, ..before };
    }
    let required = resource.spec.0.require_pinned;
    let pinned = pinning::condition(view.pinning.as_ref());
    let all_ready = view.ready_pods >= view.pods;
    let ready = if let Some((reason, message)) = &view.short {
        say(ConditionType::Ready, false, *reason, message)
    } else if !all_ready {
        let message = format!("{} of {} pods answer", view.ready_pods, view.pods);
        say(ConditionType::Ready, false, Reason::NoReadyPod, message)
    } else if required && view.pods > 0 && view.pinning != Some(Pinning::Exclusive) {
        say(ConditionType::Ready, false, Reason::SharedCores, format!("requirePinned is not met: {}", pinned.3))
    } else {
        say(ConditionType::Ready, true, Reason::AsSpecified, "every pod answers")
    };
    RuntimePoolStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, vec![ready, pinned], generation, now),
        pods: view.pods,
        ready_pods: view.ready_pods,
        workers: view.workers,
        workers_used: view.workers_used,
    }
}

/// A tenant's status.
#[must_use]
pub fn tenant(resource: &Tenant, view: &TenantView, now: Timestamp) -> TenantStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation.unwrap_or_default();
    let ready = match view.trouble.first() {
        Some((reason, _)) => {
            let all: Vec<&str> = view.trouble.iter().map(|(_, why)| why.as_str()).collect();
            say(ConditionType::Ready, false, *reason, all.join("; "))
        }
        None => {
            say(ConditionType::Ready, true, Reason::AsSpecified, format!("namespace {} is ready", resource.name_any()))
        }
    };
    TenantStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, vec![ready], generation, now),
        strategies: u32::try_from(view.strategies).unwrap_or(u32::MAX),
        cores: view.cores,
        topic_prefixes: view.prefixes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

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

    #[test]
    fn a_pod_that_a_new_operator_has_not_heard_yet_changes_nothing_that_was_said_of_the_same() {
        let now = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let assigned = |unheard: bool| Assigned {
            shards: 1,
            pods: vec![("default-0".into(), vec![0], vec![0])],
            unsettled: unheard,
            unheard,
            ..Assigned::default()
        };
        let mut resource = fixtures::resource();
        let first = strategy(&resource, &StrategyView::Assigned(&assigned(false)), now(0)).0;
        resource.status = Some(first.clone());
        let (unheard, events) = strategy(&resource, &StrategyView::Assigned(&assigned(true)), now(5));
        assert_eq!((&unheard, events.len()), (&first, 0));
        // Of another generation nothing is known.
        resource.metadata.generation = Some(2);
        let next = strategy(&resource, &StrategyView::Assigned(&assigned(true)), now(6)).0;
        assert_eq!(next.conditions[0].reason, Reason::InProgress);

        let mut pool_resource = fixtures::pool();
        let view =
            |unheard: bool| PoolView { pods: 1, ready_pods: u32::from(!unheard), unheard, ..PoolView::default() };
        let said = pool(&pool_resource, &view(false), now(0));
        pool_resource.status = Some(said.clone());
        assert_eq!(pool(&pool_resource, &view(true), now(5)), said);
    }

    /// What a round says of a pool and of its strategy, whose pods have all answered so.
    fn ready(require_pinned: bool, pods: u32, pinning: Option<Pinning>) -> [(bool, Reason); 2] {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
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
        let of_strategy = conditions(&[], running(&assigned), 1, now);
        [pool(&resource, &view, now).conditions, of_strategy].map(|conditions| {
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
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
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
