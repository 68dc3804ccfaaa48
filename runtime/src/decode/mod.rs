//! Kafka records to events: `&[u8]` in, typed values out, and nothing else touched.
//!
//! Promise: no input makes it panic, recurse, block or read past the record; a record gives all of its events or none; once
//! symbols and buffers are warm it allocates nothing. Prices and sizes come out exactly as the digits say, or the record is refused.
//! What it refuses it names ([`DecodeError`]); what it understands and has no use for it counts apart ([`Skip`]).
//!
//! Cost, CPU time on a shared cloud core in the dev profile: about 200 ns for a Binance quote or trade, 30 ns for each level of a depth update
//! (`benches/benches/decode.rs`).

mod binance;
mod coinbase;
pub mod dbn;
pub mod decimal;
mod error;
mod execution;
mod fields;
pub mod flat;
mod json;
mod json_map;
mod kraken;
mod kraken_futures;
mod levels;
mod time;

use pinion_spec::field_map::FieldMap;
use pinion_spec::ids::publisher_id;
use pinion_spec::strategy::Encoding;

pub use error::{DecodeError, Skip};

use crate::event::{Body, Depth, Event, FLAG_LAST, Head, Origin, Stamp};
use crate::instruments::{Instrument, SymbolError, SymbolTable};
use crate::limits::{RECORD_BYTES_MAX, RECORD_EVENTS_MAX};

/// Kafka header in which a publisher of captured data says when a record was captured: wall ns in ASCII decimal digits. Absent:
/// Kafka's own timestamp counts.
pub const TS_RECV_HEADER: &str = match TS_RECV_HEADER_C.to_str() {
    Ok(name) => name,
    Err(_) => unreachable!(),
};
/// The same, as librdkafka asks for it.
pub(crate) const TS_RECV_HEADER_C: &std::ffi::CStr = c"pinion-ts-recv";

/// What [`TS_RECV_HEADER`] says; `None` for anything but plain digits that fit.
#[must_use]
pub fn ts_recv_of_header(value: &[u8]) -> Option<u64> {
    match decimal::unsigned_prefix(value, 0) {
        Ok((ts_recv, end)) if end == value.len() => Some(ts_recv),
        _ => None,
    }
}

/// One Kafka record, as far as decoding looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The record's value.
    pub value: &'a [u8],
    /// The record's key. Looked at only where the value names no instrument: it may be a symbol then.
    pub key: Option<&'a [u8]>,
    /// When the record was captured, wall ns: [`TS_RECV_HEADER`], else Kafka's timestamp. A flat record's own counts first.
    pub ts_recv: u64,
}

/// What a good record held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Events appended. They are the last of the buffer; [`stamp`] says where they come from.
    pub events: usize,
    /// What was left out: why, and how often. Messages that hold nothing for a strategy; or, beside events, levels of a book.
    pub skipped: Option<(Skip, u32)>,
}

/// Says of events just decoded where their record lies and when it came.
pub fn stamp(events: &mut [Event], origin: Origin, stamp: Stamp) {
    for event in events {
        event.origin = origin;
        event.stamp = stamp;
    }
}

/// What stands for a record that gave no events: something must carry its offset past the workers. `ts_recv` is 0 for a record that
/// could not be decoded: what cannot be read says nothing, not even what time it is, and one bad record must not make every book stale.
#[must_use]
pub fn nothing(ts_recv: u64) -> Event {
    let head = Head { flags: FLAG_LAST, ts_recv, ..Head::default() };
    Event { head, body: Body::Skip, origin: Origin::default(), stamp: Stamp::default() }
}

/// Decodes the records of one input: one encoding, one publisher.
#[derive(Debug, Clone)]
pub struct Decoder {
    encoding: Encoding,
    publisher_id: u32,
    symbols: SymbolTable,
    map: Option<json_map::Map>,
}

impl Decoder {
    /// A decoder for an input without a field map; of a `json-map` it would refuse every record.
    ///
    /// # Errors
    /// As [`Self::of_input`].
    pub fn new(encoding: Encoding, publisher: &str, declared: &[Instrument]) -> Result<Self, SymbolError> {
        Self::of_input(encoding, publisher, None, declared)
    }

    /// A decoder for an input of `publisher`, with its field map if it has one. `declared` are the instruments of all strategies that read the input. Those of
    /// `publisher` count; for execution reports, which speak of other publishers' instruments, all of them.
    ///
    /// # Errors
    /// [`SymbolError`] where declarations contradict each other.
    pub fn of_input(
        encoding: Encoding,
        publisher: &str,
        map: Option<&FieldMap>,
        declared: &[Instrument],
    ) -> Result<Self, SymbolError> {
        let symbols = match encoding {
            Encoding::PinionExecution => SymbolTable::of_all_publishers(declared)?,
            Encoding::BinanceSpot
            | Encoding::BinanceUsdm
            | Encoding::CoinbaseExchange
            | Encoding::KrakenV1
            | Encoding::KrakenFutures
            | Encoding::Dbn
            | Encoding::JsonMap
            | Encoding::PinionFlat => SymbolTable::new(publisher, declared)?,
        };
        Ok(Self { encoding, publisher_id: publisher_id(publisher), symbols, map: map.map(json_map::Map::new) })
    }

    /// The symbols known so far.
    #[must_use]
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Appends the record's events to `out`: heads and bodies set, origin and stamp left at zero for [`stamp`]. The last has
    /// [`FLAG_LAST`].
    ///
    /// # Errors
    /// [`DecodeError`]; `out` is as it was then. A symbol that the record named may stay known.
    pub fn decode(&mut self, record: &Record<'_>, out: &mut Vec<Event>) -> Result<Outcome, DecodeError> {
        let bytes = record.value.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(DecodeError::TooLarge { bytes });
        }
        let mut events = Events { from: out.len(), out, far_levels: 0 };
        let outcome = match self.encoding {
            Encoding::BinanceSpot => {
                binance::decode(binance::Venue::Spot, self.publisher_id, record, &mut self.symbols, &mut events)
            }
            Encoding::BinanceUsdm => {
                binance::decode(binance::Venue::Usdm, self.publisher_id, record, &mut self.symbols, &mut events)
            }
            Encoding::CoinbaseExchange => coinbase::decode(self.publisher_id, record, &mut self.symbols, &mut events),
            Encoding::KrakenV1 => kraken::decode(self.publisher_id, record, &mut self.symbols, &mut events),
            Encoding::KrakenFutures => {
                kraken_futures::decode(self.publisher_id, record, &mut self.symbols, &mut events)
            }
            Encoding::Dbn => dbn::decode(self.publisher_id, record, &mut self.symbols, &mut events),
            Encoding::JsonMap => match &self.map {
                Some(map) => map.decode(self.publisher_id, record, &mut self.symbols, &mut events),
                None => Err(DecodeError::BadLayout { at: 0, what: "the input says nothing of where fields stand" }),
            },
            Encoding::PinionFlat => flat::decode(record, &mut events),
            Encoding::PinionExecution => execution::decode(self.publisher_id, record, &self.symbols, &mut events),
        };
        match outcome {
            Ok(skipped) => {
                let far_levels = (events.far_levels > 0).then_some((Skip::FarLevel, events.far_levels));
                Ok(Outcome { events: events.finish(), skipped: skipped.or(far_levels) })
            }
            Err(error) => {
                events.discard();
                Err(error)
            }
        }
    }
}

/// The events of the record that is being decoded: the tail of the caller's buffer.
struct Events<'o> {
    from: usize,
    out: &'o mut Vec<Event>,
    /// Levels that no price can say, left out.
    far_levels: u32,
}

impl Events<'_> {
    #[inline]
    fn push(&mut self, head: Head, body: Body) -> Result<(), DecodeError> {
        if self.out.len() - self.from == RECORD_EVENTS_MAX {
            return Err(DecodeError::TooManyEvents);
        }
        self.out.push(Event { head, body, origin: Origin::default(), stamp: Stamp::default() });
        Ok(())
    }

    fn len(&self) -> usize {
        self.out.len() - self.from
    }

    fn get_mut(&mut self) -> &mut [Event] {
        &mut self.out[self.from..]
    }

    /// Fills in the depth event that was put before its levels, now that all of them stand behind it.
    fn begin_depth(&mut self, depth: Depth) {
        let levels = u32::try_from(self.len() - 1).unwrap_or(u32::MAX);
        if let Some(begin) = self.get_mut().first_mut() {
            begin.body = Body::Depth(Depth { levels, ..depth });
        }
    }

    fn discard(&mut self) {
        self.out.truncate(self.from);
    }

    fn finish(&mut self) -> usize {
        if let Some(last) = self.get_mut().last_mut() {
            last.head.flags |= FLAG_LAST;
        }
        self.len()
    }
}
