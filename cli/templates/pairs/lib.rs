//! A pair: two instruments that move together. Sells the one that is dear against the other, until the gap is its usual one.

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Price, Quote, Side, Size, Strategy, TimeInForce};

/// One of the two, with its best bid and ask.
#[derive(Debug)]
struct Leg {
    instrument_id: u64,
    size: Size,
    bid: Price,
    ask: Price,
}

/// Holds `size` of each leg, one long and one short, while their gap is `entryBps` from its average over `periods` quotes.
#[derive(Debug)]
pub struct Pairs {
    legs: [Leg; 2],
    periods: i64,
    entry_bps: i64,
    average: i64,
    quotes: i64,
    /// 1: long the first and short the second; -1: the other way around; 0: neither.
    wanted: i64,
}

impl Strategy for Pairs {
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let [first, second] = instruments else {
            return Err(format!("it trades two instruments, the file has {}", instruments.len()));
        };
        let leg = |instrument: &Instrument| {
            let size = params.size("size", instrument.size_exponent)?;
            let (bid, ask) = (Price::UNDEFINED, Price::UNDEFINED);
            Ok::<_, String>(Leg { instrument_id: instrument.id, size, bid, ask })
        };
        let (periods, entry_bps) = (params.or("periods", 1_000)?, params.or("entryBps", 2)?);
        if !(1..1_000_000).contains(&periods) || !(1..10_000).contains(&entry_bps) {
            return Err("want periods and entryBps of at least 1".to_owned());
        }
        Ok(Self { legs: [leg(first)?, leg(second)?], periods, entry_bps, average: 0, quotes: 0, wanted: 0 })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.instrument_id == quote.head.instrument_id) else { return };
        (leg.bid, leg.ask) = (quote.bid_price, quote.ask_price);
        let [first, second] = &self.legs;
        let (Some(first), Some(second)) = (first.bid.midpoint(first.ask), second.bid.midpoint(second.ask)) else {
            return;
        };
        let gap = first.0 - second.0;
        self.average =
            if self.quotes == 0 { gap } else { self.average + (gap - self.average) * 2 / (self.periods + 1) };
        self.quotes += 1;
        // The average means little before it has seen its periods.
        if self.quotes >= self.periods {
            self.decide(host, gap - self.average, second.0 / 10_000 * self.entry_bps);
        }
    }
}

impl Pairs {
    /// In where the gap is far from its average, out where it has come back to it.
    fn decide(&mut self, host: &mut impl Host, away: i64, entry: i64) {
        let wanted = if away.abs() > entry {
            -away.signum()
        } else if away.signum() * self.wanted >= 0 {
            0
        } else {
            self.wanted
        };
        if wanted != self.wanted {
            self.wanted = wanted;
            let [first, second] = &self.legs;
            take(host, first, Size(wanted * first.size.0));
            take(host, second, Size(-wanted * second.size.0));
        }
    }
}

/// Takes what is missing to a position, at the touch: what cannot trade at once is gone.
fn take(host: &mut impl Host, leg: &Leg, wanted: Size) {
    let missing = wanted - host.position(leg.instrument_id).net;
    let (side, price) = if missing > Size::ZERO { (Side::Buy, leg.ask) } else { (Side::Sell, leg.bid) };
    if missing != Size::ZERO {
        let order = NewOrder::limit(leg.instrument_id, side, price, missing.abs());
        host.submit(&order.time_in_force(TimeInForce::Ioc));
    }
}

pinion_strategy::export!(Pairs);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{Head, Position};

    use super::*;

    fn instrument(id: u64) -> Instrument {
        let (symbol, publisher) = ("BTCUSDT".to_owned(), "binance-spot".to_owned());
        let (tick, lot) = (Price(1), Size(1));
        Instrument { id, publisher_id: 1, tick, lot, size_exponent: -9, symbol, publisher }
    }

    fn params() -> Params {
        let params = [("periods", "3"), ("entryBps", "100"), ("size", "0.01")];
        Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
    }

    fn quote(strategy: &mut Pairs, host: &mut Recorder, instrument_id: u64, price: i64) {
        let head = Head { instrument_id, ..Head::default() };
        let price = Price(price * 1_000_000);
        let (bid_price, ask_price, bid_size, ask_size) = (price, price, Size(1), Size(1));
        strategy.on_quote(host, &Quote { head, bid_price, ask_price, bid_size, ask_size, bid_count: 0, ask_count: 0 });
    }

    fn orders(host: &mut Recorder) -> Vec<(u64, Side)> {
        let of = |asked| match asked {
            Asked::Submit { order, .. } => Some((order.instrument_id, order.side)),
            _ => None,
        };
        host.take().into_iter().filter_map(of).collect()
    }

    #[test]
    fn the_dear_one_is_sold_against_the_other_and_bought_back_when_the_gap_is_its_usual_one() {
        let mut host = Recorder::default();
        let mut strategy = Pairs::new(&params(), &[instrument(1), instrument(2)]).unwrap();
        quote(&mut strategy, &mut host, 2, 100);
        for _ in 0..4 {
            quote(&mut strategy, &mut host, 1, 101);
        }
        assert_eq!(orders(&mut host), []);
        quote(&mut strategy, &mut host, 1, 109);
        assert_eq!(orders(&mut host), [(1, Side::Sell), (2, Side::Buy)]);
        host.positions.insert(1, Position { net: Size(-10_000_000), ..Position::default() });
        host.positions.insert(2, Position { net: Size(10_000_000), ..Position::default() });
        quote(&mut strategy, &mut host, 1, 101);
        assert_eq!(orders(&mut host), [(1, Side::Buy), (2, Side::Sell)]);
    }

    #[test]
    fn one_leg_alone_is_no_pair() {
        assert!(Pairs::new(&params(), &[instrument(1)]).unwrap_err().contains("two instruments"));
    }
}
