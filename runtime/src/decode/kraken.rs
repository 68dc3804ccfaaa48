//! Kraken's spot websocket API, version 1: book, spread, ticker and trade.
//!
//! A message is an array: a channel number that is not looked at, one or two payloads, the channel's name, the pair.
//!
//! | channel | events | sequence |
//! |---|---|---|
//! | `book-N`, `as` and `bs` | depth as a snapshot, then a delta for each level, asks first | none: 0 |
//! | `book-N`, `a`, `b` or both | depth, then a delta for each level, as they stand | none: 0 |
//! | `spread` | a quote | none: 0 |
//! | `ticker` | a quote: `a` and `b`, price and lot volume | none: 0 |
//! | `trade` | a trade for each, without an id: 0 | none: 0 |
//!
//! - `ts_event` is the message's own time, seconds with microseconds: a trade's, a spread's; of a book the latest of its levels. A
//!   ticker has none: 0.
//! - A book has no sequence but a checksum `c` of its ten best levels a side ([`Checksum`]): the host's book is measured by it after
//!   each update. Of an update without levels there is nothing to measure.
//! - The venue tells of `N` levels a side; of those that a better one pushes out it says no more ([`Depth::keeps`]).
//! - `b` and `s` of a trade are the taker's side. A price of 0 in a quote is an empty side: [`PRICE_UNDEFINED`].
//! - An object with an `event` is the connection's own. Other channels (`ohlc-N`, the private ones) are skipped.
//!
//! Source: <https://docs.kraken.com/exchange/api-reference/spot-websocket-v1/book>, the pages beside it, and
//! <https://docs.kraken.com/exchange/guides/websockets/book-checksum-v1>.

use super::decimal::{NumberError, PRICE_SCALE, unsigned_prefix};
use super::error::{DecodeError, Skip};
use super::fields::{Fields, array_at, items};
use super::json::{Kind, Scanner, Token, decimal_of, text_of};
use super::levels::{defined_price, is_far, not_negative};
use super::{Events, Record};
use crate::event::{
    Aggressor, Body, BookSide, CHECKSUM_DIGITS_MAX, Checksum, Delta, Depth, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED,
    Quote, Trade,
};
use crate::instruments::{Symbol, SymbolTable};

/// Digits behind the point of a second that is told in ns.
const NS_SCALE: u32 = 9;
/// Items of a message: two payloads at most.
const ITEMS_MAX: usize = 5;

/// Fields of a book's payload.
const BOOK: [&str; 5] = ["as", "bs", "a", "b", "c"];
const SNAPSHOT_ASKS: usize = 0;
const SNAPSHOT_BIDS: usize = 1;
const ASKS: usize = 2;
const BIDS: usize = 3;
const CHECKSUM: usize = 4;

/// Fields of a ticker's payload.
const TICKER: [&str; 2] = ["a", "b"];

/// Decodes one message; what it skipped is returned.
pub(super) fn decode(
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &mut SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    let mut scanner = Scanner::new(record.value);
    match scanner.peek()? {
        b'{' => return connection(record.value).map(|reason| Some((reason, 1))),
        b'[' => {}
        _ => {
            let at = scanner.value()?.at();
            return Err(DecodeError::BadType { field: "record", at, expected: "a JSON array or object" });
        }
    }
    let mut tokens = [Token::default(); ITEMS_MAX];
    let mut len = 0_usize;
    let mut more = scanner.array()?;
    while more {
        let token = scanner.value()?;
        if let Some(slot) = tokens.get_mut(len) {
            *slot = token;
        }
        len += 1;
        more = scanner.another_item()?;
    }
    scanner.end()?;
    let other = Ok(Some((Skip::OtherKind, 1)));
    let Some([_, payloads @ .., channel, pair]) = tokens.get(..len) else { return other };
    if channel.kind() != Kind::Text || pair.kind() != Kind::Text {
        return other;
    }
    let mut message = Message { publisher_id, record, symbols, events, pair: *pair };
    match (channel.of(record.value), payloads) {
        (b"trade", [trades]) => message.trades(*trades)?,
        (b"spread", [spread]) => message.spread(*spread)?,
        (b"ticker", [ticker]) => message.ticker(*ticker)?,
        (name, payloads) => match levels_of(name) {
            Some(keeps) => message.book(keeps, payloads)?,
            None => return other,
        },
    }
    // Of the channels here only `trade` can hold nothing.
    if message.events.len() == 0 { other } else { Ok(None) }
}

/// What an object is: never market data.
fn connection(record: &[u8]) -> Result<Skip, DecodeError> {
    let fields = Fields::of_record(record, &["event"])?;
    if !fields.has(0) {
        return Ok(Skip::OtherKind);
    }
    Ok(match fields.text(0)? {
        b"heartbeat" | b"systemStatus" | b"subscriptionStatus" | b"pong" | b"error" => Skip::Control,
        _ => Skip::OtherKind,
    })
}

/// Levels a side that a book's channel tells of, by its name; 0 where it does not say.
fn levels_of(channel: &[u8]) -> Option<u32> {
    match channel.strip_prefix(b"book")? {
        b"" => Some(0),
        [b'-', digits @ ..] => match unsigned_prefix(digits, 0) {
            Ok((levels, end)) if end == digits.len() => u32::try_from(levels).ok(),
            _ => None,
        },
        _ => None,
    }
}

struct Message<'a, 'm, 'o> {
    publisher_id: u32,
    record: &'m Record<'a>,
    symbols: &'m mut SymbolTable,
    events: &'m mut Events<'o>,
    pair: Token,
}

/// What is found out about a book's message while its levels are read.
#[derive(Default)]
struct Found {
    ts_event: u64,
    /// Digits behind the point of the first level's price and size.
    digits: Option<(usize, usize)>,
    /// The checksum and where it stands.
    crc32: Option<(u32, usize)>,
    snapshot: bool,
}

impl<'a> Message<'a, '_, '_> {
    fn trades(&mut self, trades: Token) -> Result<(), DecodeError> {
        const EXPECTED: &str = "arrays of a price, a volume, a time and a side";
        let symbol = self.symbol()?;
        let value = self.record.value;
        let mut scanner = array_at(trades, value, "trade", EXPECTED)?;
        let mut more = scanner.array()?;
        while more {
            let [price, size, time, side] = items(&mut scanner, "trade", EXPECTED)?;
            let aggressor = match text_of(side, value, "trade")? {
                b"b" => Aggressor::Buyer,
                b"s" => Aggressor::Seller,
                _ => return Err(DecodeError::BadType { field: "trade", at: side.at(), expected: "`b` or `s`" }),
            };
            let head = self.head(symbol, self.time(time, "trade")?, 0);
            let (price, size) = (self.price(price, "trade")?, self.size(size, "trade", symbol)?);
            self.events.push(head, Body::Trade(Trade { price, size, trade_id: 0, aggressor }))?;
            more = scanner.another_item()?;
        }
        Ok(())
    }

    fn spread(&mut self, spread: Token) -> Result<(), DecodeError> {
        const EXPECTED: &str = "an array of bid, ask, time, bid volume and ask volume";
        let symbol = self.symbol()?;
        let mut scanner = array_at(spread, self.record.value, "spread", EXPECTED)?;
        let [bid, ask, time, bid_size, ask_size] = items(&mut scanner, "spread", EXPECTED)?;
        let head = self.head(symbol, self.time(time, "spread")?, 0);
        self.quote(symbol, head, (bid, bid_size, "spread"), (ask, ask_size, "spread"))
    }

    fn ticker(&mut self, ticker: Token) -> Result<(), DecodeError> {
        const EXPECTED: &str = "an array of a price, a whole lot volume and a lot volume";
        let symbol = self.symbol()?;
        let fields = self.fields(ticker, "ticker", &TICKER)?;
        let side = |field: usize| {
            let mut scanner = fields.array(field, EXPECTED)?;
            let [price, _, size] = items(&mut scanner, TICKER[field], EXPECTED)?;
            Ok((price, size, TICKER[field]))
        };
        let (ask, bid) = (side(0)?, side(1)?);
        let head = self.head(symbol, 0, 0);
        self.quote(symbol, head, bid, ask)
    }

    /// The quote of two sides, each a price, a size and the field that they stand in.
    fn quote(
        &mut self,
        symbol: Symbol,
        head: Head,
        bid: (Token, Token, &'static str),
        ask: (Token, Token, &'static str),
    ) -> Result<(), DecodeError> {
        let side = |(price, size, field)| {
            let (price, size) = (self.price(price, field)?, self.size(size, field, symbol)?);
            Ok(if price == 0 { (PRICE_UNDEFINED, 0) } else { (price, size) })
        };
        let ((bid_price, bid_size), (ask_price, ask_size)) = (side(bid)?, side(ask)?);
        let quote = Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 };
        self.events.push(head, Body::Quote(quote))
    }

    fn book(&mut self, keeps: u32, payloads: &[Token]) -> Result<(), DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, 0, 0);
        self.events.push(head, Body::Depth(Depth::default()))?;
        let mut found = Found::default();
        let mut seen = [false; BOOK.len()];
        for payload in payloads {
            let fields = self.fields(*payload, "book", &BOOK)?;
            for (field, seen) in seen.iter_mut().enumerate() {
                if fields.has(field) && std::mem::replace(seen, true) {
                    return Err(DecodeError::DuplicateField { field: BOOK[field], at: fields.token(field).at() });
                }
            }
            for (field, side) in [
                (SNAPSHOT_ASKS, BookSide::Ask),
                (SNAPSHOT_BIDS, BookSide::Bid),
                (ASKS, BookSide::Ask),
                (BIDS, BookSide::Bid),
            ] {
                if fields.has(field) {
                    self.levels(&fields, field, side, symbol, &mut found)?;
                }
            }
            if fields.has(CHECKSUM) {
                let token = fields.token(CHECKSUM);
                found.crc32 = Some((crc32_of(token, self.record.value)?, token.at()));
            }
        }
        let [snapshot_asks, snapshot_bids, asks, bids, checksum] = seen;
        found.snapshot = snapshot_asks || snapshot_bids;
        if found.snapshot && (asks || bids || checksum) {
            let at = self.pair.at();
            return Err(DecodeError::BadType { field: "book", at, expected: "a snapshot or an update, not both" });
        }
        if found.snapshot && !(snapshot_asks && snapshot_bids) {
            let field = if snapshot_asks { BOOK[SNAPSHOT_BIDS] } else { BOOK[SNAPSHOT_ASKS] };
            return Err(DecodeError::MissingField { field });
        }
        if !(found.snapshot || asks || bids) {
            return Err(DecodeError::MissingField { field: BOOK[ASKS] });
        }
        self.finish(keeps, symbol, &found)
    }

    /// Gives the message's events the head that only all of its levels tell.
    fn finish(&mut self, keeps: u32, symbol: Symbol, found: &Found) -> Result<(), DecodeError> {
        let head = self.head(symbol, found.ts_event, if found.snapshot { FLAG_SNAPSHOT } else { 0 });
        for event in self.events.get_mut() {
            event.head = head;
        }
        let checksum = match (found.crc32, found.digits) {
            (Some((crc32, at)), Some((price, size))) => {
                let out_of_range = DecodeError::OutOfRange { field: BOOK[CHECKSUM], at };
                let price_shift = shift(price, PRICE_SCALE).ok_or(out_of_range)?;
                let size_shift = shift(size, symbol.size_scale).ok_or(out_of_range)?;
                Some(Checksum { crc32, price_shift, size_shift })
            }
            _ => None,
        };
        self.events.begin_depth(Depth { snapshot: found.snapshot, keeps, checksum, ..Depth::default() });
        Ok(())
    }

    fn levels(
        &mut self,
        fields: &Fields<'_, { BOOK.len() }>,
        field: usize,
        side: BookSide,
        symbol: Symbol,
        found: &mut Found,
    ) -> Result<(), DecodeError> {
        const EXPECTED: &str = "arrays of a price, a volume and a time";
        let name = BOOK[field];
        let head = self.head(symbol, 0, 0);
        let mut scanner = fields.array(field, EXPECTED)?;
        let mut more = scanner.array()?;
        while more {
            let [price, size, time] = items(&mut scanner, name, EXPECTED)?;
            found.ts_event = found.ts_event.max(self.time(time, name)?);
            if found.digits.is_none() {
                let value = self.record.value;
                found.digits = Some((digits_behind_point(price.of(value)), digits_behind_point(size.of(value))));
            }
            let size = self.size(size, name, symbol)?;
            match self.price(price, name) {
                Err(DecodeError::OutOfRange { .. }) if is_far(side, price.of(self.record.value)) => {
                    self.events.far_levels += 1;
                }
                price => self.events.push(head, Body::Delta(Delta { price: price?, size, count: 0, side }))?,
            }
            more = scanner.another_item()?;
        }
        Ok(())
    }

    fn symbol(&mut self) -> Result<Symbol, DecodeError> {
        self.symbols.resolve(self.pair.of(self.record.value))
    }

    fn fields<const N: usize>(
        &self,
        payload: Token,
        field: &'static str,
        names: &'static [&'static str; N],
    ) -> Result<Fields<'a, N>, DecodeError> {
        if payload.kind() != Kind::Object {
            return Err(DecodeError::BadType { field, at: payload.at(), expected: "an object" });
        }
        Fields::read(&mut Scanner::new(self.record.value).again(payload), self.record.value, names)
    }

    fn head(&self, symbol: Symbol, ts_event: u64, flags: u32) -> Head {
        Head {
            instrument_id: symbol.id,
            publisher_id: self.publisher_id,
            flags,
            ts_event,
            ts_recv: self.record.ts_recv,
            sequence: 0,
        }
    }

    /// Seconds since the Unix epoch, in ns.
    fn time(&self, token: Token, field: &'static str) -> Result<u64, DecodeError> {
        let ns = decimal_of(token, self.record.value, field, NS_SCALE)?;
        u64::try_from(ns).map_err(|_| DecodeError::OutOfRange { field, at: token.at() })
    }

    fn price(&self, token: Token, field: &'static str) -> Result<i64, DecodeError> {
        defined_price(decimal_of(token, self.record.value, field, PRICE_SCALE)?, field, token.at())
    }

    fn size(&self, token: Token, field: &'static str, symbol: Symbol) -> Result<i64, DecodeError> {
        not_negative(decimal_of(token, self.record.value, field, symbol.size_scale)?, field, token.at())
    }
}

fn digits_behind_point(number: &[u8]) -> usize {
    number.iter().rev().position(|byte| *byte == b'.').unwrap_or_default()
}

/// How many digits of the wire a held number lacks; negative where it has more. `None` beyond [`CHECKSUM_DIGITS_MAX`].
fn shift(digits: usize, scale: u32) -> Option<i8> {
    let digits = i8::try_from(digits).ok().filter(|digits| *digits <= CHECKSUM_DIGITS_MAX)?;
    digits.checked_sub(i8::try_from(scale).ok()?)
}

/// A checksum: the decimal digits of 32 bits, in quotes.
fn crc32_of(token: Token, record: &[u8]) -> Result<u32, DecodeError> {
    let (field, at) = (BOOK[CHECKSUM], token.at());
    let text = text_of(token, record, field)?;
    match unsigned_prefix(text, 0) {
        Ok((value, end)) if end == text.len() => {
            u32::try_from(value).map_err(|_| DecodeError::OutOfRange { field, at })
        }
        Err(NumberError::Range) => Err(DecodeError::OutOfRange { field, at }),
        _ => Err(DecodeError::BadNumber { field, at }),
    }
}

#[cfg(test)]
#[path = "kraken_tests.rs"]
mod tests;
