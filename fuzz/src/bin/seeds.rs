//! What the fuzzer begins with: records of the real captures, written to a folder when it is started and never committed.
//!
//! `seeds TARGET FOLDER`; the captures lie in `PINION_MARKET_DATA`, else in `../shared/market-data` beside the project.

use std::fs;
use std::path::{Path, PathBuf};

use pinion_fuzz::capture::Capture;
use pinion_fuzz::files::event_file;
use pinion_runtime::decode::{Decoder, Record, flat};
use pinion_runtime::event::Event;
use pinion_spec::strategy::Encoding;

/// Records of one capture: enough to have each kind of message, few enough for a quick start.
const SEEDS: usize = 400;
/// Larger ones teach the fuzzer little and make it slow.
const BYTES_MAX: usize = 1 << 12;

const EXECUTION: &str = r#"{"type":"filled","client_order_id":"0000002a-00070003-rs-1","side":"buy","instrument_id":7,"price":"20.15","size":"0.5","leaves":"0.25","fee":"-0.001","liquidity":"maker","ts_event":1700000000123456789,"sequence":12}"#;
const MAPPED: [&str; 2] = [
    r#"{"k":"q","i":{"code":"ABC"},"t":1700000000.000001,"n":7,"b":[["1.5",2],["1.4",9]],"a":[[1.75,"0.5"]]}"#,
    r#"{"d":"B","i":{"code":"ABC"},"p":1.5e-3,"z":"2","k":"t","id":"99","t":"1700000000","n":8}"#,
];

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(target), Some(folder)) = (args.next(), args.next()) else {
        eprintln!("seeds TARGET FOLDER");
        std::process::exit(64);
    };
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/market-data");
    let data = std::env::var_os("PINION_MARKET_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder).expect("make the folder");
    let seeds = seeds(&target, &data);
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).expect("write a seed");
    }
    eprintln!("{} seeds of {target} in {}", seeds.len(), folder.display());
}

fn seeds(target: &str, data: &Path) -> Vec<Vec<u8>> {
    let cryptofeed = |name: &str| data.join("ws-cryptofeed").join(name);
    let spot = data.join("binance-hftbacktest/spot-btcusdt_20240809.gz");
    match target {
        "binance-spot" => frames(&spot),
        "binance-usdm" => frames(&data.join("binance-hftbacktest/usdm-btcusdt_20240808.gz")),
        "coinbase-exchange" => frames(&cryptofeed("COINBASE.ws.28.0")),
        "kraken-v1" => {
            let files = ["KRAKEN.ws.48.0", "KRAKEN.ws.49.0", "KRAKEN.ws.50.0"];
            files.iter().flat_map(|file| frames(&cryptofeed(file))).collect()
        }
        "kraken-futures" => frames(&cryptofeed("KRAKEN_FUTURES.ws.1.0")),
        "dbn" => dbn_files(data).iter().flat_map(|file| frames(file)).collect(),
        "json-map" => MAPPED.map(|text| text.as_bytes().to_vec()).to_vec(),
        "pinion-execution" => vec![EXECUTION.as_bytes().to_vec()],
        "pinion-flat" => {
            let records =
                [events(Encoding::KrakenV1, &cryptofeed("KRAKEN.ws.50.0")), events(Encoding::BinanceSpot, &spot)];
            records.concat().iter().map(|events| flat_record(events)).collect()
        }
        "event-files" => {
            let few = events(Encoding::KrakenV1, &cryptofeed("KRAKEN.ws.50.0"));
            ["parquet", "arrow"]
                .iter()
                .flat_map(|format| few.chunks(20).take(4).map(|few| event_file(few, format)))
                .collect()
        }
        _ => {
            let mut files: Vec<Vec<u8>> = dbn_files(data).iter().filter_map(|file| fs::read(file).ok()).collect();
            files
                .extend(frames(&cryptofeed("KRAKEN.ws.49.0")).iter().map(|frame| [b"17 ", &frame[..], b"\n"].concat()));
            files.push(b"wss://x <-> 1.5\n1.5: {}\n2.5: []\n".to_vec());
            files
        }
    }
}

fn frames(file: &Path) -> Vec<Vec<u8>> {
    let Ok(mut capture) = Capture::open(file) else {
        eprintln!("no capture {}", file.display());
        return Vec::new();
    };
    let mut frames = Vec::new();
    while let (true, Ok(Some(frame))) = (frames.len() < SEEDS, capture.next_frame()) {
        if frame.value.len() <= BYTES_MAX {
            frames.push(frame.value.to_vec());
        }
    }
    frames
}

fn dbn_files(data: &Path) -> Vec<PathBuf> {
    let folders = ["dbn-databento", "dbn-databento/by-venue/GLBX.MDP3", "dbn-databento/by-venue/LIVE"];
    let files = folders.iter().filter_map(|folder| fs::read_dir(data.join(folder)).ok()).flatten();
    let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|file| file.to_str().is_some_and(|name| name.contains(".dbn") && !name.contains(".frag")));
    files.sort();
    files
}

fn events(encoding: Encoding, file: &Path) -> Vec<Vec<Event>> {
    let mut decoder = Decoder::new(encoding, encoding.name(), &[]).expect("nothing is declared");
    let decoded = frames(file).into_iter().filter_map(|frame| {
        let mut events = Vec::new();
        decoder.decode(&Record { value: &frame, key: None, ts_recv: 1 }, &mut events).ok()?;
        (!events.is_empty()).then_some(events)
    });
    decoded.collect()
}

fn flat_record(events: &[Event]) -> Vec<u8> {
    let mut record = Vec::new();
    for event in events {
        flat::encode(&event.head, &event.body, &mut record);
    }
    record
}
