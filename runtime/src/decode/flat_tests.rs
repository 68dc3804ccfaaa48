//! The layout is a promise to other people's programs: byte offsets are written out here by hand.

use std::mem::offset_of;

use super::*;
use crate::decode::{Decoder, Outcome};
use crate::event::{Event, FLAG_LAST};
use pinion_spec::strategy::Encoding;

const HEAD: Head = Head {
    instrument_id: 0x1122_3344_5566_7788,
    publisher_id: 0x99aa_bbcc,
    flags: FLAG_SNAPSHOT,
    ts_event: 1,
    ts_recv: 2,
    sequence: 3,
};

fn encoded(bodies: &[Body]) -> Vec<u8> {
    let mut out = Vec::new();
    for body in bodies {
        assert!(encode(&HEAD, body, &mut out));
    }
    out
}

fn decoded(value: &[u8]) -> Result<(Outcome, Vec<Event>), DecodeError> {
    let mut decoder = Decoder::new(Encoding::PinionFlat, "desk-7", &[]).unwrap();
    let mut events = Vec::new();
    let outcome = decoder.decode(&Record { value, key: None, ts_recv: 77 }, &mut events);
    assert!(outcome.is_ok() || events.is_empty(), "an error leaves nothing behind");
    outcome.map(|outcome| (outcome, events))
}

fn bodies() -> [Body; 8] {
    let delta = |price, side| Body::Delta(Delta { price, size: 5, count: 6, side });
    [
        Body::Quote(Quote { bid_price: -1, bid_size: 2, ask_price: i64::MAX, ask_size: 0, bid_count: 3, ask_count: 4 }),
        Body::Trade(Trade { price: 1, size: 2, trade_id: 3, aggressor: Aggressor::Seller }),
        Body::Depth(Depth { first: 4, follows: 3, levels: 2, snapshot: true, ..Depth::default() }),
        delta(10, BookSide::Bid),
        delta(11, BookSide::Ask),
        Body::Depth(Depth { first: 7, follows: 6, levels: 0, snapshot: false, ..Depth::default() }),
        Body::Depth(Depth {
            keeps: 10,
            checksum: Some(Checksum { crc32: 0xfedc_ba98, price_shift: -7, size_shift: 1 }),
            ..Depth::default()
        }),
        Body::Status(MarketState::Halted),
    ]
}

#[test]
fn every_field_lies_where_the_documentation_says() {
    assert_eq!(offset_of!(Header, magic), 0);
    assert_eq!(offset_of!(Header, version), 2);
    assert_eq!(offset_of!(Header, kind), 3);
    assert_eq!(offset_of!(Header, length), 4);
    assert_eq!(offset_of!(Header, flags), 8);
    assert_eq!(offset_of!(Header, publisher_id), 12);
    assert_eq!(offset_of!(Header, instrument_id), 16);
    assert_eq!(offset_of!(Header, ts_event), 24);
    assert_eq!(offset_of!(Header, ts_recv), 32);
    assert_eq!(offset_of!(Header, sequence), 40);
    assert_eq!(HEADER_BYTES, 48);
    assert_eq!(offset_of!(QuoteBody, bid_price), 48 - 48);
    assert_eq!(offset_of!(QuoteBody, bid_size), 56 - 48);
    assert_eq!(offset_of!(QuoteBody, ask_price), 64 - 48);
    assert_eq!(offset_of!(QuoteBody, ask_size), 72 - 48);
    assert_eq!(offset_of!(QuoteBody, bid_count), 80 - 48);
    assert_eq!(offset_of!(QuoteBody, ask_count), 84 - 48);
    assert_eq!(offset_of!(TradeBody, price), 48 - 48);
    assert_eq!(offset_of!(TradeBody, size), 56 - 48);
    assert_eq!(offset_of!(TradeBody, trade_id), 64 - 48);
    assert_eq!(offset_of!(TradeBody, aggressor), 72 - 48);
    assert_eq!(offset_of!(DepthBody, first), 48 - 48);
    assert_eq!(offset_of!(DepthBody, follows), 56 - 48);
    assert_eq!(offset_of!(DepthBody, levels), 64 - 48);
    assert_eq!(offset_of!(DepthBody, snapshot), 68 - 48);
    assert_eq!(offset_of!(WholeDepthBody, more), 72 - 48);
    assert_eq!(offset_of!(DepthMore, keeps), 72 - 72);
    assert_eq!(offset_of!(DepthMore, crc32), 76 - 72);
    assert_eq!(offset_of!(DepthMore, measured), 80 - 72);
    assert_eq!(offset_of!(DepthMore, price_shift), 81 - 72);
    assert_eq!(offset_of!(DepthMore, size_shift), 82 - 72);
    assert_eq!(offset_of!(StatusBody, state), 48 - 48);
    assert_eq!(offset_of!(DeltaBody, price), 48 - 48);
    assert_eq!(offset_of!(DeltaBody, size), 56 - 48);
    assert_eq!(offset_of!(DeltaBody, count), 64 - 48);
    assert_eq!(offset_of!(DeltaBody, side), 68 - 48);
    let length = |body: &Body| encoded(&[*body]).len();
    assert_eq!(bodies().each_ref().map(length), [88, 80, 72, 72, 72, 72, 88, 56]);
}

#[test]
fn a_trade_is_these_bytes() {
    let bytes = encoded(&bodies()[1..2]);
    let expected: [&[u8]; 14] = [
        b"PN",
        &[1, 2],
        &[80, 0],
        &[0, 0],
        &[32, 0, 0, 0],
        &[0xcc, 0xbb, 0xaa, 0x99],
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn what_is_encoded_comes_back_and_only_the_last_is_marked() {
    let (outcome, events) = decoded(&encoded(&bodies())).unwrap();
    assert_eq!(outcome, Outcome { events: 8, skipped: None });
    assert_eq!(events.iter().map(|event| event.body).collect::<Vec<_>>(), bodies());
    for (i, event) in events.iter().enumerate() {
        let flags = if i == 7 { FLAG_SNAPSHOT | FLAG_LAST } else { FLAG_SNAPSHOT };
        assert_eq!(event.head, Head { flags, ..HEAD });
    }
}

#[test]
fn a_publisher_cannot_set_the_flags_that_are_the_readers() {
    let mut bytes = encoded(&bodies()[1..3]);
    bytes.extend(encoded(&bodies()[3..5]));
    bytes[8..12].fill(0xff);
    let flags = decoded(&bytes).unwrap().1.iter().map(|event| event.head.flags).collect::<Vec<_>>();
    assert_eq!(flags, [FLAG_SNAPSHOT, FLAG_SNAPSHOT, FLAG_SNAPSHOT, FLAG_SNAPSHOT | FLAG_LAST]);
}

#[test]
fn a_record_without_its_own_time_has_kafkas() {
    let mut bytes = encoded(&bodies()[1..2]);
    bytes[32..40].fill(0);
    assert_eq!(decoded(&bytes).unwrap().1[0].head.ts_recv, 77);
}

#[test]
fn unknown_kinds_and_longer_messages_are_room_for_the_future() {
    let mut unknown = encoded(&bodies()[1..2]);
    unknown[3] = 200;
    let mut longer = encoded(&bodies()[1..2]);
    longer[4] = 96;
    longer.extend([0xff; 16]);
    let trade = encoded(&bodies()[1..2]);
    let (outcome, events) = decoded(&[unknown.clone(), longer, unknown, trade].concat()).unwrap();
    assert_eq!(outcome, Outcome { events: 2, skipped: Some((Skip::OtherKind, 2)) });
    assert!(events.iter().all(|event| event.body == bodies()[1]));
}

#[test]
fn what_is_not_laid_out_so_is_refused_whole() {
    let good = encoded(&bodies()[1..2]);
    let with = |at: usize, byte: u8| {
        let mut bytes = [good.clone(), good.clone()].concat();
        bytes[80 + at] = byte;
        bytes
    };
    for (bytes, what) in [
        (with(0, b'X'), "not a flat record: wrong magic"),
        (with(2, 2), "a version that this reader does not know"),
        (with(4, 47), "length is shorter than a header"),
        (with(4, 48), "length is shorter than the kind needs"),
        (with(4, 79), "length is shorter than the kind needs"),
        (with(63, 0x80), "negative size"),
        (with(72, 3), "unknown aggressor"),
        (with(3, DELTA), "a delta without its depth"),
    ] {
        assert_eq!(decoded(&bytes), Err(DecodeError::BadLayout { at: 80, what }));
    }
    assert_eq!(decoded(&with(4, 81)), Err(DecodeError::Truncated { at: 160 }));
    for cut in 81..160 {
        assert_eq!(decoded(&with(0, b'P')[..cut]), Err(DecodeError::Truncated { at: cut }), "{cut}");
    }
}

#[test]
fn a_depth_and_its_deltas_stay_together() {
    let fewer = "a depth has fewer deltas than levels";
    assert_eq!(decoded(&encoded(&bodies()[2..4])), Err(DecodeError::BadLayout { at: 0, what: fewer }));
    let [_, trade, depth, delta, ..] = bodies();
    assert_eq!(decoded(&encoded(&[depth, trade])), Err(DecodeError::BadLayout { at: 72, what: fewer }));
    let mut other = encoded(&[depth, delta, delta]);
    other[72 + 16] ^= 1;
    assert_eq!(decoded(&other), Err(DecodeError::BadLayout { at: 72, what: "a delta without its depth" }));
}

#[test]
fn a_stream_of_messages_can_be_cut_apart() {
    let bytes = encoded(&bodies());
    assert_eq!(message_bytes(&bytes), Ok(88));
    assert_eq!(message_bytes(&bytes[..48]), Ok(88));
    assert_eq!(message_bytes(&bytes[..47]), Err(DecodeError::Truncated { at: 47 }));
    assert_eq!(deltas_that_follow(&bytes), 0);
    assert_eq!(deltas_that_follow(&bytes[88 + 80..]), 2);
    assert!(is_delta(&bytes[88 + 80 + 72..]));
    assert_eq!(ts_recv(&bytes), 2);
}
