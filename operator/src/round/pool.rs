//! One pool's part of a round: what its pods are to run, written and delivered, and what they say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, ResourceExt as _};
use pinion_spec::assignment::{AssignedStrategy, Assignment, PodReport, StrategyReport, Version};
use pinion_spec::scaling::ScalingMode;
use pinion_spec::status::Reason;
use pinion_spec::strategy::TradingState;
use pinion_spec::tenant::TenantSpec;

use super::calls::Calls;
use super::deliver::{Pass, deliver};
use super::scrape::{Seen, figures, scrape};
use super::{Admitted, Context, Memory, RoundError};
use crate::cache::Key;
use crate::client::read;
use crate::clock::{mono_ns, now};
use crate::crd::RuntimePool;
use crate::credentials::Missing;
use crate::desired::assignment::{AssignmentError, ROLLOUTS_KEY, Terms, config_map, documents};
use crate::desired::pool as desired;
use crate::fleet::{Fleet, ordinal};
use crate::kinds::Kind;
use crate::names::{ADMIN_TOKEN_SECRET, LABEL_POOL, MANAGER_ASSIGNMENT, MANAGER_POOL, QUOTA, assignment_config_map};
use crate::pinning::Pinning;
use crate::place::PoolSize;
use crate::plan::{Candidate, Plan, plan};
use crate::pods::Address;
use crate::quota::shortage;
use crate::rollout::{Change, Release, Rollout};
use crate::scale::{self, Decision, Observed, millicores, scale};
use crate::status::{Assigned, PoolView};

/// How long a term may take until it has read every pod twice.
const FIGURES_GRACE: SignedDuration = SignedDuration::from_secs(20);

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

/// What a pool needs to know of its tenant.
pub(super) struct TenantPart<'a> {
    /// What the tenant is given.
    pub(super) spec: &'a TenantSpec,
    /// The names of all its strategies, those included that run nowhere.
    pub(super) strategies: &'a BTreeSet<String>,
    /// Why pods would not start.
    pub(super) missing: Option<&'a Missing>,
}

/// What is known of a pool, with its pods as Kubernetes has them now.
pub(super) fn attend<'a>(
    context: &Context,
    pool: &RuntimePool,
    fleets: &'a mut BTreeMap<String, Fleet>,
) -> &'a mut Fleet {
    let name = pool.name_any();
    let fleet = fleets.entry(name.clone()).or_insert_with(|| remembered(context, pool));
    let listed = context.cache().list(Kind::Pod, &namespace(pool));
    let own = listed.iter().map(AsRef::as_ref).filter(|pod| pod["metadata"]["labels"][LABEL_POOL] == name.as_str());
    fleet.observe(own, mono_ns());
    fleet
}

/// Finds out what there is of a pool. In a term's first round what runs is asked for before anything is decided about it.
pub(super) async fn open(context: &Arc<Context>, pool: &RuntimePool, memory: &mut Memory) -> Result<(), RoundError> {
    let namespace = namespace(pool);
    let fleet = attend(context, pool, &mut memory.fleets);
    if !fleet.is_asked()
        && let Some(token) = token(context, &namespace)
    {
        let calls = memory.calls.entry(pool.name_any()).or_default();
        let address = |ip| Some(Address { ip, token: token.clone() });
        deliver(context, fleet, calls, &namespace, &address, &Pass::First).await?;
    }
    Ok(())
}

/// The part of a pool that [`open`] has looked at.
pub(super) async fn run(
    context: &Arc<Context>,
    tenant: &TenantPart<'_>,
    pool: &RuntimePool,
    admitted: &[Admitted],
    memory: &mut Memory,
) -> Result<Done, RoundError> {
    let name = pool.name_any();
    let mut fleet = memory.fleets.remove(&name).unwrap_or_else(|| remembered(context, pool));
    let others: Vec<&Fleet> = memory.fleets.values().collect();
    let calls = memory.calls.entry(name.clone()).or_default();
    let done = advance(context, tenant, pool, admitted, (&mut fleet, calls), &others).await;
    // What was not what this term took it for is taken up again from what it is.
    if matches!(&done, Err(RoundError::Write(error)) if error.code() == Some(409)) {
        memory.calls.remove(&name);
    } else {
        memory.fleets.insert(name, fleet);
    }
    done
}

async fn advance(
    context: &Arc<Context>,
    tenant: &TenantPart<'_>,
    pool: &RuntimePool,
    admitted: &[Admitted],
    (fleet, calls): (&mut Fleet, &mut Calls),
    others: &[&Fleet],
) -> Result<Done, RoundError> {
    let (name, namespace) = (pool.name_any(), namespace(pool));
    let epoch = context.leadership().epoch()?;
    let token = token(context, &namespace);
    context.writer.apply(Kind::Service, &desired::service(pool), MANAGER_POOL).await?;
    context.writer.apply(Kind::PodDisruptionBudget, &desired::disruption_budget(pool), MANAGER_POOL).await?;
    let address = |ip| token.as_ref().map(|token| Address { ip, token: token.clone() });

    let releases = release(context, &namespace, fleet, admitted, tenant.strategies);
    let groups: BTreeSet<String> = admitted.iter().map(|one| one.spec.group()).collect();
    fleet.loads.retain(|group, _| groups.contains(group));
    fleet.changed_ns.retain(|group, _| groups.contains(group));
    let seen: Vec<Seen> = figures(fleet, &name, &namespace, admitted);
    for (one, seen) in admitted.iter().zip(&seen) {
        if let Ok(reading) = &seen.reading {
            fleet.loads.insert(one.spec.group(), millicores(reading));
        }
    }
    let decisions: Vec<Decision> =
        admitted.iter().zip(&seen).map(|(one, seen)| decide(fleet, &namespace, one, seen)).collect();
    let candidates: Vec<Candidate> = admitted
        .iter()
        .zip(&decisions)
        .filter_map(|(one, decision)| candidate(fleet, &namespace, one, decision))
        .collect();
    let workers = pool.spec.0.workers_per_pod();
    let size = PoolSize { min_pods: pool.spec.0.min_pods, max_pods: pool.spec.0.max_pods, workers_per_pod: workers };
    let plan = plan(&name, size, &candidates, fleet, others, &fleet.placeable(&name, workers, mono_ns()), mono_ns());
    let suspended = tenant.spec.suspended;
    let terms = Terms {
        epoch,
        lease_seconds: pool.spec.0.lease_seconds,
        trading_state: if suspended { TradingState::Halted } else { TradingState::Active },
    };
    let pods = pods(fleet, &name, plan.placement.pods);
    let documents = documents(&name, pods, &plan.placed, terms, &before(fleet))?;
    let (documents, map, too_large) = match config_map(pool, &documents, &fleet.rollouts) {
        Ok(map) => (documents, Some(map), None),
        // What ran before goes on: what does not fit is no reason to take it away.
        Err(error @ AssignmentError::TooLarge { .. }) => {
            let map = config_map(pool, &fleet.documents, &fleet.rollouts).ok();
            (fleet.documents.clone(), map, Some((Reason::AssignmentTooLarge, error.to_string())))
        }
        Err(error) => return Err(error.into()),
    };
    let stricter: BTreeSet<String> = documents
        .iter()
        .filter(|(pod, document)| fleet.documents.get(*pod).is_some_and(|before| is_stricter(document, before)))
        .map(|(pod, _)| pod.clone())
        .collect();
    let changed = documents != fleet.documents;
    for group in shifted(&fleet.documents, &documents) {
        fleet.changed_ns.insert(group, mono_ns());
    }
    if too_large.is_none() {
        for (strategy, shards) in &plan.begun {
            fleet.begun.entry(strategy.clone()).or_default().extend(shards);
        }
        fleet.targets = plan.placement.shards.clone();
        context.metrics().moved(&namespace, plan.moved);
    }
    fleet.renewed.clear();
    fleet.documents = documents;
    for (pod, member) in &mut fleet.pods {
        member.may_run |= fleet.documents.get(pod).is_some_and(|document| !document.strategies.is_empty());
    }

    // A halt does not wait for Kubernetes; a shard that is given away is written down before it is given.
    if !stricter.is_empty() {
        deliver(context, fleet, calls, &namespace, &address, &Pass::Stricter(stricter)).await?;
    }
    if let Some(map) = &map {
        write(context, pool, map).await?;
    }
    let replicas = replicas(fleet, &name, plan.placement.pods);
    // Pods that would wait for a Secret are not made; those that there are stay.
    if tenant.missing.is_none() || context.cache().get(Kind::StatefulSet, &namespace, &name).is_some() {
        let set = desired::stateful_set(pool, tenant.spec, replicas);
        context.writer.apply(Kind::StatefulSet, &set, MANAGER_POOL).await?;
    }
    let learnt = deliver(context, fleet, calls, &namespace, &address, &Pass::Due).await?;
    scrape(context, fleet, calls, &address);

    let made = fleet.pods.values().filter(|member| !member.is_gone && !member.uid.is_empty()).count();
    let quota = context.cache().get(Kind::ResourceQuota, &namespace, QUOTA);
    let quota = quota
        .and_then(|quota| shortage(&quota, &pool.spec.0, u32::try_from(made).unwrap_or(u32::MAX), u32::from(replicas)));
    let short = match (tenant.missing, &too_large, quota) {
        (Some(missing), ..) => Some((Reason::MissingReference, missing.to_string())),
        (None, Some(too_large), _) => Some(too_large.clone()),
        (None, None, Some(quota)) => Some((Reason::QuotaExceeded, quota)),
        (None, None, None) => None,
    };
    let mut strategies: Vec<Assigned> = admitted
        .iter()
        .zip(decisions)
        .zip(seen)
        .zip(releases)
        .map(|(((one, decision), seen), change)| {
            let decided = Decided { decision, seen, change, suspended };
            let unread = one.unread.clone().map(|why| (Reason::ApiError, why));
            let (short, stands) = (short.clone(), too_large.clone().or(unread));
            Assigned { short, stands, ..view(fleet, &plan, &namespace, one, decided) }
        })
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
        .all(|(pod, member)| member.is_idle(fleet.documents.get(pod).map(|document| document.version), mono_ns()));
    let view = PoolView { short, ..pool_view(fleet, &plan, replicas, workers) };
    let answering = view.ready_pods == u32::from(plan.placement.pods);
    Ok(Done { strategies, view, busy: learnt || changed || !settled || !answering, idle, pods: replicas })
}

fn namespace(pool: &RuntimePool) -> String {
    pool.namespace().unwrap_or_default()
}

/// The token of the tenant's admin ports. `None` until the watch has it.
pub(super) fn token(context: &Context, namespace: &str) -> Option<String> {
    let secret = context.cache().typed::<Secret>(Kind::Secret, namespace, ADMIN_TOKEN_SECRET)?;
    String::from_utf8(secret.data?.remove("token")?.0).ok()
}

/// The pool as the terms before have left it.
fn remembered(context: &Context, pool: &RuntimePool) -> Fleet {
    let (documents, rollouts) = written(context, pool);
    Fleet::new(documents, rollouts, now(), mono_ns())
}

/// The documents of a pool's pods and the releases of its strategies, as they are written.
pub(super) fn written(
    context: &Context,
    pool: &RuntimePool,
) -> (BTreeMap<String, Assignment>, BTreeMap<String, Rollout>) {
    let name = assignment_config_map(&pool.name_any());
    let map = context.cache().typed::<ConfigMap>(Kind::ConfigMap, &namespace(pool), &name);
    let mut data = map.filter(|map| is_of(&map.metadata, pool)).and_then(|map| map.data).unwrap_or_default();
    let rollouts = data.remove(ROLLOUTS_KEY).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let document = |text: &String| serde_json::from_str::<Assignment>(text).ok();
    (data.values().filter_map(document).map(|document| (document.pod.clone(), document)).collect(), rollouts)
}

/// Which release each strategy is to run. One that runs nowhere for a time, because it is paused, keeps its releases.
fn release(
    context: &Context,
    namespace: &str,
    fleet: &mut Fleet,
    admitted: &[Admitted],
    known: &BTreeSet<String>,
) -> Vec<Change> {
    let mut rollouts: BTreeMap<String, Rollout> = std::mem::take(&mut fleet.rollouts);
    rollouts.retain(|name, _| known.contains(name));
    let mut changes = Vec::new();
    for one in admitted {
        let name = &one.spec.metadata.name;
        let mut rollout = rollouts.remove(name).unwrap_or_default();
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

fn decide(fleet: &mut Fleet, namespace: &str, one: &Admitted, seen: &Seen) -> Decision {
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
        reading: seen.reading.clone(),
        memory: fleet.scaling.get(name).copied().unwrap_or_else(|| kept(one)),
    };
    let decision = scale(&one.spec.spec, &observed, now());
    fleet.scaling.insert(name.clone(), decision.memory);
    decision
}

/// What the terms before have left in the status.
fn kept(one: &Admitted) -> scale::Memory {
    let scaling = one.resource.status.as_ref().and_then(|status| status.scaling.clone()).unwrap_or_default();
    scale::Memory::of_status(&scaling)
}

/// The groups whose shards are elsewhere by these documents than by those.
fn shifted(before: &BTreeMap<String, Assignment>, after: &BTreeMap<String, Assignment>) -> BTreeSet<String> {
    let places = |documents: &BTreeMap<String, Assignment>| {
        let mut places = BTreeSet::new();
        for (pod, document) in documents {
            for part in &document.strategies {
                let group = part.strategy.group();
                places.extend(part.shards.iter().map(|shard| (group.clone(), pod.clone(), *shard)));
            }
        }
        places
    };
    places(before).symmetric_difference(&places(after)).map(|(group, ..)| group.clone()).collect()
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
        !member.is_gone && !member.is_idle(version, mono_ns())
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

/// Whether anything may do less under a document than under the one before, so that it goes to its pod before it is written. One with a
/// longer lease does not: the next leader would not know of it.
fn is_stricter(document: &Assignment, before: &Assignment) -> bool {
    if document.lease_seconds > before.lease_seconds {
        return false;
    }
    document.trading_state > before.trading_state
        || document.strategies.iter().any(|one| {
            let name = &one.strategy.metadata.name;
            let same = before.strategies.iter().find(|before| before.strategy.metadata.name == *name);
            same.is_some_and(|before| one.strategy.spec.trading_state > before.strategy.spec.trading_state)
        })
}

/// Writes the documents down. A ConfigMap of the name that is not the pool's is somebody's guess at what will be believed: it goes first.
async fn write(context: &Context, pool: &RuntimePool, map: &ConfigMap) -> Result<(), RoundError> {
    let (namespace, name) = (namespace(pool), assignment_config_map(&pool.name_any()));
    let key = Key { kind: Kind::ConfigMap, tenant: namespace.clone(), name: name.clone() };
    let cached = |context: &Context| context.cache().typed::<ConfigMap>(Kind::ConfigMap, &namespace, &name);
    // Made empty, and filled by apply, which later takes away what it has once put in.
    let shell = ConfigMap { metadata: map.metadata.clone(), ..ConfigMap::default() };
    if cached(context).is_none() {
        context.writer.create(Kind::ConfigMap, &shell, MANAGER_ASSIGNMENT).await?;
    }
    let here = match cached(context) {
        Some(here) => Some(here.metadata),
        // Without the operator's label it is not watched.
        None => {
            let api = Api::<ConfigMap>::namespaced(context.writer.client.clone(), &namespace);
            let here = read(context.metrics(), api.get_metadata_opt(&name)).await;
            here.map_err(|source| RoundError::Read(namespace.clone(), source))?.map(|here| here.metadata)
        }
    };
    if here.is_some_and(|here| !is_of(&here, pool)) {
        tracing::warn!(tenant = namespace, name, "an assignment that is not the operator's is taken away");
        context.writer.delete(&key).await?;
        context.writer.create(Kind::ConfigMap, &shell, MANAGER_ASSIGNMENT).await?;
    }
    Ok(context.writer.apply(Kind::ConfigMap, map, MANAGER_ASSIGNMENT).await?)
}

/// Whether an object was made for this very pool.
fn is_of(object: &ObjectMeta, pool: &RuntimePool) -> bool {
    let uid = pool.metadata.uid.as_deref();
    object.owner_references.iter().flatten().any(|owner| Some(owner.uid.as_str()) == uid)
}

/// What a round has decided of one strategy, and by what.
struct Decided {
    decision: Decision,
    seen: Seen,
    change: Change,
    suspended: bool,
}

fn view(fleet: &Fleet, plan: &Plan, namespace: &str, one: &Admitted, decided: Decided) -> Assigned {
    let Decided { decision, seen, change, suspended } = decided;
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
        pending: seen.shown.is_none() && now().duration_since(fleet.began) < FIGURES_GRACE,
        shown: seen.shown,
        only_recommended: one.spec.spec.scaling.mode == ScalingMode::Recommend,
        begun: fleet.begun.get(name).cloned().unwrap_or_default(),
        objective_micros: one.spec.spec.scaling.targets.p99_micros,
        p99_micros: seen.reading.ok().and_then(|reading| reading.p99_micros),
        ..Assigned::default()
    };
    for (pod, document) in &fleet.documents {
        let Some(part) = document.strategies.iter().find(|part| part.strategy.metadata.name == *name) else { continue };
        let shards = part.shards.iter().map(|shard| shard.shard).collect();
        assigned.pods.push((pod.clone(), shards, part.shards.iter().map(|shard| shard.worker).collect()));
        let member = fleet.pods.get(pod);
        assigned.unheard |= member.is_some_and(|member| member.is_unheard(mono_ns()));
        let report = member.and_then(|member| member.report.as_ref());
        let said = report
            .and_then(|report| report.strategies.iter().find(|said| said.namespace == namespace && said.name == *name));
        let runs = report.is_some_and(|report| report.version >= document.version)
            && said.is_some_and(|said| part.shards.is_empty() || said.module == module)
            && report.zip(said).is_some_and(|(report, said)| report.settled || runs_beside_trouble(report, said, part));
        assigned.unsettled |= !runs;
        if let Some(said) = said {
            assigned.quarantined |= said.quarantined;
            assigned.faults += said.faults;
            if said.module == module && !said.wasm.is_empty() {
                assigned.wasm = Some(said.wasm.clone());
            }
            // What was wrong with another document may be right with this one. What a person has to mend is the one to tell of,
            // whatever another pod waits for.
            let is_of_this = report.is_some_and(|report| report.version >= document.version);
            let told = assigned.problem.as_ref().is_some_and(|(kind, _)| kind.is_some());
            let tells = is_of_this && (said.problem_kind.is_some() || !told);
            if let Some(problem) = said.problem.as_ref().filter(|_| tells) {
                assigned.problem = Some((said.problem_kind, format!("pod {pod}: {problem}")));
            }
        }
    }
    assigned
}

/// Whether a strategy runs as assigned in a pod that is not settled because another of its strategies cannot be: that one is tried
/// again and again, and keeps no other from being ready.
fn runs_beside_trouble(report: &PodReport, said: &StrategyReport, part: &AssignedStrategy) -> bool {
    let wanted: BTreeSet<u16> = part.shards.iter().map(|shard| shard.shard).collect();
    let trouble = report.strategies.iter().any(|one| one.problem.is_some());
    trouble && said.problem.is_none() && said.shards.iter().copied().collect::<BTreeSet<u16>>() == wanted
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
        unheard: fleet.pods.values().any(|member| !member.is_gone && member.is_unheard(mono_ns())),
        short: None,
    }
}
