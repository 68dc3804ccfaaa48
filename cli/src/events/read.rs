//! A file to rows, rows to flat records. The file is somebody's: every column and every value is looked at.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int8Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pinion_runtime::decode::flat;
use pinion_runtime::event::{
    Aggressor, Body, BookSide, Checksum, Delta, Depth, Head, MarketState, PRICE_UNDEFINED, Quote, Trade,
};
use pinion_runtime::limits::{INSTRUMENTS_MAX, RECORD_BYTES_MAX};

use super::EventFileError;
use super::guard::{Ending, blocks_lie_inside, guarded};
use super::schema::{self as at, COLUMNS, Format, STATES};

/// Rows that are read at once.
const BATCH_ROWS: usize = 1 << 13;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// An event file that is being read.
pub(crate) struct EventReader {
    path: PathBuf,
    batches: Batches,
    /// Where each column stands in the file.
    places: [usize; COLUMNS.len()],
    batch: Option<RecordBatch>,
    /// The next row of the batch, and of the file, counted from 0.
    next: usize,
    row: u64,
    names: HashMap<u64, String>,
    encoding: Option<String>,
}

impl EventReader {
    /// Opens a file and checks its columns.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Self, EventFileError> {
        let file = File::open(path);
        let file = file.map_err(|source| EventFileError::File { what: "open", path: path.into(), source })?;
        let broken = |what: String| EventFileError::Broken { path: path.into(), row: 0, what };
        let opened = guarded(|| batches(file, format)).map_err(broken)?;
        let (schema, batches) = opened.map_err(|error| broken(error.to_string()))?;
        let places = places(path, &schema)?;
        let encoding = schema.metadata().get(at::ENCODING_KEY).cloned();
        let (path, names) = (path.to_owned(), HashMap::new());
        Ok(Self { path, batches, places, batch: None, next: 0, row: 0, names, encoding })
    }

    /// The encoding of the capture that the events come from, where the file says so.
    pub(crate) fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// The symbol of an instrument, as far as rows have named it.
    pub(crate) fn symbol_of(&self, instrument_id: u64) -> Option<&str> {
        self.names.get(&instrument_id).map(String::as_str)
    }

    /// Rows read.
    pub(crate) fn rows(&self) -> u64 {
        self.row
    }

    /// Puts the next record, as flat messages, into `out`; false at the end.
    pub(crate) fn next_record(&mut self, out: &mut Vec<u8>) -> Result<bool, EventFileError> {
        out.clear();
        let mut record = None;
        loop {
            if self.batch.as_ref().is_none_or(|batch| self.next == batch.num_rows()) {
                // None from here on, where there are no more: the last one must not be read again.
                (self.batch, self.next) = (None, 0);
                let next = guarded(|| self.batches.next().transpose().map_err(|error| error.to_string()));
                match next.flatten() {
                    Ok(None) => return Ok(record.is_some()),
                    Ok(more) => self.batch = more,
                    Err(what) => {
                        let path = self.path.clone();
                        return Err(EventFileError::Broken { path, row: self.row, what });
                    }
                }
                continue;
            }
            let Some(batch) = &self.batch else { continue };
            let row = Row { path: &self.path, batch, places: &self.places, at: self.next, number: self.row + 1 };
            let of = row.value::<UInt64Type>(at::RECORD)?;
            if record.is_some_and(|record| record != of) {
                return Ok(true);
            }
            record = Some(of);
            let (head, body) = row.event()?;
            flat::encode(&head, &body, out);
            if out.len() > RECORD_BYTES_MAX {
                let (path, row, limit) = (self.path.clone(), self.row + 1, RECORD_BYTES_MAX);
                return Err(EventFileError::TooLarge { path, row, limit });
            }
            if !self.names.contains_key(&head.instrument_id)
                && self.names.len() < INSTRUMENTS_MAX
                && let Some(symbol) = row.text(at::SYMBOL)
            {
                self.names.insert(head.instrument_id, symbol.to_owned());
            }
            self.next += 1;
            self.row += 1;
        }
    }
}

fn batches(mut file: File, format: Format) -> Result<(SchemaRef, Batches), ArrowError> {
    match format {
        Format::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(Ending(file))?;
            let schema = builder.schema().clone();
            Ok((schema, Box::new(builder.with_batch_size(BATCH_ROWS).build()?)))
        }
        Format::Arrow => {
            blocks_lie_inside(&mut file)?;
            let reader = FileReader::try_new_buffered(file, None)?;
            Ok((reader.schema(), Box::new(reader)))
        }
    }
}

fn places(path: &Path, schema: &Schema) -> Result<[usize; COLUMNS.len()], EventFileError> {
    let told = |key: &str, ours: &str| schema.metadata().get(key).filter(|told| *told != ours).cloned();
    if let Some(version) = told(at::VERSION_KEY, at::VERSION) {
        return Err(EventFileError::Version { path: path.into(), version });
    }
    if let Some(exponent) = told(at::EXPONENT_KEY, at::SIZE_EXPONENT) {
        return Err(EventFileError::Exponent { path: path.into(), exponent });
    }
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(&COLUMNS) {
        let (column, wanted) = (column.name, column.of.arrow());
        let Some((index, field)) = schema.column_with_name(column) else {
            return Err(EventFileError::NoColumn { path: path.into(), column, wanted });
        };
        if *field.data_type() != wanted {
            let found = field.data_type().clone();
            return Err(EventFileError::Type { path: path.into(), column, found, wanted });
        }
        *place = index;
    }
    Ok(places)
}

/// One row of a batch, whose columns have been checked.
struct Row<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
    places: &'a [usize; COLUMNS.len()],
    at: usize,
    number: u64,
}

impl Row<'_> {
    fn event(&self) -> Result<(Head, Body), EventFileError> {
        let head = Head {
            instrument_id: self.value::<UInt64Type>(at::INSTRUMENT_ID)?,
            publisher_id: self.value::<UInt32Type>(at::PUBLISHER_ID)?,
            flags: self.value::<UInt32Type>(at::FLAGS)?,
            ts_event: self.value::<UInt64Type>(at::TS_EVENT)?,
            ts_recv: self.value::<UInt64Type>(at::TS_RECV)?,
            sequence: self.value::<UInt64Type>(at::SEQUENCE)?,
        };
        let body = match self.word(at::KIND)? {
            "quote" => Body::Quote(Quote {
                bid_price: self.some::<Int64Type>(at::BID_PRICE).unwrap_or(PRICE_UNDEFINED),
                bid_size: self.size(at::BID_SIZE)?,
                ask_price: self.some::<Int64Type>(at::ASK_PRICE).unwrap_or(PRICE_UNDEFINED),
                ask_size: self.size(at::ASK_SIZE)?,
                bid_count: self.value::<UInt32Type>(at::BID_COUNT)?,
                ask_count: self.value::<UInt32Type>(at::ASK_COUNT)?,
            }),
            "trade" => Body::Trade(Trade {
                price: self.value::<Int64Type>(at::PRICE)?,
                size: self.size(at::SIZE)?,
                trade_id: self.value::<UInt64Type>(at::TRADE_ID)?,
                aggressor: match self.word(at::SIDE)? {
                    "none" => Aggressor::None,
                    "buyer" => Aggressor::Buyer,
                    "seller" => Aggressor::Seller,
                    _ => return Err(self.bad(at::SIDE, "of a trade buyer, seller or none")),
                },
            }),
            "depth" => Body::Depth(Depth {
                first: self.value::<UInt64Type>(at::FIRST)?,
                follows: self.value::<UInt64Type>(at::FOLLOWS)?,
                levels: self.value::<UInt32Type>(at::LEVELS)?,
                snapshot: self.flag(at::SNAPSHOT)?,
                keeps: self.value::<UInt32Type>(at::KEEPS)?,
                checksum: match self.some::<UInt32Type>(at::CRC32) {
                    Some(crc32) => Some(Checksum {
                        crc32,
                        price_shift: self.value::<Int8Type>(at::PRICE_SHIFT)?,
                        size_shift: self.value::<Int8Type>(at::SIZE_SHIFT)?,
                    }),
                    None => None,
                },
            }),
            "delta" => Body::Delta(Delta {
                price: self.value::<Int64Type>(at::PRICE)?,
                size: self.size(at::SIZE)?,
                count: self.value::<UInt32Type>(at::COUNT)?,
                side: match self.word(at::SIDE)? {
                    "bid" => BookSide::Bid,
                    "ask" => BookSide::Ask,
                    _ => return Err(self.bad(at::SIDE, "of a delta bid or ask")),
                },
            }),
            "status" => {
                let word = self.word(at::STATE)?;
                let state = STATES.iter().position(|state| *state == word);
                let state = state.and_then(|state| MarketState::ALL.get(state));
                Body::Status(*state.ok_or_else(|| self.bad(at::STATE, "no state of a market"))?)
            }
            _ => return Err(self.bad(at::KIND, "quote, trade, depth, delta or status")),
        };
        Ok((head, body))
    }

    fn some<T: ArrowPrimitiveType>(&self, column: usize) -> Option<T::Native> {
        let array = self.batch.column(self.places[column]).as_primitive_opt::<T>()?;
        array.is_valid(self.at).then(|| array.value(self.at))
    }

    fn value<T: ArrowPrimitiveType>(&self, column: usize) -> Result<T::Native, EventFileError> {
        self.some::<T>(column).ok_or_else(|| self.bad(column, "null, and this kind of row needs it"))
    }

    fn size(&self, column: usize) -> Result<i64, EventFileError> {
        let size = self.value::<Int64Type>(column)?;
        if size < 0 { Err(self.bad(column, "below 0")) } else { Ok(size) }
    }

    fn flag(&self, column: usize) -> Result<bool, EventFileError> {
        let array = self.batch.column(self.places[column]).as_boolean_opt();
        let array = array.filter(|array| array.is_valid(self.at));
        let array = array.ok_or_else(|| self.bad(column, "null, and this kind of row needs it"))?;
        Ok(array.value(self.at))
    }

    fn text(&self, column: usize) -> Option<&str> {
        let array = self.batch.column(self.places[column]).as_string_opt::<i32>()?;
        array.is_valid(self.at).then(|| array.value(self.at))
    }

    fn word(&self, column: usize) -> Result<&str, EventFileError> {
        self.text(column).ok_or_else(|| self.bad(column, "null, and this kind of row needs it"))
    }

    fn bad(&self, column: usize, what: &'static str) -> EventFileError {
        EventFileError::Row { path: self.path.into(), row: self.number, column: COLUMNS[column].name, what }
    }
}
