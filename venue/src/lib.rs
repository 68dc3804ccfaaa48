//! A simulated venue: approved orders and market data in, execution reports out. A pure state machine, without IO and without a clock.
//!
//! `pinion backtest` drives it from files, `pinion paper` from Kafka. All times are stream times: those of the records that it is shown.
//!
//! **Latency** ([`Latency`]). A message reaches the venue one latency after the strategy decided it, a report reaches the strategy one
//! latency after the venue made it; each is drawn anew, from the seed. Neither overtakes an earlier one of the same strategy. What
//! arrives is accepted, refused, changed or cancelled at its arrival, by the book as it stands then; so a cancel races by arrival.
//!
//! **No fill before the next market event** of the instrument after the arrival, also with latency 0: what a strategy saw when it decided
//! is gone when its order comes.
//!
//! **Taking.** An order that is marketable when it arrives walks the displayed levels at that next event. What is displayed is the
//! instrument's book where it is whole, with the last quote in the place of its best level where that is newer; else the last quote
//! alone. What our own fills took from a level is not there again until the venue's data says something new of that level. A level whose
//! size the data does not tell (0) is taken without a bound, and [`Counts::unbounded`] counts it. The rest of an immediate-or-cancel
//! expires; a fill-or-kill order fills whole or expires; a market order does not go beyond the worst price that it carries; a post-only
//! order that would take is refused at its arrival; the rest of a good-till-cancelled order rests.
//!
//! **Resting.** An order joins behind the size displayed at its price: behind nothing where it improves the market, and where the data
//! does not tell, behind what is displayed when the market first reaches its price. A trade of the opposite aggressor (or of an
//! unknown one) at its price first eats the queue ahead, then fills, part by part, at most the trade's size over all our orders there, in
//! the order in which they joined. A trade through its price fills it whole at its own price, and so does a best opposite price at or
//! beyond it. A level that shrinks without a trade shrinks behind us until it is smaller than the queue ahead. A modify to a smaller
//! size at the same price keeps the place; any other joins anew.
//!
//! **A book that is gapped or not whole** fills nothing where there is no quote either, and a gapped one nothing at all; trades still
//! count. What rests stays. What would have taken at once expires, counted ([`Counts::unpriced`]).
//!
//! **Fees** ([`Fees`]) are of the notional, rounded against us to 1e-9 of the quote currency.
//!
//! **Limits** are in [`limits`]; what is beyond them is refused with a reason, and no sum wraps.

pub mod account;
pub mod limits;
mod market;
mod model;
mod order;
mod rng;
mod venue;

pub use model::{Fees, Latency, Model, ModelError};
pub use order::{Message, Refusal, Report};
pub use rng::Rng;
pub use venue::{Counts, Traded, Venue};
