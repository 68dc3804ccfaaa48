//! Capture files: market data as it came, one frame after the other, read as a stream whatever its length.
//!
//! Five layouts, told apart by their first bytes; all but event files plain, gzip or zstd:
//! - lines `<receive time, ns> <space> <raw JSON frame>`;
//! - lines `<receive time, seconds>: <raw JSON frame>`, as cryptofeed writes them; its lines of what was connected to and asked for
//!   (`wss://.. <-> ..`, `wss://.. <- ..`) are stepped over;
//! - Pinion's flat messages one after the other (`pinion_runtime::decode::flat`). A depth and its deltas are one frame;
//! - DBN: a file with its header, or bare records where the encoding is said to be `dbn`. A record is a frame;
//! - event files (`crate::events`): the events of one record are a frame of flat messages.
//!
//! A file that ends in the middle, a broken stream, a line without its time: each is an error that says where, never a short count
//! that looks like success. What a frame holds is not looked at here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use pinion_runtime::decode::dbn::{self, metadata};
use pinion_runtime::decode::{DecodeError, decimal, flat};
use pinion_runtime::limits::RECORD_BYTES_MAX;
use pinion_spec::strategy::Encoding;

use crate::events::{self, EventReader};

#[path = "capture_error.rs"]
mod error;
#[path = "capture_guess.rs"]
mod guess;

pub use error::CaptureError;
pub use guess::encoding_named;
use guess::encoding_of;

/// Longest line: a record, its time and a space.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 32;
/// Digits behind the point of a second that is told in ns.
const SECOND_SCALE: u32 = 9;
/// Frames that are looked at to tell the encoding.
const GUESS_FRAMES: usize = 1_000;
/// First bytes of a gzip and of a zstd stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// One frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was received, wall ns.
    pub ts_recv: u64,
    /// The frame as it came.
    pub value: &'a [u8],
}

enum Layout {
    Lines,
    Flat,
    Dbn,
    Events(Box<EventReader>),
}

/// A capture that is being read.
pub struct Capture {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    layout: Layout,
    /// How the file is compressed, for what is said of it.
    compression: &'static str,
    /// Lines, messages or records read.
    line: u64,
    /// Where the content stands that was read last: its begin and its end.
    begin: u64,
    end: u64,
    /// Whether the last line had its end.
    whole: bool,
    /// When the last frame was received: of one that does not say it counts on.
    ts_recv: u64,
    /// Names that a DBN file's header gives to instruments.
    names: BTreeMap<u32, String>,
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
        let first = file.fill_buf().map_err(failed)?;
        let format = events::format_of(first);
        if first.get(1..4) == Some(metadata::LEGACY_MAGIC) && first[0] >> 4 == 5 {
            return Err(CaptureError::Legacy { path: path.into() });
        }
        let (compression, reader): (_, Box<dyn BufRead + Send>) = if first.starts_with(&GZIP) {
            ("gzip", Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))))
        } else if first.starts_with(&ZSTD) {
            let reader = zstd::stream::read::Decoder::with_buffer(file).map_err(failed)?;
            ("zstd", Box::new(BufReader::with_capacity(1 << 16, reader)))
        } else {
            ("plain", Box::new(file))
        };
        let mut capture = Self {
            path: path.to_owned(),
            reader,
            layout: Layout::Lines,
            compression,
            line: 0,
            begin: 0,
            end: 0,
            whole: true,
            ts_recv: 0,
            names: BTreeMap::new(),
            buffer: Vec::new(),
            bytes: metadata.len(),
            bytes_read,
        };
        if let Some(format) = format {
            capture.layout = Layout::Events(Box::new(EventReader::open(path, format)?));
            return Ok(capture);
        }
        let content = capture.fill()?;
        if content.starts_with(&flat::MAGIC) {
            capture.layout = Layout::Flat;
        } else if content.starts_with(metadata::MAGIC) {
            capture.layout = Layout::Dbn;
            capture.read_header()?;
        }
        Ok(capture)
    }

    /// The same of a file whose encoding is known: DBN's records may stand there without a header.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn open_as(path: &Path, encoding: Encoding) -> Result<Self, CaptureError> {
        let mut capture = Self::open(path)?;
        if encoding == Encoding::Dbn && matches!(capture.layout, Layout::Lines) {
            capture.layout = Layout::Dbn;
        }
        Ok(capture)
    }

    /// The next frame, `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError`]; the capture cannot be read on then.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        match &mut self.layout {
            Layout::Lines => self.next_line(),
            Layout::Flat => self.next_messages(),
            Layout::Dbn => self.next_record(),
            Layout::Events(events) => {
                let more = events.next_record(&mut self.buffer)?;
                self.line = events.rows();
                Ok(more.then(|| Frame { ts_recv: flat::ts_recv(&self.buffer), value: &self.buffer }))
            }
        }
    }

    /// What is wrong when the frame that was read last does not decode because it ends too early: a file whose last line has no end
    /// was cut there.
    #[must_use]
    pub fn cut(&self, error: &DecodeError) -> Option<CaptureError> {
        let cut = !self.whole && matches!(error, DecodeError::Truncated { .. });
        cut.then(|| CaptureError::Cut { path: self.path.clone(), line: self.line, byte: self.end })
    }

    /// The name of an instrument, where the file gives one beside its symbol (DBN) or instead of it (event files).
    #[must_use]
    pub fn name_of(&self, instrument_id: u64, symbol: Option<&str>) -> Option<&str> {
        match &self.layout {
            Layout::Events(events) => events.symbol_of(instrument_id),
            _ => {
                let (_, id) = symbol?.split_once('.')?;
                self.names.get(&id.parse().ok()?).map(String::as_str)
            }
        }
    }

    /// The encoding of the capture that an event file was made from, where it says so.
    #[must_use]
    pub fn made_from(&self) -> Option<Encoding> {
        match &self.layout {
            Layout::Events(events) => encoding_named(events.encoding()?).ok(),
            _ => None,
        }
    }

    /// Bytes of the file (compressed, if it is), and a count of those read so far that another thread may watch.
    #[must_use]
    pub fn progress(&self) -> (u64, Arc<AtomicU64>) {
        (self.bytes, Arc::clone(&self.bytes_read))
    }

    /// Whether it holds events that were decoded before: its frames are flat records, whatever they were decoded from.
    #[must_use]
    pub const fn is_event_file(&self) -> bool {
        matches!(self.layout, Layout::Events(_))
    }

    /// The encoding of a file, by what its first frames hold.
    ///
    /// # Errors
    /// [`CaptureError`], among them that nothing tells.
    pub fn guess(path: &Path) -> Result<Encoding, CaptureError> {
        let mut capture = Self::open(path)?;
        match capture.layout {
            Layout::Flat | Layout::Events(_) => return Ok(Encoding::PinionFlat),
            Layout::Dbn => return Ok(Encoding::Dbn),
            Layout::Lines => {}
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
            self.begin = self.end;
            self.end += self.buffer.len() as u64;
            self.whole = self.buffer.ends_with(b"\n");
            if self.buffer.len() > LINE_BYTES_MAX {
                self.whole = true;
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
        if !self.begins()? {
            return Ok(None);
        }
        self.next_message()?;
        for _ in 0..flat::deltas_that_follow(&self.buffer) {
            self.next_message()?;
        }
        Ok(Some(Frame { ts_recv: flat::ts_recv(&self.buffer), value: &self.buffer }))
    }

    fn next_record(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if !self.begins()? {
            return Ok(None);
        }
        self.line += 1;
        self.append(1)?;
        let length = dbn::record_bytes(&self.buffer).map_err(|source| self.bad_message(source))?;
        self.append(length - 1)?;
        // A record without a time came with the one before.
        self.ts_recv = Some(dbn::ts_recv(&self.buffer)).filter(|time| *time != 0).unwrap_or(self.ts_recv);
        Ok(Some(Frame { ts_recv: self.ts_recv, value: &self.buffer }))
    }

    /// Reads over a DBN file's header.
    fn read_header(&mut self) -> Result<(), CaptureError> {
        self.append(metadata::PRELUDE_BYTES)?;
        let bad = |path: &Path, source| CaptureError::Header { path: path.into(), source };
        let prelude = self.buffer.first_chunk().copied().unwrap_or_default();
        let length = metadata::header_bytes(prelude).map_err(|source| bad(&self.path, source))?;
        self.append(length - metadata::PRELUDE_BYTES)?;
        self.names = metadata::parse(&self.buffer).map_err(|source| bad(&self.path, source))?.names;
        Ok(())
    }

    /// Makes room for the next message; false at the end.
    fn begins(&mut self) -> Result<bool, CaptureError> {
        self.begin = self.end;
        self.buffer.clear();
        Ok(!self.fill()?.is_empty())
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
        let read = limited.read_to_end(&mut self.buffer);
        self.end = self.begin + self.buffer.len() as u64;
        if let Err(source) = read {
            return Err(self.failed(source));
        }
        if self.buffer.len() < end {
            return Err(CaptureError::Cut { path: self.path.clone(), line: self.line, byte: self.end });
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
        let (path, line, format) = (self.path.clone(), self.line, self.compression);
        match source.kind() {
            io::ErrorKind::UnexpectedEof => CaptureError::CutStream { path, format, line, byte: self.end },
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                CaptureError::BrokenStream { path, format, line, source }
            }
            // The library of zstd has one kind for all that is wrong with a stream.
            _ if format == "zstd" => CaptureError::BrokenStream { path, format, line, source },
            _ => CaptureError::Read { path, line, source },
        }
    }

    /// A line without its end was cut there, whatever else is wrong with it.
    fn bad_line(&self, what: &'static str) -> CaptureError {
        if !self.whole && self.line > 1 {
            return CaptureError::Cut { path: self.path.clone(), line: self.line, byte: self.end };
        }
        CaptureError::Line { path: self.path.clone(), line: self.line, what }
    }

    fn bad_message(&self, source: DecodeError) -> CaptureError {
        CaptureError::Message { path: self.path.clone(), line: self.line, byte: self.begin, source }
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

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
