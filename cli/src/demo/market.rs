//! A made-up market in one instrument: an order book that is never crossed, and a price that wanders.
//!
//! What moves it is `pressure`, which drifts slowly between sellers and buyers: it decides who trades, whose orders are pulled and
//! who steps into the spread. So averages cross and one side of the book outweighs the other, as strategies expect of a market.
//! Prices are ticks, sizes lots; all arithmetic is on integers.

use std::collections::{BTreeMap, BTreeSet};

use pinion_venue::Rng;

/// Where the mid price starts, ticks of 0.01: 61,000.00. Pressure leans back to it, so the price cannot run away.
const START_TICKS: i64 = 6_100_000;
/// Levels on each side: there are never fewer, and what is deeper than the most is taken away.
const LEVELS_MIN: usize = 60;
const LEVELS_MAX: usize = 120;
/// Widest gap between neighbouring levels, ticks.
const GAP_TICKS: i64 = 20;
/// How far pressure is carried on from one step to the next: all but this share.
const PRESSURE_DECAY: i64 = 1_024;
/// Largest push in one step, before the decay's scale. Pressure stays mostly within 250 either way, seldom beyond 500.
const PRESSURE_STEP: i64 = 19 * PRESSURE_DECAY;

/// A side of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Bids.
    Bid,
    /// Asks.
    Ask,
}

/// A price level: ticks, lots.
pub(super) type Level = (i64, i64);

/// A trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trade {
    /// Ticks.
    pub(super) price: i64,
    /// Lots.
    pub(super) size: i64,
    /// The seller was the aggressor.
    pub(super) buyer_is_maker: bool,
}

/// What has changed since the last depth update.
#[derive(Debug)]
pub(super) struct Depth {
    /// First update in it.
    pub(super) first: u64,
    /// Last update in it.
    pub(super) last: u64,
    /// Best first; 0 lots: the level is gone.
    pub(super) bids: Vec<Level>,
    /// Best first.
    pub(super) asks: Vec<Level>,
}

/// The market.
#[derive(Debug)]
pub(super) struct Market {
    rng: Rng,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    changed_bids: BTreeSet<i64>,
    changed_asks: BTreeSet<i64>,
    /// Above 0 buyers press, below 0 sellers; in thousandths, times [`PRESSURE_DECAY`].
    pressure: i64,
    update_id: u64,
    told: u64,
}

impl Market {
    /// A market with a full book, none of which has been told yet.
    pub(super) fn new(seed: u64) -> Self {
        let mut market = Self {
            rng: Rng::new(seed),
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            changed_bids: BTreeSet::new(),
            changed_asks: BTreeSet::new(),
            pressure: 0,
            // Any number will do; a venue's are large.
            update_id: 50_000_000_000,
            told: 50_000_000_000,
        };
        for (side, best) in [(Side::Bid, START_TICKS), (Side::Ask, START_TICKS + 1)] {
            let lots = market.lots(side);
            market.set(side, best, lots);
        }
        market.keep_deep();
        market
    }

    /// Best bid and ask.
    pub(super) fn top(&self) -> (Level, Level) {
        let level = |entry: Option<(&i64, &i64)>| entry.map_or((0, 0), |(price, size)| (*price, *size));
        (level(self.bids.last_key_value()), level(self.asks.first_key_value()))
    }

    /// The last change's number.
    pub(super) fn update_id(&self) -> u64 {
        self.update_id
    }

    /// Somebody takes from the best level of the other side, sometimes all of it.
    pub(super) fn trade(&mut self) -> Trade {
        let buys = self.is_up();
        let (bid, ask) = self.top();
        let (side, (price, there)) = if buys { (Side::Ask, ask) } else { (Side::Bid, bid) };
        let size = if self.rng.chance(150) { there } else { self.rng.between(1, (there / 4).clamp(1, 20_000)) };
        self.set(side, price, there - size);
        self.settle();
        Trade { price, size, buyer_is_maker: !buys }
    }

    /// The best level of a side changes: a new order in the spread, an order pulled, a size changed. Deeper levels change with it.
    pub(super) fn requote(&mut self) {
        let up = self.is_up();
        let ((bid, _), (ask, _)) = self.top();
        if ask - bid > 1 && self.rng.chance(700) {
            let (side, price) = if up { (Side::Bid, ask - 1) } else { (Side::Ask, bid + 1) };
            let lots = self.lots(side);
            self.set(side, price, lots);
        } else if self.rng.chance(100) {
            let (side, price) = if up { (Side::Ask, ask) } else { (Side::Bid, bid) };
            self.set(side, price, 0);
        } else {
            let (side, price) = if self.rng.chance(500) { (Side::Ask, ask) } else { (Side::Bid, bid) };
            let lots = self.lots(side);
            self.set(side, price, lots);
        }
        for _ in 0..self.rng.between(0, 2) {
            self.change_deeper();
        }
        self.settle();
    }

    /// What has changed since this was last asked.
    pub(super) fn depth(&mut self) -> Depth {
        let level = |book: &BTreeMap<i64, i64>, price: i64| (price, book.get(&price).copied().unwrap_or(0));
        let bids = std::mem::take(&mut self.changed_bids).into_iter().rev().map(|price| level(&self.bids, price));
        let asks = std::mem::take(&mut self.changed_asks).into_iter().map(|price| level(&self.asks, price));
        let depth = Depth { first: self.told + 1, last: self.update_id, bids: bids.collect(), asks: asks.collect() };
        self.told = self.update_id;
        depth
    }

    /// Whether buyers have this turn.
    fn is_up(&mut self) -> bool {
        let ((bid, _), _) = self.top();
        let lean = (bid - START_TICKS) / 1_000;
        self.rng.chance((500 + self.pressure / PRESSURE_DECAY - lean).clamp(100, 900))
    }

    /// One level behind the best of a side changes, appears or goes.
    fn change_deeper(&mut self) {
        let side = if self.rng.chance(500) { Side::Bid } else { Side::Ask };
        let behind = self.rng.between(1, 15);
        let lots = if self.rng.chance(300) { 0 } else { self.lots(side) };
        let depth = usize::try_from(behind).unwrap_or(1);
        let price = match side {
            Side::Bid => self.bids.keys().rev().nth(depth).copied(),
            Side::Ask => self.asks.keys().nth(depth).copied(),
        };
        let new = self.rng.chance(300);
        let ((bid, _), (ask, _)) = self.top();
        match (price, side) {
            (_, Side::Bid) if new => self.set(side, bid - behind, lots),
            (_, Side::Ask) if new => self.set(side, ask + behind, lots),
            (Some(price), _) => self.set(side, price, lots),
            (None, _) => {}
        }
    }

    /// After a step: the book is deep enough, and pressure moves on.
    fn settle(&mut self) {
        self.keep_deep();
        let push = self.rng.between(-PRESSURE_STEP, PRESSURE_STEP);
        self.pressure += push - self.pressure / PRESSURE_DECAY;
    }

    fn keep_deep(&mut self) {
        while self.bids.len() < LEVELS_MIN {
            let gap = self.rng.between(1, GAP_TICKS);
            let worst = self.bids.first_key_value().map_or(START_TICKS, |(price, _)| *price);
            let lots = self.lots(Side::Bid);
            self.set(Side::Bid, worst - gap, lots);
        }
        while self.asks.len() < LEVELS_MIN {
            let gap = self.rng.between(1, GAP_TICKS);
            let worst = self.asks.last_key_value().map_or(START_TICKS, |(price, _)| *price);
            let lots = self.lots(Side::Ask);
            self.set(Side::Ask, worst + gap, lots);
        }
        while let Some(worst) = self.bids.keys().next().copied().filter(|_| self.bids.len() > LEVELS_MAX) {
            self.set(Side::Bid, worst, 0);
        }
        while let Some(worst) = self.asks.keys().next_back().copied().filter(|_| self.asks.len() > LEVELS_MAX) {
            self.set(Side::Ask, worst, 0);
        }
    }

    /// A level's size: dust, ordinary or large, and larger on the side that presses.
    fn lots(&mut self, side: Side) -> i64 {
        let lots = match self.rng.between(0, 9) {
            0..=3 => self.rng.between(1, 100),
            4..=8 => self.rng.between(100, 20_000),
            _ => self.rng.between(20_000, 200_000),
        };
        let presses = match side {
            Side::Bid => self.pressure > 0,
            Side::Ask => self.pressure < 0,
        };
        if presses { lots * 3 } else { lots }
    }

    fn set(&mut self, side: Side, price: i64, lots: i64) {
        let (book, changed) = match side {
            Side::Bid => (&mut self.bids, &mut self.changed_bids),
            Side::Ask => (&mut self.asks, &mut self.changed_asks),
        };
        if lots > 0 {
            book.insert(price, lots);
        } else {
            book.remove(&price);
        }
        changed.insert(price);
        self.update_id += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_never_crossed_and_never_thin() {
        let mut market = Market::new(3);
        for step in 0..50_000 {
            if step % 4 == 0 {
                market.trade();
            } else {
                market.requote();
            }
            let ((bid, bid_size), (ask, ask_size)) = market.top();
            assert!(0 < bid && bid < ask && bid_size > 0 && ask_size > 0, "step {step}: {:?}", market.top());
            assert!((LEVELS_MIN..=LEVELS_MAX).contains(&market.bids.len()));
            assert!((LEVELS_MIN..=LEVELS_MAX).contains(&market.asks.len()));
        }
    }

    #[test]
    fn the_price_wanders_but_does_not_run_away() {
        let mut market = Market::new(4);
        let mut seen = BTreeSet::new();
        for _ in 0..50_000 {
            market.trade();
            market.requote();
            seen.insert(market.top().0.0);
        }
        assert!(seen.len() > 500, "{} prices", seen.len());
        // A tenth of the price.
        assert!(seen.iter().all(|price| (price - START_TICKS).abs() < START_TICKS / 10));
    }
}
