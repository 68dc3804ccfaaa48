//! Market data that comes all the time: a capture's frames into a topic, at a rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;

use crate::market::in_turn;

/// A flow on a thread of its own.
pub(crate) struct Flow {
    rate: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Flow {
    pub(crate) fn start(broker: &'static Broker, topic: &str, frames: Vec<Frame>, rate: usize) -> Self {
        let (rate, stop) = (Arc::new(AtomicUsize::new(rate)), Arc::new(AtomicBool::new(false)));
        let (asked, stopped, topic) = (Arc::clone(&rate), Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Acquire) {
                let began = mono_ns();
                let end = sent + asked.load(Ordering::Acquire);
                let piece = frames.get(sent..end).expect("a capture that lasts as long as the test");
                broker.produce_frames(&topic, in_turn(sent, piece));
                sent = end;
                let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(mono_ns() - began));
                std::thread::park_timeout(left);
            }
            sent
        });
        Self { rate, stop, thread }
    }

    pub(crate) fn set(&self, rate: usize) {
        self.rate.store(rate, Ordering::Release);
    }

    /// How many there were.
    pub(crate) fn stop(self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().expect("a load that was taken")
    }
}
