//! Databento's binary encoding, DBN, versions 1 to 3: bare records one after the other, any number to a Kafka record.
//!
//! | record | `rtype` | events | sequence |
//! |---|---|---|---|
//! | trades | `00` | a trade | `sequence` |
//! | mbp-1, tbbo | `01`, `c5` | a quote; of action `T` the trade too, behind it | `sequence` |
//! | cmbp-1, tcbbo | `b1`, `c2` | the same | none: 0 |
//! | bbo-1s, bbo-1m | `c3`, `c4` | a quote | `sequence` |
//! | cbbo-1s, cbbo-1m | `c0`, `c1` | a quote | none: 0 |
//! | mbp-10 | `0a` | the ten best levels as a snapshot of the book, bids first; of action `T` the trade too, before it | none: 0; the trade's `sequence` |
//! | mbo | `a0` | of action `T` a trade; all else is skipped (`by_order`): no book is kept by order | `sequence` |
//! | status | `12` | a status | none: 0 |
//! | ohlcv | `11`, `20` to `24` | skipped (`bar`): the host makes bars from trades | |
//! | error, symbol mapping, system | `15` to `17` | skipped (`control`) | |
//! | definition, imbalance, statistics, any other | | skipped (`other_kind`) | |
//!
//! - The instrument's symbol is `<publisher_id>.<instrument_id>` in digits, such as `1.5482`: what the record says and nothing that
//!   would have to be remembered. A file's header knows names; `pinion inspect` shows them.
//! - Prices are at 1e-9 as they are; sizes come at the instrument's exponent. A price of 2^63 - 1 is an empty side, and the largest
//!   size says that there is none.
//! - `ts_recv` is the record's own, `ts_event` the header's; 2^64 - 1 is none, and so is 0: then the Kafka record's time counts.
//! - `side` of a trade is the aggressor's: `B` bought, `A` sold, `N` is not told. A letter that an action or a side cannot be refuses
//!   the record.
//! - A book of ten levels is a snapshot each time and has no sequence: the venue's own counts messages of a channel and not of an
//!   instrument, so a jump says nothing. The format's flag "maybe a bad book" is not acted on.
//! - Versions: the records that give events lie the same in all three, so bare records need no version. A record longer than its kind
//!   (`ts_out` behind it) is read as far as it is known, one shorter is refused.
//! - Of a Kafka record whose records are skipped for several reasons, the first one is told, with the count of all.

mod layout;
pub mod metadata;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::error::{DecodeError, Skip};
use super::{Events, Record};
use crate::event::{
    Aggressor, Body, BookSide, Delta, Depth, FLAG_SNAPSHOT, Head, MarketState, PRICE_UNDEFINED, Quote, Trade,
};
use crate::instruments::{Symbol, SymbolTable};
use layout::{Header, Level, Levels, Order, PRICE_NONE, SIZE_NONE, Status, TIME_NONE, WORD_BYTES};

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// Largest record: its length is a byte of words.
pub const BYTES_MAX: usize = u8::MAX as usize * WORD_BYTES;
/// Levels a side of the deepest book.
const DEPTH: usize = 10;
/// Digits of the largest symbol: a u16, a point, a u32.
const SYMBOL_BYTES: usize = 16;

const _: () = assert!(PRICE_NONE == PRICE_UNDEFINED);

/// Decodes all records of a Kafka record; what was skipped is returned.
pub(super) fn decode(
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &mut SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    if record.value.is_empty() {
        return Err(DecodeError::Truncated { at: 0 });
    }
    if record.value.starts_with(metadata::MAGIC) {
        return Err(DecodeError::BadLayout { at: 0, what: "a DBN file's header, and only its records belong here" });
    }
    let mut skipped: Option<(Skip, u32)> = None;
    let mut at = 0;
    while at < record.value.len() {
        let rest = &record.value[at..];
        let bytes = record_bytes(rest).map_err(|error| moved(error, at))?;
        let Some(bytes) = rest.get(..bytes) else {
            return Err(DecodeError::Truncated { at: record.value.len() });
        };
        let mut message = Message { publisher_id, record, at, bytes, symbols, events };
        if let Some(reason) = message.decode()? {
            skipped = Some(skipped.map_or((reason, 1), |(first, count)| (first, count + 1)));
        }
        at += bytes.len();
    }
    Ok(skipped)
}

/// Bytes of the first record in `bytes`, once its first byte is there: how a reader cuts a stream of records apart.
///
/// # Errors
/// [`DecodeError`] for what is no record.
pub fn record_bytes(bytes: &[u8]) -> Result<usize, DecodeError> {
    let Some(words) = bytes.first() else { return Err(DecodeError::Truncated { at: 0 }) };
    let length = usize::from(*words) * WORD_BYTES;
    if length < HEADER_BYTES {
        return Err(DecodeError::BadLayout { at: 0, what: "length is shorter than a header" });
    }
    Ok(length)
}

/// When a record was captured, wall ns: its own receive time, else the venue's; 0 where neither is told.
#[must_use]
pub fn ts_recv(record: &[u8]) -> u64 {
    let Ok((header, _)) = Header::read_from_prefix(record) else { return 0 };
    let told = match Kind::of(header.rtype) {
        Kind::Trade | Kind::Quote { .. } | Kind::Book => prefix(record).map(|trade: layout::Trade| trade.ts_recv),
        Kind::Order => prefix(record).map(|order: Order| order.ts_recv),
        Kind::Status => prefix(record).map(|status: Status| status.ts_recv),
        Kind::Skipped(_) => None,
    };
    let told = told.and_then(|told| known(told.get()));
    told.or_else(|| known(header.ts_event.get())).unwrap_or(0)
}

/// A time, where one is told: 2^64 - 1 is none, and 0 is what a writer leaves that never set it.
const fn known(time: u64) -> Option<u64> {
    if matches!(time, 0 | TIME_NONE) { None } else { Some(time) }
}

fn prefix<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Option<T> {
    T::read_from_prefix(bytes).ok().map(|(read, _)| read)
}

fn moved(error: DecodeError, by: usize) -> DecodeError {
    match error {
        DecodeError::Truncated { at } => DecodeError::Truncated { at: at + by },
        DecodeError::BadLayout { at, what } => DecodeError::BadLayout { at: at + by, what },
        other => other,
    }
}

/// What a record is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Trade,
    /// `sampled`: every so often rather than at each event, so that its trade is an old one. `consolidated`: of several venues, without
    /// a sequence, and with publishers where orders are counted.
    Quote {
        sampled: bool,
        consolidated: bool,
    },
    Book,
    Order,
    Status,
    Skipped(Skip),
}

impl Kind {
    const fn of(rtype: u8) -> Self {
        match rtype {
            0x00 => Self::Trade,
            0x01 | 0xc5 => Self::Quote { sampled: false, consolidated: false },
            0xb1 | 0xc2 => Self::Quote { sampled: false, consolidated: true },
            0xc3 | 0xc4 => Self::Quote { sampled: true, consolidated: false },
            0xc0 | 0xc1 => Self::Quote { sampled: true, consolidated: true },
            0x0a => Self::Book,
            0xa0 => Self::Order,
            0x12 => Self::Status,
            0x11 | 0x20..=0x24 => Self::Skipped(Skip::Bar),
            0x15..=0x17 => Self::Skipped(Skip::Control),
            _ => Self::Skipped(Skip::OtherKind),
        }
    }
}

struct Message<'m, 'o> {
    publisher_id: u32,
    record: &'m Record<'m>,
    /// Where it begins in the Kafka record.
    at: usize,
    bytes: &'m [u8],
    symbols: &'m mut SymbolTable,
    events: &'m mut Events<'o>,
}

impl Message<'_, '_> {
    fn decode(&mut self) -> Result<Option<Skip>, DecodeError> {
        let header: Header = self.read()?;
        match Kind::of(header.rtype) {
            Kind::Trade => {
                let trade: layout::Trade = self.read()?;
                let symbol = self.symbol(&header)?;
                action(trade.action).ok_or(self.bad("unknown action"))?;
                self.trade(&trade, symbol)?;
            }
            Kind::Quote { sampled, consolidated } => {
                let quote: Levels<1> = self.read()?;
                self.quote(&quote, sampled, consolidated)?;
            }
            Kind::Book => {
                let book: Levels<DEPTH> = self.read()?;
                self.book(&book)?;
            }
            Kind::Order => {
                let order: Order = self.read()?;
                return self.order(&order);
            }
            Kind::Status => {
                let status: Status = self.read()?;
                return self.status(&status);
            }
            Kind::Skipped(reason) => return Ok(Some(reason)),
        }
        Ok(None)
    }

    fn trade(&mut self, trade: &layout::Trade, symbol: Symbol) -> Result<(), DecodeError> {
        let head = self.head(&trade.header, symbol, trade.ts_recv.get(), trade.flags, trade.sequence.get());
        let aggressor = aggressor(trade.side).ok_or(self.bad("unknown side"))?;
        self.push_trade(head, trade.price.get(), trade.size.get(), aggressor, symbol)
    }

    fn push_trade(
        &mut self,
        head: Head,
        price: i64,
        size: u32,
        aggressor: Aggressor,
        symbol: Symbol,
    ) -> Result<(), DecodeError> {
        if price == PRICE_NONE {
            return Err(self.bad("a trade without a price"));
        }
        let size = size_of_units(size, symbol);
        self.events.push(head, Body::Trade(Trade { price, size, trade_id: 0, aggressor }))
    }

    fn quote(&mut self, record: &Levels<1>, sampled: bool, consolidated: bool) -> Result<(), DecodeError> {
        let Levels { trade, levels: [level] } = record;
        let symbol = self.symbol(&trade.header)?;
        let traded = if sampled { false } else { action(trade.action).ok_or(self.bad("unknown action"))? };
        let sequence = if consolidated { 0 } else { trade.sequence.get() };
        let head = self.head(&trade.header, symbol, trade.ts_recv.get(), trade.flags, sequence);
        let count = |count: zerocopy::little_endian::U32| if consolidated { 0 } else { count.get() };
        let (bid, ask) = (bid(level, symbol), ask(level, symbol));
        let quote = Quote {
            bid_price: bid.0,
            bid_size: bid.1,
            ask_price: ask.0,
            ask_size: ask.1,
            bid_count: count(level.bid_count),
            ask_count: count(level.ask_count),
        };
        self.events.push(head, Body::Quote(quote))?;
        if traded {
            let aggressor = aggressor(trade.side).ok_or(self.bad("unknown side"))?;
            self.push_trade(head, trade.price.get(), trade.size.get(), aggressor, symbol)?;
        }
        Ok(())
    }

    fn book(&mut self, record: &Levels<DEPTH>) -> Result<(), DecodeError> {
        let Levels { trade, levels } = record;
        let symbol = self.symbol(&trade.header)?;
        if action(trade.action).ok_or(self.bad("unknown action"))? {
            self.trade(trade, symbol)?;
        }
        let head = self.head(&trade.header, symbol, trade.ts_recv.get(), 0, 0);
        let head = Head { flags: FLAG_SNAPSHOT, ..head };
        let begin = self.events.len();
        self.events.push(head, Body::Depth(Depth::default()))?;
        for (side, of) in [(BookSide::Bid, bid as fn(&Level, Symbol) -> (i64, i64)), (BookSide::Ask, ask)] {
            for level in levels {
                let (price, size) = of(level, symbol);
                let count = if side == BookSide::Bid { level.bid_count } else { level.ask_count }.get();
                if price != PRICE_UNDEFINED && size > 0 {
                    self.events.push(head, Body::Delta(Delta { price, size, count, side }))?;
                }
            }
        }
        // A book that was cleared: a snapshot needs a level to be one, and one without a size is none.
        if self.events.len() == begin + 1 {
            self.events.push(head, Body::Delta(Delta { price: 0, size: 0, count: 0, side: BookSide::Bid }))?;
        }
        let levels = u32::try_from(self.events.len() - begin - 1).unwrap_or(u32::MAX);
        let depth = Depth { levels, snapshot: true, ..Depth::default() };
        if let Some(event) = self.events.get_mut().get_mut(begin) {
            event.body = Body::Depth(depth);
        }
        Ok(())
    }

    fn order(&mut self, order: &Order) -> Result<Option<Skip>, DecodeError> {
        let aggressor = aggressor(order.side).ok_or(self.bad("unknown side"))?;
        if !action(order.action).ok_or(self.bad("unknown action"))? {
            return Ok(Some(Skip::ByOrder));
        }
        let symbol = self.symbol(&order.header)?;
        let head = self.head(&order.header, symbol, order.ts_recv.get(), order.flags, order.sequence.get());
        self.push_trade(head, order.price.get(), order.size.get(), aggressor, symbol)?;
        Ok(None)
    }

    fn status(&mut self, status: &Status) -> Result<Option<Skip>, DecodeError> {
        let state = match (status.action.get(), status.is_trading) {
            (1 | 3, _) => MarketState::PreOpen,
            (2 | 4 | 5, _) => MarketState::Auction,
            (7, _) => MarketState::Trading,
            (8 | 10, _) => MarketState::Halted,
            (9, _) => MarketState::Paused,
            // Before the close trading may go on or not, and the record says which.
            (11, b'Y') => MarketState::Trading,
            (11, b'N') | (12 | 13 | 15, _) => MarketState::Closed,
            // An indicated price, or a change of the rules of short sales: the state is what it was.
            (6 | 14, _) => return Ok(Some(Skip::OtherKind)),
            _ => MarketState::Unknown,
        };
        let symbol = self.symbol(&status.header)?;
        let head = self.head(&status.header, symbol, status.ts_recv.get(), 0, 0);
        self.events.push(head, Body::Status(state))?;
        Ok(None)
    }

    fn read<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, DecodeError> {
        prefix(self.bytes).ok_or(self.bad("length is shorter than the kind needs"))
    }

    fn bad(&self, what: &'static str) -> DecodeError {
        DecodeError::BadLayout { at: self.at, what }
    }

    fn symbol(&mut self, header: &Header) -> Result<Symbol, DecodeError> {
        let mut text = [0; SYMBOL_BYTES];
        let at = digits(&mut text, SYMBOL_BYTES, header.instrument_id.get());
        text[at - 1] = b'.';
        let at = digits(&mut text, at - 1, header.publisher_id.get().into());
        self.symbols.resolve(&text[at..])
    }

    fn head(&self, header: &Header, symbol: Symbol, ts_recv: u64, flags: u8, sequence: u32) -> Head {
        let ts_event = header.ts_event.get();
        Head {
            instrument_id: symbol.id,
            publisher_id: self.publisher_id,
            flags: u32::from(flags) & FLAG_SNAPSHOT,
            ts_event: known(ts_event).unwrap_or(0),
            ts_recv: known(ts_recv).unwrap_or(self.record.ts_recv),
            sequence: sequence.into(),
        }
    }
}

/// Writes a number so that it ends before `end`; where it begins is returned.
fn digits(out: &mut [u8; SYMBOL_BYTES], end: usize, mut value: u32) -> usize {
    let mut at = end;
    loop {
        at -= 1;
        let digit = (value % 10) as u8;
        out[at] = b'0' + digit;
        value /= 10;
        if value == 0 {
            return at;
        }
    }
}

/// Whether an action is a trade; `None` for a letter that is no action.
const fn action(letter: u8) -> Option<bool> {
    match letter {
        b'T' => Some(true),
        b'A' | b'C' | b'F' | b'M' | b'N' | b'R' => Some(false),
        _ => None,
    }
}

const fn aggressor(letter: u8) -> Option<Aggressor> {
    match letter {
        b'B' => Some(Aggressor::Buyer),
        b'A' => Some(Aggressor::Seller),
        b'N' => Some(Aggressor::None),
        _ => None,
    }
}

fn bid(level: &Level, symbol: Symbol) -> (i64, i64) {
    side(level.bid_price.get(), level.bid_size.get(), symbol)
}

fn ask(level: &Level, symbol: Symbol) -> (i64, i64) {
    side(level.ask_price.get(), level.ask_size.get(), symbol)
}

fn side(price: i64, size: u32, symbol: Symbol) -> (i64, i64) {
    if price == PRICE_NONE { (PRICE_UNDEFINED, 0) } else { (price, size_of_units(size, symbol)) }
}

/// A number of whole units at the instrument's exponent; 0 where it is not told.
fn size_of_units(size: u32, symbol: Symbol) -> i64 {
    const { assert!(u32::MAX as i128 * 1_000_000_000 <= i64::MAX as i128) };
    if size == SIZE_NONE { 0 } else { i64::from(size) * 10_i64.pow(symbol.size_scale) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
