//! The data as records of events, in the order of their times of capture, on a thread of its own: decoding is half of the work.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Sender;
use pinion_runtime::decode::{self, Decoder, Record};
use pinion_runtime::event::{Event, Origin, Stamp};
use pinion_runtime::metrics::EventKind;

use super::sources::Source;
use crate::capture::Capture;
use crate::capture_progress::Progress;
use crate::error::CliError;

/// Events of one batch: a few hundred KiB, so that threads seldom wait for one another.
const BATCH_EVENTS: usize = 4_096;
/// Batches that wait for a run. Memory is bounded by it, whatever the length of the data.
pub(super) const BATCHES_WAITING_MAX: usize = 8;

/// Records in a row.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: Vec<Event>,
    /// Where each record ends.
    ends: Vec<usize>,
}

impl Batch {
    /// The events of each record.
    pub(super) fn records(&self) -> impl Iterator<Item = &[Event]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.events[start..*end])
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records.
    pub(super) records: u64,
    /// Events, by the runtime's own kinds.
    pub(super) events: u64,
    /// Records that could not be decoded, by reason.
    pub(super) decode_errors: BTreeMap<&'static str, u64>,
}

/// One topic that is being read.
struct Open<'s> {
    source: &'s Source,
    decoder: Decoder,
    /// For files of events.
    events_decoder: Decoder,
    files: std::slice::Iter<'s, std::path::PathBuf>,
    capture: Option<Capture>,
    offset: u64,
    /// Its next record, where there are several topics.
    next: Option<u64>,
    events: Vec<Event>,
}

/// Reads all of it and hands it to every run. Ends early when nobody listens any more.
///
/// # Errors
/// [`CliError::Usage`] for a file that cannot be read to its end; what was read until then has been handed over.
pub(super) fn read(
    sources: &[Source],
    decoders: Vec<(Decoder, Decoder)>,
    records_max: u64,
    to: &[Sender<Arc<Batch>>],
) -> Result<Tally, CliError> {
    let total = Arc::new(AtomicU64::new(0));
    let bytes = sources.iter().flat_map(|source| &source.files);
    let bytes = bytes.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
    let mut progress = Progress::new((bytes, Arc::clone(&total)));
    let open = |(source, decoder)| Open::new(source, decoder);
    let mut open: Vec<Open<'_>> = sources.iter().zip(decoders).map(open).collect();
    let mut tally = Tally::default();
    let mut batch = Batch::default();
    let several = open.len() > 1;
    if several {
        for one in &mut open {
            one.next = read_next(one, &mut tally, None, &total)?;
        }
    }
    loop {
        let more = if tally.records >= records_max {
            false
        } else if several {
            // The earliest; of those at the same time the first of the inputs.
            let earliest = open.iter_mut().filter(|one| one.next.is_some()).min_by_key(|one| one.next);
            match earliest {
                Some(one) => {
                    batch.events.append(&mut one.events);
                    one.next = read_next(one, &mut tally, None, &total)?;
                    true
                }
                None => false,
            }
        } else {
            read_next(&mut open[0], &mut tally, Some(&mut batch.events), &total)?.is_some()
        };
        if more {
            batch.ends.push(batch.events.len());
        }
        if !more || batch.events.len() >= BATCH_EVENTS {
            let full = Arc::new(std::mem::take(&mut batch));
            progress.tick(|| format!("{} records", tally.records));
            if to.iter().any(|to| to.send(Arc::clone(&full)).is_err()) || !more {
                return Ok(tally);
            }
            batch.events.reserve(BATCH_EVENTS * 2);
        }
    }
}

impl<'s> Open<'s> {
    fn new(source: &'s Source, (decoder, events_decoder): (Decoder, Decoder)) -> Self {
        let files = source.files.iter();
        Self { source, decoder, events_decoder, files, capture: None, offset: 0, next: None, events: Vec::new() }
    }
}

/// Reads a topic's next record into `to`, or else into its own buffer; its time of capture, `None` at the end.
fn read_next(
    open: &mut Open<'_>,
    tally: &mut Tally,
    to: Option<&mut Vec<Event>>,
    bytes: &AtomicU64,
) -> Result<Option<u64>, CliError> {
    let out = to.unwrap_or(&mut open.events);
    loop {
        let Some(capture) = &mut open.capture else {
            let Some(file) = open.files.next() else { return Ok(None) };
            open.capture = Some(Capture::open_as(file, open.source.encoding)?);
            continue;
        };
        let decoder = if capture.is_event_file() { &mut open.events_decoder } else { &mut open.decoder };
        let (_, read) = capture.progress();
        let before = read.load(Ordering::Relaxed);
        let Some(frame) = capture.next_frame()? else {
            open.capture = None;
            continue;
        };
        bytes.fetch_add(read.load(Ordering::Relaxed) - before, Ordering::Relaxed);
        let (ts_recv, from) = (frame.ts_recv, out.len());
        match decoder.decode(&Record { value: frame.value, key: None, ts_recv }, out) {
            Ok(_) if out.len() == from => out.push(decode::nothing(ts_recv)),
            Ok(_) => {}
            Err(error) => {
                // The end of the file, not a bad record among good ones: what comes after it is missing.
                if let Some(cut) = capture.cut(&error) {
                    return Err(cut.into());
                }
                *tally.decode_errors.entry(error.reason()).or_default() += 1;
                out.push(decode::nothing(0));
            }
        }
        let origin = Origin { topic: open.source.input, partition: open.source.partition, offset: open.offset };
        decode::stamp(&mut out[from..], origin, Stamp::default());
        open.offset += 1;
        tally.records += 1;
        tally.events += out[from..].iter().filter(|event| EventKind::of(event).is_some()).count() as u64;
        return Ok(Some(ts_recv));
    }
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// What the file system says.
pub(super) fn digest(file: &Path) -> std::io::Result<String> {
    use sha2::{Digest as _, Sha256};
    let mut sha256 = Sha256::new();
    std::io::copy(&mut std::fs::File::open(file)?, &mut sha256)?;
    Ok(super::drive::hex(sha256))
}

#[cfg(test)]
mod tests {
    use pinion_spec::strategy::Encoding;

    use super::*;

    /// Topic and offset of each record in the order of reading, and its time.
    fn read_all(sources: &[Source]) -> (Vec<(u16, u64, u64)>, Tally) {
        let new = |encoding| Decoder::new(encoding, "binance-spot", &[]).unwrap();
        let decoder = |source: &Source| (new(source.encoding), new(Encoding::PinionFlat));
        let (sender, batches) = crossbeam_channel::unbounded();
        let tally = read(sources, sources.iter().map(decoder).collect(), u64::MAX, &[sender]).unwrap();
        let mut order = Vec::new();
        for batch in batches.try_iter() {
            order.extend(batch.records().map(|record| {
                let (first, last) = (record.first().unwrap(), record.last().unwrap());
                assert!(last.is_last() && record.iter().all(|event| event.origin == first.origin));
                (first.origin.topic, first.origin.offset, first.head.ts_recv)
            }));
        }
        (order, tally)
    }

    #[test]
    fn topics_are_merged_by_time_and_at_the_same_time_by_the_order_of_the_inputs() {
        let folder = std::env::temp_dir().join(format!("pinion-reader-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, times: &[u64]| {
            let quote = r#"{"u":1,"s":"A","b":"1","B":"1","a":"2","A":"1"}"#;
            let lines: String = times.iter().map(|ts| format!("{ts} {quote}\n")).collect();
            std::fs::write(folder.join(name), lines).unwrap();
            folder.join(name)
        };
        let encoding = Encoding::BinanceSpot;
        let source =
            |topic: &str, input, files| Source { topic: topic.to_owned(), input, partition: 0, encoding, files };
        let sources = [
            source("late", 3, vec![file("a", &[10, 20]), file("b", &[20, 40])]),
            source("early", 1, vec![file("c", &[5, 20, 30, 50])]),
        ];
        let (order, tally) = read_all(&sources);
        let early = [(1, 0, 5), (3, 0, 10), (3, 1, 20), (3, 2, 20), (1, 1, 20), (1, 2, 30), (3, 3, 40), (1, 3, 50)];
        assert_eq!(order, early, "offsets go on from file to file");
        assert_eq!((tally.records, tally.events), (8, 8));

        std::fs::write(folder.join("d"), "1 {\"u\":1}\n2 nonsense\n3 {\"result\":null,\"id\":1}\n").unwrap();
        let (order, tally) = read_all(&[source("bad", 0, vec![folder.join("d")])]);
        assert_eq!(order.len(), 3, "each record has its offset");
        assert_eq!(order[1], (0, 1, 0), "what cannot be decoded says no time");
        assert_eq!(tally.decode_errors.values().sum::<u64>(), order.iter().filter(|(.., ts)| *ts == 0).count() as u64);
    }
}
