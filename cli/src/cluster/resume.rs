//! `pinion resume`: the end of a halt.

use std::time::Duration;

use clap::Args;
use pinion_spec::strategy::TradingState;

use super::connect::{ClusterArgs, with_cluster};
use super::state::{Wish, set};
use crate::error::CliError;
use crate::inspect::Format;

/// Lets a halted strategy trade again; says when the operator confirms it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  pinion resume ema-cross -n desk-7

Exit codes: 0 confirmed, 64 no such strategy, 69 not confirmed in time, the tenant is suspended, a right is missing or the cluster \
cannot be reached, 70 our fault")]
pub struct ResumeArgs {
    /// The strategy
    pub name: String,
    /// How long to wait for the operator's word; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write what became of it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Resumes and waits.
///
/// # Errors
/// If it is refused, or not confirmed in time.
pub fn run(args: &ResumeArgs) -> Result<(), CliError> {
    let wish = Wish { state: TradingState::Active, limit: Duration::from_secs(args.timeout) };
    let names = vec![args.name.clone()];
    with_cluster(&args.cluster, |cluster| async move { set(&cluster, names, wish, args.format).await })
}
