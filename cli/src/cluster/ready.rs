//! Waiting until what was deployed runs, and saying why it does not.

use std::time::Duration;

use kube::ResourceExt as _;
use pinion_operator::crd::Strategy;
use pinion_runtime::clock::mono_ns;
use pinion_spec::status::ConditionType;

use super::condition::{condition_at, holds, hopeless, line};
use super::connect::Cluster;
use super::watch::{Waited, full_name, watch};
use crate::error::CliError;
use crate::time::duration;

/// Waits until a strategy is Ready as it is at `generation`, and tells `progress` whatever changes on the way.
///
/// # Errors
/// [`CliError::Usage`] with the condition that only a person can mend; [`CliError::Unavailable`] with all of them when `limit` is over.
pub(super) async fn until_ready(
    cluster: &Cluster,
    strategy: &Strategy,
    generation: i64,
    limit: Duration,
    progress: impl Fn(&str),
) -> Result<Duration, CliError> {
    let (name, full_name, started_ns) = (strategy.name_any(), full_name(strategy), mono_ns());
    let api = cluster.strategies_in(&strategy.namespace().unwrap_or_default());
    let mut said = String::new();
    let waited = watch(cluster, &api, &name, limit, |now| {
        if holds(now, ConditionType::Ready, generation) {
            return Some(Ok(()));
        }
        if let Some(condition) = hopeless(now, generation) {
            return Some(Err(line(condition)));
        }
        let state = standing(now, generation);
        if state != said {
            progress(&format!("{full_name}: {state}"));
            said = state;
        }
        None
    });
    match waited.await? {
        Waited::Done(Ok(())) => {
            let after = mono_ns() - started_ns;
            progress(&format!("{full_name}: Ready after {}", duration(after)));
            Ok(Duration::from_nanos(after))
        }
        Waited::Done(Err(why)) => Err(CliError::Usage(format!("{full_name} does not become ready: {why}"))),
        Waited::TimedOut(last) => {
            let why = last.as_deref().map_or_else(|| "nobody answered".to_owned(), |last| standing(last, generation));
            let limit = limit.as_secs();
            Err(CliError::Unavailable(format!(
                "{full_name} is not ready after {limit} s; {why}; see `pinion describe {name}`"
            )))
        }
    }
}

/// How far it has come.
fn standing(strategy: &Strategy, generation: i64) -> String {
    let shown = [ConditionType::Ready, ConditionType::Progressing];
    let lines: Vec<String> =
        shown.iter().filter_map(|kind| condition_at(strategy, *kind, generation)).map(line).collect();
    if lines.is_empty() { "the operator has not seen it yet".to_owned() } else { lines.join(", ") }
}
