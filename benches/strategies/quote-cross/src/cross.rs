//! The decision alone: the guests of other sandboxes (`benches/peers`) are made of this very file, so it names no crate.

/// Quotes that the fast average looks back over, about.
const FAST: i64 = 50;
/// The same of the slow one.
const SLOW: i64 = 200;
/// Of an order, at 1e-9.
const SIZE: i64 = 10_000_000;

/// An order that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Else it sells.
    pub(crate) buys: bool,
    /// At 1e-9: the touch.
    pub(crate) price: i64,
    /// At 1e-9.
    pub(crate) size: i64,
}

/// Two averages of the middles of quotes, in integers.
#[derive(Debug)]
pub(crate) struct Cross {
    fast: i64,
    slow: i64,
    quotes: i64,
    /// The side that the last cross asked for; `None` before the first.
    buys: Option<bool>,
}

/// Moves an average 2 / (periods + 1) of the way to the price.
fn moved(average: i64, price: i64, periods: i64) -> i64 {
    average + price.saturating_sub(average).saturating_mul(2) / (periods + 1)
}

impl Cross {
    /// Before the first quote.
    pub(crate) const fn new() -> Self {
        Self { fast: 0, slow: 0, quotes: 0, buys: None }
    }

    /// Takes a quote; asks for an order where the fast average has changed its side of the slow one.
    pub(crate) fn on_quote(&mut self, bid_price: i64, ask_price: i64) -> Option<Asked> {
        let middle = bid_price.midpoint(ask_price);
        if self.quotes == 0 {
            (self.fast, self.slow) = (middle, middle);
        }
        self.fast = moved(self.fast, middle, FAST);
        self.slow = moved(self.slow, middle, SLOW);
        self.quotes += 1;
        let buys = self.fast > self.slow;
        if self.quotes < SLOW || self.fast == self.slow || self.buys == Some(buys) {
            return None;
        }
        self.buys = Some(buys);
        Some(Asked { buys, price: if buys { ask_price } else { bid_price }, size: SIZE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_sides_asks_once_at_the_touch() {
        let mut cross = Cross::new();
        let mut asked = |bids: std::ops::Range<i64>, step: i64| -> Vec<Asked> {
            bids.filter_map(|n| cross.on_quote(1_000_000 + n * step, 1_000_010 + n * step)).collect()
        };
        assert_eq!(asked(0..199, 1_000), [], "not before the slow average has seen its quotes");
        let buys = Asked { buys: true, price: 1_199_010, size: SIZE };
        assert_eq!(asked(199..400, 1_000), [buys]);
        let falls = asked(0..400, -1_000);
        assert!(falls.len() == 1 && !falls[0].buys, "{falls:?}");
    }
}
