//! Where other people's code runs: a WebAssembly component behind the contract of `wit/strategy.wit`.
//!
//! Promise: a guest reaches nothing but the imports of [`host`]; a call ends within its budget of CPU time and three epoch periods; its memory
//! stays under its cap; whatever it does ends in a return or in a [`Fault`] with a name, never in the process. Only this
//! folder names wasmtime.
//!
//! Reading order: bytes are looked at ([`artefact`]), compiled in a child process ([`compile`]), kept ([`aot`]) and linked once
//! ([`loader`]); an instance then runs in one of two lanes that give the same answers, `direct` or `component`.

pub mod artefact;
pub mod compile;

pub mod aot;
pub mod engine;

pub mod loader;

mod component;
mod direct;
mod records;

mod abi;
mod cpu;
mod imports;
mod memory;
pub(crate) mod pulse;
mod scalars;
mod state;

mod fault;
pub mod gauges;
pub mod host;
pub mod log;
mod probe;

#[cfg(test)]
mod tests;

use pinion_spec::strategy::TradingState;

use crate::bars::{Bar, BarSeries};
use crate::event::{Delta, Execution, Head, MarketState, Quote, Trade};
use crate::limits::FAULT_DETAIL_BYTES_MAX;
use crate::risk::Position;
pub use artefact::{Digest, Lane};
pub use compile::{CompileLimits, Compiler};
pub use host::{Host, HostConfig};
pub use loader::{LoadError, Module, Sandbox, SandboxConfig, SandboxError};
pub use probe::{Probe, Seen};

/// The callbacks that a strategy wants, as `on-init` returned them; bits in the order of the contract's `callbacks`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Callbacks(pub u16);

impl Callbacks {
    /// `on-quote`.
    pub const QUOTE: Self = Self(1 << 0);
    /// `on-trade`.
    pub const TRADE: Self = Self(1 << 1);
    /// `on-book-delta`.
    pub const BOOK_DELTA: Self = Self(1 << 2);
    /// `on-book`.
    pub const BOOK: Self = Self(1 << 3);
    /// `on-gap` and `on-recovered`.
    pub const GAP: Self = Self(1 << 4);
    /// `on-timer`.
    pub const TIMER: Self = Self(1 << 5);
    /// `on-order`.
    pub const ORDER: Self = Self(1 << 6);
    /// `on-fill`.
    pub const FILL: Self = Self(1 << 7);
    /// `on-trading-state`.
    pub const TRADING_STATE: Self = Self(1 << 8);
    /// `on-status`.
    pub const STATUS: Self = Self(1 << 9);
    /// `on-position`.
    pub const POSITION: Self = Self(1 << 10);
    /// `on-save` and `on-load`.
    pub const STATE: Self = Self(1 << 11);
    /// Every one.
    pub const ALL: Self = Self((1 << 12) - 1);

    /// The names of those that are wanted, as the contract has them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [&str; 12] = [
            "quote",
            "trade",
            "book-delta",
            "book",
            "gap",
            "timer",
            "order",
            "fill",
            "trading-state",
            "status",
            "position",
            "state",
        ];
        NAMES.into_iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name).collect()
    }

    /// Whether all of `other` are wanted.
    #[must_use]
    #[inline]
    pub const fn wants(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a guest wants to be called with, as `on-init` returned it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The callbacks.
    pub callbacks: Callbacks,
    /// The bars, not yet checked.
    pub bars: Vec<BarSeries>,
}

/// What one module leaves to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Of the data's own schema.
    pub version: u32,
    /// At most [`crate::limits::SAVED_BYTES_MAX`].
    pub data: Vec<u8>,
}

/// The host's book after a whole depth update, as `on-book` gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookTop {
    /// Best bid, [`crate::event::PRICE_UNDEFINED`] where there is none.
    pub bid_price: i64,
    /// Size at the best bid.
    pub bid_size: i64,
    /// Best ask, [`crate::event::PRICE_UNDEFINED`] where there is none.
    pub ask_price: i64,
    /// Size at the best ask.
    pub ask_size: i64,
    /// Levels on the bid side.
    pub bid_levels: u32,
    /// Levels on the ask side.
    pub ask_levels: u32,
}

/// A broken sequence, as `on-gap` gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The sequence that should have come; the venue's checksum where it has no sequence.
    pub expected: u64,
    /// The sequence that came; the host's checksum.
    pub received: u64,
}

/// Where an order stands, as `on-order` tells it; numbers as in the contract's `order-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum OrderStatus {
    Denied = 0,
    Accepted = 1,
    Rejected = 2,
    Replaced = 3,
    Cancelled = 4,
    Expired = 5,
    PartFilled = 6,
    Filled = 7,
}

/// A change in one of the guest's orders, as `on-order` gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderUpdate {
    /// The guest's id of the order.
    pub order_id: u64,
    /// As given to `submit`.
    pub tag: u64,
    /// Which instrument.
    pub instrument_id: u64,
    /// The venue's time of the change, 0 for a denial.
    pub ts_event: u64,
    /// The stream clock at the change.
    pub ts_recv: u64,
    /// Where the order stands now.
    pub status: OrderStatus,
    /// Why it was denied, as the contract's `deny-reason`; 0 otherwise.
    pub reason: u8,
    /// Its price.
    pub price: i64,
    /// Still working.
    pub leaves: i64,
    /// Filled so far.
    pub filled: i64,
}

/// An execution of one of the guest's orders, as `on-fill` gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// The guest's id of the order.
    pub order_id: u64,
    /// As given to `submit`.
    pub tag: u64,
    /// Which instrument.
    pub instrument_id: u64,
    /// The venue's time.
    pub ts_event: u64,
    /// When the report was captured.
    pub ts_recv: u64,
    /// The order's side.
    pub side: crate::event::Side,
    /// What traded.
    pub execution: Execution,
}

/// One call into a guest.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// `on-start`
    Start,
    /// `on-quote`
    Quote(Head, Quote),
    /// `on-trade`
    Trade(Head, Trade),
    /// `on-book-delta`; `None` is `book-action.clear`.
    BookDelta(Head, Option<Delta>),
    /// `on-book`
    Book(Head, BookTop),
    /// `on-gap`
    Gap(Head, Gap),
    /// `on-recovered`
    Recovered {
        /// Which instrument.
        instrument_id: u64,
        /// The sequence it stands at.
        sequence: u64,
    },
    /// `on-status`
    Status(Head, MarketState),
    /// `on-bar`
    Bar(Bar),
    /// `on-timer`
    Timer {
        /// The guest's own id.
        timer_id: u64,
        /// The time it was set for.
        at: u64,
    },
    /// `on-order`
    Order(OrderUpdate),
    /// `on-fill`
    Fill(Fill),
    /// `on-position`
    Position(u64, Position),
    /// `on-trading-state`
    TradingState(TradingState),
    /// `on-stop`
    Stop,
}

impl Call {
    /// The callback's name in the contract.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "on-start",
            Self::Quote(..) => "on-quote",
            Self::Trade(..) => "on-trade",
            Self::BookDelta(..) => "on-book-delta",
            Self::Book(..) => "on-book",
            Self::Gap(..) => "on-gap",
            Self::Recovered { .. } => "on-recovered",
            Self::Status(..) => "on-status",
            Self::Bar(..) => "on-bar",
            Self::Timer { .. } => "on-timer",
            Self::Order(..) => "on-order",
            Self::Fill(..) => "on-fill",
            Self::Position(..) => "on-position",
            Self::TradingState(..) => "on-trading-state",
            Self::Stop => "on-stop",
        }
    }
}

/// What a guest did wrong. The names are metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// Ran longer than its CPU budget.
    Budget,
    /// Asked for more memory than its cap.
    Memory,
    /// Recursed too deep.
    Stack,
    /// Executed a trap: a panic, a division by zero, an access out of bounds.
    Trap,
    /// Asked for more intents than its budget.
    Intents,
    /// Passed a pointer, a length or a value that the contract does not allow.
    BadPointer,
    /// Refused to start, or could not be instantiated.
    Init,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Budget, Self::Memory, Self::Stack, Self::Trap, Self::Intents, Self::BadPointer, Self::Init];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Trap => "trap",
            Self::Intents => "intents",
            Self::BadPointer => "bad_pointer",
            Self::Init => "init",
        }
    }
}

/// A guest's error, with what it needs to be found by its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.label())]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// For a person: the trap's message and the guest's own stack, or why `on-init` refused.
    pub detail: String,
}

impl Fault {
    /// The guest's `on-init` refused, for the reason it gives.
    #[must_use]
    pub fn refused(mut why: String) -> Self {
        fault::cut(&mut why, FAULT_DETAIL_BYTES_MAX);
        Self { kind: FaultKind::Init, detail: why }
    }
}

/// A running instance of a strategy, whatever it is made of: the two lanes here, native code in tests and benches.
///
/// After a [`Fault`] the guest is not called again; its owner replaces it.
pub trait Guest: Send {
    /// Calls `on-init` and returns what it wants. What it asked for is dropped.
    ///
    /// # Errors
    /// [`FaultKind::Init`] where the guest refuses, else what it did wrong.
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault>;

    /// Calls `on-save`. What it asked for is dropped.
    ///
    /// # Errors
    /// What the guest did wrong.
    fn save(&mut self) -> Result<Saved, Fault>;

    /// Calls `on-load`. What it asked for is dropped.
    ///
    /// # Errors
    /// [`FaultKind::Init`] where the guest refuses, else what it did wrong.
    fn load(&mut self, saved: &Saved) -> Result<(), Fault>;

    /// Calls one callback. What it asked for is then in `host().effects`; after a fault there is nothing in it.
    ///
    /// # Errors
    /// What the guest did wrong.
    fn call(&mut self, call: &Call) -> Result<(), Fault>;

    /// The state that the guest's imports read and write.
    fn host(&mut self) -> &mut Host;

    /// Bytes of its linear memories together.
    fn memory_bytes(&self) -> usize;
}
