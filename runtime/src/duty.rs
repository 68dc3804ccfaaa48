//! Who runs on which thread. Each part of an event's way is a duty, which is done a turn at a time; a thread takes turns at one duty, or at
//! several.
//!
//! Promise: no duty waits, inside a turn, for what another one has to do. So any of them may share a thread, and where they do an event's
//! whole way is one wake-up and no hop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use crate::clock::mono_ns;
use crate::limits::IDLE_NS_MAX;
use crate::ring::{Wait, Waiter, Waker};

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Something was done, and there may be more.
    Worked,
    /// There was nothing to do. Whoever is not woken before looks again after so many ns.
    Idle(u64),
    /// The duty is over.
    Over,
}

/// One part of an event's way.
pub trait Duty: Send {
    /// Does what there is to do now. The thread has been awake since that time, monotonic ns.
    fn turn(&mut self, awake_since_ns: u64) -> Turned;

    /// Whether a turn would do something. Asked before its thread sleeps.
    fn is_ready(&self) -> bool;

    /// Its thread is about to sleep.
    fn rest(&self) {}
}

/// Whether a duty is still done.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<AtomicU8>);

const RUNS: u8 = 0;
const OVER: u8 = 1;
const DIED: u8 = 2;

impl Standing {
    /// Whether it is over, or its thread died.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) != RUNS
    }

    /// Waits until it is over. False where its thread died of a panic, which it has said itself.
    #[must_use]
    pub fn wait(&self) -> bool {
        while !self.is_over() {
            thread::park_timeout(Duration::from_millis(1));
        }
        self.0.load(Ordering::Acquire) == OVER
    }
}

/// A duty and who watches it.
struct Post {
    duty: Option<Box<dyn Duty>>,
    standing: Standing,
}

impl Post {
    fn end(&mut self, standing: u8) {
        // What it holds is let go before anybody is told.
        self.duty = None;
        let _ = self.standing.0.compare_exchange(RUNS, standing, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.end(DIED);
    }
}

/// A thread that takes turns at its duties, as long as it has any or may get one.
pub struct Crew {
    joins: Sender<Post>,
    waker: Waker,
}

impl Crew {
    /// Starts a thread without a duty, which begins with `begin`. It tells `busy` how many ns it was, after every pass in which a duty did
    /// something.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(
        name: String,
        wait: Wait,
        begin: impl FnOnce() + Send + 'static,
        busy: impl Fn(u64) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (joins, joining) = crossbeam_channel::unbounded();
        let waker = Waker::default();
        let own = waker.clone();
        thread::Builder::new().name(name).spawn(move || {
            begin();
            run(&joining, Waiter::new(own, wait), busy);
        })?;
        Ok(Self { joins, waker })
    }

    /// Wakes the thread.
    #[must_use]
    pub const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Another duty. Its turn comes before those of the ones that were here before: what an event meets first is added last.
    #[must_use]
    pub fn add(&self, duty: Box<dyn Duty>) -> Standing {
        let standing = Standing::default();
        // Fails only when the thread has died; then the post that comes back says so.
        drop(self.joins.send(Post { duty: Some(duty), standing: standing.clone() }));
        self.waker.wake();
        standing
    }
}

fn run(joining: &Receiver<Post>, mut waiter: Waiter, busy: impl Fn(u64)) {
    let mut posts: Vec<Post> = Vec::new();
    let (mut awake_since_ns, mut began_ns) = (mono_ns(), mono_ns());
    loop {
        match joining.try_recv() {
            Ok(post) => posts.push(post),
            Err(TryRecvError::Disconnected) if posts.is_empty() => return,
            Err(_) => {}
        }
        let (mut worked, mut longest) = (false, IDLE_NS_MAX);
        for post in posts.iter_mut().rev() {
            let Some(duty) = &mut post.duty else { continue };
            match duty.turn(awake_since_ns) {
                Turned::Worked => worked = true,
                Turned::Idle(ns) => longest = longest.min(ns),
                Turned::Over => post.end(OVER),
            }
        }
        let now = mono_ns();
        if worked {
            busy(now.saturating_sub(std::mem::replace(&mut began_ns, now)));
            waiter.busy();
            continue;
        }
        posts.retain(|post| post.duty.is_some());
        let duties = || posts.iter().filter_map(|post| post.duty.as_ref());
        let is_ready = || {
            let is_ready = !joining.is_empty() || duties().any(|duty| duty.is_ready());
            if !is_ready {
                duties().for_each(|duty| duty.rest());
            }
            is_ready
        };
        waiter.idle(Duration::from_nanos(longest), posts.len() == 1, is_ready);
        began_ns = mono_ns();
        awake_since_ns = began_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: u64 = u64::MAX;

    /// Counts its turns up to a number; panics at another.
    struct Counting {
        turns: u64,
        last: u64,
        panics_at: u64,
        told: Sender<(&'static str, u64)>,
        name: &'static str,
    }

    impl Duty for Counting {
        fn turn(&mut self, _: u64) -> Turned {
            assert!(self.turns != self.panics_at, "as the test wants it");
            if self.turns == self.last {
                return Turned::Over;
            }
            self.turns += 1;
            self.told.send((self.name, self.turns)).unwrap();
            Turned::Worked
        }

        fn is_ready(&self) -> bool {
            true
        }
    }

    fn counting(name: &'static str, last: u64, panics_at: u64, told: &Sender<(&'static str, u64)>) -> Box<Counting> {
        Box::new(Counting { turns: 0, last, panics_at, told: told.clone(), name })
    }

    #[test]
    fn duties_take_turns_and_the_last_added_is_the_first() {
        let (told, tells) = crossbeam_channel::unbounded();
        let (go, gate) = crossbeam_channel::bounded::<()>(0);
        // Both are there before the first turn.
        let crew = Crew::start(
            "crew".to_owned(),
            Wait::Park,
            move || {
                let _ = gate.recv();
            },
            |_| {},
        )
        .unwrap();
        let standings = [crew.add(counting("out", 2, NEVER, &told)), crew.add(counting("in", 3, NEVER, &told))];
        drop(go);
        assert!(standings.iter().all(Standing::wait));
        // One joins a turn: the first has had one by itself.
        let all: Vec<_> = tells.try_iter().collect();
        assert_eq!(all, [("out", 1), ("in", 1), ("out", 2), ("in", 2), ("in", 3)]);
    }

    #[test]
    fn who_shares_a_thread_with_one_that_panics_is_known_to_have_died_too() {
        let (told, _tells) = crossbeam_channel::unbounded();
        let crew = Crew::start("crew".to_owned(), Wait::Park, || {}, |_| {}).unwrap();
        let standings = [crew.add(counting("good", NEVER, NEVER, &told)), crew.add(counting("bad", NEVER, 3, &told))];
        assert!(!standings[0].wait() && !standings[1].wait());
        assert!(!crew.add(counting("late", 1, NEVER, &told)).wait(), "nobody takes it on");
    }

    #[test]
    fn a_thread_ends_with_its_last_duty_when_no_more_can_come() {
        let (told, tells) = crossbeam_channel::unbounded();
        let standing =
            Crew::start("crew".to_owned(), Wait::Park, || {}, |_| {}).unwrap().add(counting("one", 1, NEVER, &told));
        drop(told);
        assert!(standing.wait());
        // The duty holds the last sender until it ends.
        assert_eq!(tells.iter().count(), 1);
    }
}
