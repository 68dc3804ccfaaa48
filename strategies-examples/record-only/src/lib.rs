//! Decides by the record alone: every quote whose sequence is a multiple of `every` gives an order, whatever came before it.
//!
//! It keeps no state, so a run that is killed and started again in mid-stream asks for just the orders that an unbroken run asks
//! for: this is how the tests see that nothing is lost and nothing is doubled. `work` makes it costly without making it decide otherwise:
//! so many rounds of a computation for every quote, some nanoseconds each.

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Quote, Side, Size, Strategy, TimeInForce};

/// What the strategy file says; nothing changes it.
#[derive(Debug)]
pub struct RecordOnly {
    every: u64,
    size: Size,
    work: u64,
}

impl Strategy for RecordOnly {
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let exponent = instruments.first().map_or(-9, |instrument| instrument.size_exponent);
        let every = params.or("every", 100)?;
        if every == 0 {
            return Err("param \"every\" is 0; want 1 or more".to_owned());
        }
        Ok(Self { every, size: params.size("size", exponent)?, work: params.or("work", 0)? })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        let sequence = quote.head.sequence;
        // Each round needs the one before it, and the result is used: no compiler leaves it out.
        std::hint::black_box((0..self.work).fold(sequence, |x, _| std::hint::black_box(x.wrapping_mul(x | 1))));
        if !sequence.is_multiple_of(self.every) {
            return;
        }
        // Buys and sells in turn, so that a long run does not run into its position limit.
        let (side, price) = if (sequence / self.every).is_multiple_of(2) {
            (Side::Buy, quote.ask_price)
        } else {
            (Side::Sell, quote.bid_price)
        };
        if price.is_defined() {
            let order = NewOrder::limit(quote.head.instrument_id, side, price, self.size);
            host.submit(&order.time_in_force(TimeInForce::Ioc).tag(sequence));
        }
    }
}

pinion_strategy::export!(RecordOnly);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::{Asked, Recorder};
    use pinion_strategy::{Head, Price};

    use super::*;

    fn asked(sequences: impl Iterator<Item = u64>) -> Vec<NewOrder> {
        let params = [("every", "3"), ("size", "1")];
        let params = Params::new(params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let (mut host, mut strategy) = (Recorder::default(), RecordOnly::new(&params, &[]).unwrap());
        for sequence in sequences {
            let quote = Quote {
                head: Head { instrument_id: 7, sequence, ..Head::default() },
                bid_price: Price(90),
                bid_size: Size(1),
                ask_price: Price(110),
                ask_size: Size(1),
                bid_count: 0,
                ask_count: 0,
            };
            strategy.on_quote(&mut host, &quote);
        }
        let order = |asked| match asked {
            Asked::Submit { order, .. } => order,
            other => panic!("{other:?}"),
        };
        host.take().into_iter().map(order).collect()
    }

    #[test]
    fn a_run_in_two_halves_asks_for_what_an_unbroken_run_asks_for() {
        let unbroken = asked(0..20);
        assert_eq!(unbroken.iter().map(|order| order.tag).collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15, 18]);
        assert_eq!([asked(0..11), asked(11..20)].concat(), unbroken);
        assert!(unbroken.windows(2).all(|two| two[0].side != two[1].side));
    }
}
