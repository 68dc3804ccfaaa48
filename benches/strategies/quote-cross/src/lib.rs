//! A moving-average cross over quotes, as a strategy. To be measured beside the same cross in other sandboxes, not to be traded.

mod cross;

use pinion_strategy::{Callbacks, Host, Instrument, NewOrder, Params, Price, Quote, Side, Size, Strategy, TimeInForce};

use crate::cross::Cross;

/// The averages.
#[derive(Debug)]
pub struct QuoteCross {
    cross: Cross,
}

impl Strategy for QuoteCross {
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(_params: &Params, _instruments: &[Instrument]) -> Result<Self, String> {
        Ok(Self { cross: Cross::new() })
    }

    fn on_quote(&mut self, host: &mut impl Host, quote: &Quote) {
        if let Some(asked) = self.cross.on_quote(quote.bid_price.0, quote.ask_price.0) {
            let side = if asked.buys { Side::Buy } else { Side::Sell };
            let order = NewOrder::limit(quote.head.instrument_id, side, Price(asked.price), Size(asked.size));
            host.submit(&order.time_in_force(TimeInForce::Ioc).tag(quote.head.sequence));
        }
    }
}

pinion_strategy::export!(QuoteCross);
