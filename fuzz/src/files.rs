//! What the targets of whole files do with the fuzzer's bytes.

use std::path::{Path, PathBuf};

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

fn scratch(bytes: &[u8]) -> PathBuf {
    let folder = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let file = folder.join(format!("pinion-fuzz-{}", std::process::id()));
    std::fs::write(&file, bytes).expect("write a file for the reader");
    file
}
