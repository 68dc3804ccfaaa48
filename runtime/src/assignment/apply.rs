//! From a document to what runs: what goes goes first, then what changes, then what comes. One strategy's problem keeps no other
//! from running.

use std::collections::BTreeMap;
use std::time::Duration;

use pinion_spec::assignment::{AssignedShard, AssignedStrategy, Assignment};
use pinion_spec::strategy::Strategy;

use super::{Assignments, effective, scope_of};
use crate::app::{App, AppError, Deployment, Held, Shards};
use crate::args::chain;
use crate::limits::DRAIN_SECONDS_MAX;
use crate::modules::ModulesError;
use crate::sandbox::{LoadError, Module};
use crate::supervisor::lock;

/// What could not be done.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// By namespace and name.
    pub(super) problems: BTreeMap<(String, String), String>,
    /// Digests of modules that nobody has put here.
    pub(super) missing: Vec<String>,
}

/// Why one strategy does not run as assigned.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error("module")]
    Load(#[from] LoadError),
    #[error("its partitions cannot be assigned: {0}")]
    Assign(String),
    /// Not a problem of the strategy: the process drains.
    #[error("draining")]
    Draining,
}

/// Does what the document says, as far as it can be done now.
pub(super) fn apply(pod: &Assignments, document: &Assignment) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(held) = lock(&pod.app).as_ref().map(App::held) else { return outcome };
    let wanted: BTreeMap<(String, String), &AssignedStrategy> = document
        .strategies
        .iter()
        .filter(|assigned| !assigned.shards.is_empty())
        .map(|assigned| (key(&assigned.strategy), assigned))
        .collect();
    for (name, running) in &held {
        if !wanted.contains_key(name) {
            note(&mut outcome, name, stop(pod, name, running));
        }
    }
    for (name, assigned) in &wanted {
        if pod.is_overtaken(document.version) {
            return outcome;
        }
        let done = match held.get(name) {
            Some(running) if fixed(&running.strategy) == fixed(&assigned.strategy) => {
                change(pod, name, running, assigned)
            }
            Some(running) => stop(pod, name, running).and_then(|()| start(pod, assigned)),
            None => start(pod, assigned),
        };
        note(&mut outcome, name, done);
        settle_state(pod, document, assigned);
    }
    outcome
}

fn key(strategy: &Strategy) -> (String, String) {
    (strategy.tenant().to_owned(), strategy.metadata.name.clone())
}

/// The parts of a strategy that cannot change while it runs.
fn fixed(strategy: &Strategy) -> Strategy {
    let mut fixed = strategy.clone();
    fixed.spec.module = Default::default();
    fixed.spec.params.clear();
    fixed.spec.risk = None;
    fixed.spec.trading_state = Default::default();
    fixed.spec.replicas = 0;
    fixed
}

fn note(outcome: &mut Outcome, name: &(String, String), done: Result<(), Problem>) {
    match done {
        Ok(()) | Err(Problem::Draining) => {}
        Err(problem) => {
            if let Problem::Modules(ModulesError::Missing { digest }) = &problem
                && !outcome.missing.contains(digest)
            {
                outcome.missing.push(digest.clone());
            }
            let problem = chain(&problem);
            tracing::warn!(tenant = name.0, strategy = name.1, problem, "does not run as assigned; trying again");
            outcome.problems.insert(name.clone(), problem);
        }
    }
}

/// Runs something on the app for a moment.
fn with<T>(pod: &Assignments, run: impl FnOnce(&mut App) -> Result<T, AppError>) -> Result<T, Problem> {
    let mut app = lock(&pod.app);
    Ok(run(app.as_mut().ok_or(Problem::Draining)?)?)
}

fn module(pod: &Assignments, digest: &str) -> Result<Module, Problem> {
    let bytes = pod.modules.get(digest)?;
    // Compiled with the app unlocked: a slow compilation delays nothing else.
    Ok(pod.sandbox.load(&bytes)?)
}

fn start(pod: &Assignments, assigned: &AssignedStrategy) -> Result<(), Problem> {
    let module = module(pod, &assigned.module)?;
    let deployment =
        Deployment { strategy: assigned.strategy.clone(), module, shards: Shards::Only(assigned.shards.clone()) };
    with(pod, |app| app.load(vec![deployment]))
}

fn stop(pod: &Assignments, name: &(String, String), running: &Held) -> Result<(), Problem> {
    let all: Vec<u16> = running.shards.iter().map(|assigned| assigned.shard).collect();
    give_up(pod, name, &all)?;
    with(pod, |app| app.unload(&name.0, &name.1))
}

fn give_up(pod: &Assignments, name: &(String, String), shards: &[u16]) -> Result<(), Problem> {
    if shards.is_empty() {
        return Ok(());
    }
    if let Some(giving_up) = with(pod, |app| app.give_up_shards(&name.0, &name.1, shards))? {
        giving_up.finish(Duration::from_secs(DRAIN_SECONDS_MAX));
    }
    with(pod, |app| app.end_shards(&name.0, &name.1, shards))
}

/// Changes what can change while it runs.
fn change(
    pod: &Assignments,
    name: &(String, String),
    running: &Held,
    assigned: &AssignedStrategy,
) -> Result<(), Problem> {
    let (tenant, strategy) = (&name.0, &name.1);
    let spec = &assigned.strategy.spec;
    let gone: Vec<u16> =
        running.shards.iter().filter(|shard| !assigned.shards.contains(shard)).map(|shard| shard.shard).collect();
    give_up(pod, name, &gone)?;
    if running.module != assigned.module || running.strategy.spec.params != spec.params {
        let module = module(pod, &assigned.module)?;
        with(pod, |app| app.swap(tenant, strategy, module, &spec.params))?;
    }
    if running.strategy.spec.risk != spec.risk {
        with(pod, |app| app.set_limits(tenant, strategy, &spec.risk.clone().unwrap_or_default()))?;
    }
    let come: Vec<AssignedShard> =
        assigned.shards.iter().filter(|shard| !running.shards.contains(shard)).copied().collect();
    if come.is_empty() {
        return Ok(());
    }
    let Some(answer) = with(pod, |app| app.take_shards(tenant, strategy, &come))? else { return Ok(()) };
    let taken = answer.recv().map_err(|_| Problem::Draining)?;
    taken.map_err(|error| {
        // Its instances wait without a record; the next try begins from the shards that are read.
        let shards: Vec<u16> = come.iter().map(|shard| shard.shard).collect();
        let _ = with(pod, |app| app.end_shards(tenant, strategy, &shards));
        Problem::Assign(error.to_string())
    })
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
