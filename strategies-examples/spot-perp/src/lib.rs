//! Spot against perpetual: buys the one that is cheap against the other and sells the other, when their difference has left its average.
//!
//! Two topics, one instance: events of both come in one order, and both books are there at once. A timer samples the difference once a
//! period, so that a burst of quotes weighs no more than a quiet minute. All arithmetic is on integers.

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Price, Quote, Side, Size, Strategy, TimeInForce};

/// Its one timer.
const SAMPLE: u64 = 1;

/// One side of the pair.
#[derive(Debug, Clone, Copy)]
struct Leg {
    id: u64,
    bid: Price,
    ask: Price,
}

impl Leg {
    fn middle(&self) -> Option<i64> {
        self.bid.midpoint(self.ask).map(|middle| middle.0)
    }
}

/// The strategy's state.
#[derive(Debug)]
pub struct SpotPerp {
    spot: Leg,
    perp: Leg,
    size: Size,
    /// Between two samples, ns.
    period: u64,
    /// The average moves by one part of so many at each sample.
    samples: i64,
    /// How far the difference must be from its average, in parts of 100,000 of the spot price.
    entry: i64,
    average: Option<i64>,
    seen: i64,
    /// The side of spot that the pair is on.
    side: Option<Side>,
}

impl Strategy for SpotPerp {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::TIMER);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let leg = |param: &str, default: &str| {
            let publisher = params.get(param).unwrap_or(default);
            let found = instruments.iter().find(|instrument| instrument.publisher == publisher);
            let leg = |i: &Instrument| Leg { id: i.id, bid: Price::UNDEFINED, ask: Price::UNDEFINED };
            found
                .map(leg)
                .ok_or_else(|| format!("no instrument of publisher {publisher:?} is declared; set param {param:?}"))
        };
        let (spot, perp) = (leg("spot", "binance-spot")?, leg("perp", "binance-usdm")?);
        let exponents: Vec<i32> = instruments.iter().map(|instrument| instrument.size_exponent).collect();
        let [exponent, other] = exponents.as_slice() else {
            return Err(format!("it trades two instruments, the file has {}", instruments.len()));
        };
        if exponent != other {
            return Err("both instruments must have the same sizeExponent".to_owned());
        }
        let samples = params.or("samples", 30)?;
        if !(1..=100_000).contains(&samples) {
            return Err(format!("want 1 <= samples <= 100000; samples is {samples}"));
        }
        Ok(Self {
            spot,
            perp,
            size: params.size("size", *exponent)?,
            period: params.or("period_ms", 1_000_u64)?.max(1).saturating_mul(1_000_000),
            samples,
            entry: params.or("entry", 5)?,
            average: None,
            seen: 0,
            side: None,
        })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        for leg in [&mut self.spot, &mut self.perp] {
            if leg.id == quote.head.instrument_id {
                (leg.bid, leg.ask) = (quote.bid_price, quote.ask_price);
            }
        }
        if self.seen == 0 && self.difference().is_some() {
            // The first sample, from when both have shown a price.
            self.seen = 1;
            host.set_timer(SAMPLE, host.now() + self.period);
        }
    }

    fn on_timer(&mut self, host: &mut impl Host, _timer_id: u64, at: u64) {
        host.set_timer(SAMPLE, at + self.period);
        let (Some(difference), Some(spot)) = (self.difference(), self.spot.middle()) else { return };
        let average = self.average.unwrap_or(difference);
        self.average = Some(average + (difference - average) / self.samples);
        self.seen += 1;
        if self.seen <= self.samples {
            return;
        }
        let far = spot / 100_000 * self.entry;
        let side = match difference - average {
            // The perpetual is dear: it is sold, and spot bought.
            above if above > far => Side::Buy,
            below if below < -far => Side::Sell,
            _ => return,
        };
        if self.side != Some(side) {
            self.side = Some(side);
            self.turn(host, self.spot, side);
            self.turn(host, self.perp, side.opposite());
        }
    }
}

impl SpotPerp {
    fn difference(&self) -> Option<i64> {
        Some(self.perp.middle()? - self.spot.middle()?)
    }

    /// Asks for what is missing of a leg's wanted position, at the touch.
    fn turn(&self, host: &mut impl Host, leg: Leg, side: Side) {
        let (price, wanted) = match side {
            Side::Buy => (leg.ask, self.size),
            Side::Sell => (leg.bid, -self.size),
        };
        let missing = (wanted - host.position(leg.id).net).abs();
        if missing > Size::ZERO {
            host.submit(&NewOrder::limit(leg.id, side, price, missing).time_in_force(TimeInForce::Ioc));
        }
    }
}

pinion_strategy::export!(SpotPerp);

#[cfg(test)]
mod tests {
    use pinion_strategy::Head;
    use pinion_strategy::testing::{Asked, Recorder};

    use super::*;

    fn instrument(id: u64, publisher: &str) -> Instrument {
        let (symbol, publisher) = ("X".to_owned(), publisher.to_owned());
        Instrument { id, publisher_id: 1, tick: Price(1), lot: Size(1), size_exponent: 0, symbol, publisher }
    }

    fn quote(strategy: &mut SpotPerp, host: &mut Recorder, id: u64, middle: i64) {
        let head = Head { instrument_id: id, ..Head::default() };
        let (bid_price, ask_price) = (Price(middle - 1), Price(middle + 1));
        let size = Size(1);
        let quote = Quote { head, bid_price, bid_size: size, ask_price, ask_size: size, bid_count: 0, ask_count: 0 };
        strategy.on_quote(host, &quote);
    }

    #[test]
    fn a_difference_that_leaves_its_average_is_bought_and_sold_once() {
        let params = [("size", "3"), ("samples", "2"), ("entry", "10")];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let instruments = [instrument(1, "binance-spot"), instrument(2, "binance-usdm")];
        let (mut host, mut strategy) = (Recorder::default(), SpotPerp::new(&params, &instruments).unwrap());
        quote(&mut strategy, &mut host, 1, 1_000_000);
        assert!(host.take().is_empty(), "one leg is no difference");
        quote(&mut strategy, &mut host, 2, 1_000_500);
        assert_eq!(host.take(), [Asked::SetTimer { timer_id: SAMPLE, at: 1_000_000_000 }]);
        for at in 1..4 {
            strategy.on_timer(&mut host, SAMPLE, at);
        }
        host.take();
        // Ten parts of 100,000 of 1,000,000 are 100.
        quote(&mut strategy, &mut host, 2, 1_000_601);
        strategy.on_timer(&mut host, SAMPLE, 4);
        let leg = |id, side, price| Asked::Submit {
            order_id: id,
            order: NewOrder::limit(id, side, Price(price), Size(3)).time_in_force(TimeInForce::Ioc),
        };
        assert_eq!(host.take()[1..], [leg(1, Side::Buy, 1_000_001), leg(2, Side::Sell, 1_000_600)]);
        strategy.on_timer(&mut host, SAMPLE, 5);
        assert_eq!(host.take().len(), 1, "only the next timer");
    }

    #[test]
    fn what_is_missing_from_the_file_is_named() {
        let one = [instrument(1, "binance-spot")];
        assert!(SpotPerp::new(&Params::default(), &one).unwrap_err().contains("\"binance-usdm\""));
    }
}
