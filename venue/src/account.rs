//! Positions and money from fills: exact integers, in the quote currency, marked at the side on which a position could be left.

use std::collections::BTreeMap;

use pinion_runtime::event::Side;

use crate::venue::Traded;

/// Digits behind the point of amounts of money: a price's nine and a size's nine.
pub const MONEY_SCALE: u32 = 18;

/// A sum that does not fit 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("profit and loss of the fills does not fit 128 bits at 1e-18")]
pub struct Overflow;

/// What is held of one instrument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    /// Bought minus sold, at the instrument's exponent.
    pub net: i128,
    /// Bought and sold, at the instrument's exponent.
    pub volume: i128,
    /// Received minus paid, at 1e-18.
    cash: i128,
    /// At 1e-18.
    fees: i128,
    scale: u32,
    /// Best bid and ask as last known, 0 before the first.
    bid: i64,
    ask: i64,
}

impl Holding {
    /// Fees paid minus rebates, at 1e-18.
    #[must_use]
    pub const fn fees(&self) -> i128 {
        self.fees
    }

    fn pnl(&self) -> Option<i128> {
        let exit = if self.net >= 0 { self.bid } else { self.ask };
        let open = self.net.checked_mul(i128::from(exit))?.checked_mul(unit(self.scale))?;
        self.cash.checked_add(open)?.checked_sub(self.fees)
    }
}

/// The accounts of one strategy.
#[derive(Debug, Clone, Default)]
pub struct Account {
    holdings: BTreeMap<u64, Holding>,
}

impl Account {
    /// Takes a fill.
    ///
    /// # Errors
    /// [`Overflow`]; the account is as before then.
    pub fn take(&mut self, traded: &Traded) -> Result<(), Overflow> {
        let execution = &traded.report.execution;
        let holding = self.holdings.entry(traded.report.instrument_id).or_default();
        let size = i128::from(execution.size);
        // Both below 2^63.
        let amount = (i128::from(execution.price) * size).checked_mul(unit(traded.scale)).ok_or(Overflow)?;
        let (net, cash) = match execution.side {
            Side::Buy => (holding.net.checked_add(size), holding.cash.checked_sub(amount)),
            Side::Sell => (holding.net.checked_sub(size), holding.cash.checked_add(amount)),
        };
        let after = Holding {
            net: net.ok_or(Overflow)?,
            cash: cash.ok_or(Overflow)?,
            volume: holding.volume.checked_add(size).ok_or(Overflow)?,
            fees: holding.fees.checked_add(i128::from(execution.fee) * 1_000_000_000).ok_or(Overflow)?,
            scale: traded.scale,
            // Until somebody says better, what it was dealt at.
            bid: if holding.bid == 0 { execution.price } else { holding.bid },
            ask: if holding.ask == 0 { execution.price } else { holding.ask },
        };
        *holding = after;
        Ok(())
    }

    /// Marks an instrument's holding to the market; sides that are not known keep what they had.
    pub fn mark(&mut self, instrument_id: u64, bid: Option<i64>, ask: Option<i64>) {
        if let Some(holding) = self.holdings.get_mut(&instrument_id) {
            holding.bid = bid.unwrap_or(holding.bid);
            holding.ask = ask.unwrap_or(holding.ask);
        }
    }

    /// Realised and not: cash, and each position at the price at which it could be left, less fees; at 1e-18.
    ///
    /// # Errors
    /// [`Overflow`]
    pub fn pnl(&self) -> Result<i128, Overflow> {
        let mut sum = 0_i128;
        for holding in self.holdings.values() {
            sum = holding.pnl().and_then(|pnl| sum.checked_add(pnl)).ok_or(Overflow)?;
        }
        Ok(sum)
    }

    /// Fees paid minus rebates, at 1e-18.
    #[must_use]
    pub fn fees(&self) -> i128 {
        self.holdings.values().map(|holding| holding.fees).fold(0, i128::saturating_add)
    }

    /// What is held, by instrument.
    #[must_use]
    pub const fn holdings(&self) -> &BTreeMap<u64, Holding> {
        &self.holdings
    }
}

/// What takes a price at 1e-9 times a size at `scale` digits to 1e-18.
fn unit(scale: u32) -> i128 {
    10_i128.pow(9_u32.saturating_sub(scale))
}
