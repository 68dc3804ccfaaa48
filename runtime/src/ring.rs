//! The bounded single-producer single-consumer rings between threads, and how their consumer waits.
//!
//! The ring itself is `rtrb` (MIT or Apache-2.0). What is added here is the waking: a consumer that has nothing to do may
//! spin, yield its core, or park; a producer wakes it only when it sleeps, so a busy pair of threads makes no system call.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_utils::CachePadded;

/// How a worker waits for work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wait {
    /// Never leaves its core: lowest latency, the whole core gone. For exclusive cores.
    Spin,
    /// Offers the core to others between looks.
    Yield,
    /// Looks a while, then sleeps until it is woken. For shared cores.
    #[default]
    Park,
}

/// Turns without work before a parking consumer sleeps: about as long as a wake-up costs.
const TURNS_BEFORE_PARK: u32 = 64;

/// Wakes one consumer thread. Cheap to clone; any number of producers share it.
#[derive(Debug, Clone, Default)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sleeping: CachePadded<AtomicBool>,
    thread: OnceLock<Thread>,
}

impl Waker {
    /// Wakes the consumer if it sleeps. Call after publishing.
    #[inline]
    pub fn wake(&self) {
        // Orders the ring's publication before the look at `sleeping`; pairs with the fence in `Waiter::sleep`.
        fence(SeqCst);
        let Shared { sleeping, thread } = &*self.shared;
        if sleeping.load(SeqCst)
            && sleeping.swap(false, SeqCst)
            && let Some(thread) = thread.get()
        {
            thread.unpark();
        }
    }
}

/// The consumer's side of a [`Waker`]: lives on the consumer's thread.
#[derive(Debug)]
pub struct Waiter {
    waker: Waker,
    wait: Wait,
    turns: u32,
}

impl Waiter {
    /// For the current thread, which must be the one that later waits.
    #[must_use]
    pub fn new(waker: Waker, wait: Wait) -> Self {
        // A waker serves one thread for its life; a second `new` on another thread would leave the first registered.
        let _ = waker.shared.thread.set(thread::current());
        Self { waker, wait, turns: 0 }
    }

    /// The last turn found work.
    #[inline]
    pub fn busy(&mut self) {
        self.turns = 0;
    }

    /// The last turn found nothing: waits as configured, at most `longest`, unless `ready` says that work has come. `soon`: it is another thread
    /// that gives work, not the network, so that it is worth while to look a few times more before sleeping.
    #[inline]
    pub fn idle(&mut self, longest: Duration, soon: bool, ready: impl FnOnce() -> bool) {
        self.turns = self.turns.saturating_add(1);
        match self.wait {
            Wait::Spin => std::hint::spin_loop(),
            Wait::Yield => thread::yield_now(),
            Wait::Park if soon && self.turns < TURNS_BEFORE_PARK => std::hint::spin_loop(),
            Wait::Park => self.sleep(longest, ready),
        }
    }

    /// Sleeps until it is woken, at most `longest`, unless `ready` says that work has come.
    fn sleep(&mut self, longest: Duration, ready: impl FnOnce() -> bool) {
        let sleeping = &self.waker.shared.sleeping;
        sleeping.store(true, SeqCst);
        // Orders the store before the last look at the rings: either the producer sees `sleeping`, or we see its event.
        fence(SeqCst);
        if !ready() {
            thread::park_timeout(longest);
        }
        sleeping.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_consumer_misses_no_event_of_a_million() {
        let (mut producer, mut consumer) = rtrb::RingBuffer::<u32>::new(64);
        let waker = Waker::default();
        let for_producer = waker.clone();
        let consuming = thread::spawn(move || {
            let mut waiter = Waiter::new(waker, Wait::Park);
            let mut next = 0;
            while next < 1_000_000 {
                match consumer.pop() {
                    Ok(value) => {
                        assert_eq!(value, next);
                        next += 1;
                        waiter.busy();
                    }
                    // A lost wake-up would hang here for the whole hour.
                    Err(_) => waiter.idle(Duration::from_secs(3600), true, || !consumer.is_empty()),
                }
            }
        });
        for value in 0..1_000_000 {
            while producer.push(value).is_err() {
                thread::yield_now();
            }
            for_producer.wake();
        }
        consuming.join().unwrap();
    }
}
