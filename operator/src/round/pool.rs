//! One pool's part of a round: what its pods are to run, written and delivered, and what they say of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use pinion_spec::assignment::{Assignment, PodReport, StrategyReport, Version};
use pinion_spec::strategy::TradingState;

use super::deliver::deliver;
use super::scrape::{figures, scrape};
use super::{Admitted, Context, Memory, RoundError};
use crate::clock::{mono_ns, now};
use crate::crd::{RuntimePool, Tenant};
use crate::desired::assignment::{Terms, config_map, documents};
use crate::desired::pool as desired;
use crate::fleet::{Fleet, ordinal};
use crate::kinds::Kind;
use crate::names::{ADMIN_TOKEN_SECRET, LABEL_POOL, MANAGER_ASSIGNMENT, MANAGER_POOL, assignment_config_map};
use crate::pinning::Pinning;
use crate::place::PoolSize;
use crate::plan::{Candidate, Plan, plan};
use crate::pods::Address;
use crate::rollout::{Change, Release, Rollout};
use crate::scale::{Decision, Observed, scale};
use crate::status::{Assigned, PoolView};

/// The key of the ConfigMap under which releases are kept; no pod has this name, for a pod's ends with a number.
const ROLLOUTS_KEY: &str = "rollouts.json";

/// What came of it.
pub(super) struct Done {
    /// What is to be said of each strategy, in the order in which they were given.
    pub(super) strategies: Vec<Assigned>,
    /// What is to be said of the pool.
    pub(super) view: PoolView,
    /// Something is under way that the next round goes on with.
    pub(super) busy: bool,
    /// No pod runs anything.
    pub(super) idle: bool,
    /// Pods that it has.
    pub(super) pods: u16,
}

pub(super) async fn run(
    context: &Context,
    tenant: &Tenant,
    pool: &RuntimePool,
    admitted: &[Admitted],
    memory: &mut Memory,
) -> Result<Done, RoundError> {
    let (name, namespace) = (pool.name_any(), pool.namespace().unwrap_or_default());
    let epoch = context.leadership().epoch()?;
    let token = token(context, &namespace);
    context.writer.apply(Kind::Service, &desired::service(pool), MANAGER_POOL).await?;
    context.writer.apply(Kind::PodDisruptionBudget, &desired::disruption_budget(pool), MANAGER_POOL).await?;

    let is_first = !memory.fleets.contains_key(&name);
    let fleet = memory.fleets.entry(name.clone()).or_insert_with(|| remembered(context, &namespace, &name));
    let listed = context.cache().list(Kind::Pod, &namespace);
    let own = listed.iter().map(AsRef::as_ref).filter(|pod| pod["metadata"]["labels"][LABEL_POOL] == name.as_str());
    fleet.observe(own, now());
    let address = |ip| token.as_ref().map(|token| Address { ip, token: token.clone() });
    if is_first {
        // What runs is asked for before anything is decided about it.
        deliver(context, fleet, &namespace, &address).await?;
    }

    let releases = release(context, &namespace, fleet, admitted);
    let decisions: Vec<Decision> = admitted.iter().map(|one| decide(fleet, &namespace, one)).collect();
    let candidates: Vec<Candidate> = admitted
        .iter()
        .zip(&decisions)
        .filter_map(|(one, decision)| candidate(fleet, &namespace, one, decision))
        .collect();
    let workers = pool.spec.0.workers_per_pod();
    let size = PoolSize { min_pods: pool.spec.0.min_pods, max_pods: pool.spec.0.max_pods, workers_per_pod: workers };
    let plan = plan(&name, size, &candidates, fleet, &fleet.placeable(&name, workers, mono_ns()), now());
    let suspended = tenant.spec.0.suspended;
    let terms = Terms {
        epoch,
        lease_seconds: pool.spec.0.lease_seconds,
        trading_state: if suspended { TradingState::Halted } else { TradingState::Active },
    };
    let pods = pods(fleet, &name, plan.placement.pods);
    let documents = documents(&name, pods, &plan.placed, terms, &before(fleet))?;
    let stricter = documents
        .iter()
        .any(|(pod, document)| fleet.documents.get(pod).is_some_and(|before| is_stricter(document, before)));
    let changed = documents != fleet.documents;
    fleet.documents = documents;
    fleet.targets = plan.placement.shards.clone();
    for (pod, member) in &mut fleet.pods {
        member.may_run |= fleet.documents.get(pod).is_some_and(|document| !document.strategies.is_empty());
    }
    context.metrics().moved(&namespace, plan.moved);

    // A halt does not wait for Kubernetes; a shard that is given away is written down before it is given.
    if stricter {
        deliver(context, fleet, &namespace, &address).await?;
    }
    if let Err(error) = write(context, pool, fleet).await {
        if matches!(&error, RoundError::Write(error) if error.code() == Some(409)) {
            // It was not what this term took it for: the pool is taken up again from what it is.
            memory.fleets.remove(&name);
        }
        return Err(error);
    }
    let replicas = replicas(fleet, &name, plan.placement.pods);
    let set = desired::stateful_set(pool, &tenant.spec.0, replicas);
    context.writer.apply(Kind::StatefulSet, &set, MANAGER_POOL).await?;
    let learnt = deliver(context, fleet, &namespace, &address).await?;
    scrape(context, fleet, &address).await;

    let mut strategies: Vec<Assigned> = admitted
        .iter()
        .zip(decisions)
        .zip(releases)
        .map(|((one, decision), change)| view(fleet, &plan, &namespace, one, decision, change, suspended))
        .collect();
    for strategy in &mut strategies {
        strategy.require_pinned = pool.spec.0.require_pinned;
        strategy.pinning = Pinning::of(strategy.pods.iter().map(|(pod, _, workers)| {
            let report = fleet.pods.get(pod).and_then(|member| member.report.as_ref());
            (pod.as_str(), report, Some(&workers[..]))
        }));
    }
    let settled = strategies.iter().all(|strategy| strategy.is_settled());
    let idle = fleet
        .pods
        .iter()
        .all(|(pod, member)| member.is_idle(fleet.documents.get(pod).map(|document| document.version), now()));
    let view = pool_view(fleet, &plan, replicas, workers);
    let answering = view.ready_pods == u32::from(plan.placement.pods);
    Ok(Done { strategies, view, busy: learnt || changed || !settled || !answering, idle, pods: replicas })
}

/// The token of the tenant's admin ports. `None` until the watch has it.
fn token(context: &Context, namespace: &str) -> Option<String> {
    let secret = context.cache().typed::<Secret>(Kind::Secret, namespace, ADMIN_TOKEN_SECRET)?;
    String::from_utf8(secret.data?.remove("token")?.0).ok()
}

/// The pool as the terms before have left it.
fn remembered(context: &Context, namespace: &str, pool: &str) -> Fleet {
    let map = context.cache().typed::<ConfigMap>(Kind::ConfigMap, namespace, &assignment_config_map(pool));
    let mut data = map.and_then(|map| map.data).unwrap_or_default();
    let rollouts = data.remove(ROLLOUTS_KEY).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let document = |text: &String| serde_json::from_str::<Assignment>(text).ok();
    let documents = data.values().filter_map(document).map(|document| (document.pod.clone(), document)).collect();
    Fleet::new(documents, rollouts, now(), mono_ns())
}

/// Which release each strategy is to run.
fn release(context: &Context, namespace: &str, fleet: &mut Fleet, admitted: &[Admitted]) -> Vec<Change> {
    let mut rollouts: BTreeMap<String, Rollout> = BTreeMap::new();
    let mut changes = Vec::new();
    for one in admitted {
        let name = &one.spec.metadata.name;
        let mut rollout = fleet.rollouts.get(name).cloned().unwrap_or_default();
        let spec = &one.spec.spec;
        let wanted = Release { module: one.module.clone(), source: spec.module.clone(), params: spec.params.clone() };
        let faults = faults(fleet, namespace, name, &rollout);
        let change = rollout.advance(&wanted, &spec.rollout, faults, now());
        if change == Change::RolledBack {
            tracing::warn!(tenant = namespace, strategy = name, faults, "rolled back: faults on probation");
            context.metrics().rolled_back(namespace);
        }
        rollouts.insert(name.clone(), rollout);
        changes.push(change);
    }
    fleet.rollouts = rollouts;
    changes
}

/// Faults of the running release, from pods that have its document.
fn faults(fleet: &Fleet, namespace: &str, name: &str, rollout: &Rollout) -> u64 {
    let Some(running) = &rollout.running else { return 0 };
    let reports = reports(fleet, namespace, name).filter(|(pod, report, said)| {
        let held = fleet.documents.get(*pod).map(|document| document.version);
        held.is_some_and(|held| report.version >= held) && said.module == running.module
    });
    reports.map(|(_, _, said)| said.faults).sum()
}

fn reports<'a>(
    fleet: &'a Fleet,
    namespace: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a PodReport, &'a StrategyReport)> {
    fleet.pods.iter().filter_map(move |(pod, member)| {
        let report = member.report.as_ref().filter(|_| !member.is_gone)?;
        let said = report.strategies.iter().find(|said| said.namespace == namespace && said.name == name)?;
        Some((pod.as_str(), report, said))
    })
}

fn decide(fleet: &mut Fleet, namespace: &str, one: &Admitted) -> Decision {
    let name = &one.spec.metadata.name;
    let known = one.resource.status.as_ref().map_or(0, |status| u16::try_from(status.shards).unwrap_or(0));
    let shards = fleet.shards_of(namespace, name, known);
    let placed = fleet.targets.get(&one.spec.group());
    let mut slots: Vec<_> = placed.into_iter().flat_map(BTreeMap::values).collect();
    slots.sort();
    slots.dedup();
    let before = one.resource.status.as_ref().map_or(0, |status| status.workers);
    let workers = if slots.is_empty() { before } else { u32::try_from(slots.len()).unwrap_or(u32::MAX) };
    let observed = Observed {
        workers,
        shards: u32::from(shards),
        reading: figures(fleet, namespace, one).0,
        memory: fleet.scaling.get(name).copied().unwrap_or_default(),
    };
    let decision = scale(&one.spec.spec, &observed, now());
    fleet.scaling.insert(name.clone(), decision.memory);
    decision
}

fn candidate(fleet: &Fleet, namespace: &str, one: &Admitted, decision: &Decision) -> Option<Candidate> {
    let name = &one.spec.metadata.name;
    debug_assert_eq!(one.spec.tenant(), namespace);
    let (strategy, module) = fleet.rollouts.get(name)?.assigned(&one.spec)?;
    let shards = fleet.shards.get(name).copied().unwrap_or(0);
    Some(Candidate { strategy, module, workers: decision.workers, shards })
}

/// Pods for which there are documents: those that are to be, and those that are.
fn pods(fleet: &Fleet, pool: &str, wanted: u16) -> u16 {
    let here = fleet.pods.iter().filter(|(_, member)| !member.is_gone).filter_map(|(name, _)| ordinal(pool, name));
    here.map(|ordinal| ordinal.saturating_add(1)).max().unwrap_or(0).max(wanted)
}

/// Pods that the StatefulSet is to have: one that goes is drained before.
fn replicas(fleet: &Fleet, pool: &str, wanted: u16) -> u16 {
    let busy = fleet.pods.iter().filter(|(name, member)| {
        let version = fleet.documents.get(*name).map(|document| document.version);
        !member.is_gone && !member.is_idle(version, now())
    });
    let busy = busy.filter_map(|(name, _)| ordinal(pool, name)).map(|ordinal| ordinal.saturating_add(1));
    busy.max().unwrap_or(0).max(wanted)
}

/// The documents that are followed by the next ones. Where a pod has a later one than is known here, an answer or a write was
/// lost: what follows must be newer than both.
fn before(fleet: &Fleet) -> BTreeMap<String, Assignment> {
    let mut before = fleet.documents.clone();
    for (name, document) in &mut before {
        let held = fleet.pods.get(name).and_then(|member| member.report.as_ref()).map(|report| report.version);
        if let Some(held) = held.filter(|held| *held > document.version) {
            // No document has this lease, so what follows differs and has the next revision.
            (document.version, document.lease_seconds) = (held, 0);
        }
    }
    for (name, member) in &fleet.pods {
        let Some(report) = member.report.as_ref().filter(|report| report.version > Version::default()) else {
            continue;
        };
        before.entry(name.clone()).or_insert_with(|| Assignment {
            version: report.version,
            pod: name.clone(),
            lease_seconds: 0,
            trading_state: TradingState::Halted,
            strategies: Vec::new(),
        });
    }
    before
}

/// Whether anything may do less under a document than under the one before.
fn is_stricter(document: &Assignment, before: &Assignment) -> bool {
    document.trading_state > before.trading_state
        || document.strategies.iter().any(|one| {
            let name = &one.strategy.metadata.name;
            let same = before.strategies.iter().find(|before| before.strategy.metadata.name == *name);
            same.is_some_and(|before| one.strategy.spec.trading_state > before.strategy.spec.trading_state)
        })
}

async fn write(context: &Context, pool: &RuntimePool, fleet: &Fleet) -> Result<(), RoundError> {
    let mut map = config_map(pool, &fleet.documents)?;
    let rollouts = serde_json::to_string(&fleet.rollouts).unwrap_or_default();
    map.data.get_or_insert_default().insert(ROLLOUTS_KEY.to_owned(), rollouts);
    Ok(context.writer.apply(Kind::ConfigMap, &map, MANAGER_ASSIGNMENT).await?)
}

fn view(
    fleet: &Fleet,
    plan: &Plan,
    namespace: &str,
    one: &Admitted,
    decision: Decision,
    change: Change,
    suspended: bool,
) -> Assigned {
    let name = &one.spec.metadata.name;
    let rollout = fleet.rollouts.get(name).cloned().unwrap_or_default();
    let module = rollout.running.as_ref().map(|running| running.module.clone()).unwrap_or_default();
    let mut assigned = Assigned {
        pool: one.spec.spec.pool_name().to_owned(),
        shards: fleet.shards.get(name).copied().unwrap_or(0),
        decision,
        rollout,
        rolled_back: change == Change::RolledBack,
        suspended,
        shortage: plan.placement.outcomes.get(&one.spec.group()).and_then(|outcome| outcome.shortage),
        waiting: plan.waiting.get(name).copied(),
        shown: figures(fleet, namespace, one).1,
        objective_micros: one.spec.spec.scaling.targets.p99_micros,
        p99_micros: figures(fleet, namespace, one).0.ok().and_then(|reading| reading.p99_micros),
        ..Assigned::default()
    };
    for (pod, document) in &fleet.documents {
        let Some(part) = document.strategies.iter().find(|part| part.strategy.metadata.name == *name) else { continue };
        let shards = part.shards.iter().map(|shard| shard.shard).collect();
        assigned.pods.push((pod.clone(), shards, part.shards.iter().map(|shard| shard.worker).collect()));
        let report = fleet.pods.get(pod).and_then(|member| member.report.as_ref());
        let said = report
            .and_then(|report| report.strategies.iter().find(|said| said.namespace == namespace && said.name == *name));
        let runs = report.is_some_and(|report| report.version >= document.version && report.settled)
            && said.is_some_and(|said| part.shards.is_empty() || said.module == module);
        assigned.unsettled |= !runs;
        if let Some(said) = said {
            assigned.quarantined |= said.quarantined;
            assigned.faults += said.faults;
            if said.module == module && !said.wasm.is_empty() {
                assigned.wasm = Some(said.wasm.clone());
            }
            // What was wrong with another document may be right with this one. A refused module is the one to tell of, whatever
            // another pod waits for.
            let is_of_this = report.is_some_and(|report| report.version >= document.version);
            let tells = is_of_this && (said.module_refused || !assigned.module_refused);
            if let Some(problem) = said.problem.as_ref().filter(|_| tells) {
                assigned.problem = Some(format!("pod {pod}: {problem}"));
                assigned.module_refused = said.module_refused;
            }
        }
    }
    assigned
}

fn pool_view(fleet: &Fleet, plan: &Plan, pods: u16, workers: u16) -> PoolView {
    let answering = fleet.pods.iter().filter(|(_, member)| !member.is_gone && !member.is_silent(mono_ns()));
    let reports: Vec<(&String, &PodReport)> =
        answering.filter_map(|(name, member)| Some((name, member.report.as_ref()?))).collect();
    let used: std::collections::BTreeSet<_> =
        plan.placement.outcomes.values().flat_map(|outcome| &outcome.workers).collect();
    PoolView {
        pods: u32::from(pods),
        ready_pods: u32::try_from(reports.len()).unwrap_or(u32::MAX),
        workers: u32::try_from(reports.len()).unwrap_or(u32::MAX).saturating_mul(u32::from(workers)),
        workers_used: u32::try_from(used.len()).unwrap_or(u32::MAX),
        pinning: Pinning::of(reports.iter().map(|(pod, report)| (pod.as_str(), Some(*report), None))),
    }
}
