//! Walks both sides of the host's book for what a size would cost, after each update: an order when one side is much dearer. To be
//! measured, not to be traded: it asks the host for forty levels a callback.

use pinion_strategy::{
    Book, BookSide, Callbacks, Host, Instrument, NewOrder, Params, Side, Size, Strategy, TimeInForce,
};

/// Levels of each side at most.
const LEVELS: u32 = 20;

/// What it walks for.
#[derive(Debug)]
pub struct BookWalk {
    size: Size,
    walked: Size,
    side: Option<Side>,
}

impl BookWalk {
    /// What the size costs beyond the best price, in price times size; `None` where the levels do not have it.
    fn slippage(&self, host: &impl Host, instrument_id: u64, side: BookSide) -> Option<i128> {
        let best = host.book_level(instrument_id, side, 0)?.price;
        let (mut left, mut slippage) = (self.walked.0, 0_i128);
        for depth in 0..LEVELS {
            let level = host.book_level(instrument_id, side, depth)?;
            let taken = left.min(level.size.0);
            slippage += i128::from((level.price.0 - best.0).abs()) * i128::from(taken);
            left -= taken;
            if left == 0 {
                return Some(slippage);
            }
        }
        None
    }
}

impl Strategy for BookWalk {
    const WANTS: Callbacks = Callbacks::BOOK;

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let exponent = instruments.first().map_or(-9, |instrument| instrument.size_exponent);
        Ok(Self { size: params.size("size", exponent)?, walked: params.size("walked", exponent)?, side: None })
    }

    fn on_book(&mut self, host: &mut impl Host, book: &Book) {
        let id = book.head.instrument_id;
        let (bid, ask) = (self.slippage(host, id, BookSide::Bid), self.slippage(host, id, BookSide::Ask));
        let (Some(bid), Some(ask)) = (bid, ask) else { return };
        let (side, price) = match (bid, ask) {
            (bid, ask) if bid > 2 * ask => (Side::Buy, book.ask_price),
            (bid, ask) if ask > 2 * bid => (Side::Sell, book.bid_price),
            _ => return,
        };
        if self.side != Some(side) && price.is_defined() {
            self.side = Some(side);
            host.submit(&NewOrder::limit(id, side, price, self.size).time_in_force(TimeInForce::Ioc));
        }
    }
}

pinion_strategy::export!(BookWalk);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::Recorder;
    use pinion_strategy::{Level, Price};

    use super::*;

    #[test]
    fn the_slippage_is_what_the_levels_behind_the_best_cost_more() {
        let level = |price, size| Level { price: Price(price), size: Size(size), count: 0 };
        let mut host = Recorder::default();
        host.asks = vec![level(100, 5), level(103, 2), level(110, 9)];
        let of = |walked| BookWalk { size: Size(1), walked: Size(walked), side: None };
        assert_eq!(of(5).slippage(&host, 1, BookSide::Ask), Some(0));
        assert_eq!(of(8).slippage(&host, 1, BookSide::Ask), Some(2 * 3 + 10));
        assert_eq!(of(17).slippage(&host, 1, BookSide::Ask), None);
    }
}
