//! `pinion halt`: no new orders of a strategy, and what rests is cancelled.

use std::time::Duration;

use clap::Args;
use pinion_spec::strategy::TradingState;

use super::connect::{ClusterArgs, with_cluster};
use super::list::rows;
use super::state::{Wish, set};
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// Halts a strategy: cancels what rests, denies what follows; says when the operator confirms it
///
/// The halt stays, also over restarts and deployments, until `pinion resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion halt ema-cross -n desk-7
  pinion halt --all -n desk-7

Exit codes: 0 confirmed, 64 no such strategy, 69 not confirmed in time, a right is missing or the cluster cannot be reached, 70 our \
fault. What is not confirmed has been asked for all the same, and holds as soon as the operator sees it.")]
pub struct HaltArgs {
    /// The strategy
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub name: Option<String>,
    /// Every strategy of the namespace
    #[arg(long)]
    pub all: bool,
    /// How long to wait for the operator's word; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write what became of it; json is a line a strategy
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Halts and waits.
///
/// # Errors
/// If it is refused, or not confirmed in time.
pub fn run(args: &HaltArgs) -> Result<(), CliError> {
    let wish = Wish { state: TradingState::Halted, limit: Duration::from_secs(args.timeout) };
    with_cluster(&args.cluster, |cluster| async move {
        let names = match &args.name {
            Some(name) => vec![name.clone()],
            None => rows(&cluster).await?.into_iter().map(|row| row.name).collect(),
        };
        if names.is_empty() && args.format == Format::Text {
            output::text(&format!("no strategies in namespace {}", cluster.namespace));
        }
        set(&cluster, names, wish, args.format).await
    })
}
