//! Coinbase Exchange's websocket feed: level2, ticker and matches.
//!
//! | message | events | sequence |
//! |---|---|---|
//! | `snapshot` | depth as a snapshot, then a delta for each level, bids first | none: 0 |
//! | `l2update` | depth, then a delta for each change, as they stand | none: 0 |
//! | `ticker` | a quote | `sequence` |
//! | `match` | a trade | `sequence` |
//!
//! - `ts_event` is `time`, RFC 3339 in UTC: the venue writes microseconds, and digits down to the nanosecond are taken. A
//!   snapshot may have none, and a ticker of a product that has not traded: 0.
//! - Level2 has no sequence. The venue guarantees its delivery, and a lost update cannot be seen in the book.
//! - `side` of a match is the maker's: `sell` means that a buyer took.
//! - A ticker says the best bid and ask after a trade; that trade is told by `match`. Old feeds say no sizes: 0 then. A price of 0 is
//!   an empty side: [`PRICE_UNDEFINED`].
//! - `last_match` repeats, at each subscription, a trade from before it: skipped, or it would be taken for new.
//! - `subscriptions`, `heartbeat` and `error` are the connection's own; other kinds (`status`, the full channel's orders) are
//!   skipped too.
//!
//! Source: <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels>.

use super::decimal::PRICE_SCALE;
use super::error::{DecodeError, Skip};
use super::fields::{Fields, items};
use super::json::{decimal_of, text_of};
use super::levels::{defined_price, is_far, levels, not_negative};
use super::{Events, Record, time};
use crate::event::{Aggressor, Body, BookSide, Delta, Depth, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade};
use crate::instruments::{Symbol, SymbolTable};

const NAMES: [&str; 15] = [
    "type",
    "product_id",
    "time",
    "sequence",
    "changes",
    "bids",
    "asks",
    "best_bid",
    "best_bid_size",
    "best_ask",
    "best_ask_size",
    "trade_id",
    "price",
    "size",
    "side",
];
const KIND: usize = 0;
const PRODUCT_ID: usize = 1;
const TIME: usize = 2;
const SEQUENCE: usize = 3;
const CHANGES: usize = 4;
const BIDS: usize = 5;
const ASKS: usize = 6;
const BEST_BID: usize = 7;
const BEST_BID_SIZE: usize = 8;
const BEST_ASK: usize = 9;
const BEST_ASK_SIZE: usize = 10;
const TRADE_ID: usize = 11;
const PRICE: usize = 12;
const SIZE: usize = 13;
const SIDE: usize = 14;

/// Decodes one message; what it skipped is returned.
pub(super) fn decode(
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &mut SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    let fields = Fields::of_record(record.value, &NAMES)?;
    let mut message = Message { publisher_id, record, symbols, events, fields };
    match message.fields.text(KIND)? {
        b"l2update" => message.update()?,
        b"snapshot" => message.snapshot()?,
        b"ticker" => message.quote()?,
        b"match" => message.trade()?,
        b"last_match" => return Ok(Some((Skip::PastTrade, 1))),
        b"subscriptions" | b"heartbeat" | b"error" => return Ok(Some((Skip::Control, 1))),
        _ => return Ok(Some((Skip::OtherKind, 1))),
    }
    Ok(None)
}

struct Message<'a, 'm, 'o> {
    publisher_id: u32,
    record: &'m Record<'a>,
    symbols: &'m mut SymbolTable,
    events: &'m mut Events<'o>,
    fields: Fields<'a, { NAMES.len() }>,
}

impl Message<'_, '_, '_> {
    fn update(&mut self) -> Result<(), DecodeError> {
        const EXPECTED: &str = "arrays of a side, a price and a size";
        let symbol = self.symbol()?;
        let head = self.head(symbol, 0, self.time(true)?, 0);
        let mut scanner = self.fields.array(CHANGES, EXPECTED)?;
        self.events.push(head, Body::Depth(Depth::default()))?;
        let mut more = scanner.array()?;
        while more {
            let [side, price, size] = items(&mut scanner, NAMES[CHANGES], EXPECTED)?;
            let value = self.record.value;
            let side = match text_of(side, value, NAMES[CHANGES])? {
                b"buy" => BookSide::Bid,
                b"sell" => BookSide::Ask,
                _ => {
                    let at = side.at();
                    return Err(DecodeError::BadType { field: NAMES[CHANGES], at, expected: "`buy` or `sell`" });
                }
            };
            let number = decimal_of(size, value, NAMES[CHANGES], symbol.size_scale)?;
            let size = not_negative(number, NAMES[CHANGES], size.at())?;
            match decimal_of(price, value, NAMES[CHANGES], PRICE_SCALE) {
                Err(DecodeError::OutOfRange { .. }) if is_far(side, price.of(value)) => self.events.far_levels += 1,
                number => {
                    let price = defined_price(number?, NAMES[CHANGES], price.at())?;
                    self.events.push(head, Body::Delta(Delta { price, size, count: 0, side }))?;
                }
            }
            more = scanner.another_item()?;
        }
        self.events.begin_depth(Depth::default());
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), DecodeError> {
        const EXPECTED: &str = "an array of levels";
        let symbol = self.symbol()?;
        let head = self.head(symbol, 0, self.time(false)?, FLAG_SNAPSHOT);
        self.events.push(head, Body::Depth(Depth::default()))?;
        for (field, side) in [(BIDS, BookSide::Bid), (ASKS, BookSide::Ask)] {
            let mut scanner = self.fields.array(field, EXPECTED)?;
            levels(&mut scanner, NAMES[field], side, head, symbol.size_scale, self.events)?;
        }
        self.events.begin_depth(Depth { snapshot: true, ..Depth::default() });
        Ok(())
    }

    fn quote(&mut self) -> Result<(), DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, self.fields.unsigned(SEQUENCE)?, self.time(false)?, 0);
        let side = |price, size| {
            let price = self.price(price)?;
            let size = if self.fields.has(size) { self.size(size, symbol.size_scale)? } else { 0 };
            Ok(if price == 0 { (PRICE_UNDEFINED, 0) } else { (price, size) })
        };
        let (bid_price, bid_size) = side(BEST_BID, BEST_BID_SIZE)?;
        let (ask_price, ask_size) = side(BEST_ASK, BEST_ASK_SIZE)?;
        let quote = Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 };
        self.events.push(head, Body::Quote(quote))
    }

    fn trade(&mut self) -> Result<(), DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, self.fields.unsigned(SEQUENCE)?, self.time(true)?, 0);
        let aggressor = match self.fields.text(SIDE)? {
            b"sell" => Aggressor::Buyer,
            b"buy" => Aggressor::Seller,
            _ => return Err(self.fields.bad(SIDE, "`buy` or `sell`")),
        };
        let (price, size) = (self.price(PRICE)?, self.size(SIZE, symbol.size_scale)?);
        let trade_id = self.fields.unsigned(TRADE_ID)?;
        self.events.push(head, Body::Trade(Trade { price, size, trade_id, aggressor }))
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

    fn time(&self, required: bool) -> Result<u64, DecodeError> {
        if !required && !self.fields.has(TIME) {
            return Ok(0);
        }
        time::utc_of(self.fields.token(TIME), self.record.value, NAMES[TIME])
    }

    fn price(&self, field: usize) -> Result<i64, DecodeError> {
        let token = self.fields.token(field);
        defined_price(decimal_of(token, self.record.value, NAMES[field], PRICE_SCALE)?, NAMES[field], token.at())
    }

    fn size(&self, field: usize, size_scale: u32) -> Result<i64, DecodeError> {
        let token = self.fields.token(field);
        not_negative(decimal_of(token, self.record.value, NAMES[field], size_scale)?, NAMES[field], token.at())
    }
}

#[cfg(test)]
#[path = "coinbase_tests.rs"]
mod tests;
