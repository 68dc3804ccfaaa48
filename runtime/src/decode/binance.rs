//! Binance's websocket messages, spot and USD-M futures, and their REST depth snapshot.
//!
//! Combined-stream frames (`{"stream":..,"data":{..}}`) and bare ones. Fields may come in any order; unknown ones are stepped
//! over; one that stands twice is refused. What becomes of each kind of message:
//!
//! | message | known by | events | sequence |
//! |---|---|---|---|
//! | trade | `"e":"trade"` | a trade | `t` |
//! | aggregate trade | `"e":"aggTrade"` | a trade; its id is the aggregate's | `a` |
//! | best bid and ask | `"e":"bookTicker"`; spot says nothing, so its stream's name, or its six fields | a quote | `u` |
//! | depth update | `"e":"depthUpdate"` | depth, then a delta for each level, bids first | `u` |
//! | REST depth | `lastUpdateId` outside a stream | the same, as a snapshot | `lastUpdateId` |
//!
//! - `ts_event` is `T` (transaction or trade time), else `E`, ms made ns; a spot quote and a spot snapshot have neither: 0.
//! - A depth update follows `pu` (futures) or `U` - 1 (spot).
//! - `m` true: the buyer was the maker, so the aggressor sold.
//! - A price of 0 in a quote is an empty side: [`PRICE_UNDEFINED`].
//! - A snapshot names no symbol: the record's key does, or else the input must have shown one instrument only.
//! - Futures trades that are not `"X":"MARKET"` (insurance fund, auto-deleveraging), the partial books of `@depth5` to `@depth20`,
//!   answers to requests and other kinds are skipped, each with its reason.
//!
//! Source: Binance's API documentation, web socket streams of spot and of USD-M futures.

use super::error::{DecodeError, Skip};
use super::json::{Kind, Scanner, Token, decimal_of, text_of, unsigned_of};
use super::levels::{defined_price, levels, not_negative};
use super::{Events, Record};
use crate::event::{Aggressor, Body, BookSide, Depth, FLAG_SNAPSHOT, Head, PRICE_UNDEFINED, Quote, Trade};
use crate::instruments::{Symbol, SymbolTable};

use super::decimal::PRICE_SCALE;

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Venue {
    /// Spot.
    Spot,
    /// USD-M futures.
    Usdm,
}

/// A field that some kind of message has. The same letter means different things in different kinds, so tokens are kept
/// until the kind is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Kind,
    EventTime,
    Time,
    Symbol,
    First,
    Last,
    Previous,
    Bid,
    BidSize,
    Ask,
    AskSize,
    TradeId,
    Price,
    Size,
    Execution,
    BuyerIsMaker,
    Bids,
    Asks,
    LastUpdateId,
}

const FIELDS: usize = Field::LastUpdateId as usize + 1;

impl Field {
    const NAMES: [&'static str; FIELDS] = [
        "e",
        "E",
        "T",
        "s",
        "U",
        "u",
        "pu",
        "b",
        "B",
        "a",
        "A",
        "t",
        "p",
        "q",
        "X",
        "m",
        "bids",
        "asks",
        "lastUpdateId",
    ];

    const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    #[inline]
    fn of_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            [letter] => match letter {
                b'e' => Self::Kind,
                b'E' => Self::EventTime,
                b'T' => Self::Time,
                b's' => Self::Symbol,
                b'U' => Self::First,
                b'u' => Self::Last,
                b'b' => Self::Bid,
                b'B' => Self::BidSize,
                b'a' => Self::Ask,
                b'A' => Self::AskSize,
                b't' => Self::TradeId,
                b'p' => Self::Price,
                b'q' => Self::Size,
                b'X' => Self::Execution,
                b'm' => Self::BuyerIsMaker,
                _ => return None,
            },
            b"pu" => Self::Previous,
            b"bids" => Self::Bids,
            b"asks" => Self::Asks,
            b"lastUpdateId" => Self::LastUpdateId,
            _ => return None,
        })
    }
}

/// Decodes one message; what it skipped is returned.
pub(super) fn decode(
    venue: Venue,
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &mut SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    let mut message = Message {
        venue,
        publisher_id,
        record,
        symbols,
        events,
        scanner: Scanner::new(record.value),
        fields: [Token::default(); FIELDS],
        stream: Token::default(),
        enveloped: false,
        control: false,
        begun: None,
        bids_taken: false,
        asks_taken: false,
    };
    message.read()?;
    message.scanner.end()?;
    Ok(message.events()?.map(|reason| (reason, 1)))
}

struct Message<'a, 'm, 'o> {
    venue: Venue,
    publisher_id: u32,
    record: &'m Record<'a>,
    symbols: &'m mut SymbolTable,
    events: &'m mut Events<'o>,
    scanner: Scanner<'a>,
    fields: [Token; FIELDS],
    stream: Token,
    enveloped: bool,
    control: bool,
    /// A depth update whose levels are being taken as they are read, under this head.
    begun: Option<(Head, u32)>,
    bids_taken: bool,
    asks_taken: bool,
}

impl Message<'_, '_, '_> {
    /// Reads the whole record once, keeping the fields of the message in it.
    fn read(&mut self) -> Result<(), DecodeError> {
        if self.scanner.peek()? != b'{' {
            let at = self.scanner.value()?.at();
            return Err(DecodeError::BadType { field: "record", at, expected: "a JSON object" });
        }
        if !self.scanner.object()? {
            return Ok(());
        }
        loop {
            let name = self.scanner.name()?;
            match name.of(self.record.value) {
                b"stream" => {
                    let token = self.scanner.value()?;
                    if self.stream.is_some() {
                        return Err(DecodeError::DuplicateField { field: "stream", at: token.at() });
                    }
                    self.stream = token;
                }
                b"data" => self.data()?,
                // What stands beside `data` is not the message's.
                _ if self.enveloped => {
                    self.scanner.value()?;
                }
                _ => self.field(name)?,
            }
            if !self.scanner.another_field()? {
                return Ok(());
            }
        }
    }

    fn data(&mut self) -> Result<(), DecodeError> {
        if self.enveloped {
            return Err(DecodeError::DuplicateField { field: "data", at: self.scanner.value()?.at() });
        }
        self.enveloped = true;
        self.forget();
        if self.scanner.peek()? != b'{' {
            self.scanner.value()?;
            return Ok(());
        }
        if !self.scanner.object()? {
            return Ok(());
        }
        loop {
            let name = self.scanner.name()?;
            self.field(name)?;
            if !self.scanner.another_field()? {
                return Ok(());
            }
        }
    }

    /// Drops what stood before `data`.
    fn forget(&mut self) {
        if self.fields.iter().any(|token| token.is_some()) {
            self.fields = [Token::default(); FIELDS];
            self.events.discard();
            (self.begun, self.bids_taken, self.asks_taken) = (None, false, false);
        }
        self.control = false;
    }

    #[inline(always)]
    fn field(&mut self, name: Token) -> Result<(), DecodeError> {
        let text = name.of(self.record.value);
        let Some(field) = Field::of_name(text) else {
            self.control |= matches!(text, b"result" | b"id" | b"error" | b"code");
            self.scanner.value()?;
            return Ok(());
        };
        if self.token(field).is_some() {
            return Err(DecodeError::DuplicateField { field: field.name(), at: name.at() });
        }
        let token = match field {
            Field::Bid | Field::Ask if self.scanner.peek()? == b'[' && self.can_take(field)? => {
                self.take_levels(field)?
            }
            _ => self.scanner.value()?,
        };
        self.fields[field as usize] = token;
        Ok(())
    }

    /// Whether a depth update's levels can become events as they are read, without a second pass: all that their heads say is known,
    /// and bids come before asks. So it is in every frame that Binance sends; any other order takes the second pass.
    fn can_take(&mut self, field: Field) -> Result<bool, DecodeError> {
        if self.begun.is_some() {
            return Ok(field == Field::Ask && self.bids_taken);
        }
        let known = |field: Field| self.token(field).is_some();
        let time = known(Field::Time) || (self.venue == Venue::Spot && known(Field::EventTime));
        let kind = self.token(Field::Kind);
        if field != Field::Bid || !time || !known(Field::Symbol) || !known(Field::Last) || kind.kind() != Kind::Text {
            return Ok(false);
        }
        if kind.of(self.record.value) != b"depthUpdate" {
            return Ok(false);
        }
        self.begin()?;
        Ok(true)
    }

    /// Puts the event of a depth update before its levels; it is filled in by [`Self::depth`].
    fn begin(&mut self) -> Result<(Head, u32), DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, Field::Last, 0)?;
        self.events.push(head, Body::Depth(Depth::default()))?;
        self.begun = Some((head, symbol.size_scale));
        Ok((head, symbol.size_scale))
    }

    fn take_levels(&mut self, field: Field) -> Result<Token, DecodeError> {
        let Some((head, size_scale)) = self.begun else { return self.scanner.value() };
        let token = Token::array_at(self.scanner.position());
        let side = if field == Field::Bid { BookSide::Bid } else { BookSide::Ask };
        levels(&mut self.scanner, field.name(), side, head, size_scale, self.events)?;
        if field == Field::Bid {
            self.bids_taken = true
        } else {
            self.asks_taken = true
        }
        Ok(token)
    }

    /// The message's events, or why it has none.
    fn events(&mut self) -> Result<Option<Skip>, DecodeError> {
        let kind = self.token(Field::Kind);
        if !kind.is_some() {
            return self.unnamed();
        }
        match text_of(kind, self.record.value, Field::Kind.name())? {
            b"bookTicker" => self.quote(),
            b"trade" => self.trade(Field::TradeId),
            b"aggTrade" => self.trade(Field::Ask),
            b"depthUpdate" if self.is_partial_book() => {
                self.events.discard();
                Ok(Some(Skip::PartialBook))
            }
            b"depthUpdate" => self.depth(),
            _ => Ok(Some(Skip::OtherKind)),
        }
    }

    /// A message that does not say its kind.
    fn unnamed(&mut self) -> Result<Option<Skip>, DecodeError> {
        let known = |field: Field| self.token(field).is_some();
        let quote = [Field::Last, Field::Symbol, Field::Bid, Field::BidSize, Field::Ask, Field::AskSize];
        if self.stream_name().ends_with(b"bookTicker") || quote.into_iter().all(known) {
            return self.quote();
        }
        if known(Field::LastUpdateId) {
            return if self.enveloped { Ok(Some(Skip::PartialBook)) } else { self.snapshot() };
        }
        if self.fields.iter().any(|token| token.is_some()) {
            return Err(DecodeError::MissingField { field: Field::Kind.name() });
        }
        Ok(Some(if self.control && !self.enveloped { Skip::Control } else { Skip::OtherKind }))
    }

    fn quote(&mut self) -> Result<Option<Skip>, DecodeError> {
        let symbol = self.symbol()?;
        let head = self.head(symbol, Field::Last, 0)?;
        let side = |price, size| {
            let (price, size) = (self.price(price)?, self.size(size, symbol.size_scale)?);
            Ok(if price == 0 { (PRICE_UNDEFINED, 0) } else { (price, size) })
        };
        let (bid_price, bid_size) = side(Field::Bid, Field::BidSize)?;
        let (ask_price, ask_size) = side(Field::Ask, Field::AskSize)?;
        let quote = Quote { bid_price, bid_size, ask_price, ask_size, bid_count: 0, ask_count: 0 };
        self.events.push(head, Body::Quote(quote))?;
        Ok(None)
    }

    /// A trade whose number is in the field `id`.
    fn trade(&mut self, id: Field) -> Result<Option<Skip>, DecodeError> {
        let execution = self.token(Field::Execution);
        if self.venue == Venue::Usdm
            && execution.is_some()
            && text_of(execution, self.record.value, Field::Execution.name())? != b"MARKET"
        {
            return Ok(Some(Skip::OffBookTrade));
        }
        let symbol = self.symbol()?;
        let head = self.head(symbol, id, 0)?;
        self.require_time()?;
        let maker = self.token(Field::BuyerIsMaker);
        let aggressor = match maker.kind() {
            Kind::True => Aggressor::Seller,
            Kind::False => Aggressor::Buyer,
            Kind::Absent => return Err(DecodeError::MissingField { field: Field::BuyerIsMaker.name() }),
            _ => {
                let field = Field::BuyerIsMaker.name();
                return Err(DecodeError::BadType { field, at: maker.at(), expected: "true or false" });
            }
        };
        let (price, size) = (self.price(Field::Price)?, self.size(Field::Size, symbol.size_scale)?);
        self.events.push(head, Body::Trade(Trade { price, size, trade_id: head.sequence, aggressor }))?;
        Ok(None)
    }

    fn depth(&mut self) -> Result<Option<Skip>, DecodeError> {
        self.require_time()?;
        let first = self.unsigned(Field::First)?;
        let last = self.unsigned(Field::Last)?;
        let at = self.token(Field::First).at();
        let follows = match self.venue {
            Venue::Usdm => self.unsigned(Field::Previous)?,
            Venue::Spot => first.checked_sub(1).ok_or(DecodeError::OutOfRange { field: Field::First.name(), at })?,
        };
        if first > last {
            return Err(DecodeError::OutOfRange { field: Field::First.name(), at });
        }
        let (begun, size_scale) = match self.begun {
            Some(begun) => begun,
            None => self.begin()?,
        };
        if !self.bids_taken {
            self.levels_again(Field::Bid, BookSide::Bid, begun, size_scale)?;
        }
        if !self.asks_taken {
            self.levels_again(Field::Ask, BookSide::Ask, begun, size_scale)?;
        }
        let symbol = self.symbol()?;
        let head = self.head(symbol, Field::Last, 0)?;
        if head != begun {
            // A field of the head stood after the levels.
            for event in self.events.get_mut() {
                event.head = head;
            }
        }
        self.events.begin_depth(Depth { first, follows, ..Depth::default() });
        Ok(None)
    }

    fn snapshot(&mut self) -> Result<Option<Skip>, DecodeError> {
        let symbol = self.symbol_or_hint()?;
        let head = self.head(symbol, Field::LastUpdateId, FLAG_SNAPSHOT)?;
        let depth = Depth { snapshot: true, ..Depth::default() };
        self.events.push(head, Body::Depth(depth))?;
        self.levels_again(Field::Bids, BookSide::Bid, head, symbol.size_scale)?;
        self.levels_again(Field::Asks, BookSide::Ask, head, symbol.size_scale)?;
        self.events.begin_depth(depth);
        Ok(None)
    }

    /// Takes levels that [`Self::read`] only stepped over.
    fn levels_again(&mut self, field: Field, side: BookSide, head: Head, size_scale: u32) -> Result<(), DecodeError> {
        let token = self.token(field);
        match token.kind() {
            Kind::Array => levels(&mut self.scanner.again(token), field.name(), side, head, size_scale, self.events),
            Kind::Absent => Err(DecodeError::MissingField { field: field.name() }),
            _ => Err(DecodeError::BadType { field: field.name(), at: token.at(), expected: "an array of levels" }),
        }
    }

    /// `@depth5`, `@depth10`, `@depth20`: not `@depth` and not `@depth@100ms`.
    fn is_partial_book(&self) -> bool {
        let mut parts = self.stream_name().split(|byte| *byte == b'@').skip(1);
        parts.any(|part| part.strip_prefix(b"depth").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)))
    }

    fn head(&self, symbol: Symbol, sequence: Field, flags: u32) -> Result<Head, DecodeError> {
        let time = if !self.token(Field::Time).is_some() { Field::EventTime } else { Field::Time };
        let ts_event = match self.token(time).kind() {
            Kind::Absent => 0,
            _ => {
                let out_of_range = DecodeError::OutOfRange { field: time.name(), at: self.token(time).at() };
                self.unsigned(time)?.checked_mul(1_000_000).ok_or(out_of_range)?
            }
        };
        Ok(Head {
            instrument_id: symbol.id,
            publisher_id: self.publisher_id,
            flags,
            ts_event,
            ts_recv: self.record.ts_recv,
            sequence: self.unsigned(sequence)?,
        })
    }

    fn symbol(&mut self) -> Result<Symbol, DecodeError> {
        let symbol = text_of(self.token(Field::Symbol), self.record.value, Field::Symbol.name())?;
        self.symbols.resolve(symbol)
    }

    fn symbol_or_hint(&mut self) -> Result<Symbol, DecodeError> {
        if self.token(Field::Symbol).is_some() {
            return self.symbol();
        }
        let by_key = self.record.key.and_then(|key| self.symbols.get(key));
        by_key.or_else(|| self.symbols.only()).ok_or(DecodeError::UnknownSymbol)
    }

    /// Trades and depth updates are never sent without a time: one that lacks it is broken.
    fn require_time(&self) -> Result<(), DecodeError> {
        match (self.token(Field::Time).kind(), self.token(Field::EventTime).kind()) {
            (Kind::Absent, Kind::Absent) => Err(DecodeError::MissingField { field: Field::EventTime.name() }),
            _ => Ok(()),
        }
    }

    fn unsigned(&self, field: Field) -> Result<u64, DecodeError> {
        unsigned_of(self.token(field), self.record.value, field.name())
    }

    fn price(&self, field: Field) -> Result<i64, DecodeError> {
        let token = self.token(field);
        defined_price(decimal_of(token, self.record.value, field.name(), PRICE_SCALE)?, field.name(), token.at())
    }

    fn size(&self, field: Field, size_scale: u32) -> Result<i64, DecodeError> {
        let token = self.token(field);
        not_negative(decimal_of(token, self.record.value, field.name(), size_scale)?, field.name(), token.at())
    }

    fn token(&self, field: Field) -> Token {
        self.fields[field as usize]
    }

    fn stream_name(&self) -> &[u8] {
        if self.stream.kind() == Kind::Text { self.stream.of(self.record.value) } else { b"" }
    }
}

#[cfg(test)]
#[path = "binance_tests.rs"]
mod tests;
