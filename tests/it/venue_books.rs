//! What a strategy is told of books whose venue has a depth and a checksum instead of a sequence, on a worker that is fed by hand.

use std::collections::BTreeMap;
use std::sync::Mutex;

use flate2::Crc;
use pinion_runtime::decode::{Decoder, Record, stamp};
use pinion_runtime::event::{Origin, Stamp};
use pinion_spec::strategy::{Encoding, Resync};
use pinion_strategy::{Book, BookAction, BookDelta, BookSide, Callbacks, Gap, Host, Instrument, Params, Strategy};
use pinion_tests::captures::SPOT;
use pinion_tests::native::Native;
use pinion_tests::rig::{Rig, example, host_of, ready};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps a book of its own from what it is told, and holds it against the host's after each update.
struct Mirror {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

fn see(what: impl Into<String>) {
    SEEN.lock().unwrap().push(what.into());
}

impl Strategy for Mirror {
    const WANTS: Callbacks = Callbacks::BOOK_DELTA.and(Callbacks::BOOK).and(Callbacks::GAP);

    fn new(_: &Params, _: &[Instrument]) -> Result<Self, String> {
        Ok(Self { bids: BTreeMap::new(), asks: BTreeMap::new() })
    }

    fn on_book_delta(&mut self, _: &mut impl Host, delta: &BookDelta) {
        if delta.action == BookAction::Clear {
            self.bids.clear();
            self.asks.clear();
            return;
        }
        let side = if delta.side == Some(BookSide::Bid) { &mut self.bids } else { &mut self.asks };
        if delta.size.0 == 0 {
            side.remove(&delta.price.0);
        } else {
            side.insert(delta.price.0, delta.size.0);
        }
    }

    fn on_book(&mut self, _: &mut impl Host, book: &Book) {
        let best = |level: Option<(&i64, &i64)>| level.map_or((i64::MAX, 0), |(price, size)| (*price, *size));
        assert_eq!(best(self.bids.last_key_value()), (book.bid_price.0, book.bid_size.0));
        assert_eq!(best(self.asks.first_key_value()), (book.ask_price.0, book.ask_size.0));
        assert_eq!((self.bids.len(), self.asks.len()), (book.bid_levels as usize, book.ask_levels as usize));
        let bids: Vec<_> = self.bids.keys().rev().map(|price| (price / 10_000_000).to_string()).collect();
        see(format!("book {}", bids.join(" ")));
    }

    fn on_gap(&mut self, _: &mut impl Host, gap: &Gap) {
        assert_ne!(gap.expected, gap.received);
        see(format!("gap {}", gap.expected));
    }

    fn on_recovered(&mut self, _: &mut impl Host, _: u64, _: u64) {
        see("recovered");
    }
}

const SNAPSHOT: &str = r#"[0,{"as":[["5.20","1.0","1.5"],["5.30","1.0","1.5"]],"bs":[["5.10","1.0","1.5"],["5.00","1.0","1.5"]]},"book-2","XYZ/USD"]"#;

/// A book that the host cannot have, because an update was lost: another level stands where 5.13 should be the second.
const LOST: &str = "52010530105152051420";

fn crc32(text: &str) -> u32 {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

fn update(price: &str, book: &str) -> String {
    format!(r#"[0,{{"b":[["{price}","2.0","1.5"]],"c":"{}"}},"book-2","XYZ/USD"]"#, crc32(book))
}

#[test]
fn a_mirror_of_the_book_stays_true_over_pushed_out_levels_and_a_failed_checksum() {
    let strategy = example("ema-cross", &SPOT);
    let mut rig = Rig::start(Resync::Snapshot, || {});
    rig.load(&strategy, ready(Box::new(Native::<Mirror>::new(host_of(&strategy))), &strategy));
    let mut decoder = Decoder::new(Encoding::KrakenV1, "kraken-v1", &[]).unwrap();
    let frames = [
        SNAPSHOT.to_owned(),
        update("5.15", "52010530105152051010"),
        update("5.12", "52010530105152051220"),
        update("5.13", LOST),
        update("5.14", "not measured while gapped"),
        SNAPSHOT.to_owned(),
    ];
    for (offset, frame) in frames.iter().enumerate() {
        let mut events = Vec::new();
        decoder.decode(&Record { value: frame.as_bytes(), key: None, ts_recv: 1 }, &mut events).unwrap();
        stamp(&mut events, Origin { topic: 0, partition: 0, offset: offset as u64 }, Stamp::default());
        rig.push(&events);
    }
    rig.settle();
    let _ = rig.finish();
    let gap = format!("gap {}", crc32(LOST));
    let wanted = [
        "book 510 500",
        "book 515 510",
        "book 515 512",
        gap.as_str(),
        "book ",
        "book 514",
        "recovered",
        "book 510 500",
    ];
    assert_eq!(*SEEN.lock().unwrap(), wanted);
}
