//! What an event costs between the stages: a hop through the ring, a look at the clock, a record in a histogram.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Quote, Stamp};
use pinion_runtime::limits::RING_EVENTS;
use pinion_runtime::metrics::recorder;

fn event() -> Event {
    let quote = Quote { bid_price: 1, bid_size: 2, ask_price: 3, ask_size: 4, bid_count: 0, ask_count: 0 };
    Event {
        head: Head { instrument_id: 7, flags: FLAG_LAST, ..Head::default() },
        body: Body::Quote(quote),
        origin: Origin::default(),
        stamp: Stamp::default(),
    }
}

/// Push and pop by one thread: the ring's own work, without the cache misses between two cores.
fn ring(criterion: &mut Criterion) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(RING_EVENTS);
    let event = event();
    criterion.bench_function("ring/rtrb push and pop", |bencher| {
        bencher.iter(|| {
            let _ = producer.push(black_box(event));
            black_box(consumer.pop())
        });
    });
    let queue = ArrayQueue::new(RING_EVENTS);
    criterion.bench_function("ring/crossbeam ArrayQueue push and pop", |bencher| {
        bencher.iter(|| {
            let _ = queue.push(black_box(event));
            black_box(queue.pop())
        });
    });
}

/// From one core to another and back, a batch of 256 events under way: per event and hop.
fn hop(criterion: &mut Criterion) {
    const BATCH: usize = 256;
    let (mut there, mut over) = rtrb::RingBuffer::<Event>::new(RING_EVENTS);
    let (mut back, mut home) = rtrb::RingBuffer::<Event>::new(RING_EVENTS);
    let echo = std::thread::spawn(move || {
        while !over.is_abandoned() {
            match over.pop() {
                // Full only when the other side has gone.
                Ok(event) => _ = back.push(event),
                Err(_) => std::hint::spin_loop(),
            }
        }
    });
    let event = event();
    criterion.bench_function("ring/512 hops between two cores", |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                let _ = there.push(black_box(event));
            }
            let mut returned = 0;
            while returned < BATCH {
                match home.pop() {
                    Ok(event) => {
                        black_box(event);
                        returned += 1;
                    }
                    Err(_) => std::hint::spin_loop(),
                }
            }
        });
    });
    drop(there);
    drop(echo.join());
}

fn time(criterion: &mut Criterion) {
    criterion.bench_function("clock/monotonic", |bencher| bencher.iter(mono_ns));
    let (mut recorder, _reader) = recorder();
    let mut value = 1_u64;
    criterion.bench_function("histogram/record", |bencher| {
        bencher.iter(|| {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            recorder.record(black_box(value >> 40));
        });
    });
}

criterion_group!(benches, ring, hop, time);
criterion_main!(benches);
