//! Rests an order on the heavier side of the book: much more bid than offered over the best levels, and it joins the bid; the
//! other way round, the offer. When the best price moves, the order follows; when the balance is back, it goes.
//!
//! It shows working with resting orders: keeping an order's id, changing and cancelling it, and hearing what became of it.

use pinion_strategy::{
    Book, BookSide, Callbacks, Gap, Host, Instrument, NewOrder, OrderStatus, OrderUpdate, Params, Price, Side, Size,
    Strategy, TimeInForce,
};

/// An order of ours that works, as far as we know.
#[derive(Debug, Clone, Copy)]
struct Resting {
    order_id: u64,
    side: Side,
    price: Price,
}

/// The strategy's state.
#[derive(Debug)]
pub struct BookImbalance {
    instrument_id: u64,
    /// Size of an order, and the largest position either way.
    size: Size,
    /// Levels looked at on each side.
    levels: u32,
    /// How much more one side must have, in percent of both.
    percent: i128,
    resting: Option<Resting>,
}

impl Strategy for BookImbalance {
    const WANTS: Callbacks = Callbacks::BOOK.and(Callbacks::ORDER).and(Callbacks::GAP);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [instrument] = instruments else {
            return Err(format!("it trades one instrument, the file has {}", instruments.len()));
        };
        let percent = params.or("percent", 60_u8)?;
        let levels = params.or("levels", 5)?;
        if !(1..=100).contains(&percent) || !(1..=100).contains(&levels) {
            return Err(format!("want percent and levels from 1 to 100; they are {percent} and {levels}"));
        }
        Ok(Self {
            instrument_id: instrument.id,
            size: params.size("size", instrument.size_exponent)?,
            levels,
            percent: i128::from(percent),
            resting: None,
        })
    }

    // Called once after each whole depth update: the host keeps the book.
    fn on_book(&mut self, host: &mut impl Host, book: &Book) {
        if book.head.instrument_id != self.instrument_id {
            return;
        }
        let wanted = self.heavier_side(host).and_then(|side| {
            let price = match side {
                Side::Buy => book.bid_price,
                Side::Sell => book.ask_price,
            };
            (price.is_defined() && self.has_room(host, side)).then_some((side, price))
        });
        match (self.resting, wanted) {
            (None, None) => {}
            (None, Some((side, price))) => self.rest(host, side, price),
            (Some(resting), Some((side, price))) if resting.side == side => {
                if resting.price != price {
                    host.modify(resting.order_id, price, self.size);
                    self.resting = Some(Resting { price, ..resting });
                }
            }
            // The other side is heavier now, or none is: a new order has to wait for the next update.
            (Some(resting), _) => {
                host.cancel(resting.order_id);
                self.resting = None;
            }
        }
    }

    fn on_order(&mut self, _host: &mut impl Host, update: &OrderUpdate) {
        let Some(resting) = self.resting.as_mut().filter(|resting| resting.order_id == update.order_id) else { return };
        if update.leaves == Size::ZERO {
            // Denied, rejected, cancelled, expired or filled: it is gone.
            self.resting = None;
        } else if update.status == OrderStatus::Denied {
            // A change of it was denied: it still rests where it was.
            resting.price = update.price;
        }
    }

    // The book is not to be trusted: nothing rests on the word of it.
    fn on_gap(&mut self, host: &mut impl Host, gap: &Gap) {
        if gap.instrument_id == self.instrument_id {
            host.cancel_all();
            self.resting = None;
        }
    }

    fn on_stop(&mut self, host: &mut impl Host) {
        host.cancel_all();
    }
}

impl BookImbalance {
    /// The side that has `percent` more than the other, over the best levels. Sums are wide enough never to overflow.
    fn heavier_side(&self, host: &impl Host) -> Option<Side> {
        let sum = |side| -> i128 {
            (0..self.levels)
                .map_while(|depth| host.book_level(self.instrument_id, side, depth))
                .map(|level| i128::from(level.size.0))
                .sum()
        };
        let (bid, ask) = (sum(BookSide::Bid), sum(BookSide::Ask));
        let threshold = (bid + ask) * self.percent;
        match (bid - ask) * 100 {
            _ if bid + ask == 0 => None,
            more if more >= threshold => Some(Side::Buy),
            less if -less >= threshold => Some(Side::Sell),
            _ => None,
        }
    }

    /// Whether one more order on this side keeps the position inside `size`.
    fn has_room(&self, host: &impl Host, side: Side) -> bool {
        let net = host.position(self.instrument_id).net;
        match side {
            Side::Buy => net < self.size,
            Side::Sell => net > -self.size,
        }
    }

    fn rest(&mut self, host: &mut impl Host, side: Side, price: Price) {
        let order = NewOrder::limit(self.instrument_id, side, price, self.size).time_in_force(TimeInForce::Gtc);
        let order_id = host.submit(&order);
        self.resting = Some(Resting { order_id, side, price });
    }
}

pinion_strategy::export!(BookImbalance);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{DenyReason, Head, Level, Position};

    use super::*;

    const HEAD: Head = Head { instrument_id: 7, publisher_id: 1, flags: 128, ts_event: 0, ts_recv: 0, sequence: 0 };

    fn strategy() -> BookImbalance {
        let instrument = Instrument {
            id: 7,
            publisher_id: 1,
            tick: Price(1),
            lot: Size(1),
            size_exponent: 0,
            symbol: "X".to_owned(),
            publisher: "venue".to_owned(),
        };
        let params = [("percent", "50"), ("levels", "2"), ("size", "3")];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        BookImbalance::new(&params, &[instrument]).unwrap()
    }

    /// A book with these sizes, best first, from 100 down and from 101 up, moved by `shift`.
    fn show(strategy: &mut BookImbalance, host: &mut Recorder, bids: &[i64], asks: &[i64], shift: i64) {
        let levels = |sizes: &[i64], best: i64, step: i64| -> Vec<Level> {
            let level = |(price, &size): (i64, &i64)| Level { price: Price(price), size: Size(size), count: 0 };
            (0..).map(|i| best + i * step + shift).zip(sizes).map(level).collect()
        };
        (host.bids, host.asks) = (levels(bids, 100, -1), levels(asks, 101, 1));
        let book = Book {
            head: HEAD,
            bid_price: host.bids[0].price,
            bid_size: host.bids[0].size,
            ask_price: host.asks[0].price,
            ask_size: host.asks[0].size,
            bid_levels: 2,
            ask_levels: 2,
        };
        strategy.on_book(host, &book);
    }

    fn submit(order_id: u64, side: Side, price: i64) -> Asked {
        Asked::Submit { order_id, order: NewOrder::limit(7, side, Price(price), Size(3)) }
    }

    #[test]
    fn an_order_joins_the_heavier_side_follows_its_price_and_goes_with_the_imbalance() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        // 30 against 10 is just 50 % of 40; the third level is not looked at.
        show(&mut strategy, &mut host, &[20, 10, 0], &[5, 5, 90], 0);
        assert_eq!(host.take(), [submit(1, Side::Buy, 100)]);
        show(&mut strategy, &mut host, &[20, 10], &[5, 5], 0);
        assert_eq!(host.take(), []);
        show(&mut strategy, &mut host, &[20, 10], &[5, 5], 2);
        assert_eq!(host.take(), [Asked::Modify { order_id: 1, price: Price(102), size: Size(3) }]);
        show(&mut strategy, &mut host, &[20, 9], &[5, 5], 2);
        assert_eq!(host.take(), [Asked::Cancel { order_id: 1 }]);
        show(&mut strategy, &mut host, &[1, 1], &[50, 50], 0);
        assert_eq!(host.take(), [submit(2, Side::Sell, 101)]);
    }

    #[test]
    fn a_full_position_asks_for_no_more_and_an_order_that_is_gone_is_forgotten() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 0);
        assert_eq!(host.take().len(), 1);
        let filled = OrderUpdate {
            order_id: 1,
            tag: 0,
            instrument_id: 7,
            ts_event: 0,
            ts_recv: 0,
            status: OrderStatus::Filled,
            reason: DenyReason::None,
            price: Price(100),
            leaves: Size(0),
            filled: Size(3),
        };
        strategy.on_order(&mut host, &filled);
        host.positions.insert(7, Position { net: Size(3), ..Position::default() });
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 0);
        assert_eq!(host.take(), []);
    }

    #[test]
    fn an_order_whose_change_was_denied_still_rests_where_it_was() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 0);
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 2);
        host.take();
        let denied = OrderUpdate {
            order_id: 1,
            tag: 0,
            instrument_id: 7,
            ts_event: 0,
            ts_recv: 0,
            status: OrderStatus::Denied,
            reason: DenyReason::MessageRate,
            price: Price(100),
            leaves: Size(3),
            filled: Size(0),
        };
        strategy.on_order(&mut host, &denied);
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 0);
        assert_eq!(host.take(), []);
    }

    #[test]
    fn a_gap_takes_everything_out() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        show(&mut strategy, &mut host, &[30, 10], &[5, 5], 0);
        host.take();
        let gap = Gap { instrument_id: 7, publisher_id: 1, ts_event: 0, ts_recv: 0, expected: 1, received: 2 };
        strategy.on_gap(&mut host, &gap);
        assert_eq!(host.take(), [Asked::CancelAll]);
    }
}
