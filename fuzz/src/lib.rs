//! What the targets do with the fuzzer's bytes. Each finds a panic, an overflow, a wait without end or memory without bounds; and what a
//! decoder promises beyond that is asserted here.

#[cfg(feature = "files")]
#[path = "../../cli/src/capture.rs"]
pub mod capture;

#[cfg(feature = "files")]
pub mod error;

#[cfg(feature = "files")]
#[path = "../../cli/src/events/mod.rs"]
pub mod events;

#[cfg(feature = "files")]
pub mod files;

use std::cell::RefCell;

use pinion_runtime::decode::{Decoder, Record, dbn, flat};
use pinion_runtime::event::{Body, Event};
use pinion_spec::field_map::{FieldMap, QuoteMap, SideOf, TimeUnit, TradeMap};
use pinion_spec::strategy::Encoding;

/// Decodes a record as one of an input of `encoding`, warm, and holds what decoding promises.
pub fn decode(encoding: Encoding, value: &[u8]) {
    thread_local! {
        static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
    }
    DECODER.with_borrow_mut(|warm| {
        // A new one now and then: a table full of symbols would refuse all later ones.
        if warm.as_ref().is_none_or(|decoder| decoder.symbols().iter().count() > 1_000) {
            *warm = None;
        }
        let map = (encoding == Encoding::JsonMap).then(field_map);
        let decoder = warm.get_or_insert_with(|| {
            Decoder::of_input(encoding, "fuzz", map.as_ref(), &[]).expect("nothing is declared")
        });
        let record = Record { value, key: Some(b"KEY"), ts_recv: 1 };
        let mut events = Vec::new();
        match decoder.decode(&record, &mut events) {
            Err(_) => assert!(events.is_empty(), "an error leaves nothing behind"),
            Ok(outcome) => {
                assert_eq!(outcome.events, events.len());
                assert!(!events.is_empty() || outcome.skipped.is_some() || value.is_empty());
                let last = events.iter().position(Event::is_last);
                assert_eq!(last, events.len().checked_sub(1), "the last event is marked, and no other");
                assert_depths(&events);
                assert_flat(&events);
            }
        }
        if encoding == Encoding::Dbn {
            let _ = dbn::ts_recv(value);
            let _ = dbn::metadata::parse(value);
        }
    });
}

/// A depth is followed by as many deltas as it says, of its instrument, and deltas stand nowhere else.
fn assert_depths(events: &[Event]) {
    let mut open = (0, 0);
    for event in events {
        match event.body {
            Body::Depth(depth) => {
                assert_eq!(open.0, 0);
                open = (depth.levels, event.head.instrument_id);
            }
            Body::Delta(delta) => {
                assert!(open.0 > 0 && delta.size >= 0);
                assert_eq!(open.1, event.head.instrument_id);
                open.0 -= 1;
            }
            _ => assert_eq!(open.0, 0),
        }
    }
    assert_eq!(open.0, 0);
}

/// What a flat record can say comes back the same.
fn assert_flat(events: &[Event]) {
    let mut bytes = Vec::new();
    if events.is_empty() || !events.iter().all(|event| flat::encode(&event.head, &event.body, &mut bytes)) {
        return;
    }
    let mut back = Vec::new();
    let mut decoder = Decoder::new(Encoding::PinionFlat, "flat", &[]).expect("nothing is declared");
    let record = Record { value: &bytes, key: None, ts_recv: 1 };
    if decoder.decode(&record, &mut back).is_ok() {
        assert!(back == events, "{events:?} came back as {back:?}");
    } else {
        assert!(bytes.len() > pinion_runtime::limits::RECORD_BYTES_MAX, "{events:?} does not come back");
    }
}

fn field_map() -> FieldMap {
    let some = |text: &str| Some(text.to_owned());
    FieldMap {
        symbol: "/i/code".to_owned(),
        time: some("/t"),
        time_unit: Some(TimeUnit::Ms),
        sequence: some("/n"),
        kind: some("/k"),
        quote: Some(QuoteMap {
            when: some("q"),
            bid_price: "/b/0/0".to_owned(),
            bid_size: some("/b/0/1"),
            ask_price: "/a/0/0".to_owned(),
            ask_size: some("/a/0/1"),
        }),
        trade: Some(TradeMap {
            when: some("t"),
            price: "/p".to_owned(),
            size: "/z".to_owned(),
            side_of: SideOf::Maker,
            side: some("/d"),
            buy: some("B"),
            sell: some("S"),
            id: some("/id"),
        }),
    }
}
