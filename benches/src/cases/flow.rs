//! What an event costs between the stages: through the ring by one thread, a look at the clock, a record in a histogram.

use std::hint::black_box;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Quote, Stamp};
use pinion_runtime::limits::RING_EVENTS;
use pinion_runtime::metrics::recorder;
use pinion_runtime::stopwatch;

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "ring/push and pop", make: ring },
    Case { name: "clock/monotonic", make: || Box::new(|| _ = black_box(mono_ns())) },
    Case { name: "clock/counter", make: || Box::new(|| _ = black_box(stopwatch::ns())) },
    Case { name: "histogram/record", make: histogram },
];

/// Push and pop by one thread: the ring's own work, without the cache misses between two cores.
fn ring() -> Box<dyn FnMut()> {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(RING_EVENTS);
    let quote = Quote { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, bid_count: 0, ask_count: 0 };
    let event = Event {
        head: Head { instrument_id: 7, flags: FLAG_LAST, ..Head::default() },
        body: Body::Quote(quote),
        origin: Origin::default(),
        stamp: Stamp::default(),
    };
    Box::new(move || {
        let _ = producer.push(black_box(event));
        let _ = black_box(consumer.pop());
    })
}

fn histogram() -> Box<dyn FnMut()> {
    let (mut recorder, reader) = recorder();
    let mut value = 1_u64;
    Box::new(move || {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        recorder.record(black_box(value >> 40));
        black_box(&reader);
    })
}
