//! Capture files: market data as it came, one frame after the other, read as a stream whatever its length.
//!
//! Three layouts, plain or gzip, told apart by their first bytes:
//! - lines `<receive time, ns> <space> <raw JSON frame>`;
//! - lines `<receive time, seconds>: <raw JSON frame>`, as cryptofeed writes them; its lines of what was connected to and asked for
//!   (`wss://.. <-> ..`, `wss://.. <- ..`) are stepped over;
//! - Pinion's flat messages one after the other (`pinion_runtime::decode::flat`). A depth and its deltas are one frame.
//!
//! A file that ends in the middle, a broken gzip stream, a line without its time: each is an error that says where, never a short count
//! that looks like success. What a frame holds is not looked at here.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use pinion_runtime::decode::{DecodeError, decimal, flat};
use pinion_runtime::limits::RECORD_BYTES_MAX;
use pinion_spec::strategy::Encoding;
use thiserror::Error;

use crate::error::CliError;

/// Longest line: a record, its time and a space.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 32;
/// Digits behind the point of a second that is told in ns.
const SECOND_SCALE: u32 = 9;
/// Frames that are looked at to tell the encoding.
const GUESS_FRAMES: usize = 1_000;

/// Why a capture could not be read. `line` is counted from 1; for flat messages it is the message.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be read on.
    #[error("{}, after line {line}: cannot read on: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The last good line.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The gzip stream ends before its end mark.
    #[error("{}, after line {line}: the gzip stream is cut off; copy the file again", path.display())]
    TruncatedGzip {
        /// The file.
        path: PathBuf,
        /// The last good line.
        line: u64,
    },
    /// The gzip stream is broken.
    #[error("{}, after line {line}: the gzip stream is broken ({source}); copy the file again", path.display())]
    BrokenGzip {
        /// The file.
        path: PathBuf,
        /// The last good line.
        line: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A line that is not one.
    #[error(
        "{}, line {line}: {what}; a line of a capture is `<receive time in ns> <raw JSON frame>` or \
         `<receive time in seconds>: <raw JSON frame>`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A flat message that is not one.
    #[error("{}, message {line}: {source}", path.display())]
    Flat {
        /// The file.
        path: PathBuf,
        /// The message.
        line: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Nothing in the first frames says whose they are.
    #[error("{}: cannot tell the encoding from its first frames; name it with --encoding", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
    },
}

impl From<CaptureError> for CliError {
    fn from(error: CaptureError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// One frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was received, wall ns.
    pub ts_recv: u64,
    /// The frame as it came.
    pub value: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Lines,
    Flat,
}

/// A capture that is being read.
pub struct Capture {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    layout: Layout,
    /// Lines or messages read.
    line: u64,
    buffer: Vec<u8>,
    bytes: u64,
    bytes_read: Arc<AtomicU64>,
}

impl Capture {
    /// Opens a file and looks at its first bytes.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |source| CaptureError::Open { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::with_capacity(1 << 16, Counted { file, bytes_read: Arc::clone(&bytes_read) });
        let gzip = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))) } else { Box::new(file) };
        let (path, bytes) = (path.to_owned(), metadata.len());
        let mut capture = Self { path, reader, layout: Layout::Lines, line: 0, buffer: Vec::new(), bytes, bytes_read };
        if capture.fill()?.starts_with(&flat::MAGIC) {
            capture.layout = Layout::Flat;
        }
        Ok(capture)
    }

    /// The next frame, `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError`]; the capture cannot be read on then.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        match self.layout {
            Layout::Lines => self.next_line(),
            Layout::Flat => self.next_messages(),
        }
    }

    /// Bytes of the file (compressed, if it is), and a count of those read so far that another thread may watch.
    #[must_use]
    pub fn progress(&self) -> (u64, Arc<AtomicU64>) {
        (self.bytes, Arc::clone(&self.bytes_read))
    }

    /// The encoding of a file, by what its first frames hold.
    ///
    /// # Errors
    /// [`CaptureError`], among them that nothing tells.
    pub fn guess(path: &Path) -> Result<Encoding, CaptureError> {
        let mut capture = Self::open(path)?;
        if capture.layout == Layout::Flat {
            return Ok(Encoding::PinionFlat);
        }
        for _ in 0..GUESS_FRAMES {
            let Some(frame) = capture.next_frame()? else { break };
            if let Some(encoding) = encoding_of(frame.value) {
                return Ok(encoding);
            }
        }
        Err(CaptureError::Encoding { path: path.into() })
    }

    fn next_line(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        loop {
            self.buffer.clear();
            let mut limited = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1);
            if let Err(source) = limited.read_until(b'\n', &mut self.buffer) {
                return Err(self.failed(source));
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            self.line += 1;
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self.bad_line("longer than a record may be"));
            }
            if !self.buffer.trim_ascii().is_empty() && !is_of_the_connection(&self.buffer) {
                break;
            }
        }
        let line = self.buffer.trim_ascii_end();
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            return Err(self.bad_line("no space after the receive time"));
        };
        match receive_time(&line[..space]) {
            Some(ts_recv) => Ok(Some(Frame { ts_recv, value: &line[space + 1..] })),
            None => Err(self.bad_line("it does not begin with a time in ns")),
        }
    }

    fn next_messages(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        self.buffer.clear();
        if self.fill()?.is_empty() {
            return Ok(None);
        }
        self.next_message()?;
        for _ in 0..flat::deltas_that_follow(&self.buffer) {
            self.next_message()?;
        }
        Ok(Some(Frame { ts_recv: flat::ts_recv(&self.buffer), value: &self.buffer }))
    }

    /// Appends one message to the buffer.
    fn next_message(&mut self) -> Result<(), CaptureError> {
        let start = self.buffer.len();
        self.line += 1;
        self.append(flat::HEADER_BYTES)?;
        let length = flat::message_bytes(&self.buffer[start..]).map_err(|source| self.bad_message(source))?;
        self.append(length - flat::HEADER_BYTES)?;
        if self.buffer.len() > RECORD_BYTES_MAX {
            return Err(self.bad_message(DecodeError::TooLarge { bytes: self.buffer.len() }));
        }
        Ok(())
    }

    fn append(&mut self, bytes: usize) -> Result<(), CaptureError> {
        let end = self.buffer.len() + bytes;
        let mut limited = self.reader.by_ref().take(bytes as u64);
        if let Err(source) = limited.read_to_end(&mut self.buffer) {
            return Err(self.failed(source));
        }
        if self.buffer.len() < end {
            return Err(self.bad_message(DecodeError::Truncated { at: self.buffer.len() }));
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<&[u8], CaptureError> {
        // Asked twice because of the borrow: the second time nothing is read.
        if let Err(source) = self.reader.fill_buf() {
            return Err(self.failed(source));
        }
        Ok(self.reader.fill_buf().unwrap_or_default())
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        let (path, line) = (self.path.clone(), self.line);
        match source.kind() {
            io::ErrorKind::UnexpectedEof => CaptureError::TruncatedGzip { path, line },
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => CaptureError::BrokenGzip { path, line, source },
            _ => CaptureError::Read { path, line, source },
        }
    }

    fn bad_line(&self, what: &'static str) -> CaptureError {
        CaptureError::Line { path: self.path.clone(), line: self.line, what }
    }

    fn bad_message(&self, source: DecodeError) -> CaptureError {
        CaptureError::Flat { path: self.path.clone(), line: self.line, source }
    }
}

/// Whether a line tells of the connection and not of what came over it.
fn is_of_the_connection(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let address = words.next().unwrap_or_default();
    (address.starts_with(b"ws://") || address.starts_with(b"wss://")) && matches!(words.next(), Some(b"<->" | b"<-"))
}

/// A receive time in ns, or in seconds with a colon behind it.
fn receive_time(text: &[u8]) -> Option<u64> {
    match text.strip_suffix(b":") {
        Some(seconds) => u64::try_from(decimal::parse(seconds, SECOND_SCALE).ok()?).ok(),
        None => pinion_runtime::decode::ts_recv_of_header(text),
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Whose a frame is, if it says: Kraken's are arrays, futures updates name their predecessor, futures quotes their kind, and so on.
fn encoding_of(frame: &[u8]) -> Option<Encoding> {
    let frame: serde_json::Value = serde_json::from_slice(frame).ok()?;
    if let Some([_, .., channel, pair]) = frame.as_array().map(Vec::as_slice) {
        return (channel.is_string() && pair.is_string()).then_some(Encoding::KrakenV1);
    }
    let message = frame.get("data").unwrap_or(&frame);
    let has = |field: &str| message.get(field).is_some();
    let spot_or_usdm = |usdm: bool| Some(if usdm { Encoding::BinanceUsdm } else { Encoding::BinanceSpot });
    match message.get("e").and_then(serde_json::Value::as_str) {
        Some("depthUpdate") => spot_or_usdm(has("pu")),
        Some("bookTicker") => Some(Encoding::BinanceUsdm),
        Some("trade" | "aggTrade") if has("X") || has("M") => spot_or_usdm(!has("M")),
        Some(_) => None,
        None if has("client_order_id") => Some(Encoding::PinionExecution),
        None if has("feed") && (has("product_id") || has("product_ids")) => Some(Encoding::KrakenFutures),
        None if has("type") && (has("product_id") || has("channels")) => Some(Encoding::CoinbaseExchange),
        None if has("event") && (has("connectionID") || has("channelID")) => Some(Encoding::KrakenV1),
        None if has("lastUpdateId") => has("T").then_some(Encoding::BinanceUsdm),
        None => ["u", "s", "b", "B", "a", "A"].into_iter().all(has).then_some(Encoding::BinanceSpot),
    }
}

/// The encoding that a name on the command line means.
///
/// # Errors
/// A text that lists the names there are.
pub fn encoding_named(name: &str) -> Result<Encoding, String> {
    Encoding::ALL.into_iter().find(|encoding| encoding.name() == name).ok_or_else(|| {
        let names = Encoding::ALL.map(Encoding::name).join(", ");
        format!("no such encoding; there are {names}")
    })
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
