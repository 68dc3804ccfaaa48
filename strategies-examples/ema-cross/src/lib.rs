//! A moving-average cross: buys when the fast average of trade prices rises over the slow one, sells when it falls under it.
//!
//! It shows the shape of most strategies: market data updates a small state, the state gives a wanted position, and an order
//! closes the distance to it. All arithmetic is on integers, so every machine gives the same orders.

use pinion_strategy::{
    Callbacks, Host, Instrument, NewOrder, Params, Price, Quote, Side, Size, Strategy, TimeInForce, Trade,
};

/// An exponential moving average over about `periods` prices.
#[derive(Debug, Clone, Copy)]
struct Ema {
    value: i64,
    periods: i64,
}

impl Ema {
    /// Moves the average 2 / (periods + 1) of the way to the price; the first price sets it.
    fn update(&mut self, price: Price, first: bool) {
        let step = price.0.saturating_sub(self.value).saturating_mul(2) / (self.periods + 1);
        self.value = if first { price.0 } else { self.value + step };
    }
}

/// The strategy's state.
#[derive(Debug)]
pub struct EmaCross {
    instrument_id: u64,
    /// The position wanted, long or short.
    size: Size,
    fast: Ema,
    slow: Ema,
    trades: i64,
    /// Best bid and ask: where an order takes at once.
    bid: Price,
    ask: Price,
    /// The side that the last cross asked for.
    side: Option<Side>,
    /// Prices times sizes of what it sold, less those of what it bought.
    cash: i128,
    /// How much of the instrument a size of 1 is.
    unit: f64,
}

impl Strategy for EmaCross {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::TRADE);

    // Whatever is wrong with the file is said here, before the first event.
    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [instrument] = instruments else {
            return Err(format!("it trades one instrument, the file has {}", instruments.len()));
        };
        let (fast, slow) = (params.or("fast", 50)?, params.or("slow", 200)?);
        if !(1..slow).contains(&fast) || slow > 1_000_000 {
            return Err(format!("want 1 <= fast < slow <= 1000000; fast is {fast}, slow is {slow}"));
        }
        Ok(Self {
            instrument_id: instrument.id,
            size: params.size("size", instrument.size_exponent)?,
            fast: Ema { value: 0, periods: fast },
            slow: Ema { value: 0, periods: slow },
            trades: 0,
            bid: Price::UNDEFINED,
            ask: Price::UNDEFINED,
            side: None,
            cash: 0,
            unit: 10_f64.powi(instrument.size_exponent),
        })
    }

    fn on_quote(&mut self, _host: &mut impl Host, quote: &Quote) {
        if quote.head.instrument_id == self.instrument_id {
            (self.bid, self.ask) = (quote.bid_price, quote.ask_price);
        }
    }

    fn on_trade(&mut self, host: &mut impl Host, trade: &Trade) {
        if trade.head.instrument_id != self.instrument_id {
            return;
        }
        self.fast.update(trade.price, self.trades == 0);
        self.slow.update(trade.price, self.trades == 0);
        self.trades += 1;

        // The averages mean little before the slow one has seen its periods.
        let side = match self.fast.value.cmp(&self.slow.value) {
            _ if self.trades < self.slow.periods => return,
            std::cmp::Ordering::Greater => Side::Buy,
            std::cmp::Ordering::Less => Side::Sell,
            std::cmp::Ordering::Equal => return,
        };
        if self.side != Some(side) {
            self.flip(host, side);
        }
    }
}

impl EmaCross {
    /// Asks for what is missing to the wanted position, at the touch: what cannot trade at once is gone.
    fn flip(&mut self, host: &mut impl Host, side: Side) {
        let (price, wanted) = match side {
            Side::Buy => (self.ask, self.size),
            Side::Sell => (self.bid, -self.size),
        };
        if !price.is_defined() {
            return;
        }
        self.side = Some(side);
        let missing = (wanted - host.position(self.instrument_id).net).abs();
        if missing > Size::ZERO {
            host.submit(&NewOrder::limit(self.instrument_id, side, price, missing).time_in_force(TimeInForce::Ioc));
            let signed = if side == Side::Buy { missing } else { -missing };
            self.cash -= i128::from(price.0) * i128::from(signed.0);
            self.show(host, price, wanted);
        }
    }

    /// For the board: the position that it wants and what it has earned, as if every order filled at its price.
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at, nothing is decided by it")]
    fn show(&self, host: &mut impl Host, price: Price, position: Size) {
        let worth = i128::from(price.0) * i128::from(position.0);
        host.metric_set("pnl", (self.cash + worth) as f64 * 1e-9 * self.unit);
        host.metric_set("position", position.0 as f64 * self.unit);
    }
}

pinion_strategy::export!(EmaCross);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{Aggressor, Head, Position};

    use super::*;

    const HEAD: Head = Head { instrument_id: 7, publisher_id: 1, flags: 128, ts_event: 0, ts_recv: 0, sequence: 0 };

    fn strategy() -> EmaCross {
        let params = [("fast", "2"), ("slow", "4"), ("size", "0.5")];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        EmaCross::new(&params, &[instrument()]).unwrap()
    }

    fn instrument() -> Instrument {
        Instrument {
            id: 7,
            publisher_id: 1,
            tick: Price(1),
            lot: Size(1),
            size_exponent: -1,
            symbol: "X".to_owned(),
            publisher: "venue".to_owned(),
        }
    }

    fn trades(strategy: &mut EmaCross, host: &mut Recorder, prices: &[i64]) {
        let quote = Quote {
            head: HEAD,
            bid_price: Price(90),
            bid_size: Size(1),
            ask_price: Price(110),
            ask_size: Size(1),
            bid_count: 0,
            ask_count: 0,
        };
        strategy.on_quote(host, &quote);
        for &price in prices {
            let trade =
                Trade { head: HEAD, price: Price(price), size: Size(1), trade_id: 0, aggressor: Aggressor::None };
            strategy.on_trade(host, &trade);
        }
    }

    fn order(side: Side, price: i64, size: i64) -> NewOrder {
        NewOrder::limit(7, side, Price(price), Size(size)).time_in_force(TimeInForce::Ioc)
    }

    #[test]
    fn a_cross_takes_the_touch_once_and_the_next_cross_turns_the_position_around() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        trades(&mut strategy, &mut host, &[1_000, 1_100, 1_200, 1_300, 1_400]);
        assert_eq!(host.take(), [Asked::Submit { order_id: 1, order: order(Side::Buy, 110, 5) }]);
        host.positions.insert(7, Position { net: Size(5), ..Position::default() });
        trades(&mut strategy, &mut host, &[900, 800, 700]);
        assert_eq!(host.take(), [Asked::Submit { order_id: 2, order: order(Side::Sell, 90, 10) }]);
    }

    #[test]
    fn nothing_is_asked_before_the_slow_average_means_something() {
        let (mut host, mut strategy) = (Recorder::default(), strategy());
        trades(&mut strategy, &mut host, &[1_000, 1_100, 1_200]);
        assert!(host.asked.is_empty());
    }

    #[test]
    fn periods_in_the_wrong_order_are_refused() {
        let params = Params::new(vec![("fast".to_owned(), "9".to_owned()), ("slow".to_owned(), "9".to_owned())]);
        assert!(EmaCross::new(&params, &[instrument()]).unwrap_err().contains("fast < slow"));
        assert!(EmaCross::new(&Params::default(), &[]).unwrap_err().contains("one instrument"));
    }
}
