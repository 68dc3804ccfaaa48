//! Events to rows, rows to a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int8Builder, Int64Builder, StringBuilder, UInt32Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use pinion_runtime::event::{Aggressor, Body, BookSide, Event, PRICE_UNDEFINED};

use super::schema::{self as at, COLUMNS, Format, STATES, Type};
use super::{EventFileError, format_named};

/// Rows that are gathered before they are written.
const BATCH_ROWS: usize = 1 << 16;

/// What one row holds in one column.
#[derive(Debug, Clone, Copy, Default)]
enum Cell<'a> {
    #[default]
    Null,
    U64(u64),
    U32(u32),
    I64(i64),
    I8(i8),
    Bool(bool),
    Text(&'a str),
}

enum Column {
    U64(UInt64Builder),
    U32(UInt32Builder),
    I64(Int64Builder),
    I8(Int8Builder),
    Bool(BooleanBuilder),
    Text(StringBuilder),
}

impl Column {
    fn new(of: Type) -> Self {
        match of {
            Type::U64 => Self::U64(UInt64Builder::new()),
            Type::U32 => Self::U32(UInt32Builder::new()),
            Type::I64 => Self::I64(Int64Builder::new()),
            Type::I8 => Self::I8(Int8Builder::new()),
            Type::Bool => Self::Bool(BooleanBuilder::new()),
            Type::Text => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::U64(column), Cell::U64(value)) => column.append_value(value),
            (Self::U32(column), Cell::U32(value)) => column.append_value(value),
            (Self::I64(column), Cell::I64(value)) => column.append_value(value),
            (Self::I8(column), Cell::I8(value)) => column.append_value(value),
            (Self::Bool(column), Cell::Bool(value)) => column.append_value(value),
            (Self::Text(column), Cell::Text(value)) => column.append_value(value),
            (Self::U64(column), Cell::Null) => column.append_null(),
            (Self::U32(column), Cell::Null) => column.append_null(),
            (Self::I64(column), Cell::Null) => column.append_null(),
            (Self::I8(column), Cell::Null) => column.append_null(),
            (Self::Bool(column), Cell::Null) => column.append_null(),
            (Self::Text(column), Cell::Null) => column.append_null(),
            (_, cell) => unreachable!("{cell:?} in a column of another type"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::U64(column) => Arc::new(column.finish()),
            Self::U32(column) => Arc::new(column.finish()),
            Self::I64(column) => Arc::new(column.finish()),
            Self::I8(column) => Arc::new(column.finish()),
            Self::Bool(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
        }
    }
}

enum Sink {
    Parquet(Box<ArrowWriter<File>>),
    Arrow(Box<FileWriter<File>>),
}

/// An event file that is being written. Dropped before [`Self::finish`] it leaves nothing behind.
pub(crate) struct EventWriter {
    path: PathBuf,
    /// Where it is written until it is whole.
    part: PathBuf,
    schema: SchemaRef,
    sink: Option<Sink>,
    columns: Vec<Column>,
    gathered: usize,
    rows: u64,
}

impl EventWriter {
    /// Makes the file; its name says the format.
    pub(crate) fn create(path: &Path, encoding: &str, publisher: &str) -> Result<Self, EventFileError> {
        let format = format_named(path)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let made = File::create(&part);
        let file = made.map_err(|source| EventFileError::File { what: "make", path: path.into(), source })?;
        let schema = at::schema(encoding, publisher);
        let failed = |what: String| EventFileError::Write { path: path.into(), what };
        let sink = match format {
            Format::Parquet => {
                let writer = ArrowWriter::try_new(file, Arc::clone(&schema), None);
                Sink::Parquet(Box::new(writer.map_err(|error| failed(error.to_string()))?))
            }
            Format::Arrow => {
                let writer = FileWriter::try_new(file, &schema);
                Sink::Arrow(Box::new(writer.map_err(|error| failed(error.to_string()))?))
            }
        };
        let columns = COLUMNS.iter().map(|column| Column::new(column.of)).collect();
        Ok(Self { path: path.into(), part, schema, sink: Some(sink), columns, gathered: 0, rows: 0 })
    }

    /// Adds an event of the capture's record of that number. An execution report has no row and is left out.
    pub(crate) fn push(&mut self, record: u64, symbol: Option<&str>, event: &Event) -> Result<(), EventFileError> {
        let Some(row) = row(record, symbol, event) else { return Ok(()) };
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
        self.gathered += 1;
        self.rows += 1;
        if self.gathered == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes the rest and gives the file its name; how many rows it has is returned.
    pub(crate) fn finish(mut self) -> Result<u64, EventFileError> {
        self.flush()?;
        match self.sink.take() {
            Some(Sink::Parquet(writer)) => drop(writer.close().map_err(|error| self.failed(&error))?),
            Some(Sink::Arrow(mut writer)) => writer.finish().map_err(|error| self.failed(&error))?,
            None => {}
        }
        let renamed = std::fs::rename(&self.part, &self.path);
        renamed.map_err(|source| EventFileError::File { what: "name", path: self.path.clone(), source })?;
        Ok(self.rows)
    }

    fn flush(&mut self) -> Result<(), EventFileError> {
        if self.gathered == 0 {
            return Ok(());
        }
        self.gathered = 0;
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| self.failed(&error))?;
        match &mut self.sink {
            Some(Sink::Parquet(writer)) => writer.write(&batch).map_err(|error| error.to_string()),
            Some(Sink::Arrow(writer)) => writer.write(&batch).map_err(|error| error.to_string()),
            None => Ok(()),
        }
        .map_err(|what| EventFileError::Write { path: self.path.clone(), what })
    }

    fn failed(&self, error: &dyn std::error::Error) -> EventFileError {
        EventFileError::Write { path: self.path.clone(), what: error.to_string() }
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        // Gone already when the file has its name.
        let _ = std::fs::remove_file(&self.part);
    }
}

fn row<'a>(record: u64, symbol: Option<&'a str>, event: &Event) -> Option<[Cell<'a>; COLUMNS.len()]> {
    let mut row = [Cell::Null; COLUMNS.len()];
    let head = &event.head;
    row[at::RECORD] = Cell::U64(record);
    row[at::INSTRUMENT_ID] = Cell::U64(head.instrument_id);
    row[at::SYMBOL] = symbol.map_or(Cell::Null, Cell::Text);
    row[at::PUBLISHER_ID] = Cell::U32(head.publisher_id);
    row[at::FLAGS] = Cell::U32(head.flags);
    row[at::TS_EVENT] = Cell::U64(head.ts_event);
    row[at::TS_RECV] = Cell::U64(head.ts_recv);
    row[at::SEQUENCE] = Cell::U64(head.sequence);
    let price = |price: i64| if price == PRICE_UNDEFINED { Cell::Null } else { Cell::I64(price) };
    row[at::KIND] = Cell::Text(match event.body {
        Body::Quote(quote) => {
            row[at::BID_PRICE] = price(quote.bid_price);
            row[at::BID_SIZE] = Cell::I64(quote.bid_size);
            row[at::ASK_PRICE] = price(quote.ask_price);
            row[at::ASK_SIZE] = Cell::I64(quote.ask_size);
            row[at::BID_COUNT] = Cell::U32(quote.bid_count);
            row[at::ASK_COUNT] = Cell::U32(quote.ask_count);
            "quote"
        }
        Body::Trade(trade) => {
            row[at::PRICE] = Cell::I64(trade.price);
            row[at::SIZE] = Cell::I64(trade.size);
            row[at::TRADE_ID] = Cell::U64(trade.trade_id);
            row[at::SIDE] = Cell::Text(match trade.aggressor {
                Aggressor::None => "none",
                Aggressor::Buyer => "buyer",
                Aggressor::Seller => "seller",
            });
            "trade"
        }
        Body::Depth(depth) => {
            row[at::FIRST] = Cell::U64(depth.first);
            row[at::FOLLOWS] = Cell::U64(depth.follows);
            row[at::LEVELS] = Cell::U32(depth.levels);
            row[at::SNAPSHOT] = Cell::Bool(depth.snapshot);
            row[at::KEEPS] = Cell::U32(depth.keeps);
            if let Some(checksum) = depth.checksum {
                row[at::CRC32] = Cell::U32(checksum.crc32);
                row[at::PRICE_SHIFT] = Cell::I8(checksum.price_shift);
                row[at::SIZE_SHIFT] = Cell::I8(checksum.size_shift);
            }
            "depth"
        }
        Body::Delta(delta) => {
            row[at::PRICE] = Cell::I64(delta.price);
            row[at::SIZE] = Cell::I64(delta.size);
            row[at::COUNT] = Cell::U32(delta.count);
            row[at::SIDE] = Cell::Text(match delta.side {
                BookSide::Bid => "bid",
                BookSide::Ask => "ask",
            });
            "delta"
        }
        Body::Status(state) => {
            row[at::STATE] = Cell::Text(STATES[state as usize]);
            "status"
        }
        Body::Execution(_) | Body::Skip => return None,
    });
    Some(row)
}
