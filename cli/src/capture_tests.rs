//! Captures written here, byte by byte, and read back.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pinion_runtime::event::{Aggressor, Body, BookSide, Delta, Depth, Head, Trade};

use super::*;

const LINES: &str = "10 {\"a\":1}\n\n20 {\"b\": 2}\r\n30 no json, and not looked at";

/// A file of this test run, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("pinion-capture-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn frames(name: &str, bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, CaptureError> {
    let file = Scratch::new(name, bytes);
    let mut capture = Capture::open(&file.0)?;
    let mut frames = Vec::new();
    while let Some(frame) = capture.next_frame()? {
        frames.push((frame.ts_recv, frame.value.to_vec()));
    }
    Ok(frames)
}

fn expected() -> Vec<(u64, Vec<u8>)> {
    [(10, &b"{\"a\":1}"[..]), (20, b"{\"b\": 2}"), (30, b"no json, and not looked at")]
        .map(|(ts_recv, value)| (ts_recv, value.to_vec()))
        .to_vec()
}

#[test]
fn lines_are_read_from_plain_and_gzip_files() {
    assert_eq!(frames("plain", LINES.as_bytes()).unwrap(), expected());
    assert_eq!(frames("gzip", &gzip(LINES.as_bytes())).unwrap(), expected());
    let (first, second) = LINES.split_at(12);
    let members = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    assert_eq!(frames("members", &members).unwrap(), expected());
    assert_eq!(frames("empty", b"").unwrap(), []);
}

#[test]
fn lines_with_seconds_and_a_colon_are_read_and_what_the_connection_did_is_not() {
    let text = "wss://ws.example <-> 1.5\nwss://ws.example <- 1.6: {\"event\":\"subscribe\"}\n\
                1618677817.061845: {\"a\":1}\n1618677817.0618958: [0]\n1618677818: {}\n\n\n";
    let expected = [
        (1_618_677_817_061_845_000, &b"{\"a\":1}"[..]),
        (1_618_677_817_061_895_800, b"[0]"),
        (1_618_677_818_000_000_000, b"{}"),
    ];
    assert_eq!(frames("seconds", text.as_bytes()).unwrap(), expected.map(|(at, value)| (at, value.to_vec())));
    for line in ["-1.5: {}", "1.5:{}", "1.5 {}", "1.0000000001: {}", "wss://ws.example 1.5", "http://x <-> 1"] {
        let outcome = frames("not-seconds", line.as_bytes());
        assert!(matches!(outcome, Err(CaptureError::Line { line: 1, .. })), "{line}: {outcome:?}");
    }
}

#[test]
fn the_encoding_is_told_from_a_frame() {
    for (frame, encoding) in [
        (r#"{"type":"subscriptions","channels":[]}"#, Encoding::CoinbaseExchange),
        (r#"{"type":"l2update","product_id":"XYZ-USD","changes":[]}"#, Encoding::CoinbaseExchange),
        (r#"{"type":"filled","client_order_id":"x","product_id":"XYZ-USD"}"#, Encoding::PinionExecution),
        (r#"{"connectionID":1,"event":"systemStatus","status":"online"}"#, Encoding::KrakenV1),
        (r#"[0,{"a":[]},"book-10","XYZ/USD"]"#, Encoding::KrakenV1),
        (r#"{"event":"subscribed","feed":"book","product_ids":["PI_XYZUSD"]}"#, Encoding::KrakenFutures),
        (r#"{"feed":"book","product_id":"PI_XYZUSD"}"#, Encoding::KrakenFutures),
        (r#"{"e":"depthUpdate","pu":1,"type":"x","product_id":"y"}"#, Encoding::BinanceUsdm),
    ] {
        assert_eq!(encoding_of(frame.as_bytes()), Some(encoding), "{frame}");
    }
    for frame in [r#"{"event":"info","version":1}"#, "[1,2]", "[]", "{}", "nonsense"] {
        assert_eq!(encoding_of(frame.as_bytes()), None, "{frame}");
    }
}

#[test]
fn a_cut_off_gzip_file_is_an_error_and_not_a_shorter_capture() {
    let whole = gzip(LINES.repeat(100).as_bytes());
    for len in [whole.len() - 1, whole.len() - 8, whole.len() / 2, 5] {
        let outcome = frames("cut", &whole[..len]);
        assert!(matches!(outcome, Err(CaptureError::CutStream { format: "gzip", .. })), "{len}: {outcome:?}");
    }
    let mut broken = whole.clone();
    let last = broken.len() - 6;
    broken[last] ^= 0xff;
    let outcome = frames("broken", &broken);
    assert!(matches!(outcome, Err(CaptureError::BrokenStream { .. })), "{outcome:?}");
}

#[test]
fn a_zstd_file_is_read_and_one_that_is_cut_off_is_an_error() {
    let whole = zstd::encode_all(LINES.as_bytes(), 3).unwrap();
    assert_eq!(frames("zstd", &whole).unwrap(), expected());
    let two =
        [zstd::encode_all(&LINES.as_bytes()[..12], 3).unwrap(), zstd::encode_all(&LINES.as_bytes()[12..], 3).unwrap()];
    assert_eq!(frames("zstd-frames", &two.concat()).unwrap(), expected());
    for len in [whole.len() - 1, whole.len() / 2, 5] {
        let outcome = frames("zstd-cut", &whole[..len]);
        assert!(matches!(outcome, Err(CaptureError::CutStream { format: "zstd", .. })), "{len}: {outcome:?}");
    }
    let mut broken = whole.clone();
    broken[4] = 0xff;
    let outcome = frames("zstd-broken", &broken);
    assert!(matches!(outcome, Err(CaptureError::BrokenStream { format: "zstd", .. })), "{outcome:?}");
}

#[test]
fn a_file_that_ends_in_the_middle_of_a_line_is_cut_there() {
    for (text, line, byte) in [("10 {}\n2", 2, 7), ("10 {}\n20", 2, 8), ("10 {}\n20 {}\n3", 3, 13)] {
        match frames("cut-line", text.as_bytes()) {
            Err(error @ CaptureError::Cut { line: at_line, byte: at_byte, .. }) => {
                assert!(error.is_cut());
                assert_eq!((at_line, at_byte), (line, byte), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A DBN file of version 3 that names instrument 5482, and two trades of it.
fn dbn_file() -> (Vec<u8>, Vec<u8>) {
    let symbol = |text: &str| [text.as_bytes(), &[0; 71][text.len()..]].concat();
    let mut header = vec![0; 100];
    header[45] = 71;
    header.extend([0; 16]);
    header.extend([1, 0, 0, 0]);
    header.extend(symbol("ESH1"));
    header.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend(symbol("5482"));
    let mut trade = vec![12, 0, 2, 0, 0x6a, 0x15, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
    trade.extend([0; 8]);
    trade.extend([3, 0, 0, 0, b'T', b'A', 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    trade.extend([0; 8]);
    // A bar has no time of capture.
    let bar =
        [&[14, 0x20, 2, 0, 0x6a, 0x15, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0; 40]].concat();
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    ([&b"DBN\x03"[..], &length, &header].concat(), [trade, bar].concat())
}

#[test]
fn a_dbn_file_is_read_record_by_record_with_its_names_and_bare_records_are_where_that_is_said() {
    let (header, records) = dbn_file();
    let whole = [&header[..], &records].concat();
    let expected = vec![(9, records[..48].to_vec()), (9, records[48..].to_vec())];
    assert_eq!(frames("dbn", &whole).unwrap(), expected);
    assert_eq!(frames("dbn-zstd", &zstd::encode_all(&whole[..], 3).unwrap()).unwrap(), expected);
    let file = Scratch::new("dbn-names", &whole);
    assert_eq!(Capture::guess(&file.0).unwrap(), Encoding::Dbn);
    let capture = Capture::open(&file.0).unwrap();
    assert_eq!(capture.name_of(1, Some("2.5482")), Some("ESH1"));
    assert_eq!(capture.name_of(1, Some("2.5483")), None);
    let bare = Scratch::new("dbn-bare", &records);
    let mut capture = Capture::open_as(&bare.0, Encoding::Dbn).unwrap();
    assert_eq!(capture.next_frame().unwrap().unwrap().value, &records[..48]);
    for len in [header.len() + 1, header.len() + 47, whole.len() - 1] {
        let outcome = frames("dbn-cut", &whole[..len]);
        let cut = matches!(outcome, Err(CaptureError::Cut { byte, .. }) if byte == len as u64);
        assert!(cut, "{len}: {outcome:?}");
    }
    for len in [4, 8, 107, header.len() - 1] {
        let outcome = frames("dbn-header-cut", &whole[..len]);
        assert!(matches!(outcome, Err(CaptureError::Cut { .. })), "{len}: {outcome:?}");
    }
    let mut other = whole.clone();
    other[3] = 4;
    let error = frames("dbn-4", &other).unwrap_err().to_string();
    assert!(error.contains("DBN version 4: versions 1 to 3 are read"), "{error}");
    let error = frames("dbz", &[0x51, 0x2a, 0x4d, 0x18, 0, 0]).unwrap_err().to_string();
    assert!(error.contains("DBZ is not read; convert"), "{error}");
    let mut short = whole;
    short[header.len()] = 1;
    let error = frames("dbn-length", &short).unwrap_err().to_string();
    assert!(error.contains("message 1") && error.contains("shorter than a header"), "{error}");
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    for (text, bad) in [
        ("10 {}\n20{}\n", 2),
        ("10 {}\n\nx20 {}\n", 3),
        ("-5 {}\n", 1),
        ("10 {}\n99999999999999999999 {}\n", 2),
        ("{\"no\": \"time\"}", 1),
    ] {
        let outcome = frames("bad", text.as_bytes());
        assert!(matches!(outcome, Err(CaptureError::Line { line, .. }) if line == bad), "{text}: {outcome:?}");
    }
    let long = format!("10 {{}}\n20 {}\n30 {{}}", "x".repeat(LINE_BYTES_MAX));
    assert!(matches!(frames("long", long.as_bytes()), Err(CaptureError::Line { line: 2, .. })));
}

fn messages(bodies: &[Body]) -> Vec<u8> {
    let mut out = Vec::new();
    for (body, ts_recv) in bodies.iter().zip(1..) {
        assert!(flat::encode(&Head { ts_recv, ..Head::default() }, body, &mut out));
    }
    out
}

#[test]
fn a_flat_depth_and_its_deltas_are_one_frame() {
    let trade = Body::Trade(Trade { price: 1, size: 2, trade_id: 3, aggressor: Aggressor::None });
    let depth = Body::Depth(Depth { first: 4, follows: 3, levels: 2, snapshot: false, ..Depth::default() });
    let delta = Body::Delta(Delta { price: 1, size: 2, count: 0, side: BookSide::Ask });
    let bytes = messages(&[trade, depth, delta, delta, trade]);
    let whole = frames("flat", &bytes).unwrap();
    assert_eq!(
        whole.iter().map(|(ts_recv, value)| (*ts_recv, value.len())).collect::<Vec<_>>(),
        [(1, 80), (2, 216), (5, 80)]
    );
    assert_eq!(frames("flat-gzip", &gzip(&bytes)).unwrap(), whole);
    for len in [bytes.len() - 1, 80 + 72, 80 + 72 + 71, 30] {
        let outcome = frames("flat-cut", &bytes[..len]);
        let truncated = matches!(outcome, Err(CaptureError::Cut { .. }));
        assert!(truncated, "{len}: {outcome:?}");
    }
}

#[test]
fn the_encoding_is_told_by_what_frames_say() {
    let trade = Body::Trade(Trade { price: 1, size: 2, trade_id: 3, aggressor: Aggressor::None });
    for (bytes, encoding) in [
        (
            &b"1 {\"result\":null,\"id\":1}\n2 {\"data\":{\"e\":\"depthUpdate\",\"pu\":1}}"[..],
            Some(Encoding::BinanceUsdm),
        ),
        (b"1 {\"data\":{\"e\":\"depthUpdate\"}}", Some(Encoding::BinanceSpot)),
        (b"1 {\"e\":\"trade\",\"X\":\"MARKET\"}", Some(Encoding::BinanceUsdm)),
        (b"1 {\"e\":\"trade\",\"M\":true}", Some(Encoding::BinanceSpot)),
        (b"1 {\"data\":{\"u\":1,\"s\":1,\"b\":1,\"B\":1,\"a\":1,\"A\":1}}", Some(Encoding::BinanceSpot)),
        (b"1 {\"e\":\"bookTicker\"}", Some(Encoding::BinanceUsdm)),
        (b"1 {\"type\":\"filled\",\"client_order_id\":\"\"}", Some(Encoding::PinionExecution)),
        (&messages(&[trade]), Some(Encoding::PinionFlat)),
        (b"1 {}", None),
    ] {
        let file = Scratch::new("guess", bytes);
        match (Capture::guess(&file.0), encoding) {
            (Ok(found), Some(encoding)) => assert_eq!(found, encoding),
            (Err(CaptureError::Encoding { .. }), None) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(encoding_named("binance-usdm"), Ok(Encoding::BinanceUsdm));
    assert!(encoding_named("binance").unwrap_err().contains("binance-spot, binance-usdm"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Capture::open(Path::new("/nowhere/capture.gz")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/capture.gz"), "{error}");
    assert!(Capture::open(&std::env::temp_dir()).is_err(), "a folder");
}
