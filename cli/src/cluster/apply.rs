//! Server-side apply of a strategy, and what to do where somebody else owns a field.

use kube::api::{Patch, PatchParams};
use pinion_operator::crd::Strategy;
use serde_json::Value as Json;

use super::connect::Cluster;
use super::failure::conflicts;
use crate::error::CliError;

/// Field manager of deployments.
pub(super) const MANAGER: &str = "pinion-cli";

/// The field that `pinion halt` owns.
const TRADING_STATE: &str = ".spec.tradingState";

/// What came of an apply.
pub(super) struct Applied {
    pub(super) strategy: Strategy,
    /// Whether the trading state was left as somebody else has set it.
    pub(super) state_kept: bool,
}

/// How to apply.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Takes fields from whoever owns them, but never lifts a halt.
    pub(super) force: bool,
    /// Checks and changes nothing.
    pub(super) dry_run: bool,
}

/// Applies `document`. Where it contradicts `pinion halt`, the stricter of the two holds. The module is taken over from whoever set it:
/// that is what a deployment is for. Any other field that is somebody's is an error, unless it is forced.
///
/// # Errors
/// What the cluster refuses.
pub(super) async fn apply(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    document: &Json,
    how: How,
) -> Result<Applied, CliError> {
    let api = cluster.strategies_in(namespace);
    let doing = format!("deploy {namespace}/{name}");
    let try_apply = async |document: &Json, force: bool| {
        let params = PatchParams { dry_run: how.dry_run, force, ..PatchParams::apply(MANAGER) };
        cluster.try_ask(&doing, api.patch(name, &params, &Patch::Apply(document))).await
    };
    // Without force first, even where it is asked for: the conflicts tell of a halt, which force is not to lift.
    let error = match try_apply(document, false).await? {
        Ok(strategy) => return Ok(Applied { strategy, state_kept: false }),
        Err(error) => error,
    };
    let Some(conflicts) = conflicts(&error) else { return Err(cluster.failure(&doing, &error)) };
    let foreign: Vec<String> = conflicts
        .iter()
        .filter(|(field, _)| field != TRADING_STATE && !field.starts_with(".spec.module"))
        .map(|(field, whose)| format!("\n  {}: {whose}", field.trim_start_matches('.')))
        .collect();
    if !foreign.is_empty() && !how.force {
        return Err(CliError::Usage(format!(
            "{doing}: others own what the file sets; leave it out of the file, or take it with --force:{}",
            foreign.concat()
        )));
    }
    let mut document = document.clone();
    let mut state_kept = false;
    if conflicts.iter().any(|(field, _)| field == TRADING_STATE) {
        let live = cluster.ask(&doing, api.get(name)).await?;
        let asked: pinion_spec::strategy::TradingState =
            serde_json::from_value(document["spec"]["tradingState"].clone()).unwrap_or_default();
        if live.spec.0.trading_state > asked
            && let Some(spec) = document["spec"].as_object_mut()
        {
            spec.remove("tradingState");
            state_kept = true;
        }
    }
    match try_apply(&document, true).await? {
        Ok(strategy) => Ok(Applied { strategy, state_kept }),
        Err(error) => Err(cluster.failure(&doing, &error)),
    }
}
