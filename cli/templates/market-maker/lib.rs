//! A market maker: rests an order on both sides of the middle, and leans against its own position.

use pinion_strategy::{
    Callbacks, Host, Instrument, NewOrder, OrderUpdate, Params, Price, Quote, Side, Size, Strategy, TimeInForce,
};

/// The order on one side.
#[derive(Debug)]
struct Resting {
    side: Side,
    /// 0 where there is none.
    order_id: u64,
    price: Price,
}

impl Resting {
    const fn none(side: Side) -> Self {
        Self { side, order_id: 0, price: Price(0) }
    }
}

/// Quotes `size` at `halfSpreadBps` from the middle, and lets its position grow to `maxPosition`.
#[derive(Debug)]
pub struct MarketMaker {
    instrument_id: u64,
    tick: i64,
    half_spread_bps: i64,
    size: Size,
    max_position: Size,
    bid: Resting,
    ask: Resting,
}

impl Strategy for MarketMaker {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::ORDER);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [instrument] = instruments else {
            return Err(format!("it trades one instrument, the file has {}", instruments.len()));
        };
        let half_spread_bps = params.or("halfSpreadBps", 5)?;
        let size = params.size("size", instrument.size_exponent)?;
        let max_position = params.size("maxPosition", instrument.size_exponent)?;
        if !(1..10_000).contains(&half_spread_bps) || size <= Size::ZERO || size > max_position {
            return Err("want 0 < halfSpreadBps < 10000 and 0 < size <= maxPosition".to_owned());
        }
        Ok(Self {
            instrument_id: instrument.id,
            tick: instrument.tick.0.max(1),
            half_spread_bps,
            size,
            max_position,
            bid: Resting::none(Side::Buy),
            ask: Resting::none(Side::Sell),
        })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        let Some(middle) = quote.bid_price.midpoint(quote.ask_price) else { return };
        if quote.head.instrument_id != self.instrument_id {
            return;
        }
        let (tick, net) = (self.tick, host.position(self.instrument_id).net);
        let half = middle.0 / 10_000 * self.half_spread_bps;
        // At the largest position the middle is a whole half spread away from where it would be without one.
        let lean = i128::from(half) * i128::from(net.0) / i128::from(self.max_position.0);
        let centre = middle.0 - i64::try_from(lean).unwrap_or(0);
        // On the tick, outwards, and never through the other side of the market.
        let bid = ((centre - half).div_euclid(tick) * tick).min(quote.ask_price.0 - tick);
        let ask = (-(-centre - half).div_euclid(tick) * tick).max(quote.bid_price.0 + tick);
        let (size, max) = (self.size, self.max_position);
        rest(host, self.instrument_id, &mut self.bid, Price(bid), size, net + size <= max);
        rest(host, self.instrument_id, &mut self.ask, Price(ask), size, net - size >= -max);
    }

    fn on_order(&mut self, _host: &mut impl Host, update: &OrderUpdate) {
        for order in [&mut self.bid, &mut self.ask] {
            if order.order_id == update.order_id && update.leaves == Size::ZERO {
                order.order_id = 0;
            }
        }
    }

    fn on_stop(&mut self, host: &mut impl Host) {
        host.cancel_all();
    }
}

/// Sends, moves or takes back the order on one side.
fn rest(host: &mut impl Host, instrument_id: u64, order: &mut Resting, price: Price, size: Size, wanted: bool) {
    if !wanted {
        if order.order_id != 0 {
            host.cancel(order.order_id);
        }
    } else if order.order_id == 0 {
        order.price = price;
        let new = NewOrder::limit(instrument_id, order.side, price, size).time_in_force(TimeInForce::PostOnly);
        order.order_id = host.submit(&new);
    } else if (price.0 - order.price.0).abs() > order.price.0 / 10_000 {
        // A basis point away: worth a message, and its place in the queue.
        order.price = price;
        host.modify(order.order_id, price, size);
    }
}

pinion_strategy::export!(MarketMaker);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{Head, Position};

    use super::*;

    fn started(max_position: &str) -> Result<MarketMaker, String> {
        let params = [("halfSpreadBps", "10"), ("size", "0.01"), ("maxPosition", max_position)];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let (symbol, publisher) = ("BTCUSDT".to_owned(), "binance-spot".to_owned());
        let (tick, lot) = (Price(10), Size(1));
        let instrument = Instrument { id: 1, publisher_id: 1, tick, lot, size_exponent: -9, symbol, publisher };
        MarketMaker::new(&params, &[instrument])
    }

    fn quote(bid: i64, ask: i64) -> Quote {
        let head = Head { instrument_id: 1, ..Head::default() };
        let (bid_price, ask_price) = (Price(bid), Price(ask));
        Quote { head, bid_price, ask_price, bid_size: Size(1), ask_size: Size(1), bid_count: 0, ask_count: 0 }
    }

    fn sent(host: &mut Recorder) -> Vec<(Side, i64)> {
        let of = |asked| match asked {
            Asked::Submit { order, .. } => Some((order.side, order.price.0)),
            _ => None,
        };
        host.take().into_iter().filter_map(of).collect()
    }

    #[test]
    fn it_rests_on_both_sides_and_follows_the_market() {
        let (mut host, mut strategy) = (Recorder::default(), started("0.05").unwrap());
        strategy.on_quote(&mut host, &quote(99_990, 100_010));
        assert_eq!(sent(&mut host), [(Side::Buy, 99_900), (Side::Sell, 100_100)]);
        strategy.on_quote(&mut host, &quote(99_990, 100_010));
        assert_eq!(host.take(), []);
        strategy.on_quote(&mut host, &quote(100_990, 101_010));
        assert!(matches!(host.take()[..], [Asked::Modify { .. }, Asked::Modify { .. }]));
    }

    #[test]
    fn it_leans_against_its_position_and_stops_where_it_is_full() {
        let (mut host, mut strategy) = (Recorder::default(), started("0.05").unwrap());
        host.positions.insert(1, Position { net: Size(50_000_000), ..Position::default() });
        strategy.on_quote(&mut host, &quote(99_990, 100_010));
        assert_eq!(sent(&mut host), [(Side::Sell, 100_000)]);
    }

    #[test]
    fn params_that_make_no_sense_are_refused() {
        assert!(started("0.001").unwrap_err().contains("maxPosition"));
    }
}
