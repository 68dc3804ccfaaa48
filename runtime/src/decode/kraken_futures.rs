//! Kraken Futures' websocket API, version 1: book, trade, ticker and ticker_lite.
//!
//! | message | events | sequence |
//! |---|---|---|
//! | `book_snapshot` | depth as a snapshot, then a delta for each level, bids first | `seq` |
//! | `book` | depth and its one delta; it follows `seq` - 1 | `seq` |
//! | `trade` of type `fill` or `liquidation` | a trade; its id is `seq` too, `uid` does not fit 64 bits | `seq` |
//! | `ticker` | a quote | none: 0 |
//! | `ticker_lite` | a quote, without sizes: 0 | none: 0 |
//!
//! - `ts_event` is `timestamp` of a book, `time` of a trade or a ticker, ms made ns; a `ticker_lite` has none: 0.
//! - Numbers are JSON numbers as programs print floats, an exponent included. The digits count, not a float.
//! - `side` of a trade is the taker's. A `bid` or `ask` of 0 or `null` is an empty side: [`PRICE_UNDEFINED`].
//! - Trades of type `assignment`, `termination` and `block` are made outside the book: skipped.
//! - `trade_snapshot` repeats, at each subscription, trades from before it: skipped, or they would be taken for new.
//! - A message with an `event`, and `heartbeat`, are the connection's own. Other feeds are skipped.
//!
//! Source: <https://docs.kraken.com/exchange/api-reference/futures-websocket/book> and the pages beside it.

use super::decimal::PRICE_SCALE;
use super::error::{DecodeError, Skip};
use super::fields::Fields;
use super::json::float_of;
use super::levels::{defined_price, not_negative};
use super::{Events, Record};
use crate::event::{Aggressor, Body, BookSide, Delta, Depth, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade};
use crate::instruments::{Symbol, SymbolTable};

const NAMES: [&str; 16] = [
    "event",
    "feed",
    "product_id",
    "seq",
    "timestamp",
    "time",
    "side",
    "type",
    "price",
    "qty",
    "bids",
    "asks",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
];
const EVENT: usize = 0;
const FEED: usize = 1;
const PRODUCT_ID: usize = 2;
const SEQUENCE: usize = 3;
const TIMESTAMP: usize = 4;
const TIME: usize = 5;
const SIDE: usize = 6;
const KIND: usize = 7;
const PRICE: usize = 8;
const SIZE: usize = 9;
const BIDS: usize = 10;
const ASKS: usize = 11;
const BID: usize = 12;
const BID_SIZE: usize = 13;
const ASK: usize = 14;
const ASK_SIZE: usize = 15;

/// Fields of a snapshot's level.
const LEVEL: [&str; 2] = ["price", "qty"];

/// Decodes one message; what it skipped is returned.
pub(super) fn decode(
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &mut SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    let fields = Fields::of_record(record.value, &NAMES)?;
    if fields.has(EVENT) {
        return Ok(Some((Skip::Control, 1)));
    }
    let mut message = Message { publisher_id, record, symbols, events, fields };
    let skipped = match fields.text(FEED)? {
        b"book" => message.update()?,
        b"book_snapshot" => message.snapshot()?,
        b"trade" => message.trade()?,
        b"ticker" => message.quote(true)?,
        b"ticker_lite" => message.quote(false)?,
        b"trade_snapshot" => Some(Skip::PastTrade),
        b"heartbeat" => Some(Skip::Control),
        _ => Some(Skip::OtherKind),
    };
    Ok(skipped.map(|reason| (reason, 1)))
}

struct Message<'a, 'm, 'o> {
    publisher_id: u32,
    record: &'m Record<'a>,
    symbols: &'m mut SymbolTable,
    events: &'m mut Events<'o>,
    fields: Fields<'a, { NAMES.len() }>,
}

impl Message<'_, '_, '_> {
    fn update(&mut self) -> Result<Option<Skip>, DecodeError> {
        let symbol = self.symbol()?;
        let first = self.fields.unsigned(SEQUENCE)?;
        let at = self.fields.token(SEQUENCE).at();
        let follows = first.checked_sub(1).ok_or(DecodeError::OutOfRange { field: NAMES[SEQUENCE], at })?;
        let head = self.head(symbol, first, self.fields.millis(TIMESTAMP)?, 0);
        let side = match self.fields.text(SIDE)? {
            b"buy" => BookSide::Bid,
            b"sell" => BookSide::Ask,
            _ => return Err(self.fields.bad(SIDE, "`buy` or `sell`")),
        };
        let (price, size) = (self.price(PRICE)?, self.size(SIZE, symbol)?);
        self.events.push(head, Body::Depth(Depth { first, follows, levels: 1, ..Depth::default() }))?;
        self.events.push(head, Body::Delta(Delta { price, size, count: 0, side }))?;
        Ok(None)
    }

    fn snapshot(&mut self) -> Result<Option<Skip>, DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, self.fields.unsigned(SEQUENCE)?, self.fields.millis(TIMESTAMP)?, FLAG_SNAPSHOT);
        self.events.push(head, Body::Depth(Depth::default()))?;
        self.levels(BIDS, BookSide::Bid, head, symbol)?;
        self.levels(ASKS, BookSide::Ask, head, symbol)?;
        self.events.begin_depth(Depth { snapshot: true, ..Depth::default() });
        Ok(None)
    }

    fn levels(&mut self, field: usize, side: BookSide, head: Head, symbol: Symbol) -> Result<(), DecodeError> {
        const EXPECTED: &str = "an array of objects";
        let value = self.record.value;
        let mut scanner = self.fields.array(field, EXPECTED)?;
        let mut more = scanner.array()?;
        while more {
            if scanner.peek()? != b'{' {
                let at = scanner.position();
                return Err(DecodeError::BadType { field: NAMES[field], at, expected: EXPECTED });
            }
            let level = Fields::read(&mut scanner, value, &LEVEL)?;
            let [price, size] = [level.token(0), level.token(1)];
            let number = float_of(price, value, LEVEL[0], PRICE_SCALE)?;
            let price = defined_price(number, LEVEL[0], price.at())?;
            let number = float_of(size, value, LEVEL[1], symbol.size_scale)?;
            let size = not_negative(number, LEVEL[1], size.at())?;
            self.events.push(head, Body::Delta(Delta { price, size, count: 0, side }))?;
            more = scanner.another_item()?;
        }
        Ok(())
    }

    fn trade(&mut self) -> Result<Option<Skip>, DecodeError> {
        match self.fields.text(KIND)? {
            b"fill" | b"liquidation" => {}
            b"assignment" | b"termination" | b"block" => return Ok(Some(Skip::OffBookTrade)),
            _ => return Ok(Some(Skip::OtherKind)),
        }
        let symbol = self.symbol()?;
        let trade_id = self.fields.unsigned(SEQUENCE)?;
        let head = self.head(symbol, trade_id, self.fields.millis(TIME)?, 0);
        let aggressor = match self.fields.text(SIDE)? {
            b"buy" => Aggressor::Buyer,
            b"sell" => Aggressor::Seller,
            _ => return Err(self.fields.bad(SIDE, "`buy` or `sell`")),
        };
        let (price, size) = (self.price(PRICE)?, self.size(SIZE, symbol)?);
        self.events.push(head, Body::Trade(Trade { price, size, trade_id, aggressor }))?;
        Ok(None)
    }

    /// A ticker; the lite one has neither a time nor sizes.
    fn quote(&mut self, full: bool) -> Result<Option<Skip>, DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, 0, if full { self.fields.millis(TIME)? } else { 0 }, 0);
        let side = |price, size| {
            if self.fields.is_null(price) {
                return Ok((PRICE_UNDEFINED, 0));
            }
            let price = self.price(price)?;
            let size = if full { self.size(size, symbol)? } else { 0 };
            Ok(if price == 0 { (PRICE_UNDEFINED, 0) } else { (price, size) })
        };
        let (bid_price, bid_size) = side(BID, BID_SIZE)?;
        let (ask_price, ask_size) = side(ASK, ASK_SIZE)?;
        let quote = Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 };
        self.events.push(head, Body::Quote(quote))?;
        Ok(None)
    }

    fn symbol(&mut self) -> Result<Symbol, DecodeError> {
        self.symbols.resolve(self.fields.text(PRODUCT_ID)?)
    }

    fn head(&self, symbol: Symbol, sequence: u64, ts_event: u64, flags: u32) -> Head {
        Head {
            instrument_id: symbol.id,
            publisher_id: self.publisher_id,
            flags,
            ts_event,
            ts_recv: self.record.ts_recv,
            sequence,
        }
    }

    fn price(&self, field: usize) -> Result<i64, DecodeError> {
        let token = self.fields.token(field);
        defined_price(float_of(token, self.record.value, NAMES[field], PRICE_SCALE)?, NAMES[field], token.at())
    }

    fn size(&self, field: usize, symbol: Symbol) -> Result<i64, DecodeError> {
        let token = self.fields.token(field);
        not_negative(float_of(token, self.record.value, NAMES[field], symbol.size_scale)?, NAMES[field], token.at())
    }
}

#[cfg(test)]
#[path = "kraken_futures_tests.rs"]
mod tests;
