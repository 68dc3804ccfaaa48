//! A journal's files, written and read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::event::Origin;
use crate::metrics::{WorkerMetrics, recorder};

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("pinion-journal-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    dir
}

fn origin(partition: u16, offset: u64) -> Origin {
    Origin { topic: 0, partition, offset }
}

/// Writes what `note` notes, as one process.
fn write(dir: &Path, bytes_max: u64, note: impl FnOnce(&mut Scribe)) {
    let (commands, receiver) = crossbeam_channel::unbounded();
    let config = JournalConfig { dir: dir.to_owned(), bytes_max };
    let writer = Writer::new(config, receiver).unwrap();
    let metrics = Arc::new(WorkerMetrics::new(0, recorder().1));
    let (mut scribe, ring) = Scribe::new(Arc::clone(&metrics));
    commands.send(WriterCommand::AddWorker(metrics, ring)).unwrap();
    let thread = std::thread::spawn(move || writer.run());
    note(&mut scribe);
    scribe.flush();
    commands.send(WriterCommand::Finish).unwrap();
    thread.join().unwrap();
}

fn read(dir: &Path) -> Result<(Vec<Entry>, usize), JournalError> {
    let mut reader = Reader::open(&Reader::workers(dir)?[0])?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        // When it was is not the test's business.
        entries.push(if let Entry::Start { version, .. } = entry { Entry::Start { version, at: 0 } } else { entry });
    }
    Ok((entries, reader.cut().len()))
}

const START: Entry = Entry::Start { version: VERSION, at: 0 };

fn run(partition: u16, first: u64, last: u64, records: u64) -> Entry {
    Entry::Run(Run { feed: 1, topic: 0, partition, first, last, records })
}

#[test]
fn what_was_noted_is_read_in_order_and_a_run_of_records_is_one_entry() {
    let dir = folder("order");
    write(&dir, u64::MAX, |scribe| {
        for offset in [5, 6, 9] {
            scribe.record(1, origin(0, offset));
        }
        scribe.record(1, origin(1, 4));
        scribe.note(|| Entry::Tick { feed: 3, ts: 77 });
        scribe.record(1, origin(1, 5));
        // Read again from before, as after a lost partition.
        scribe.record(1, origin(1, 2));
    });
    write(&dir, u64::MAX, |scribe| scribe.note(|| Entry::Stop));
    let expected = vec![
        START,
        run(0, 5, 9, 3),
        run(1, 4, 4, 1),
        Entry::Tick { feed: 3, ts: 77 },
        run(1, 5, 5, 1),
        run(1, 2, 2, 1),
        START,
        Entry::Stop,
    ];
    assert_eq!(read(&dir).unwrap(), (expected, 0));
}

/// The one segment of a journal with this many runs.
fn segment_of(dir: &Path, runs: u64) -> PathBuf {
    write(dir, u64::MAX, |scribe| (0..runs).for_each(|n| scribe.record(1, origin(u16::from(n % 2 == 1), n))));
    dir.join("worker-0/00000001.journal")
}

#[test]
fn a_block_that_a_crash_cut_is_told_and_all_before_it_is_read() {
    let dir = folder("cut");
    let segment = segment_of(&dir, 40_000);
    let whole = fs::read(&segment).unwrap();
    let all = read(&dir).unwrap().0;
    assert_eq!(all.len(), 40_001);
    for cut in [1, 4, 9, 1_000] {
        fs::write(&segment, &whole[..whole.len() - cut]).unwrap();
        let (entries, cuts) = read(&dir).unwrap();
        assert!(entries.len() < all.len() && !entries.is_empty() && all.starts_with(&entries), "{cut}");
        assert_eq!(cuts, 1, "{cut}");
    }
    fs::write(&segment, &whole[..3]).unwrap();
    assert_eq!(read(&dir).unwrap(), (vec![], 1));
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_its_block_named() {
    let dir = folder("flipped");
    let segment = segment_of(&dir, 200);
    let whole = fs::read(&segment).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&segment, &flipped).unwrap();
        match read(&dir) {
            Err(error @ JournalError::Damaged { .. }) => {
                assert!(error.to_string().contains("00000001.journal") && error.to_string().contains("byte"));
            }
            other => panic!("bit of byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_segment_that_is_missing_or_of_another_version_is_named() {
    let dir = folder("missing");
    for _ in 0..3 {
        write(&dir, u64::MAX, |scribe| scribe.note(|| Entry::Stop));
    }
    fs::remove_file(dir.join("worker-0/00000002.journal")).unwrap();
    let error = read(&dir).unwrap_err().to_string();
    assert!(error.contains("00000002.journal is not there"), "{error}");
    let dir = folder("version");
    write(&dir, u64::MAX, |scribe| scribe.note(|| Entry::Start { version: 99, at: 0 }));
    assert!(matches!(read(&dir), Err(JournalError::Version { version: 99, .. })));
    assert!(matches!(read(&folder("nothing")), Err(JournalError::Io { .. })));
}

#[test]
fn a_journal_stays_under_its_size_and_says_when_its_beginning_is_gone() {
    let dir = folder("size");
    let long = "x".repeat(60_000);
    let most = 3 * crate::limits::JOURNAL_SEGMENT_BYTES;
    write(&dir, most, |scribe| {
        for _ in 0..4 * crate::limits::JOURNAL_SEGMENT_BYTES / 60_000 {
            scribe.note(|| Entry::Limits { instance: 1, risk: long.clone() });
        }
    });
    let files = fs::read_dir(dir.join("worker-0")).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let total: u64 = files.sum();
    assert!(total <= most && total > most / 3, "{total}");
    assert!(matches!(read(&dir), Err(JournalError::Beginning { .. })));
    let _ = fs::remove_dir_all(&dir);
}
