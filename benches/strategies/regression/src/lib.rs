//! A rolling least-squares line through the last middles of the quotes: an order when its slope turns. To be measured, not to be traded.

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Quote, Side, Size, Strategy, TimeInForce};

/// Quotes that the line goes through.
const WINDOW: usize = 64;

/// The line's state: a ring of middles, and its sums.
#[derive(Debug)]
pub struct Regression {
    size: Size,
    ring: [i64; WINDOW],
    seen: usize,
    /// Below this a slope is none, in 1e-9 a quote.
    flat: i64,
    side: Option<Side>,
}

impl Regression {
    /// Slope of the line in 1e-9 a quote. The sum is taken anew each time: that is the work.
    fn slope(&self) -> i64 {
        let (mut sum, mut weighted) = (0_i128, 0_i128);
        for place in 0..WINDOW {
            let price = i128::from(self.ring[(self.seen + place) % WINDOW]);
            sum += price;
            weighted += price * place as i128;
        }
        let n = WINDOW as i128;
        let (x, xx) = (n * (n - 1) / 2, (n - 1) * n * (2 * n - 1) / 6);
        i64::try_from((n * weighted - x * sum) / (n * xx - x * x)).unwrap_or(0)
    }
}

impl Strategy for Regression {
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let exponent = instruments.first().map_or(-9, |instrument| instrument.size_exponent);
        let (size, flat) = (params.size("size", exponent)?, params.or("flat", 1_000_000)?);
        Ok(Self { size, ring: [0; WINDOW], seen: 0, flat, side: None })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        if !quote.bid_price.is_defined() || !quote.ask_price.is_defined() {
            return;
        }
        self.ring[self.seen % WINDOW] = quote.bid_price.0.midpoint(quote.ask_price.0);
        self.seen += 1;
        if self.seen < WINDOW {
            return;
        }
        let (side, price) = match self.slope() {
            rises if rises > self.flat => (Side::Buy, quote.ask_price),
            falls if falls < -self.flat => (Side::Sell, quote.bid_price),
            _ => return,
        };
        if self.side != Some(side) {
            self.side = Some(side);
            let order = NewOrder::limit(quote.head.instrument_id, side, price, self.size);
            host.submit(&order.time_in_force(TimeInForce::Ioc));
        }
    }
}

pinion_strategy::export!(Regression);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_a_straight_line_wherever_the_ring_begins() {
        let mut line = Regression { size: Size(1), ring: [0; WINDOW], seen: 0, flat: 0, side: None };
        for n in 0..200_i64 {
            line.ring[line.seen % WINDOW] = 1_000 + 7 * n;
            line.seen += 1;
            if line.seen >= WINDOW {
                assert_eq!(line.slope(), 7, "after {n}");
            }
        }
    }
}
