//! `pinion list`: the strategies of a namespace, a line each.

use clap::Args;
use kube::api::ListParams;
use pinion_runtime::clock::wall_ns;

use super::connect::{Cluster, ClusterArgs, with_cluster};
use super::row::{StrategyRow, table};
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// Lists the strategies of a namespace: ready, workers, p99, lag, orders/s, what they may do
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pinion list -n desk-7

p99 is of the decision latency since the pods' start, the worst of all pods. lag is how far the shard furthest behind is behind. STATE \
is HALTED also where the tenant is suspended.")]
pub struct ListArgs {
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write the list; json is one array
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Writes the list to stdout.
///
/// # Errors
/// If the cluster cannot be asked.
pub fn run(args: &ListArgs) -> Result<(), CliError> {
    let (rows, namespace) = with_cluster(&args.cluster, |cluster| async move {
        let rows = rows(&cluster).await?;
        Ok((rows, cluster.namespace))
    })?;
    match args.format {
        Format::Json => output::json(&rows),
        Format::Text if rows.is_empty() => {
            output::text(&format!("no strategies in namespace {namespace}; `pinion deploy strategy.yaml` brings one"));
            Ok(())
        }
        Format::Text => {
            output::text(&table(&rows));
            Ok(())
        }
    }
}

/// The strategies of the cluster's namespace, by name.
pub(super) async fn rows(cluster: &Cluster) -> Result<Vec<StrategyRow>, CliError> {
    let doing = format!("list strategies of {}", cluster.namespace);
    let listed = cluster.ask(&doing, cluster.strategies().list(&ListParams::default())).await?;
    let now = wall_ns();
    Ok(listed.items.iter().map(|strategy| StrategyRow::of(strategy, now)).collect())
}
