//! What the targets of whole files do with the fuzzer's bytes.

use std::path::{Path, PathBuf};

use pinion_runtime::event::Event;
use pinion_spec::strategy::Encoding;

use crate::capture::Capture;
use crate::events;

/// Reads bytes as a capture to its end, and again as bare DBN.
pub fn read_capture(bytes: &[u8]) {
    let file = scratch(bytes);
    for encoding in [None, Some(Encoding::Dbn)] {
        let opened = match encoding {
            None => Capture::open(&file),
            Some(encoding) => Capture::open_as(&file, encoding),
        };
        let Ok(mut capture) = opened else { continue };
        while let Ok(Some(frame)) = capture.next_frame() {
            assert!(frame.value.len() <= 2 * pinion_runtime::limits::RECORD_BYTES_MAX);
        }
        let _ = capture.name_of(1, Some("1.1"));
    }
    let _ = Capture::guess(&file);
}

/// Reads bytes as an event file, whatever they begin with.
pub fn read_events(bytes: &[u8]) {
    let file = scratch(bytes);
    for format in [events::Format::Parquet, events::Format::Arrow] {
        let Ok(mut reader) = events::EventReader::open(&file, format) else { continue };
        let mut record = Vec::new();
        while let Ok(true) = reader.next_record(&mut record) {}
    }
}

/// The bytes of an event file in which each of `records` is one; `extension` says the format.
pub fn event_file(records: &[Vec<Event>], extension: &str) -> Vec<u8> {
    let file = std::env::temp_dir().join(format!("pinion-seed-{}.{extension}", std::process::id()));
    let mut writer = events::EventWriter::create(&file, "kraken-v1", "kraken-v1").expect("make an event file");
    for (number, events) in (0..).zip(records) {
        for event in events {
            writer.push(number, Some("XYZ/USD"), event).expect("write an event");
        }
    }
    writer.finish().expect("finish an event file");
    let bytes = std::fs::read(&file).expect("read it back");
    let _ = std::fs::remove_file(&file);
    bytes
}

fn scratch(bytes: &[u8]) -> PathBuf {
    let folder = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let file = folder.join(format!("pinion-fuzz-{}", std::process::id()));
    std::fs::write(&file, bytes).expect("write a file for the reader");
    file
}
