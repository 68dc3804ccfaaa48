//! `pinion rollback`: the module before this one.

use std::time::Duration;

use clap::Args;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use pinion_operator::crd::Strategy;
use serde::Serialize;
use serde_json::json;

use super::apply::MANAGER;
use super::condition::generation;
use super::connect::{Cluster, ClusterArgs, with_cluster};
use super::deploy::progress;
use super::module::{is_there, source};
use super::ready::until_ready;
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// The operator writes statuses meanwhile, and each moves the resource's version on.
const TRIES: u32 = 5;

/// Brings the module back that ran before the present one
///
/// Parameters, limits and everything else stay as they are. The module must still be where it was: in its ConfigMap or its registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pinion rollback ema-cross -n desk-7 --wait

Exit codes: 0 asked for (with --wait: ready), 64 no such strategy, or no module to go back to, 69 not ready in time, a right is \
missing or the cluster cannot be reached, 70 our fault")]
pub struct RollbackArgs {
    /// The strategy
    pub name: String,
    /// Waits until it is ready with that module
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write the result; with json progress goes to stderr
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RolledBack {
    name: String,
    namespace: String,
    generation: i64,
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_after_ms: Option<u128>,
}

/// Rolls back, and waits if that is asked for.
///
/// # Errors
/// If there is nothing to go back to, or if it is refused.
pub fn run(args: &RollbackArgs) -> Result<(), CliError> {
    with_cluster(&args.cluster, |cluster| async move {
        let (strategy, from, to) = roll_back(&cluster, &args.name).await?;
        let (namespace, now_at) = (strategy.namespace().unwrap_or_default(), generation(&strategy));
        progress(args.format, &format!("{namespace}/{}: from module sha256:{from}", args.name));
        progress(args.format, &format!("{namespace}/{}: to module sha256:{to}, generation {now_at}", args.name));
        let mut ready_after_ms = None;
        if args.wait {
            let say = |text: &str| progress(args.format, text);
            let limit = Duration::from_secs(args.timeout);
            ready_after_ms = Some(until_ready(&cluster, &strategy, now_at, limit, say).await?.as_millis());
        }
        if args.format == Format::Json {
            let name = args.name.clone();
            output::json(&RolledBack { name, namespace, generation: now_at, from, to, ready_after_ms })?;
        }
        Ok(())
    })
}

async fn roll_back(cluster: &Cluster, name: &str) -> Result<(Strategy, String, String), CliError> {
    let api = cluster.strategies();
    let doing = format!("roll back {name}");
    let mut tries = 0;
    loop {
        tries += 1;
        let now = cluster.ask(&doing, api.get(name)).await?;
        let modules = now.status.as_ref().and_then(|status| status.module.clone()).unwrap_or_default();
        let Some(to) = modules.previous else {
            return Err(CliError::Usage(format!("{doing}: it has run no other module before this one")));
        };
        let mut module = match &modules.previous_source {
            Some(source) => json!(source),
            None => source(&to),
        };
        if let Some(map) = module["configMap"]["name"].as_str()
            && !is_there(cluster, &cluster.namespace, map).await?
        {
            return Err(CliError::Usage(format!(
                "{doing}: the ConfigMap {map} of the module before has been cleared away; deploy the file that names it"
            )));
        }
        // What the present module comes from.
        for other in ["oci", "file", "configMap"] {
            if module[other].is_null() {
                module[other] = json!(null);
            }
        }
        // Only as it was when its status was read: a second rollback at the same time would bring back the module that failed.
        let version = now.resource_version();
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"module": module}}));
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match cluster.try_ask(&doing, api.patch(name, &params, &patch)).await? {
            Ok(strategy) => return Ok((strategy, modules.running, to)),
            Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {}
            Err(error) => return Err(cluster.failure(&doing, &error)),
        }
    }
}
