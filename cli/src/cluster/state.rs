//! Changing what strategies may do, and knowing that it has come about.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams};
use pinion_operator::crd::Strategy;
use pinion_runtime::clock::mono_ns;
use pinion_spec::status::{ConditionStatus, ConditionType, Reason};
use pinion_spec::strategy::TradingState;
use serde::Serialize;
use serde_json::json;

use super::condition::{condition_at, generation};
use super::connect::Cluster;
use super::row::state_name;
use super::watch::{Waited, watch};
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;
use crate::time::duration;

/// Field manager of trading states: another than the deployments', which so never lift a halt.
const MANAGER: &str = "pinion-halt";

/// Requests on their way at once. Their order is nobody's concern.
const REQUESTS_MAX: usize = 32;

/// What is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) state: TradingState,
    /// How long its confirmation may take; zero: it is not waited for.
    pub(super) limit: Duration,
}

/// What became of one strategy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    name: String,
    trading_state: TradingState,
    /// Whether the operator says so.
    confirmed: bool,
    /// From asking to the operator's word, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_after_ms: Option<f64>,
    /// The same in nanoseconds, for the line that a person reads.
    #[serde(skip)]
    confirmed_after_ns: Option<u64>,
    /// What stands against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A strategy that has been asked for.
struct Asked {
    name: String,
    generation: i64,
    at_ns: u64,
}

/// Brings it about for all of them: asked for all first, then waited for. Writes a line for each.
///
/// # Errors
/// The first thing that went wrong, after everything else has been done.
pub(super) async fn set(cluster: &Cluster, names: Vec<String>, wish: Wish, format: Format) -> Result<(), CliError> {
    let asked = stream::iter(names).map(|name| ask(cluster, name, wish.state));
    let asked: Vec<Result<Asked, CliError>> = asked.buffer_unordered(REQUESTS_MAX).collect().await;
    let mut first_error = None;
    let mut waiting = Vec::new();
    for one in asked {
        match one {
            Ok(asked) => waiting.push(asked),
            Err(error) => note(&mut first_error, error),
        }
    }
    let mut confirmed = stream::iter(waiting).map(|asked| confirm(cluster, asked, wish)).buffer_unordered(REQUESTS_MAX);
    while let Some(outcome) = confirmed.next().await {
        match outcome {
            Ok(outcome) => {
                if let Some(problem) = &outcome.problem {
                    let error = format!("{} {}: {problem}", verb(wish.state), outcome.name);
                    note(&mut first_error, CliError::Unavailable(error));
                }
                match format {
                    Format::Json => output::json(&outcome)?,
                    Format::Text => output::text(&line(&outcome)),
                }
            }
            Err(error) => note(&mut first_error, error),
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Keeps the first; says the others, whose process ends with the first's exit code.
fn note(first: &mut Option<CliError>, error: CliError) {
    match first {
        Some(_) => eprintln!("pinion: {error}"),
        None => *first = Some(error),
    }
}

async fn ask(cluster: &Cluster, name: String, state: TradingState) -> Result<Asked, CliError> {
    let at_ns = mono_ns();
    let patch = Patch::Merge(json!({"spec": {"tradingState": state}}));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let strategy =
        cluster.ask(&format!("{} {name}", verb(state)), cluster.strategies().patch(&name, &params, &patch)).await?;
    Ok(Asked { generation: generation(&strategy), name, at_ns })
}

async fn confirm(cluster: &Cluster, asked: Asked, wish: Wish) -> Result<Outcome, CliError> {
    let Asked { name, generation, at_ns } = asked;
    let waited = if wish.limit.is_zero() {
        None
    } else {
        let look = |strategy: &Strategy| verdict(strategy, wish.state, generation);
        Some(watch(cluster, &cluster.strategies(), &name, wish.limit, look).await?)
    };
    let after_ns = mono_ns() - at_ns;
    let (confirmed, problem) = match waited {
        None => (false, None),
        Some(Waited::Done(Ok(()))) => (true, None),
        Some(Waited::Done(Err(problem))) => (false, Some(problem)),
        Some(Waited::TimedOut(_)) => (
            false,
            Some(format!(
                "asked for, and not confirmed by the operator within {} s; does it run? `pinion describe {name}`",
                wish.limit.as_secs()
            )),
        ),
    };
    let confirmed_after_ns = confirmed.then_some(after_ns);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    let confirmed_after_ms = confirmed_after_ns.map(|ns| ns as f64 / 1e6);
    Ok(Outcome { name, trading_state: wish.state, confirmed, confirmed_after_ms, confirmed_after_ns, problem })
}

/// Whether the operator says that it is so, or that it cannot be.
fn verdict(strategy: &Strategy, wanted: TradingState, generation: i64) -> Option<Result<(), String>> {
    let halted = condition_at(strategy, ConditionType::Halted, generation);
    let is_halted = halted.is_some_and(|condition| condition.status == ConditionStatus::True);
    if wanted == TradingState::Halted {
        return is_halted.then_some(Ok(()));
    }
    if is_halted {
        let suspended = halted.is_some_and(|condition| condition.reason == Reason::TenantSuspended);
        return suspended.then(|| Err("it stays HALTED: its tenant is suspended".to_owned()));
    }
    let observed = strategy.status.as_ref().map_or(0, |status| status.observed_generation);
    (halted.is_some() || observed >= generation).then_some(Ok(()))
}

const fn verb(state: TradingState) -> &'static str {
    match state {
        TradingState::Halted => "halt",
        _ => "resume",
    }
}

fn line(outcome: &Outcome) -> String {
    let state = state_name(outcome.trading_state);
    let after = outcome.confirmed_after_ns.map(duration);
    match (after, &outcome.problem) {
        (Some(after), _) => format!("{}: {state}, confirmed after {after}", outcome.name),
        (None, None) => format!("{}: {state} asked for", outcome.name),
        (None, Some(_)) => format!("{}: {state} asked for, not confirmed", outcome.name),
    }
}
