//! What is written comes back to the same events, and what is not such a file is refused by the column or the row.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pinion_runtime::decode::{Decoder, Record};
use pinion_runtime::event::{
    Aggressor, Body, BookSide, Checksum, Delta, Depth, Event, Head, MarketState, Origin, PRICE_UNDEFINED, Quote, Stamp,
    Trade,
};
use pinion_spec::strategy::Encoding;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pinion-events-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn event(flags: u32, body: Body) -> Event {
    let head = Head { instrument_id: u64::MAX, publisher_id: 7, flags, ts_event: 1, ts_recv: u64::MAX, sequence: 3 };
    Event { head, body, origin: Origin::default(), stamp: Stamp::default() }
}

/// Records of every kind, with the extremes of their fields.
fn records() -> Vec<Vec<Event>> {
    let quote = |bid_price, ask_price| {
        Body::Quote(Quote { bid_price, bid_size: i64::MAX, ask_price, ask_size: 0, bid_count: u32::MAX, ask_count: 1 })
    };
    let trade = |price, aggressor| Body::Trade(Trade { price, size: 2, trade_id: u64::MAX, aggressor });
    let depth = |levels, snapshot, keeps, checksum| {
        Body::Depth(Depth { first: 4, follows: u64::MAX, levels, snapshot, keeps, checksum })
    };
    let delta = |price, side| Body::Delta(Delta { price, size: 0, count: 6, side });
    let checksum = Some(Checksum { crc32: u32::MAX, price_shift: -18, size_shift: 18 });
    let mut records = vec![
        vec![event(128, quote(PRICE_UNDEFINED, -1))],
        vec![event(0, quote(1, PRICE_UNDEFINED)), event(128, trade(i64::MIN, Aggressor::Seller))],
        vec![event(128, trade(0, Aggressor::Buyer))],
        vec![event(128, trade(0, Aggressor::None))],
        vec![
            event(0, depth(2, false, 10, checksum)),
            event(0, delta(i64::MIN, BookSide::Bid)),
            event(128, delta(5, BookSide::Ask)),
        ],
        vec![event(32, depth(1, true, 0, None)), event(160, delta(5, BookSide::Ask))],
        vec![event(128, depth(0, false, 0, None))],
    ];
    records.extend(MarketState::ALL.map(|state| vec![event(128, Body::Status(state))]));
    records
}

fn write(path: &Path, records: &[Vec<Event>]) -> u64 {
    let mut writer = EventWriter::create(path, "kraken-v1", "kraken").unwrap();
    for (number, record) in records.iter().enumerate() {
        for event in record {
            writer.push(number as u64, Some("XBT/USD"), event).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn read(path: &Path) -> Result<(Vec<Vec<Event>>, EventReader), EventFileError> {
    let format = format_of(&std::fs::read(path).unwrap()).unwrap();
    let mut reader = EventReader::open(path, format)?;
    let mut decoder = Decoder::new(Encoding::PinionFlat, "flat", &[]).unwrap();
    let (mut records, mut value) = (Vec::new(), Vec::new());
    while reader.next_record(&mut value)? {
        let mut events = Vec::new();
        decoder.decode(&Record { value: &value, key: None, ts_recv: 0 }, &mut events).unwrap();
        records.push(events);
    }
    Ok((records, reader))
}

#[test]
fn what_is_written_comes_back_to_the_same_events_record_by_record() {
    let folder = Folder::new("round");
    // More than a batch of the writer and of the reader.
    let mut many = records();
    for _ in 0..12_000 {
        many.extend(records());
    }
    for (name, records) in [("a.parquet", &records()), ("a.arrow", &records()), ("b.parquet", &many)] {
        let path = folder.file(name);
        let rows = write(&path, records);
        assert_eq!(rows, records.iter().map(|record| record.len() as u64).sum::<u64>());
        let (found, reader) = read(&path).unwrap();
        assert!(found == *records, "{name}");
        assert_eq!((reader.rows(), reader.encoding()), (rows, Some("kraken-v1")));
        assert_eq!(reader.symbol_of(u64::MAX), Some("XBT/USD"));
    }
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no part of a file stays: {left:?}");
}

#[test]
fn a_file_that_is_not_finished_leaves_nothing_behind() {
    let folder = Folder::new("unfinished");
    let path = folder.file("a.parquet");
    std::fs::write(&path, "what was there before").unwrap();
    let mut writer = EventWriter::create(&path, "kraken-v1", "kraken").unwrap();
    writer.push(1, None, &records()[0][0]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there before");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
    let error = EventWriter::create(&folder.file("a.csv"), "x", "x").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains(".parquet"), "{error}");
    let error = EventWriter::create(&folder.file("no/folder/a.arrow"), "x", "x").map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("no/folder/a.arrow"), "{error}");
}

/// The rows of a good file, with one column changed or taken out.
fn changed(folder: &Folder, name: &str, column: &str, by: Option<ArrayRef>) -> PathBuf {
    let good = folder.file("good.parquet");
    write(&good, &records()[..1]);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(good).unwrap()).unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let schema = batch.schema();
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| Field::clone(field)).collect();
    let mut columns = batch.columns().to_vec();
    let at = schema.index_of(column).unwrap();
    match by {
        Some(by) => {
            fields[at] = Field::new(column, by.data_type().clone(), true);
            columns[at] = by;
        }
        None => {
            fields.remove(at);
            columns.remove(at);
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let path = folder.file(name);
    let file = File::create(&path).unwrap();
    if name.ends_with(".arrow") {
        let mut writer = FileWriter::try_new(file, &schema).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    path
}

#[test]
fn a_missing_or_mistyped_column_is_refused_by_its_name_with_the_fix() {
    let folder = Folder::new("columns");
    for name in ["x.parquet", "x.arrow"] {
        for column in schema::COLUMNS.iter().map(|column| column.name) {
            let error = read(&changed(&folder, name, column, None)).map(|_| ()).unwrap_err();
            assert!(matches!(error, EventFileError::NoColumn { column: named, .. } if named == column), "{error}");
            assert!(error.to_string().contains("add it as"), "{error}");
        }
        let seconds: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let error = read(&changed(&folder, name, "ts_recv", Some(seconds))).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("column `ts_recv` is Int64, and UInt64 is read; cast it"), "{error}");
    }
}

#[test]
fn a_row_that_is_no_event_is_refused_by_its_number_and_column() {
    let folder = Folder::new("rows");
    let text = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let sizes = |size: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![size])) };
    for (column, by, what) in [
        ("kind", text(Some("bar")), "column `kind`: quote, trade, depth, delta or status"),
        ("kind", text(None), "column `kind`: null"),
        ("kind", text(Some("trade")), "column `price`: null"),
        ("kind", text(Some("status")), "column `state`: null"),
        ("bid_size", sizes(Some(-1)), "column `bid_size`: below 0"),
        ("ask_size", sizes(None), "column `ask_size`: null"),
    ] {
        let error = read(&changed(&folder, "x.parquet", column, Some(by))).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("row 1"), "{error}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_broken_is_named() {
    let folder = Folder::new("cut");
    for name in ["a.parquet", "a.arrow"] {
        let path = folder.file(name);
        write(&path, &records());
        let whole = std::fs::read(&path).unwrap();
        for len in [8, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = read(&path).map(|_| ()).unwrap_err();
            assert!(matches!(error, EventFileError::Broken { .. }), "{name} {len}: {error:?}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

/// The library of Arrow panics at an offset that lies outside of its file, as the fuzzer found.
#[test]
fn whatever_byte_of_a_file_is_changed_it_ends_in_records_or_in_an_error() {
    let folder = Folder::new("changed");
    for name in ["a.parquet", "a.arrow"] {
        let path = folder.file(name);
        write(&path, &records());
        let whole = std::fs::read(&path).unwrap();
        let mut broken = 0;
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x7f;
            std::fs::write(&path, &changed).unwrap();
            let Some(format) = format_of(&changed) else { continue };
            let mut value = Vec::new();
            let read = EventReader::open(&path, format).and_then(|mut reader| {
                while reader.next_record(&mut value)? {}
                Ok(())
            });
            broken += usize::from(matches!(read, Err(EventFileError::Broken { .. })));
        }
        assert!(broken > 0, "{name} is read whatever stands in it");
    }
}

#[test]
fn an_arrow_block_that_lies_outside_of_its_file_is_refused_before_room_is_made_for_it() {
    let folder = Folder::new("outside");
    let path = folder.file("a.arrow");
    write(&path, &records());
    let mut bytes = std::fs::read(&path).unwrap();
    let trailer = bytes.len() - 10;
    let length = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().unwrap());
    let footer = trailer - usize::try_from(length).unwrap();
    let block =
        arrow_ipc::root_as_footer(&bytes[footer..trailer]).unwrap().recordBatches().unwrap().get(0).bodyLength();
    let at = bytes[footer..].windows(8).position(|window| window == block.to_le_bytes()).unwrap() + footer;
    bytes[at..at + 8].copy_from_slice(&(1_i64 << 31).to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = read(&path).map(|_| ()).unwrap_err();
    assert!(matches!(error, EventFileError::Broken { row: 0, .. }) && error.to_string().contains("outside"), "{error}");
}

#[test]
fn another_version_is_refused() {
    let folder = Folder::new("version");
    for (key, value, what) in [("pinion.events", "2", "version 2"), ("pinion.size_exponent", "-8", "10 to -8")] {
        let path = folder.file("a.arrow");
        let schema = schema::schema("x", "x");
        let mut metadata = schema.metadata().clone();
        metadata.insert(key.to_owned(), value.to_owned());
        let schema = schema.as_ref().clone().with_metadata(metadata);
        FileWriter::try_new(File::create(&path).unwrap(), &schema).unwrap().finish().unwrap();
        let error = read(&path).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
