//! An in-house feed's JSON, by the map that its input declares ([`FieldMap`]): one quote or one trade to a record.
//!
//! - A number may be bare, also as programs print floats (`1e-05`), or in quotes and plain; it is read from its digits, exact or
//!   refused.
//! - A mapped field must be there, but for the two sides of a quote: a price that is 0, null or absent is an empty side.
//! - A record whose `kind` is neither of the words is skipped.
//! - Names in errors are the map's own (`quote.bidPrice`); places are bytes of the record. Text is compared and taken as it stands:
//!   an escape is not resolved.

use pinion_spec::field_map::{FieldMap, SideOf};

use super::decimal::{NumberError, PRICE_SCALE, unsigned_prefix};
use super::error::{DecodeError, Skip};
use super::json::{Kind, Scanner, Token, decimal_of, float_of, text_of};
use super::levels::{defined_price, not_negative};
use super::{Events, Record};
use crate::event::{Aggressor, Body, Head, PRICE_UNDEFINED, Quote, Trade};
use crate::instruments::{Symbol, SymbolTable};

/// Everything that a map may place, by its name there.
const LEAVES: [&str; 12] = [
    "symbol",
    "time",
    "sequence",
    "kind",
    "quote.bidPrice",
    "quote.bidSize",
    "quote.askPrice",
    "quote.askSize",
    "trade.price",
    "trade.size",
    "trade.side",
    "trade.id",
];
const SYMBOL: usize = 0;
const TIME: usize = 1;
const SEQUENCE: usize = 2;
const KIND: usize = 3;
const BID_PRICE: usize = 4;
const BID_SIZE: usize = 5;
const ASK_PRICE: usize = 6;
const ASK_SIZE: usize = 7;
const PRICE: usize = 8;
const SIZE: usize = 9;
const SIDE: usize = 10;
const ID: usize = 11;

/// Leaves, a bit each.
type Leaves = u16;
const _: () = assert!(LEAVES.len() <= Leaves::BITS as usize);

type Tokens = [Token; LEAVES.len()];

/// One step of a place.
#[derive(Debug, Clone)]
struct Step {
    name: Box<[u8]>,
    /// The name as the number of an item, where it is one.
    item: Option<usize>,
}

/// A field map, ready to decode by.
#[derive(Debug, Clone)]
pub(super) struct Map {
    /// The place of each leaf; none: not mapped.
    places: [Vec<Step>; LEAVES.len()],
    mapped: Leaves,
    time_scale: u32,
    /// What `kind` holds for quotes; `None` where there are no quotes, empty where every record is one.
    quotes: Option<Box<[u8]>>,
    trades: Option<Box<[u8]>>,
    buy: Box<[u8]>,
    sell: Box<[u8]>,
    side_of: SideOf,
}

impl Map {
    /// The map of an input that was found good.
    pub(super) fn new(map: &FieldMap) -> Self {
        let (quote, trade) = (map.quote.as_ref(), map.trade.as_ref());
        let places = [
            Some(&map.symbol),
            map.time.as_ref(),
            map.sequence.as_ref(),
            map.kind.as_ref(),
            quote.map(|quote| &quote.bid_price),
            quote.and_then(|quote| quote.bid_size.as_ref()),
            quote.map(|quote| &quote.ask_price),
            quote.and_then(|quote| quote.ask_size.as_ref()),
            trade.map(|trade| &trade.price),
            trade.map(|trade| &trade.size),
            trade.and_then(|trade| trade.side.as_ref()),
            trade.and_then(|trade| trade.id.as_ref()),
        ];
        let places = places.map(|place| place.map_or_else(Vec::new, |place| steps(place)));
        let bits = places.iter().enumerate().filter(|(_, place)| !place.is_empty()).map(|(leaf, _)| 1 << leaf);
        let word = |word: Option<&String>| word.map_or_else(Box::default, |word| word.as_bytes().into());
        Self {
            mapped: bits.sum(),
            places,
            time_scale: map.time_unit.map_or(0, pinion_spec::field_map::TimeUnit::ns_digits),
            quotes: quote.map(|quote| word(quote.when.as_ref())),
            trades: trade.map(|trade| word(trade.when.as_ref())),
            buy: word(trade.and_then(|trade| trade.buy.as_ref())),
            sell: word(trade.and_then(|trade| trade.sell.as_ref())),
            side_of: trade.map_or_else(SideOf::default, |trade| trade.side_of),
        }
    }

    /// Decodes one record; what it skipped is returned.
    pub(super) fn decode(
        &self,
        publisher_id: u32,
        record: &Record<'_>,
        symbols: &mut SymbolTable,
        events: &mut Events<'_>,
    ) -> Result<Option<(Skip, u32)>, DecodeError> {
        let mut scanner = Scanner::new(record.value);
        if !matches!(scanner.peek()?, b'{' | b'[') {
            let at = scanner.value()?.at();
            return Err(DecodeError::BadType { field: "record", at, expected: "a JSON object or array" });
        }
        let mut tokens = [Token::default(); LEAVES.len()];
        self.walk(&mut scanner, record.value, 0, self.mapped, &mut tokens)?;
        scanner.end()?;
        let found = Found { map: self, value: record.value, tokens };
        let kind = if self.mapped & (1 << KIND) == 0 { &[][..] } else { found.word(KIND)? };
        let is = |word: &Option<Box<[u8]>>| word.as_deref() == Some(kind);
        let (quote, trade) = (is(&self.quotes), is(&self.trades));
        if !quote && !trade {
            return Ok(Some((Skip::OtherKind, 1)));
        }
        let symbol = symbols.resolve(text_of(found.token(SYMBOL), record.value, LEAVES[SYMBOL])?)?;
        let head = Head {
            instrument_id: symbol.id,
            publisher_id,
            flags: 0,
            ts_event: found.time()?,
            ts_recv: record.ts_recv,
            sequence: found.unsigned(SEQUENCE)?,
        };
        let body = if quote { found.quote(symbol)? } else { found.trade(symbol)? };
        events.push(head, body)?;
        Ok(None)
    }

    /// Reads the value that comes next and notes the leaves `of` that lie in it. As deep as the longest place.
    fn walk(
        &self,
        scanner: &mut Scanner<'_>,
        value: &[u8],
        depth: usize,
        of: Leaves,
        tokens: &mut Tokens,
    ) -> Result<(), DecodeError> {
        match scanner.peek()? {
            b'{' => {
                let mut more = scanner.object()?;
                while more {
                    let name = scanner.name()?;
                    let text = name.of(value);
                    let here = self.leaves(of, |place| place.get(depth).is_some_and(|step| *step.name == *text));
                    self.take(scanner, value, depth, here, name.at(), tokens)?;
                    more = scanner.another_field()?;
                }
            }
            b'[' => {
                let mut more = scanner.array()?;
                let mut item = 0;
                while more {
                    let here = self.leaves(of, |place| place.get(depth).is_some_and(|step| step.item == Some(item)));
                    let at = scanner.position();
                    self.take(scanner, value, depth, here, at, tokens)?;
                    item += 1;
                    more = scanner.another_item()?;
                }
            }
            // A place that goes on where the record does not: its leaf is absent.
            _ => drop(scanner.value()?),
        }
        Ok(())
    }

    /// Steps over the value of a field or an item; `here` are the leaves that are it or lie in it.
    fn take(
        &self,
        scanner: &mut Scanner<'_>,
        value: &[u8],
        depth: usize,
        here: Leaves,
        at: usize,
        tokens: &mut Tokens,
    ) -> Result<(), DecodeError> {
        let ends = self.leaves(here, |place| place.len() == depth + 1);
        let inside = here & !ends;
        let mut again = scanner.clone();
        let token = scanner.value()?;
        for (leaf, slot) in tokens.iter_mut().enumerate().filter(|(leaf, _)| ends & (1 << leaf) != 0) {
            if slot.is_some() {
                return Err(DecodeError::DuplicateField { field: LEAVES[leaf], at });
            }
            *slot = token;
        }
        if inside == 0 { Ok(()) } else { self.walk(&mut again, value, depth + 1, inside, tokens) }
    }

    fn leaves(&self, of: Leaves, is: impl Fn(&[Step]) -> bool) -> Leaves {
        let bits = (0..LEAVES.len()).map(|leaf| 1 << leaf).filter(|bit| of & bit != 0);
        bits.filter(|bit| is(&self.places[bit.trailing_zeros() as usize])).sum()
    }
}

fn steps(place: &str) -> Vec<Step> {
    let names = place.split('/').skip(1);
    names.map(|name| Step { name: name.as_bytes().into(), item: name.parse().ok() }).collect()
}

/// The leaves of one record.
struct Found<'a> {
    map: &'a Map,
    value: &'a [u8],
    tokens: Tokens,
}

impl<'a> Found<'a> {
    /// Where a leaf lies; absent also where it is null.
    fn token(&self, leaf: usize) -> Token {
        let token = self.tokens[leaf];
        if token.kind() == Kind::Null { Token::default() } else { token }
    }

    fn is_mapped(&self, leaf: usize) -> bool {
        self.map.mapped & (1 << leaf) != 0
    }

    fn bad(&self, leaf: usize, expected: &'static str) -> DecodeError {
        let (field, token) = (LEAVES[leaf], self.token(leaf));
        if token.is_some() {
            DecodeError::BadType { field, at: token.at(), expected }
        } else {
            DecodeError::MissingField { field }
        }
    }

    /// Text, or a number as it is written.
    fn word(&self, leaf: usize) -> Result<&'a [u8], DecodeError> {
        let token = self.token(leaf);
        match token.kind() {
            Kind::Text | Kind::Number => Ok(token.of(self.value)),
            _ => Err(self.bad(leaf, "text or a number")),
        }
    }

    /// An unsigned integer, bare or in quotes; 0 where the map has none.
    fn unsigned(&self, leaf: usize) -> Result<u64, DecodeError> {
        if !self.is_mapped(leaf) {
            return Ok(0);
        }
        let text = self.word(leaf)?;
        match unsigned_prefix(text, 0) {
            Ok((number, end)) if end == text.len() => Ok(number),
            Err(NumberError::Range) => Err(DecodeError::OutOfRange { field: LEAVES[leaf], at: self.token(leaf).at() }),
            _ => Err(self.bad(leaf, "an unsigned integer")),
        }
    }

    fn number(&self, leaf: usize, scale: u32) -> Result<i64, DecodeError> {
        let (token, field) = (self.token(leaf), LEAVES[leaf]);
        match token.kind() {
            Kind::Number => float_of(token, self.value, field, scale),
            _ => decimal_of(token, self.value, field, scale),
        }
    }

    fn time(&self) -> Result<u64, DecodeError> {
        if !self.is_mapped(TIME) {
            return Ok(0);
        }
        let ns = self.number(TIME, self.map.time_scale)?;
        u64::try_from(ns).map_err(|_| DecodeError::OutOfRange { field: LEAVES[TIME], at: self.token(TIME).at() })
    }

    fn price(&self, leaf: usize) -> Result<i64, DecodeError> {
        defined_price(self.number(leaf, PRICE_SCALE)?, LEAVES[leaf], self.token(leaf).at())
    }

    fn size(&self, leaf: usize, symbol: Symbol) -> Result<i64, DecodeError> {
        not_negative(self.number(leaf, symbol.size_scale)?, LEAVES[leaf], self.token(leaf).at())
    }

    fn quote(&self, symbol: Symbol) -> Result<Body, DecodeError> {
        let side = |price: usize, size: usize| {
            if !self.token(price).is_some() {
                return Ok((PRICE_UNDEFINED, 0));
            }
            match self.price(price)? {
                0 => Ok((PRICE_UNDEFINED, 0)),
                price if self.is_mapped(size) => Ok((price, self.size(size, symbol)?)),
                price => Ok((price, 0)),
            }
        };
        let (bid_price, bid_size) = side(BID_PRICE, BID_SIZE)?;
        let (ask_price, ask_size) = side(ASK_PRICE, ASK_SIZE)?;
        Ok(Body::Quote(Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 }))
    }

    fn trade(&self, symbol: Symbol) -> Result<Body, DecodeError> {
        let aggressor = if self.is_mapped(SIDE) {
            let word = self.word(SIDE)?;
            let bought = match word {
                word if *word == *self.map.buy => true,
                word if *word == *self.map.sell => false,
                _ => return Err(self.bad(SIDE, "one of the map's two words")),
            };
            if bought == (self.map.side_of == SideOf::Taker) { Aggressor::Buyer } else { Aggressor::Seller }
        } else {
            Aggressor::None
        };
        let (price, size) = (self.price(PRICE)?, self.size(SIZE, symbol)?);
        Ok(Body::Trade(Trade { price, size, trade_id: self.unsigned(ID)?, aggressor }))
    }
}

#[cfg(test)]
#[path = "json_map_tests.rs"]
mod tests;
