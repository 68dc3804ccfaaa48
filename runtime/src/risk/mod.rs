//! The pre-trade check: the only maker of an [`Order`].

mod ledger;

pub use ledger::{Ledger, Position};
