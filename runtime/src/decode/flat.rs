//! Pinion's flat record: market data at a fixed layout, for publishers who can choose.
//!
//! A Kafka record is any number of messages, one after the other, each a header and a body. All numbers are little-endian; nothing
//! needs alignment, and every field lies at a multiple of its size from the message's start.
//!
//! | at | bytes | header | |
//! |---|---|---|---|
//! | 0 | 2 | `magic` | `50 4e`, "PN" |
//! | 2 | 1 | `version` | 1 |
//! | 3 | 1 | `kind` | 1 quote, 2 trade, 3 depth, 4 delta, 5 status; a reader steps over kinds that it does not know |
//! | 4 | 2 | `length` | u16, of the whole message; more than the kind needs is room for later fields |
//! | 6 | 2 | reserved | written as 0, not read |
//! | 8 | 4 | `flags` | u32, bit 5 (32): part of a snapshot; other bits are not read |
//! | 12 | 4 | `publisher_id` | u32, `pinion_spec::ids::publisher_id` of the publisher's name |
//! | 16 | 8 | `instrument_id` | u64, as the strategy file declares it, or `pinion_spec::ids::instrument_id` |
//! | 24 | 8 | `ts_event` | u64, the venue's time, wall ns, 0 where there is none |
//! | 32 | 8 | `ts_recv` | u64, when it was captured, wall ns; 0: the Kafka record's time counts |
//! | 40 | 8 | `sequence` | u64, the venue's, 0 where there is none |
//!
//! | at | bytes | quote (88) | trade (80) | depth (72 or 88) | delta (72) |
//! |---|---|---|---|---|---|
//! | 48 | 8 | `bid_price` i64 | `price` i64 | `first` u64 | `price` i64 |
//! | 56 | 8 | `bid_size` i64 | `size` i64 | `follows` u64 | `size` i64 |
//! | 64 | 8 | `ask_price` i64 | `trade_id` u64 | `levels` u32, `snapshot` u8 (0, 1), 3 reserved | `count` u32, `side` u8 (1 bid, 2 ask), 3 reserved |
//! | 72 | 8 | `ask_size` i64 | `aggressor` u8 (0 none, 1 buyer, 2 seller), 7 reserved | `keeps` u32, `crc32` u32 | |
//! | 80 | 4 | `bid_count` u32 | | `measured` u8 (0, 1), `price_shift` i8, `size_shift` i8, 1 reserved | |
//! | 84 | 4 | `ask_count` u32 | | reserved | |
//!
//! A status (56 bytes) has `state` u8 at 48 (0 unknown, 1 closed, 2 pre-open, 3 auction, 4 trading, 5 paused, 6 halted), 7 reserved.
//!
//! A depth's last 16 bytes may be absent, and mean nothing then: `keeps`, the levels a side that the venue tells of, 0 for all; and
//! where `measured` is 1, the venue's checksum of the book ([`Checksum`]).
//!
//! Prices at 1e-9, a missing one 2^63 - 1; sizes at the instrument's exponent. A depth's `levels` deltas follow it in the same Kafka
//! record, of the same instrument, with nothing between but kinds unknown to the reader. A wrong magic or version, a length that
//! is too short or leaves the record, an enumeration's unknown value, a negative size or a delta out of place refuse the whole record.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{DecodeError, Skip};
use super::{Events, Record};
use crate::event::{
    Aggressor, Body, BookSide, CHECKSUM_DIGITS_MAX, Checksum, Delta, Depth, FLAG_SNAPSHOT, Head, MarketState, Quote,
    Trade,
};

/// The first bytes of every message.
pub const MAGIC: [u8; 2] = *b"PN";
/// The layout's version.
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = size_of::<Header>();

const QUOTE: u8 = 1;
const TRADE: u8 = 2;
const DEPTH: u8 = 3;
const DELTA: u8 = 4;
const STATUS: u8 = 5;

/// What every message begins with.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 2],
    version: u8,
    kind: u8,
    length: U16,
    reserved: [u8; 2],
    flags: U32,
    publisher_id: U32,
    instrument_id: U64,
    ts_event: U64,
    ts_recv: U64,
    sequence: U64,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct QuoteBody {
    bid_price: I64,
    bid_size: I64,
    ask_price: I64,
    ask_size: I64,
    bid_count: U32,
    ask_count: U32,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TradeBody {
    price: I64,
    size: I64,
    trade_id: U64,
    aggressor: u8,
    reserved: [u8; 7],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DepthBody {
    first: U64,
    follows: U64,
    levels: U32,
    snapshot: u8,
    reserved: [u8; 3],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DeltaBody {
    price: I64,
    size: I64,
    count: U32,
    side: u8,
    reserved: [u8; 3],
}

/// What may follow a depth's body.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct DepthMore {
    keeps: U32,
    crc32: U32,
    measured: u8,
    price_shift: i8,
    size_shift: i8,
    reserved: [u8; 5],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct StatusBody {
    state: u8,
    reserved: [u8; 7],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct WholeDepthBody {
    depth: DepthBody,
    more: DepthMore,
}

/// A depth whose deltas are still to come.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: usize,
    instrument_id: u64,
    levels: u32,
}

/// Decodes all messages of a record; how many were skipped is returned.
pub(super) fn decode(record: &Record<'_>, events: &mut Events<'_>) -> Result<Option<(Skip, u32)>, DecodeError> {
    let mut at = 0;
    let mut skipped = 0;
    let mut open: Option<Open> = None;
    while at < record.value.len() {
        let (header, message) = message(record.value, at)?;
        let bad = |what| DecodeError::BadLayout { at, what };
        let instrument_id = header.instrument_id.get();
        let head = head(header, record);
        // Each kind goes from the record straight into its event.
        match (header.kind, &mut open) {
            (DELTA, Some(depth)) if depth.instrument_id == instrument_id => {
                depth.levels -= 1;
                if depth.levels == 0 {
                    open = None;
                }
                events.push(head, Body::Delta(delta(body(message, at)?, at)?))?;
            }
            (DELTA, _) => return Err(bad("a delta without its depth")),
            (QUOTE | TRADE | DEPTH | STATUS, Some(_)) => return Err(bad("a depth has fewer deltas than levels")),
            (QUOTE, None) => events.push(head, Body::Quote(quote(body(message, at)?, at)?))?,
            (TRADE, None) => events.push(head, Body::Trade(trade(body(message, at)?, at)?))?,
            (DEPTH, None) => {
                let depth = match body(message, at) {
                    Ok(WholeDepthBody { depth: body, more }) => with_more(depth(body, at)?, more, at)?,
                    Err(_) => depth(body(message, at)?, at)?,
                };
                if depth.levels > 0 {
                    open = Some(Open { at, instrument_id, levels: depth.levels });
                }
                events.push(head, Body::Depth(depth))?;
            }
            (STATUS, None) => events.push(head, Body::Status(status(body(message, at)?, at)?))?,
            _ => skipped += 1,
        }
        at += message.len();
    }
    if let Some(Open { at, .. }) = open {
        return Err(DecodeError::BadLayout { at, what: "a depth has fewer deltas than levels" });
    }
    Ok((skipped > 0).then_some((Skip::OtherKind, skipped)))
}

/// The header of the message at `at`, and all its bytes.
fn message(record: &[u8], at: usize) -> Result<(&Header, &[u8]), DecodeError> {
    let rest = record.get(at..).unwrap_or_default();
    let Ok((header, _)) = Header::ref_from_prefix(rest) else {
        return Err(DecodeError::Truncated { at: record.len() });
    };
    let bad = |what| DecodeError::BadLayout { at, what };
    if header.magic != MAGIC {
        return Err(bad("not a flat record: wrong magic"));
    }
    if header.version != VERSION {
        return Err(bad("a version that this reader does not know"));
    }
    let length = usize::from(header.length.get());
    if length < HEADER_BYTES {
        return Err(bad("length is shorter than a header"));
    }
    rest.get(..length).map(|message| (header, message)).ok_or(DecodeError::Truncated { at: record.len() })
}

fn body<T: FromBytes + KnownLayout + Immutable + Unaligned>(message: &[u8], at: usize) -> Result<&T, DecodeError> {
    let body = message.get(HEADER_BYTES..).unwrap_or_default();
    match T::ref_from_prefix(body) {
        Ok((body, _)) => Ok(body),
        Err(_) => Err(DecodeError::BadLayout { at, what: "length is shorter than the kind needs" }),
    }
}

fn head(header: &Header, record: &Record<'_>) -> Head {
    Head {
        instrument_id: header.instrument_id.get(),
        publisher_id: header.publisher_id.get(),
        flags: header.flags.get() & FLAG_SNAPSHOT,
        ts_event: header.ts_event.get(),
        ts_recv: match header.ts_recv.get() {
            0 => record.ts_recv,
            ts_recv => ts_recv,
        },
        sequence: header.sequence.get(),
    }
}

fn quote(body: &QuoteBody, at: usize) -> Result<Quote, DecodeError> {
    Ok(Quote {
        bid_price: body.bid_price.get(),
        bid_size: size(body.bid_size, at)?,
        ask_price: body.ask_price.get(),
        ask_size: size(body.ask_size, at)?,
        bid_count: body.bid_count.get(),
        ask_count: body.ask_count.get(),
    })
}

fn trade(body: &TradeBody, at: usize) -> Result<Trade, DecodeError> {
    let aggressor = match body.aggressor {
        0 => Aggressor::None,
        1 => Aggressor::Buyer,
        2 => Aggressor::Seller,
        _ => return Err(DecodeError::BadLayout { at, what: "unknown aggressor" }),
    };
    let (price, trade_id) = (body.price.get(), body.trade_id.get());
    Ok(Trade { price, size: size(body.size, at)?, trade_id, aggressor })
}

fn depth(body: &DepthBody, at: usize) -> Result<Depth, DecodeError> {
    let snapshot = match body.snapshot {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::BadLayout { at, what: "snapshot is neither 0 nor 1" }),
    };
    Ok(Depth {
        first: body.first.get(),
        follows: body.follows.get(),
        levels: body.levels.get(),
        snapshot,
        ..Depth::default()
    })
}

fn with_more(depth: Depth, more: &DepthMore, at: usize) -> Result<Depth, DecodeError> {
    let checksum = match more.measured {
        0 => None,
        1 => Some(Checksum { crc32: more.crc32.get(), price_shift: more.price_shift, size_shift: more.size_shift }),
        _ => return Err(DecodeError::BadLayout { at, what: "measured is neither 0 nor 1" }),
    };
    let fits = |shift: i8| (-CHECKSUM_DIGITS_MAX..=CHECKSUM_DIGITS_MAX).contains(&shift);
    if checksum.is_some_and(|checksum| !fits(checksum.price_shift) || !fits(checksum.size_shift)) {
        return Err(DecodeError::BadLayout { at, what: "a shift beyond 18 digits" });
    }
    Ok(Depth { keeps: more.keeps.get(), checksum, ..depth })
}

fn status(body: &StatusBody, at: usize) -> Result<MarketState, DecodeError> {
    let state = MarketState::ALL.get(usize::from(body.state));
    state.copied().ok_or(DecodeError::BadLayout { at, what: "unknown market state" })
}

fn delta(body: &DeltaBody, at: usize) -> Result<Delta, DecodeError> {
    let side = match body.side {
        1 => BookSide::Bid,
        2 => BookSide::Ask,
        _ => return Err(DecodeError::BadLayout { at, what: "unknown side" }),
    };
    Ok(Delta { price: body.price.get(), size: size(body.size, at)?, count: body.count.get(), side })
}

fn size(size: I64, at: usize) -> Result<i64, DecodeError> {
    if size.get() < 0 { Err(DecodeError::BadLayout { at, what: "negative size" }) } else { Ok(size.get()) }
}

/// Bytes of the first message in `bytes`, once its header is there: how a reader cuts a stream of messages apart.
///
/// # Errors
/// [`DecodeError`] for what is no message.
pub fn message_bytes(bytes: &[u8]) -> Result<usize, DecodeError> {
    let Ok((header, _)) = Header::read_from_prefix(bytes) else {
        return Err(DecodeError::Truncated { at: bytes.len() });
    };
    match message(bytes, 0) {
        Ok((_, message)) => Ok(message.len()),
        // The header is good, the body is still to come.
        Err(DecodeError::Truncated { .. }) => Ok(header.length.get().into()),
        Err(error) => Err(error),
    }
}

/// Deltas that follow the first message of `bytes` and belong to the same Kafka record: a depth's levels, else 0.
#[must_use]
pub fn deltas_that_follow(bytes: &[u8]) -> u32 {
    match message(bytes, 0) {
        Ok((header, message)) if header.kind == DEPTH => {
            body(message, 0).map_or(0, |body: &DepthBody| body.levels.get())
        }
        _ => 0,
    }
}

/// Whether the first message of `bytes` is a delta.
#[must_use]
pub fn is_delta(bytes: &[u8]) -> bool {
    bytes.get(3) == Some(&DELTA)
}

/// When the first message of `bytes` was captured, wall ns; 0 where it does not say.
#[must_use]
pub fn ts_recv(bytes: &[u8]) -> u64 {
    Header::read_from_prefix(bytes).map_or(0, |(header, _)| header.ts_recv.get())
}

/// Appends a market event as a message. Executions and skipped records have no flat form: false, and nothing is appended.
pub fn encode(head: &Head, body: &Body, out: &mut Vec<u8>) -> bool {
    match *body {
        Body::Quote(quote) => append(
            head,
            QUOTE,
            &QuoteBody {
                bid_price: quote.bid_price.into(),
                bid_size: quote.bid_size.into(),
                ask_price: quote.ask_price.into(),
                ask_size: quote.ask_size.into(),
                bid_count: quote.bid_count.into(),
                ask_count: quote.ask_count.into(),
            },
            out,
        ),
        Body::Trade(trade) => append(
            head,
            TRADE,
            &TradeBody {
                price: trade.price.into(),
                size: trade.size.into(),
                trade_id: trade.trade_id.into(),
                aggressor: trade.aggressor as u8,
                reserved: [0; 7],
            },
            out,
        ),
        Body::Depth(depth) => {
            let body = DepthBody {
                first: depth.first.into(),
                follows: depth.follows.into(),
                levels: depth.levels.into(),
                snapshot: depth.snapshot.into(),
                reserved: [0; 3],
            };
            if depth.keeps == 0 && depth.checksum.is_none() {
                append(head, DEPTH, &body, out);
            } else {
                let checksum = depth.checksum.unwrap_or(Checksum { crc32: 0, price_shift: 0, size_shift: 0 });
                let more = DepthMore {
                    keeps: depth.keeps.into(),
                    crc32: checksum.crc32.into(),
                    measured: depth.checksum.is_some().into(),
                    price_shift: checksum.price_shift,
                    size_shift: checksum.size_shift,
                    reserved: [0; 5],
                };
                append(head, DEPTH, &WholeDepthBody { depth: body, more }, out);
            }
        }
        Body::Delta(delta) => append(
            head,
            DELTA,
            &DeltaBody {
                price: delta.price.into(),
                size: delta.size.into(),
                count: delta.count.into(),
                side: delta.side as u8,
                reserved: [0; 3],
            },
            out,
        ),
        Body::Status(state) => append(head, STATUS, &StatusBody { state: state as u8, reserved: [0; 7] }, out),
        Body::Execution(_) | Body::Skip => return false,
    }
    true
}

fn append<T: IntoBytes + Immutable>(head: &Head, kind: u8, body: &T, out: &mut Vec<u8>) {
    const { assert!(HEADER_BYTES + size_of::<T>() <= u16::MAX as usize) };
    #[expect(clippy::cast_possible_truncation, reason = "asserted at compile time")]
    let length = (HEADER_BYTES + size_of::<T>()) as u16;
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        kind,
        length: length.into(),
        reserved: [0; 2],
        flags: head.flags.into(),
        publisher_id: head.publisher_id.into(),
        instrument_id: head.instrument_id.into(),
        ts_event: head.ts_event.into(),
        ts_recv: head.ts_recv.into(),
        sequence: head.sequence.into(),
    };
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
