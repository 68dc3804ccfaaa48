//! Write a Pinion strategy in Rust.
//!
//! Implement [`Strategy`] for a type and name it in [`export!`]; `pinion build` makes a component of the crate. A strategy acts
//! through the [`Host`] that every callback gets, and through nothing else: no clock, no randomness, no files. So the same
//! records always give the same orders, and the very same code runs natively in tests, with any [`Host`]:
//! [`testing::Recorder`] here.
//!
//! ```
//! use pinion_strategy::{Callbacks, Host, Instrument, Params, Quote, Strategy};
//!
//! struct CountQuotes(u64);
//!
//! impl Strategy for CountQuotes {
//!     const WANTS: Callbacks = Callbacks::QUOTE;
//!
//!     fn new(_params: &Params, _instruments: &[Instrument]) -> Result<Self, String> {
//!         Ok(Self(0))
//!     }
//!
//!     fn on_quote(&mut self, _host: &mut impl Host, _quote: &Quote) {
//!         self.0 += 1;
//!     }
//! }
//!
//! pinion_strategy::export!(CountQuotes);
//! ```

mod strategy;

mod host;
mod params;
mod records;
mod units;

pub mod testing;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod wasm;

pub use host::{Host, LogLevel, NewOrder, OrderType, TimeInForce};
pub use params::Params;
pub use records::{
    Aggressor, Bar, BarKind, BarSeries, Book, BookAction, BookDelta, BookSide, DenyReason, Fill, Gap, Head, Instrument,
    Level, Liquidity, MarketState, OrderStatus, OrderUpdate, Position, Quote, Saved, Side, Status, Trade, TradingState,
};
pub use strategy::{Callbacks, Strategy};
pub use units::{Price, Size};

/// Makes a [`Strategy`] the one that this crate's component runs. Outside of WebAssembly it does nothing.
#[macro_export]
macro_rules! export {
    ($strategy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static STRATEGY: ::std::cell::RefCell<Option<$strategy>> = const { ::std::cell::RefCell::new(None) };
            }

            impl $crate::wasm::Exported for $strategy {
                fn with<R>(call: impl FnOnce(&mut Option<Self>) -> R) -> R {
                    STRATEGY.with_borrow_mut(call)
                }
            }

            type Handler = $crate::wasm::Handler<$strategy>;
    $crate::wasm::export_handler!(Handler with_types_in $crate::wasm::bindings);
        };
    };
}
