//! `pinion top`: the strategies of a namespace, looked at again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use pinion_runtime::clock::wall_ns;
use serde::Serialize;

use super::connect::{Cluster, ClusterArgs, with_cluster};
use super::list::rows;
use super::row::{StrategyRow, state_name};
use super::top_view;
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;
use crate::time::rfc3339;

/// Shows p99, lag and orders/s of the strategies of a namespace, live
///
/// On a terminal a table that renews itself, worst lag first; elsewhere a line a strategy and look. The operator writes these figures when a
/// person would see a difference, so looking more often shows no more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion top -n desk-7
  pinion top -n desk-7 --looks 1 --format json

Keys: q, Esc or Ctrl-C end it.")]
pub struct TopArgs {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub interval: u64,
    /// Ends after so many looks [default: goes on]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub looks: Option<u64>,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write what is seen; json is an object a look
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// One look.
#[derive(Debug, Serialize)]
struct Look {
    /// RFC 3339.
    at: String,
    strategies: Vec<StrategyRow>,
}

/// Shows them until told to stop.
///
/// # Errors
/// If the first look fails. Later ones are tried again, and said.
pub fn run(args: &TopArgs) -> Result<(), CliError> {
    let live = args.format == Format::Text && args.looks.is_none() && std::io::stdout().is_terminal();
    with_cluster(&args.cluster, |cluster| async move {
        // What is wrong from the start is an error; what goes wrong on the way is said and tried again.
        let first = seen(&cluster).await?;
        let every = Duration::from_secs(args.interval);
        if live { top_view::run(cluster, first, every).await } else { lines(args, &cluster, first, every).await }
    })
}

/// The strategies, those furthest behind first.
pub(super) async fn seen(cluster: &Cluster) -> Result<Vec<StrategyRow>, CliError> {
    let mut rows = rows(cluster).await?;
    rows.sort_by(|a, b| b.lag_seconds.cmp(&a.lag_seconds).then_with(|| a.name.cmp(&b.name)));
    Ok(rows)
}

async fn lines(args: &TopArgs, cluster: &Cluster, first: Vec<StrategyRow>, every: Duration) -> Result<(), CliError> {
    let mut next = Ok(first);
    let mut looks = 0;
    loop {
        match next {
            Ok(strategies) => show(args.format, Look { at: rfc3339(wall_ns()), strategies })?,
            Err(error) => eprintln!("pinion: {error}"),
        }
        looks += 1;
        if args.looks.is_some_and(|most| looks >= most) {
            return Ok(());
        }
        tokio::time::sleep(every).await;
        next = seen(cluster).await;
    }
}

fn show(format: Format, look: Look) -> Result<(), CliError> {
    match format {
        Format::Json => output::json(&look),
        Format::Text => {
            // Seconds are enough to see a line's place.
            let at = look.at.get(11..19).unwrap_or(&look.at);
            look.strategies.iter().for_each(|row| output::text(&line(at, row)));
            Ok(())
        }
    }
}

fn line(at: &str, row: &StrategyRow) -> String {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let lag = row.lag_seconds.map(|seconds| format!("{seconds} s"));
    format!(
        "{at}  {}  {}  ready {}  workers {}  p99 {}  lag {}  orders/s {}",
        row.name,
        state_name(row.trading_state),
        row.readiness(),
        row.workers,
        or_dash(row.p99.as_deref()),
        or_dash(lag.as_deref()),
        or_dash(row.orders_per_second.as_deref()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::row::example;
    use super::*;

    #[test]
    fn a_plain_line_says_how_a_strategy_does() {
        assert_eq!(
            line("09:30:00", &example("ema")),
            "09:30:00  ema  ACTIVE  ready True  workers 2  p99 41us  lag 0 s  orders/s 12"
        );
    }
}
