//! Pinion's execution report: what became of an order, one JSON object to a Kafka record.
//!
//! | field | type | |
//! |---|---|---|
//! | `type` | string | `accepted`, `rejected`, `replaced`, `cancelled`, `expired`, `filled` |
//! | `client_order_id` | string | as on the order; what is not one of Pinion's is skipped (`not_ours`) |
//! | `side` | string | `buy`, `sell`: the order's; required |
//! | `instrument_id` | integer | as on the order; optional |
//! | `instrument` | string | its symbol, one that is declared; optional, and not looked at beside `instrument_id` |
//! | `price` | decimal | of the fill, or of the order now; required for `filled`, else 0 when absent |
//! | `size` | decimal | of the fill, or of the order now; required for `filled`, else 0 when absent |
//! | `leaves` | decimal | still working; required for `filled`, `accepted` and `replaced`, else 0 when absent |
//! | `fee` | decimal | quote currency, negative for a rebate; 0 when absent |
//! | `liquidity` | string | `maker`, `taker`; unknown when absent |
//! | `ts_event` | integer | the venue's time, ns since the Unix epoch; 0 when absent |
//! | `sequence` | integer | the reporter's own; 0 when absent |
//!
//! A decimal is a string (`"0.25"`) or a plain JSON number; exact or refused. Fields come in any order, others are stepped over, `null`
//! is as good as absent. A report that names no instrument means the only one declared. An `instrument_id` that is not declared has
//! sizes at 1e-9.

use pinion_spec::ids::ClientOrderId;

use super::decimal::PRICE_SCALE;
use super::error::{DecodeError, Skip};
use super::json::{Kind, Scanner, Token, decimal_of, text_of, unsigned_of};
use super::{Events, Record};
use crate::event::{Body, Execution, ExecutionKind, Head, Liquidity, Side};
use crate::instruments::{Symbol, SymbolTable};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Kind,
    ClientOrderId,
    Side,
    InstrumentId,
    Instrument,
    Price,
    Size,
    Leaves,
    Fee,
    Liquidity,
    TsEvent,
    Sequence,
}

impl Field {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Kind, "type"),
        (Self::ClientOrderId, "client_order_id"),
        (Self::Side, "side"),
        (Self::InstrumentId, "instrument_id"),
        (Self::Instrument, "instrument"),
        (Self::Price, "price"),
        (Self::Size, "size"),
        (Self::Leaves, "leaves"),
        (Self::Fee, "fee"),
        (Self::Liquidity, "liquidity"),
        (Self::TsEvent, "ts_event"),
        (Self::Sequence, "sequence"),
    ];

    const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A report's fields where they lie.
struct Report<'a> {
    record: &'a [u8],
    fields: [Token; Field::ALL.len()],
}

/// Decodes one report; what it skipped is returned.
pub(super) fn decode(
    publisher_id: u32,
    record: &Record<'_>,
    symbols: &SymbolTable,
    events: &mut Events<'_>,
) -> Result<Option<(Skip, u32)>, DecodeError> {
    let report = Report::read(record.value)?;
    let Ok(order) = ClientOrderId::parse(report.text(Field::ClientOrderId)?) else {
        return Ok(Some((Skip::NotOurs, 1)));
    };
    let kind = match report.text(Field::Kind)? {
        b"accepted" => ExecutionKind::Accepted,
        b"rejected" => ExecutionKind::Rejected,
        b"replaced" => ExecutionKind::Replaced,
        b"cancelled" => ExecutionKind::Cancelled,
        b"expired" => ExecutionKind::Expired,
        b"filled" => ExecutionKind::Filled,
        _ => return Err(report.bad_word(Field::Kind, "a type of report")),
    };
    let side = match report.text(Field::Side)? {
        b"buy" => Side::Buy,
        b"sell" => Side::Sell,
        _ => return Err(report.bad_word(Field::Side, "`buy` or `sell`")),
    };
    let liquidity = match report.has(Field::Liquidity) {
        false => Liquidity::Unknown,
        true => match report.text(Field::Liquidity)? {
            b"maker" => Liquidity::Maker,
            b"taker" => Liquidity::Taker,
            _ => return Err(report.bad_word(Field::Liquidity, "`maker` or `taker`")),
        },
    };
    let filled = kind == ExecutionKind::Filled;
    let leaves_say = filled || matches!(kind, ExecutionKind::Accepted | ExecutionKind::Replaced);
    let instrument = report.instrument(symbols)?;
    let execution = Execution {
        order,
        kind,
        side,
        liquidity,
        price: report.decimal(Field::Price, PRICE_SCALE, filled)?,
        size: report.size(Field::Size, instrument, filled)?,
        leaves: report.size(Field::Leaves, instrument, leaves_say)?,
        fee: report.decimal(Field::Fee, PRICE_SCALE, false)?,
    };
    let head = Head {
        instrument_id: instrument.id,
        publisher_id,
        flags: 0,
        ts_event: report.unsigned(Field::TsEvent)?,
        ts_recv: record.ts_recv,
        sequence: report.unsigned(Field::Sequence)?,
    };
    events.push(head, Body::Execution(execution))?;
    Ok(None)
}

impl<'a> Report<'a> {
    fn read(record: &'a [u8]) -> Result<Self, DecodeError> {
        let mut scanner = Scanner::new(record);
        let mut report = Self { record, fields: Default::default() };
        if scanner.peek()? != b'{' {
            let at = scanner.value()?.at();
            return Err(DecodeError::BadType { field: "record", at, expected: "a JSON object" });
        }
        let mut more = scanner.object()?;
        while more {
            let name = scanner.name()?;
            let token = scanner.value()?;
            if let Some((field, name)) = Field::ALL.into_iter().find(|field| field.1.as_bytes() == name.of(record)) {
                let slot = &mut report.fields[field as usize];
                if slot.is_some() {
                    return Err(DecodeError::DuplicateField { field: name, at: token.at() });
                }
                *slot = token;
            }
            more = scanner.another_field()?;
        }
        scanner.end()?;
        Ok(report)
    }

    fn token(&self, field: Field) -> Token {
        self.fields[field as usize]
    }

    fn has(&self, field: Field) -> bool {
        !matches!(self.token(field).kind(), Kind::Absent | Kind::Null)
    }

    fn text(&self, field: Field) -> Result<&'a [u8], DecodeError> {
        text_of(self.token(field), self.record, field.name())
    }

    fn unsigned(&self, field: Field) -> Result<u64, DecodeError> {
        if self.has(field) { unsigned_of(self.token(field), self.record, field.name()) } else { Ok(0) }
    }

    fn decimal(&self, field: Field, scale: u32, required: bool) -> Result<i64, DecodeError> {
        match (self.has(field), required) {
            (true, _) => decimal_of(self.token(field), self.record, field.name(), scale),
            (false, true) => Err(DecodeError::MissingField { field: field.name() }),
            (false, false) => Ok(0),
        }
    }

    fn size(&self, field: Field, instrument: Symbol, required: bool) -> Result<i64, DecodeError> {
        let size = self.decimal(field, instrument.size_scale, required)?;
        if size < 0 {
            return Err(DecodeError::OutOfRange { field: field.name(), at: self.token(field).at() });
        }
        Ok(size)
    }

    fn instrument(&self, symbols: &SymbolTable) -> Result<Symbol, DecodeError> {
        if self.has(Field::InstrumentId) {
            let id = self.unsigned(Field::InstrumentId)?;
            return Ok(symbols.by_id(id).unwrap_or(Symbol { id, size_scale: PRICE_SCALE }));
        }
        let known =
            if self.has(Field::Instrument) { symbols.get(self.text(Field::Instrument)?) } else { symbols.only() };
        known.ok_or(DecodeError::UnknownSymbol)
    }

    fn bad_word(&self, field: Field, expected: &'static str) -> DecodeError {
        DecodeError::BadType { field: field.name(), at: self.token(field).at(), expected }
    }
}

#[cfg(test)]
mod tests {
    use pinion_spec::ids::publisher_id;
    use pinion_spec::strategy::Encoding;

    use super::*;
    use crate::decode::{Decoder, Outcome};
    use crate::event::{Event, FLAG_LAST};
    use crate::instruments::Instrument;

    const FILL: &str = r#"{"type":"filled","client_order_id":"0000002a-00070003-rs-1","side":"sell","instrument":"XYZUSDT","price":"20.15","size":"0.5","leaves":"0.25","fee":"-0.001","liquidity":"maker","ts_event":1700000000123456789,"sequence":12}"#;
    const ORDER: ClientOrderId = ClientOrderId { strategy: 42, topic: 7, partition: 3, offset: 1000, n: 1 };

    fn instrument(id: u64, symbol: &str, publisher: &str) -> Instrument {
        let publisher_id = publisher_id(publisher);
        Instrument {
            id,
            publisher_id,
            publisher: "venue".into(),
            symbol: symbol.into(),
            tick: 0,
            lot: 0,
            size_exponent: -3,
        }
    }

    fn decode(declared: &[Instrument], text: &str) -> Result<(Outcome, Vec<Event>), DecodeError> {
        let mut decoder = Decoder::new(Encoding::PinionExecution, "gateway", declared).unwrap();
        let mut events = Vec::new();
        let outcome = decoder.decode(&Record { value: text.as_bytes(), key: None, ts_recv: 5 }, &mut events);
        assert!(outcome.is_ok() || events.is_empty());
        outcome.map(|outcome| (outcome, events))
    }

    fn execution(declared: &[Instrument], text: &str) -> Result<(Head, Execution), DecodeError> {
        let (_, events) = decode(declared, text)?;
        match events[..] {
            [Event { head, body: Body::Execution(execution), .. }] => Ok((head, execution)),
            _ => panic!("not one execution: {events:?}"),
        }
    }

    #[test]
    fn a_fill_is_exact_in_its_instruments_units() {
        let (head, execution) = execution(&[instrument(9, "XYZUSDT", "binance-usdm")], FILL).unwrap();
        assert_eq!(
            execution,
            Execution {
                order: ORDER,
                kind: ExecutionKind::Filled,
                side: Side::Sell,
                liquidity: Liquidity::Maker,
                price: 20_150_000_000,
                size: 500,
                leaves: 250,
                fee: -1_000_000,
            }
        );
        assert_eq!(
            head,
            Head {
                instrument_id: 9,
                publisher_id: publisher_id("gateway"),
                flags: FLAG_LAST,
                ts_event: 1_700_000_000_123_456_789,
                ts_recv: 5,
                sequence: 12,
            }
        );
    }

    #[test]
    fn every_type_of_report_is_known() {
        let declared = [instrument(9, "XYZUSDT", "binance-usdm")];
        for (word, kind) in [
            ("accepted", ExecutionKind::Accepted),
            ("rejected", ExecutionKind::Rejected),
            ("replaced", ExecutionKind::Replaced),
            ("cancelled", ExecutionKind::Cancelled),
            ("expired", ExecutionKind::Expired),
            ("filled", ExecutionKind::Filled),
        ] {
            assert_eq!(execution(&declared, &FILL.replace("filled", word)).unwrap().1.kind, kind);
        }
        let short = format!(r#"{{"client_order_id":"{ORDER}","type":"cancelled","side":"buy","liquidity":null}}"#);
        let (head, execution) = execution(&declared, &short).unwrap();
        assert_eq!((head.instrument_id, execution.leaves, execution.liquidity), (9, 0, Liquidity::Unknown));
        assert_eq!(execution.order, ORDER);
    }

    #[test]
    fn a_report_of_another_systems_order_is_skipped() {
        let theirs = FILL.replace("0000002a-00070003-rs-1", "x-electron-123");
        let not_ours = Outcome { events: 0, skipped: Some((Skip::NotOurs, 1)) };
        assert_eq!(decode(&[], &theirs), Ok((not_ours, Vec::new())));
    }

    #[test]
    fn the_instrument_must_be_known_or_named_by_number() {
        let (here, there) = (instrument(9, "XYZUSDT", "a"), instrument(10, "XYZUSDT", "b"));
        assert_eq!(
            execution(&[here.clone(), there.clone()], FILL),
            Err(DecodeError::UnknownSymbol),
            "which of the two?"
        );
        let numbered = FILL.replace(r#""instrument":"XYZUSDT""#, r#""instrument_id":10"#);
        assert_eq!(execution(&[here, there], &numbered).unwrap().0.instrument_id, 10);
        let (head, undeclared) = execution(&[], &numbered).unwrap();
        assert_eq!((head.instrument_id, undeclared.size), (10, 500_000_000));
        assert_eq!(execution(&[], FILL), Err(DecodeError::UnknownSymbol));
    }

    #[test]
    fn a_report_that_says_too_little_or_nonsense_is_refused() {
        let declared = [instrument(9, "XYZUSDT", "binance-usdm")];
        let reason = |from: &str, to: &str| {
            assert!(FILL.contains(from), "{from}");
            execution(&declared, &FILL.replace(from, to)).map(|_| ()).map_err(|error| error.reason())
        };
        assert_eq!(reason(r#""type":"filled","#, ""), Err("missing_field"));
        assert_eq!(reason(r#""price":"20.15","#, ""), Err("missing_field"));
        assert_eq!(reason(r#""leaves":"0.25","#, ""), Err("missing_field"));
        assert_eq!(
            reason(r#""side":"sell","#, ""),
            Err("missing_field"),
            "a fill must move the position the right way"
        );
        assert_eq!(reason("sell", "short"), Err("bad_type"));
        assert_eq!(reason("filled", "vanished"), Err("bad_type"));
        assert_eq!(reason("maker", "both"), Err("bad_type"));
        assert_eq!(reason(r#""fee""#, r#""size""#), Err("duplicate_field"));
        assert_eq!(reason("\"0.5\"", "\"-0.5\""), Err("out_of_range"));
        assert_eq!(reason("\"0.5\"", "\"0.0005\""), Err("out_of_range"), "would round");
        assert_eq!(reason("\"0.5\"", "\"half\""), Err("bad_number"));
        assert_eq!(reason("}", ""), Err("truncated"));
    }
}
