//! The journal: what was presented to the instances of a worker, in order, so that it can be presented again.
//!
//! Promise: the entries of one worker, from one [`Entry::Start`] on, and the records that their ranges name are all that its orders depend
//! on. What is written survives a crash of the process; what the machine had not put on disk, a second at most, does not survive a crash
//! of the machine. A journal that cannot be written ends there, counted and logged, and trading goes on. The worker itself writes
//! nothing: an entry is a push into a ring ([`scribe`]), and a run of records is one entry.
//!
//! On disk ([`segment`]) a journal is a folder: `worker-N/NNNNNNNN.journal`, and `modules/DIGEST.wasm` of every module that ran.

mod scribe;
mod segment;

mod reader;
mod writer;

pub use reader::{JournalError, Reader};
pub use scribe::Scribe;
pub use writer::{JournalConfig, Writer, WriterCommand};

use pinion_spec::strategy::TradingState;
use serde::{Deserialize, Serialize};

use crate::worker::Scope;

/// Of the entries' own schema; a journal of another is refused.
pub const VERSION: u16 = 1;

/// One thing that an instance's orders depend on. An entry is what the worker does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A process begins; whatever ran before does not run any more.
    Start {
        /// [`VERSION`].
        version: u16,
        /// When, wall ns.
        at: u64,
    },
    /// A feed is read from here on.
    Feed {
        /// Its number in this process.
        feed: u32,
        /// Its consumer group.
        group: String,
        /// Its topics; runs name them by their index.
        topics: Vec<String>,
        /// The strategy files that share it, as JSON: how its topics are decoded.
        strategies: Vec<String>,
    },
    /// An instance begins.
    Load(Box<Load>),
    /// Records of one partition, one after the other, each to its end.
    Run(Run),
    /// The wall clock moved the stream clock of a feed's instances on a quiet stream.
    Tick {
        /// Which feed.
        feed: u32,
        /// To where.
        ts: u64,
    },
    /// What strategies may do.
    TradingState {
        /// Which.
        scope: Scope,
        /// What they may do from here on.
        state: TradingState,
    },
    /// The kill switch of an instrument.
    Killed {
        /// Which.
        instrument_id: u64,
        /// On or off.
        killed: bool,
    },
    /// Other limits.
    Limits {
        /// Which instance.
        instance: u32,
        /// The strategy file's `risk`, as JSON.
        risk: String,
    },
    /// Another module in an instance's place.
    Swap {
        /// Which instance.
        instance: u32,
        /// Its digest, 64 hexadecimal digits.
        module: String,
        /// Its params.
        params: Vec<(String, String)>,
    },
    /// A guest did wrong, in the call of this number of its instance, counted from 1. Comes before the run of the record that the call
    /// was for.
    Fault {
        /// Which instance.
        instance: u32,
        /// Which call.
        call: u64,
        /// [`crate::sandbox::FaultKind::label`].
        kind: String,
    },
    /// A fresh guest of the same module after a fault.
    Revive {
        /// Which instance.
        instance: u32,
    },
    /// An instance ends, by `on-stop`.
    Remove {
        /// Which.
        instance: u32,
    },
    /// A feed is read no more.
    RemoveFeed {
        /// Which.
        feed: u32,
    },
    /// The process ends in order: every instance by `on-stop`.
    Stop,
}

/// What an instance begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Its number in this process.
    pub instance: u32,
    /// The feed that it reads.
    pub feed: u32,
    /// Which of its strategy's shards it is.
    pub shard: u16,
    /// Its inputs: topic (index in the feed) and partition, in the order of its order ids.
    pub sources: Vec<(u16, u16)>,
    /// The strategy file, as JSON, with its params and limits then.
    pub strategy: String,
    /// Digest of its module, 64 hexadecimal digits.
    pub module: String,
    /// What it may do.
    pub trading_state: TradingState,
}

/// A run of records of one partition, without records of another between them. Offsets may have holes; a log's own have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The feed.
    pub feed: u32,
    /// Index of the topic in it.
    pub topic: u16,
    /// Partition.
    pub partition: u16,
    /// First offset.
    pub first: u64,
    /// Last offset.
    pub last: u64,
    /// Records.
    pub records: u64,
}

#[cfg(test)]
mod tests;
