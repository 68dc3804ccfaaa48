//! Real market data: captures that lie beside the project and are never copied into it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::require::skip;

/// A Binance capture and what its README says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Where it lies in the folder of captures.
    pub file: &'static str,
    /// Encoding by its name in strategy files.
    pub encoding: &'static str,
    /// Lines, each one message.
    pub messages: u64,
    /// `bookTicker` frames.
    pub quotes: u64,
    /// `depthUpdate` frames.
    pub depth_updates: u64,
    /// `trade` frames.
    pub trades: u64,
    /// REST depth snapshots.
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
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    let frame = |line: std::io::Result<String>| {
        let line = line.unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        let (ts_recv, value) = line.split_once(' ').expect("a time before each frame");
        Frame { ts_recv: ts_recv.parse().expect("a time in ns"), value: value.as_bytes().to_vec() }
    };
    lines.map(frame).collect()
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
