//! A capture as the runtime decodes it: records of events, ready for a worker.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use pinion_runtime::decode::{self, Decoder, Record};
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Stamp};
use pinion_runtime::plan;
use pinion_spec::strategy::Strategy;

/// Calls `each` with the events of every message of a capture, as the first input of `strategy` would read them from
/// partition 0 of its topic, offsets from 0.
pub fn decoded(capture: &Path, strategy: &Strategy, mut each: impl FnMut(&[Event])) {
    let input = &strategy.spec.inputs[0];
    let declared = plan::instruments(strategy).unwrap();
    let mut decoder = Decoder::new(input.encoding, input.publisher_name(), &declared).unwrap();
    let mut events = Vec::new();
    for (offset, line) in BufReader::new(GzDecoder::new(File::open(capture).unwrap())).split(b'\n').enumerate() {
        let line = line.unwrap();
        let at = line.iter().position(|byte| *byte == b' ').unwrap();
        let ts_recv = std::str::from_utf8(&line[..at]).unwrap().parse().unwrap();
        events.clear();
        decoder.decode(&Record { value: &line[at + 1..], key: None, ts_recv }, &mut events).unwrap();
        let origin = Origin { topic: 0, partition: 0, offset: offset as u64 };
        if events.is_empty() {
            let head = Head { flags: FLAG_LAST, ts_recv, ..Head::default() };
            events.push(Event { head, body: Body::Skip, origin, stamp: Stamp::default() });
        }
        decode::stamp(&mut events, origin, Stamp::default());
        each(&events);
    }
}
