//! What a paper venue came to, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;

use pinion_runtime::instruments::Instruments;
use pinion_venue::account::Account;
use serde::Serialize;

use crate::backtest::amount::{Position, money, parts};
use crate::error::CliError;
use crate::time::count;

/// The result: field names are a promise to scripts. Amounts are exact decimals in the quote currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// What was read.
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Orders that work.
    pub(crate) working: usize,
    /// Messages that came twice.
    pub(crate) repeated: u64,
    /// Fills from levels whose size the data does not tell.
    pub(crate) fills_unbounded: u64,
    /// Orders that expired because nothing was known to take from.
    pub(crate) expired_unpriced: u64,
    /// By name.
    pub(crate) strategies: BTreeMap<String, StrategyOutcome>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Records of market data.
    pub(crate) records: u64,
    /// Their events.
    pub(crate) events: u64,
    /// Records that could not be decoded, by reason.
    pub(crate) decode_errors: BTreeMap<&'static str, u64>,
    /// Records of orders topics that are no order messages.
    pub(crate) unreadable: u64,
    /// Orders of strategies that are none of ours.
    pub(crate) not_ours: u64,
}

/// What was told of one strategy's orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// Messages: new orders, modifies, cancels.
    pub(crate) orders: u64,
    /// Parts counted each.
    pub(crate) fills: u64,
    /// Messages that were refused, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Reports written.
    pub(crate) reports: u64,
}

/// One strategy, since this venue's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StrategyOutcome {
    /// Counts.
    #[serde(flatten)]
    pub(crate) told: Told,
    /// Realised and not, each position at the price at which it could be left, less fees.
    pub(crate) pnl: String,
    /// Paid, less rebates.
    pub(crate) fees: String,
    /// By symbol; instruments without a fill are left out.
    pub(crate) positions: BTreeMap<String, Position>,
}

impl StrategyOutcome {
    /// Of what was told and what is held.
    ///
    /// # Errors
    /// [`CliError::Usage`] for sums that do not fit.
    pub(super) fn new(told: &Told, account: &Account, instruments: &Instruments) -> Result<Self, CliError> {
        let positions = account.holdings().iter().map(|(id, holding)| Position::of(*id, holding, instruments));
        Ok(Self {
            told: told.clone(),
            pnl: money(account.pnl()?),
            fees: money(account.fees()),
            positions: positions.collect(),
        })
    }
}

impl Outcome {
    /// A line for a log.
    pub(super) fn line(&self) -> String {
        let of = |(name, of): (&String, &StrategyOutcome)| {
            format!(
                "{name}: {} orders, {} fills, profit and loss {}",
                count(of.told.orders),
                count(of.told.fills),
                of.pnl
            )
        };
        let strategies: Vec<String> = self.strategies.iter().map(of).collect();
        format!("{} records; {}", count(self.counts.records), strategies.join("; "))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} records, {} events", count(self.counts.records), count(self.counts.events))?;
        if !self.counts.decode_errors.is_empty() {
            let errors: u64 = self.counts.decode_errors.values().sum();
            writeln!(f, "  decode errors {}{}", count(errors), parts(&self.counts.decode_errors))?;
        }
        if self.counts.unreadable + self.counts.not_ours > 0 {
            let (unreadable, not_ours) = (count(self.counts.unreadable), count(self.counts.not_ours));
            writeln!(f, "  on the orders topics: {unreadable} unreadable, {not_ours} of other strategies")?;
        }
        if self.repeated > 0 {
            writeln!(f, "  {} messages came twice", count(self.repeated))?;
        }
        if self.fills_unbounded > 0 {
            writeln!(f, "  {} fills are from levels whose size the data does not tell", count(self.fills_unbounded))?;
        }
        if self.expired_unpriced > 0 {
            writeln!(f, "  {} orders expired: nothing was known to take from", count(self.expired_unpriced))?;
        }
        for (name, strategy) in &self.strategies {
            let (orders, reports) = (count(strategy.told.orders), count(strategy.told.reports));
            writeln!(f, "\n{name}: {orders} orders, {strategy}, {reports} reports written")?;
        }
        Ok(())
    }
}

impl fmt::Display for StrategyOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { fills, refused, .. } = &self.told;
        write!(f, "{} fills, profit and loss {} after fees of {}", count(*fills), self.pnl, self.fees)?;
        for (symbol, position) in &self.positions {
            write!(f, ", holds {} {symbol} ({} dealt)", position.net, position.volume)?;
        }
        match refused.values().sum::<u64>() {
            0 => Ok(()),
            no => write!(f, ", {} refused{}", count(no), parts(refused)),
        }
    }
}
