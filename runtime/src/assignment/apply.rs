//! From a document to what runs: what goes goes first, then what changes, then what comes. Strategies of one group read together,
//! so they go and come together. One group's problem keeps no other from running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pinion_spec::assignment::{AssignedShard, AssignedStrategy, Assignment, ProblemKind};
use pinion_spec::oci::{NameError, Reference};
use pinion_spec::strategy::Strategy;

use super::pulls::Pending;
use super::{Assignments, effective, scope_of};
use crate::app::{App, AppError, Deployment, Held, Shards};
use crate::args::chain;
use crate::kafka::AccessError;
use crate::limits::DRAIN_SECONDS_MAX;
use crate::modules::ModulesError;
use crate::registry::RegistryError;
use crate::sandbox::{LoadError, Module};
use crate::subscription::FeedError;
use crate::supervisor::lock;

/// Namespace and name.
pub(super) type Key = (String, String);

/// What could not be done, and what was found out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Why a strategy does not run as assigned.
    pub(super) problems: BTreeMap<Key, (Option<ProblemKind>, String)>,
    /// Digests of modules that nobody has put here.
    pub(super) missing: Vec<String>,
    /// Shards of the strategies that were assigned without any, to find out how many they have.
    pub(super) scouted: BTreeMap<Key, u16>,
}

/// Why a group does not run as assigned.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error("module")]
    Load(#[from] LoadError),
    #[error("its module is being pulled: {0}")]
    Pulling(Reference),
    #[error("its module {reference} is not pulled; it is tried again")]
    Pull { reference: Reference, source: Arc<RegistryError> },
    #[error("spec.module.oci")]
    Name(#[from] NameError),
    #[error("the assignment pins module {pinned}, and spec.module names another")]
    OtherModule { pinned: String },
    #[error("its partitions cannot be assigned: {0}")]
    Assign(String),
    /// Not a problem of the group: the process drains.
    #[error("draining")]
    Draining,
}

impl Problem {
    /// What it is for programs.
    fn kind(&self) -> Option<ProblemKind> {
        match self {
            Self::Load(LoadError::Artefact(_) | LoadError::NotDirect | LoadError::Compile(_) | LoadError::Link(_))
            | Self::App(AppError::Start { .. })
            | Self::Name(_)
            | Self::OtherModule { .. } => Some(ProblemKind::ModuleRefused),
            Self::Pull { source, .. } if source.needs_a_person() => Some(ProblemKind::ModuleRefused),
            Self::App(AppError::Feed(FeedError::Topic { .. })) => Some(ProblemKind::TopicMissing),
            Self::App(AppError::Feed(FeedError::Kafka { source, .. }))
                if matches!(source.as_ref(), AccessError::Forbidden { .. }) =>
            {
                Some(ProblemKind::TopicForbidden)
            }
            _ => None,
        }
    }
}

/// The strategies of one group that are to run here, all on the same shards.
struct Wanted<'a> {
    members: BTreeMap<Key, &'a AssignedStrategy>,
}

impl Wanted<'_> {
    fn shards(&self) -> BTreeSet<AssignedShard> {
        self.members.values().flat_map(|assigned| assigned.shards.iter().copied()).collect()
    }
}

type Running = BTreeMap<Key, Held>;

/// Does what the document says, as far as it can be done now.
pub(super) fn apply(pod: &Assignments, document: &Assignment) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(held) = lock(&pod.app).as_ref().map(App::held) else { return outcome };
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    for (key, held) in held {
        running.entry(held.strategy.group()).or_default().insert(key, held);
    }
    let mut wanted: BTreeMap<String, Wanted<'_>> = BTreeMap::new();
    for assigned in document.strategies.iter().filter(|assigned| !assigned.shards.is_empty()) {
        let group = wanted.entry(assigned.strategy.group()).or_insert_with(|| Wanted { members: BTreeMap::new() });
        group.members.insert(key(&assigned.strategy), assigned);
    }
    keep_modules(pod, document, &running);
    for (group, members) in &running {
        if !wanted.contains_key(group) {
            note(&mut outcome, members.keys(), stop(pod, group, members));
        }
    }
    for (group, wanted) in &wanted {
        if pod.is_overtaken(document.version) {
            return outcome;
        }
        let done = match running.get(group) {
            Some(members) if can_change(members, wanted) => change(pod, group, members, wanted, &mut outcome),
            Some(members) => stop(pod, group, members).and_then(|()| start(pod, wanted)),
            None => start(pod, wanted),
        };
        note(&mut outcome, wanted.members.keys(), done);
        wanted.members.values().for_each(|assigned| settle_state(pod, document, assigned));
    }
    for assigned in document.strategies.iter().filter(|assigned| assigned.shards.is_empty()) {
        match App::count_shards(&pod.kafka, &assigned.strategy) {
            Ok(shards) => drop(outcome.scouted.insert(key(&assigned.strategy), shards)),
            Err(error) => note(&mut outcome, [&key(&assigned.strategy)], Err(error.into())),
        }
    }
    outcome
}

fn key(strategy: &Strategy) -> Key {
    (strategy.tenant().to_owned(), strategy.metadata.name.clone())
}

/// Whether the same strategies are to run, and differ only in what can change while they do.
fn can_change(running: &Running, wanted: &Wanted<'_>) -> bool {
    running.len() == wanted.members.len()
        && running.iter().zip(&wanted.members).all(|((name, held), (wanted, assigned))| {
            name == wanted && fixed(&held.strategy) == fixed(&assigned.strategy)
        })
}

/// The parts of a strategy that cannot change while it runs.
fn fixed(strategy: &Strategy) -> Strategy {
    let mut fixed = strategy.clone();
    fixed.spec.module = Default::default();
    fixed.spec.params.clear();
    fixed.spec.risk = None;
    fixed.spec.trading_state = Default::default();
    fixed.spec.replicas = 0;
    fixed.spec.scaling = Default::default();
    fixed.spec.rollout = Default::default();
    fixed
}

fn note<'a>(outcome: &mut Outcome, names: impl IntoIterator<Item = &'a Key>, done: Result<(), Problem>) {
    let problem = match done {
        Ok(()) | Err(Problem::Draining) => return,
        Err(problem) => problem,
    };
    if let Problem::Modules(ModulesError::Missing { digest }) = &problem
        && !outcome.missing.contains(digest)
    {
        outcome.missing.push(digest.clone());
    }
    let problem = (problem.kind(), chain(&problem));
    for name in names {
        outcome.problems.insert(name.clone(), problem.clone());
    }
}

/// Runs something on the app for a moment.
fn with<T>(pod: &Assignments, run: impl FnOnce(&mut App) -> Result<T, AppError>) -> Result<T, Problem> {
    let mut app = lock(&pod.app);
    Ok(run(app.as_mut().ok_or(Problem::Draining)?)?)
}

/// The digest of the bytes that are to run; or why they are not here.
fn digest(pod: &Assignments, assigned: &AssignedStrategy) -> Result<String, Problem> {
    let Some(text) = &assigned.strategy.spec.module.oci else { return Ok(assigned.module.clone()) };
    let reference = Reference::parse(text)?;
    if reference.digest != assigned.module {
        return Err(Problem::OtherModule { pinned: assigned.module.clone() });
    }
    pod.pulls.want(&reference).map_err(|pending| match pending {
        Pending::Pulling => Problem::Pulling(reference),
        Pending::Failed(source) => Problem::Pull { reference, source },
    })
}

/// Keeps what runs and what is to run, and pulls nothing else.
fn keep_modules(pod: &Assignments, document: &Assignment, running: &BTreeMap<String, Running>) {
    let mut used: BTreeSet<String> = running.values().flatten().map(|(_, held)| held.module.clone()).collect();
    let mut wanted = BTreeSet::new();
    for assigned in &document.strategies {
        used.insert(assigned.module.clone());
        used.extend(pod.bytes_of(assigned));
        wanted.extend(assigned.strategy.spec.module.oci.as_deref().and_then(|text| Reference::parse(text).ok()));
    }
    pod.modules.set_used(used);
    pod.pulls.retain(|reference| wanted.contains(reference));
}

fn module(pod: &Assignments, digest: &str) -> Result<Module, Problem> {
    let bytes = pod.modules.get(digest)?;
    // Compiled with the app unlocked: a slow compilation delays nothing else.
    Ok(pod.sandbox.load(&bytes)?)
}

fn start(pod: &Assignments, wanted: &Wanted<'_>) -> Result<(), Problem> {
    // Each pull is begun, and none is waited for, before anything is compiled.
    let digests: Vec<_> = wanted.members.values().map(|assigned| digest(pod, assigned)).collect();
    let mut deployments = Vec::with_capacity(wanted.members.len());
    for (assigned, digest) in wanted.members.values().zip(digests.into_iter().collect::<Result<Vec<_>, _>>()?) {
        deployments.push(Deployment {
            strategy: assigned.strategy.clone(),
            module: module(pod, &digest)?,
            shards: Shards::Only(assigned.shards.clone()),
        });
    }
    with(pod, |app| app.load(deployments))
}

fn stop(pod: &Assignments, group: &str, running: &Running) -> Result<(), Problem> {
    let all: Vec<u16> = running.values().flat_map(|held| &held.shards).map(|assigned| assigned.shard).collect();
    give_up(pod, group, &all)?;
    running.keys().try_for_each(|(tenant, name)| with(pod, |app| app.unload(tenant, name)))
}

fn give_up(pod: &Assignments, group: &str, shards: &[u16]) -> Result<(), Problem> {
    if shards.is_empty() {
        return Ok(());
    }
    if let Some(giving_up) = with(pod, |app| Ok(app.give_up_shards(group, shards)))? {
        giving_up.finish(Duration::from_secs(DRAIN_SECONDS_MAX));
    }
    with(pod, |app| {
        app.end_shards(group, shards);
        Ok(())
    })
}

/// Changes what can change while it runs. A module that cannot be had, or does not start, holds nothing else back: the one that runs
/// goes on, on the shards of the document.
fn change(
    pod: &Assignments,
    group: &str,
    running: &Running,
    wanted: &Wanted<'_>,
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let here: BTreeSet<AssignedShard> = running.values().flat_map(|held| held.shards.iter().copied()).collect();
    let there = wanted.shards();
    let gone: Vec<u16> = here.difference(&there).map(|assigned| assigned.shard).collect();
    give_up(pod, group, &gone)?;
    for (name, assigned) in &wanted.members {
        let (Some(held), spec) = (running.get(name), &assigned.strategy.spec) else { continue };
        if held.strategy.spec.risk != spec.risk {
            with(pod, |app| app.set_limits(&name.0, &name.1, &spec.risk.clone().unwrap_or_default()))?;
        }
        if held.strategy.spec.scaling != spec.scaling {
            with(pod, |app| app.set_scaling(&name.0, &name.1, &spec.scaling))?;
        }
    }
    for (name, assigned) in &wanted.members {
        let Some(held) = running.get(name) else { continue };
        note(outcome, [name], release(pod, held, assigned));
    }
    let come: Vec<AssignedShard> = there.difference(&here).copied().collect();
    if come.is_empty() {
        return Ok(());
    }
    let Some(answer) = with(pod, |app| app.take_shards(group, &come))? else { return Ok(()) };
    let taken = answer.recv().map_err(|_| Problem::Draining)?;
    taken.map_err(|error| {
        // Its instances wait without a record; the next try begins from the shards that are read.
        let shards: Vec<u16> = come.iter().map(|assigned| assigned.shard).collect();
        if let Some(app) = lock(&pod.app).as_mut() {
            app.end_shards(group, &shards);
        }
        Problem::Assign(error.to_string())
    })
}

/// Puts the module and the params that are assigned in the place of those that run, where they are others.
fn release(pod: &Assignments, held: &Held, assigned: &AssignedStrategy) -> Result<(), Problem> {
    let params = &assigned.strategy.spec.params;
    if pod.bytes_of(assigned).as_ref() == Some(&held.module) && held.strategy.spec.params == *params {
        return Ok(());
    }
    let module = module(pod, &digest(pod, assigned)?)?;
    let (tenant, name) = key(&assigned.strategy);
    with(pod, |app| app.swap(&tenant, &name, module, params))
}

/// The trading state that the newest document wants, wherever a halt fell into a load.
fn settle_state(pod: &Assignments, document: &Assignment, assigned: &AssignedStrategy) {
    let name = key(&assigned.strategy);
    let newest = {
        let state = pod.state();
        let held = state.held.as_ref();
        let mine = |held: &Assignment| {
            let assigned = held.strategies.iter().find(|other| key(&other.strategy) == name)?;
            Some(effective(held, assigned))
        };
        held.and_then(mine).unwrap_or_else(|| effective(document, assigned))
    };
    // It does not run where it could not be started, and that has been noted.
    let _ = with(pod, |app| {
        if app.strategy(&name.0, &name.1)?.spec.trading_state == newest {
            return Ok(());
        }
        app.set_trading_state(&scope_of(assigned), newest)
    });
}
