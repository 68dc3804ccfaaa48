//! The columns of an event file, version 1. Every file has all of them; what a kind has no use for is null.
//!
//! The schema's metadata says `pinion.events` (the version), `pinion.size_exponent`, `pinion.encoding` (of the capture) and
//! `pinion.publisher`; a field's metadata says `unit`. A file without metadata is taken to be of this version.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// Version of the columns.
pub(crate) const VERSION: &str = "1";
/// Exponent of sizes: a capture is decoded without a strategy's instruments.
pub(crate) const SIZE_EXPONENT: &str = "-9";
pub(super) const VERSION_KEY: &str = "pinion.events";
pub(super) const EXPONENT_KEY: &str = "pinion.size_exponent";
pub(super) const ENCODING_KEY: &str = "pinion.encoding";
pub(super) const PUBLISHER_KEY: &str = "pinion.publisher";

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Parquet.
    Parquet,
    /// Arrow IPC file.
    Arrow,
}

/// One column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: Type,
    /// Whether rows may have none.
    pub(super) nullable: bool,
    unit: &'static str,
}

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    U64,
    U32,
    I64,
    I8,
    Bool,
    Text,
}

impl Type {
    pub(super) const fn arrow(self) -> DataType {
        match self {
            Self::U64 => DataType::UInt64,
            Self::U32 => DataType::UInt32,
            Self::I64 => DataType::Int64,
            Self::I8 => DataType::Int8,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
        }
    }
}

const fn every(name: &'static str, of: Type, unit: &'static str) -> Column {
    Column { name, of, nullable: false, unit }
}

const fn some(name: &'static str, of: Type, unit: &'static str) -> Column {
    Column { name, of, nullable: true, unit }
}

const PRICE_UNIT: &str = "1e-9; null: an empty side";
const SIZE_UNIT: &str = "10 to pinion.size_exponent";
const TIME_UNIT: &str = "ns since 1970-01-01T00:00:00Z; 0: none";

/// The columns, in their order.
pub(super) const COLUMNS: [Column; 29] = [
    every("record", Type::U64, "number of the capture's record; its rows stand together"),
    every("kind", Type::Text, "quote, trade, depth, delta, status"),
    every("instrument_id", Type::U64, "id"),
    some("symbol", Type::Text, "the venue's symbol"),
    every("publisher_id", Type::U32, "id"),
    every("flags", Type::U32, "bits; 32: part of a snapshot"),
    every("ts_event", Type::U64, TIME_UNIT),
    every("ts_recv", Type::U64, TIME_UNIT),
    every("sequence", Type::U64, "the venue's; 0: none"),
    some("bid_price", Type::I64, PRICE_UNIT),
    some("bid_size", Type::I64, SIZE_UNIT),
    some("ask_price", Type::I64, PRICE_UNIT),
    some("ask_size", Type::I64, SIZE_UNIT),
    some("bid_count", Type::U32, "orders"),
    some("ask_count", Type::U32, "orders"),
    some("price", Type::I64, "1e-9"),
    some("size", Type::I64, SIZE_UNIT),
    some("count", Type::U32, "orders"),
    some("side", Type::Text, "of a trade who took: buyer, seller, none; of a delta: bid, ask"),
    some("trade_id", Type::U64, "the venue's; 0: none"),
    some("first", Type::U64, "sequence"),
    some("follows", Type::U64, "sequence"),
    some("levels", Type::U32, "deltas that follow"),
    some("snapshot", Type::Bool, "the whole book"),
    some("keeps", Type::U32, "levels a side that the venue tells of; 0: all"),
    some("crc32", Type::U32, "the venue's checksum of the book; null: none"),
    some("price_shift", Type::I8, "of the checksum: zeros behind a price's digits"),
    some("size_shift", Type::I8, "of the checksum: zeros behind a size's digits"),
    some("state", Type::Text, "unknown, closed, pre-open, auction, trading, paused, halted"),
];

pub(super) const RECORD: usize = 0;
pub(super) const KIND: usize = 1;
pub(super) const INSTRUMENT_ID: usize = 2;
pub(super) const SYMBOL: usize = 3;
pub(super) const PUBLISHER_ID: usize = 4;
pub(super) const FLAGS: usize = 5;
pub(super) const TS_EVENT: usize = 6;
pub(super) const TS_RECV: usize = 7;
pub(super) const SEQUENCE: usize = 8;
pub(super) const BID_PRICE: usize = 9;
pub(super) const BID_SIZE: usize = 10;
pub(super) const ASK_PRICE: usize = 11;
pub(super) const ASK_SIZE: usize = 12;
pub(super) const BID_COUNT: usize = 13;
pub(super) const ASK_COUNT: usize = 14;
pub(super) const PRICE: usize = 15;
pub(super) const SIZE: usize = 16;
pub(super) const COUNT: usize = 17;
pub(super) const SIDE: usize = 18;
pub(super) const TRADE_ID: usize = 19;
pub(super) const FIRST: usize = 20;
pub(super) const FOLLOWS: usize = 21;
pub(super) const LEVELS: usize = 22;
pub(super) const SNAPSHOT: usize = 23;
pub(super) const KEEPS: usize = 24;
pub(super) const CRC32: usize = 25;
pub(super) const PRICE_SHIFT: usize = 26;
pub(super) const SIZE_SHIFT: usize = 27;
pub(super) const STATE: usize = 28;

/// The states of a market, each at the place of its number.
pub(super) const STATES: [&str; 7] = ["unknown", "closed", "pre-open", "auction", "trading", "paused", "halted"];

/// The schema of a file that is being written.
pub(super) fn schema(encoding: &str, publisher: &str) -> SchemaRef {
    let field = |column: &Column| {
        let unit = HashMap::from([("unit".to_owned(), column.unit.to_owned())]);
        Field::new(column.name, column.of.arrow(), column.nullable).with_metadata(unit)
    };
    let metadata =
        [(VERSION_KEY, VERSION), (EXPONENT_KEY, SIZE_EXPONENT), (ENCODING_KEY, encoding), (PUBLISHER_KEY, publisher)];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let fields: Vec<Field> = COLUMNS.iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, HashMap::from(metadata)))
}
