//! The smallest strategy: it counts quotes and does nothing else. What it costs is what crossing into the sandbox costs.

use pinion_strategy::{Callbacks, Host, Instrument, LogLevel, Params, Quote, Strategy};

/// How many quotes came.
#[derive(Debug)]
pub struct Identity {
    quotes: u64,
}

impl Strategy for Identity {
    // Callbacks that are not named here are never called and cost nothing.
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(_params: &Params, _instruments: &[Instrument]) -> Result<Self, String> {
        Ok(Self { quotes: 0 })
    }

    fn on_quote(&mut self, _host: &mut impl Host, _quote: &Quote) {
        self.quotes += 1;
    }

    // The last callback: a good place to say what one has seen.
    fn on_stop(&mut self, host: &mut impl Host) {
        host.log(LogLevel::Info, &format!("{} quotes", self.quotes));
    }
}

pinion_strategy::export!(Identity);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::Recorder;
    use pinion_strategy::{Head, Price, Size};

    use super::*;

    #[test]
    fn it_counts_and_asks_for_nothing() {
        let mut host = Recorder::default();
        let mut identity = Identity::new(&Params::default(), &[]).unwrap();
        let quote = Quote {
            head: Head::default(),
            bid_price: Price(1),
            bid_size: Size(1),
            ask_price: Price(2),
            ask_size: Size(1),
            bid_count: 0,
            ask_count: 0,
        };
        for _ in 0..3 {
            identity.on_quote(&mut host, &quote);
        }
        identity.on_stop(&mut host);
        assert_eq!(host.logs, ["3 quotes"]);
        assert!(host.asked.is_empty());
    }
}
