//! Real market data: captures that lie beside the project and are never copied into it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::require::skip;

/// A capture and what its README says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Where it lies in the folder of captures.
    pub file: &'static str,
    /// Encoding by its name in strategy files.
    pub encoding: &'static str,
    /// Lines, each one message.
    pub messages: u64,
    /// Frames that are quotes.
    pub quotes: u64,
    /// Frames that are depth updates.
    pub depth_updates: u64,
    /// Trades.
    pub trades: u64,
    /// Depth snapshots.
    pub snapshots: u64,
}

/// BTCUSDT spot, 2024-08-09, five minutes.
pub const SPOT: Capture = Capture {
    file: "binance-hftbacktest/spot-btcusdt_20240809.gz",
    encoding: "binance-spot",
    messages: 58_325,
    quotes: 45_134,
    depth_updates: 3_044,
    trades: 10_147,
    snapshots: 0,
};

/// BTCUSDT USD-M perpetual, 2024-08-08, six minutes.
pub const USDM: Capture = Capture {
    file: "binance-hftbacktest/usdm-btcusdt_20240808.gz",
    encoding: "binance-usdm",
    messages: 93_954,
    quotes: 66_089,
    depth_updates: 6_551,
    trades: 21_313,
    snapshots: 1,
};

/// Ten products of Coinbase Exchange, 2021-04-17, half a minute.
pub const COINBASE: Capture = Capture {
    file: "ws-cryptofeed/COINBASE.ws.28.0",
    encoding: "coinbase-exchange",
    messages: 9_946,
    quotes: 107,
    depth_updates: 9_719,
    trades: 97,
    snapshots: 10,
};

/// Books of ten pairs of Kraken, 2021-04-17, half a minute.
pub const KRAKEN_BOOKS: Capture = Capture {
    file: "ws-cryptofeed/KRAKEN.ws.50.0",
    encoding: "kraken-v1",
    messages: 4_321,
    quotes: 0,
    depth_updates: 4_269,
    trades: 0,
    snapshots: 10,
};

/// Ten products of Kraken Futures, 2021-07-22, half a minute.
pub const KRAKEN_FUTURES: Capture = Capture {
    file: "ws-cryptofeed/KRAKEN_FUTURES.ws.1.0",
    encoding: "kraken-futures",
    messages: 7_175,
    quotes: 107,
    depth_updates: 7_014,
    trades: 3,
    snapshots: 10,
};

const _: () = assert!(SPOT.quotes + SPOT.depth_updates + SPOT.trades + SPOT.snapshots == SPOT.messages);
const _: () = assert!(USDM.quotes + USDM.depth_updates + USDM.trades + USDM.snapshots == USDM.messages);

impl Capture {
    /// The capture's file, or `None` after a loud skip.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let path = folder()?.join(self.file);
        if path.is_file() {
            return Some(path);
        }
        skip(&format!("no capture {}", path.display()));
        None
    }
}

/// One line of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured, wall ns.
    pub ts_recv: u64,
    /// The venue's message.
    pub value: Vec<u8>,
}

/// Every frame of a capture's file, in order.
///
/// # Panics
/// If the file is not what captures are.
#[must_use]
pub fn frames(path: &Path) -> Vec<Frame> {
    let file = File::open(path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    let gzip = path.extension().is_some_and(|extension| extension == "gz");
    let file: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let lines = BufReader::new(file).lines();
    let lines = lines.map(|line| line.unwrap_or_else(|error| panic!("read {}: {error}", path.display())));
    // What cryptofeed notes of its connection is no frame.
    let frames = lines.filter(|line| !line.is_empty() && !line.starts_with("wss://")).map(|line| {
        let (time, value) = line.split_once(' ').expect("a time before each frame");
        Frame { ts_recv: receive_time(time), value: value.as_bytes().to_vec() }
    });
    frames.collect()
}

/// A time in ns, or in seconds with a colon behind it.
fn receive_time(text: &str) -> u64 {
    let ns = match text.strip_suffix(':').map(|seconds| seconds.split_once('.').unwrap_or((seconds, ""))) {
        Some((whole, fraction)) => format!("{whole}{fraction:0<9}"),
        None => text.to_owned(),
    };
    ns.parse().expect("a time")
}

/// The folder of captures, or `None` after a loud skip: `PINION_MARKET_DATA`, else `../shared/market-data` beside the project.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("PINION_MARKET_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| project_root().join("../shared/market-data"));
    if folder.is_dir() {
        return Some(folder);
    }
    skip(&format!("no captures in {}; PINION_MARKET_DATA names another folder", folder.display()));
    None
}

/// The project's top folder.
#[must_use]
pub fn project_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
