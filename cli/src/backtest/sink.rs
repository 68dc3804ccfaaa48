//! What `--out` writes: `report.html`, `orders.parquet`, `fills.parquet`, `equity.parquet`, `run.json`. Schemas: `docs/reference/backtest-files.md`.
//!
//! Files are written under temporary names beside their own and take those when the whole backtest has ended well; what does not end
//! well leaves nothing. Rows go to the disk as they come. The same run writes the same bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    Decimal128Builder, StringBuilder, TimestampNanosecondBuilder, UInt16Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use pinion_runtime::event::{Liquidity, Side};
use pinion_runtime::metrics::ORDER_LABELS;
use pinion_runtime::risk::Order;
use pinion_runtime::wire::{self, Provenance};
use pinion_spec::ids::ClientOrderId;
use pinion_venue::Traded;
use serde::Serialize;
use thiserror::Error;

use super::equity::Point;
use super::outcome::Outcome;
use super::reader;
use super::report::{self, About};
use super::sources::Source;
use crate::error::CliError;

/// Rows between two writes.
const ROWS: usize = 8_192;
/// Digits behind the point of prices and sizes.
const NANO: i8 = 9;
/// And of amounts of money.
const ATTO: i8 = 18;

/// A result that could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}", path.display())]
pub(super) struct SinkError {
    path: PathBuf,
    source: io::Error,
}

/// A column's type.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Time,
    Text,
    U64,
    U16,
    /// Precision and scale.
    Decimal(u8, i8),
}

/// A value in a row.
#[derive(Debug, Clone, Copy)]
enum Cell<'a> {
    Time(u64),
    Text(&'a str),
    U64(u64),
    U16(u16),
    Decimal(i128),
}

const PRICE: Kind = Kind::Decimal(19, NANO);
const SIZE: Kind = Kind::Decimal(28, NANO);
const MONEY: Kind = Kind::Decimal(38, ATTO);

const ORDERS: [(&str, Kind); 14] = [
    ("ts", Kind::Time),
    ("type", Kind::Text),
    ("client_order_id", Kind::Text),
    ("instrument_id", Kind::U64),
    ("symbol", Kind::Text),
    ("side", Kind::Text),
    ("order_type", Kind::Text),
    ("time_in_force", Kind::Text),
    ("price", PRICE),
    ("size", SIZE),
    ("tag", Kind::U64),
    ("input_topic", Kind::Text),
    ("input_partition", Kind::U16),
    ("input_offset", Kind::U64),
];

const FILLS: [(&str, Kind); 14] = [
    ("ts_event", Kind::Time),
    ("ts_recv", Kind::Time),
    ("sequence", Kind::U64),
    ("client_order_id", Kind::Text),
    ("instrument_id", Kind::U64),
    ("symbol", Kind::Text),
    ("side", Kind::Text),
    ("liquidity", Kind::Text),
    ("price", PRICE),
    ("size", SIZE),
    ("leaves", SIZE),
    ("fee", PRICE),
    ("position", Kind::Decimal(38, NANO)),
    ("pnl", MONEY),
];

const EQUITY: [(&str, Kind); 5] =
    [("ts", Kind::Time), ("kind", Kind::Text), ("pnl", MONEY), ("drawdown", MONEY), ("fees", MONEY)];

/// The files of one run.
pub(super) struct Sink {
    folder: PathBuf,
    orders: Table,
    fills: Table,
    equity: Table,
}

/// The folder of run `n` of `count`.
pub(super) fn folder_of(out: &Path, n: usize, count: usize) -> PathBuf {
    if count == 1 { out.to_owned() } else { out.join(format!("{:03}", n + 1)) }
}

impl Sink {
    /// Makes the folder and the files under their temporary names: what cannot be written is told before anything has run.
    ///
    /// # Errors
    /// [`CliError::Usage`]
    pub(super) fn create(folder: &Path) -> Result<Self, CliError> {
        let refused = |error: &SinkError| CliError::Usage(format!("--out: {error}"));
        std::fs::create_dir_all(folder).map_err(|source| refused(&SinkError { path: folder.to_owned(), source }))?;
        let table = |name: &str, columns: &[(&'static str, Kind)]| {
            Table::create(&folder.join(name), columns).map_err(|error| refused(&error))
        };
        Ok(Self {
            folder: folder.to_owned(),
            orders: table("orders.parquet", &ORDERS)?,
            fills: table("fills.parquet", &FILLS)?,
            equity: table("equity.parquet", &EQUITY)?,
        })
    }

    /// An order message.
    pub(super) fn order(
        &mut self,
        order: &Order,
        provenance: &Provenance<'_>,
        id: ClientOrderId,
    ) -> Result<(), SinkError> {
        let route = provenance.route;
        let instrument_id = order.instrument_id();
        let scale = route.instruments.get(instrument_id).map_or(9, |i| u32::from(i.size_exponent.unsigned_abs()));
        let topic = route.input_topics.get(usize::from(provenance.origin.topic)).map_or("", String::as_str);
        self.orders.row(&[
            Cell::Time(provenance.ts),
            Cell::Text(ORDER_LABELS[order.kind() as usize]),
            Cell::Text(&id.to_string()),
            Cell::U64(instrument_id),
            Cell::Text(&provenance.symbol(instrument_id)),
            Cell::Text(side(order.side())),
            Cell::Text(wire::order_type(order.order_type())),
            Cell::Text(wire::time_in_force(order.time_in_force())),
            Cell::Decimal(order.price().into()),
            Cell::Decimal(nanos(order.size().into(), scale)),
            Cell::U64(order.tag()),
            Cell::Text(topic),
            Cell::U16(provenance.origin.partition),
            Cell::U64(provenance.origin.offset),
        ])
    }

    /// A fill, the position that it made, and what the account was worth after it.
    pub(super) fn fill(&mut self, traded: &Traded, symbol: &str, net: i128, point: &Point) -> Result<(), SinkError> {
        let (report, scale) = (&traded.report, traded.scale);
        let execution = &report.execution;
        self.fills.row(&[
            Cell::Time(report.ts_event),
            Cell::Time(report.ts_recv),
            Cell::U64(report.sequence),
            Cell::Text(&execution.order.to_string()),
            Cell::U64(report.instrument_id),
            Cell::Text(symbol),
            Cell::Text(side(execution.side)),
            Cell::Text(if execution.liquidity == Liquidity::Maker { "maker" } else { "taker" }),
            Cell::Decimal(execution.price.into()),
            Cell::Decimal(nanos(execution.size.into(), scale)),
            Cell::Decimal(nanos(execution.leaves.into(), scale)),
            Cell::Decimal(execution.fee.into()),
            Cell::Decimal(nanos(net, scale)),
            Cell::Decimal(point.pnl),
        ])
    }

    /// The whole curve.
    pub(super) fn equity(&mut self, points: &[Point]) -> Result<(), SinkError> {
        points.iter().try_for_each(|point| {
            let kind = if point.fill { "fill" } else { "time" };
            let money = [point.pnl, point.drawdown, point.fees].map(Cell::Decimal);
            self.equity.row(&[Cell::Time(point.ts), Cell::Text(kind), money[0], money[1], money[2]])
        })
    }

    /// Finishes the files and gives them their names.
    pub(super) fn keep(self, outcome: &Outcome, about: &About<'_>, data: &[(String, String)]) -> Result<(), CliError> {
        let Self { folder, orders, fills, equity } = self;
        let ours = |error| CliError::Internal(format!("cannot write the result as JSON: {error}"));
        let partials = [orders.finish()?, fills.finish()?, equity.finish()?];
        let data = data.iter().map(|(file, sha256)| DataFile { file, sha256 }).collect();
        let json = serde_json::to_vec_pretty(&RunFile { module: about.module, data, result: outcome }).map_err(ours)?;
        let page = report::page(outcome, about).map_err(ours)?;
        let run = Partial::with(&folder.join("run.json"), &json)?;
        let report = Partial::with(&folder.join("report.html"), page.as_bytes())?;
        partials.into_iter().chain([report, run]).try_for_each(Partial::keep)?;
        Ok(())
    }
}

/// `run.json`.
#[derive(Serialize)]
struct RunFile<'a> {
    module: &'a str,
    data: Vec<DataFile<'a>>,
    result: &'a Outcome,
}

#[derive(Serialize)]
struct DataFile<'a> {
    file: &'a str,
    sha256: &'a str,
}

/// The files that were read, each with its SHA-256 in hex.
pub(super) fn digests(sources: &[Source]) -> Result<Vec<(String, String)>, CliError> {
    let files = sources.iter().flat_map(|source| &source.files);
    let digest = |file: &PathBuf| {
        let digest = reader::digest(file).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
        Ok((file.display().to_string(), digest))
    };
    files.map(digest).collect()
}

/// A file under its temporary name; gone unless it is kept.
struct Partial {
    path: PathBuf,
    partial: PathBuf,
    kept: bool,
}

impl Partial {
    fn new(path: &Path) -> Self {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        Self { path: path.to_owned(), partial: PathBuf::from(partial), kept: false }
    }

    /// A file that is written at once.
    fn with(path: &Path, bytes: &[u8]) -> Result<Self, SinkError> {
        let file = Self::new(path);
        std::fs::write(&file.partial, bytes).map_err(|source| file.failed(source))?;
        Ok(file)
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError { path: self.path.clone(), source }
    }

    fn keep(mut self) -> Result<(), SinkError> {
        std::fs::rename(&self.partial, &self.path).map_err(|source| self.failed(source))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // It may never have been there.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// One Parquet file that is being written.
struct Table {
    file: Partial,
    schema: Arc<Schema>,
    columns: Vec<Column>,
    rows: usize,
    writer: ArrowWriter<File>,
}

enum Column {
    Time(TimestampNanosecondBuilder),
    Text(StringBuilder),
    U64(UInt64Builder),
    U16(UInt16Builder),
    Decimal(Decimal128Builder, DataType),
}

impl Table {
    fn create(path: &Path, columns: &[(&'static str, Kind)]) -> Result<Self, SinkError> {
        let file = Partial::new(path);
        let fields: Vec<Field> =
            columns.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), false)).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties =
            WriterProperties::builder().set_created_by(concat!("pinion ", env!("CARGO_PKG_VERSION")).to_owned());
        let opened = File::create(&file.partial).map_err(|source| file.failed(source))?;
        let writer = ArrowWriter::try_new(opened, Arc::clone(&schema), Some(properties.build()));
        let writer = writer.map_err(|error| file.failed(io::Error::other(error)))?;
        let columns = columns.iter().map(|(_, kind)| Column::new(*kind)).collect();
        Ok(Self { file, schema, columns, rows: 0, writer })
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), SinkError> {
        debug_assert_eq!(cells.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(*cell);
        }
        self.rows += 1;
        if self.rows == ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), SinkError> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let written = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(io::Error::other)
            .and_then(|batch| self.writer.write(&batch).map_err(io::Error::other));
        written.map_err(|source| self.file.failed(source))
    }

    fn finish(mut self) -> Result<Partial, SinkError> {
        self.write()?;
        let Self { file, writer, .. } = self;
        let written = writer.into_inner().map_err(io::Error::other).and_then(|written| written.sync_all());
        written.map_err(|source| file.failed(source))?;
        Ok(file)
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Self::Text => DataType::Utf8,
            Self::U64 => DataType::UInt64,
            Self::U16 => DataType::UInt16,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        }
    }
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Time => Self::Time(TimestampNanosecondBuilder::new().with_data_type(kind.data_type())),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::U64 => Self::U64(UInt64Builder::new()),
            Kind::U16 => Self::U16(UInt16Builder::new()),
            Kind::Decimal(..) => Self::Decimal(decimals(&kind.data_type()), kind.data_type()),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Time(column), Cell::Time(ns)) => column.append_value(i64::try_from(ns).unwrap_or(i64::MAX)),
            (Self::Text(column), Cell::Text(text)) => column.append_value(text),
            (Self::U64(column), Cell::U64(value)) => column.append_value(value),
            (Self::U16(column), Cell::U16(value)) => column.append_value(value),
            (Self::Decimal(column, _), Cell::Decimal(value)) => column.append_value(value),
            _ => unreachable!("a row has the types of its table's columns"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Time(column) => Arc::new(column.finish()),
            Self::Text(column) => Arc::new(column.finish()),
            Self::U64(column) => Arc::new(column.finish()),
            Self::U16(column) => Arc::new(column.finish()),
            Self::Decimal(column, data_type) => {
                let values = std::mem::replace(column, decimals(data_type)).finish();
                Arc::new(values)
            }
        }
    }
}

fn decimals(data_type: &DataType) -> Decimal128Builder {
    Decimal128Builder::new().with_data_type(data_type.clone())
}

/// A size at its instrument's exponent, at 1e-9.
fn nanos(size: i128, scale: u32) -> i128 {
    size.saturating_mul(10_i128.pow(9_u32.saturating_sub(scale)))
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}
