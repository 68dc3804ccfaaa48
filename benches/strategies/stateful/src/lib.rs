//! Keeps so many bytes of state, which it hands on to the module that takes its place, and orders at every quote. To be measured, not to
//! be traded.

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Quote, Saved, Side, Size, Strategy, TimeInForce};

/// Of what is saved.
const SCHEMA: u32 = 1;

/// The state, and what an order is.
#[derive(Debug)]
pub struct Stateful {
    size: Size,
    state: Vec<u8>,
}

impl Strategy for Stateful {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::STATE);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        let exponent = instruments.first().map_or(-9, |instrument| instrument.size_exponent);
        Ok(Self { size: params.size("size", exponent)?, state: vec![0; params.or("bytes", 0)?] })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        let sequence = quote.head.sequence;
        let place = usize::try_from(sequence).unwrap_or(0).checked_rem(self.state.len());
        if let Some(byte) = place.and_then(|place| self.state.get_mut(place)) {
            *byte = byte.wrapping_add(1);
        }
        let (side, price) =
            if sequence.is_multiple_of(2) { (Side::Buy, quote.ask_price) } else { (Side::Sell, quote.bid_price) };
        let order = NewOrder::limit(quote.head.instrument_id, side, price, self.size);
        host.submit(&order.time_in_force(TimeInForce::Ioc));
    }

    fn on_save(&self) -> Saved {
        Saved { version: SCHEMA, data: self.state.clone() }
    }

    fn on_load(&mut self, saved: Saved) -> Result<(), String> {
        if saved.version != SCHEMA || saved.data.len() != self.state.len() {
            return Err(format!("version {} of {} bytes is another state", saved.version, saved.data.len()));
        }
        self.state = saved.data;
        Ok(())
    }
}

pinion_strategy::export!(Stateful);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_saves_the_next_one_loads() {
        let one = Stateful { size: Size(1), state: vec![7; 32] };
        let mut next = Stateful { size: Size(1), state: vec![0; 32] };
        next.on_load(one.on_save()).unwrap();
        assert_eq!(next.state, one.state);
        assert!(Stateful { size: Size(1), state: Vec::new() }.on_load(one.on_save()).is_err());
    }
}
