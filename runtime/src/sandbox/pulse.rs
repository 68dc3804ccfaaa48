//! The clock that stops runaway guests: it beats once per [`EPOCH_PERIOD_NS`] while any thread may be inside a guest, and moves the epoch
//! of every engine on with each beat.
//!
//! A beat is a wake-up, so nobody has one who sleeps: a thread's first call sets a timer of its own, and before it sleeps it puts the timer
//! off ([`rest`]). Promise: while a thread calls guests its timer runs. A beat that comes late is not made up for: the guest may have had no
//! CPU in that time either. Those that it comes too late for are counted as missed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use wasmtime::{Engine, EngineWeak};

use crate::limits::EPOCH_PERIOD_NS;

/// Changes with each beat, and whenever a timer is put off. As long as it does not, the timer of whoever read it runs.
static BEATS: AtomicU64 = AtomicU64::new(0);
/// Of beats that did not come because the one before them came too late, all periods together, ns.
static MISSED_NS: AtomicU64 = AtomicU64::new(0);
static PULSE: OnceLock<Arc<Pulse>> = OnceLock::new();

thread_local! {
    static TIMER: RefCell<Timer> = const { RefCell::new(Timer { fd: None, runs: false }) };
}

/// The process's. Its thread is called `epoch`.
struct Pulse {
    /// Tells which timers have run out.
    told: OwnedFd,
    /// All timers, by the numbers that they are told by; a thread's is gone with it.
    timers: Mutex<BTreeMap<u64, Weak<OwnedFd>>>,
    /// Of whoever cannot have a timer of his own. Once it runs, it runs for ever.
    shared: Arc<OwnedFd>,
    engines: Mutex<Vec<EngineWeak>>,
}

/// A thread's own.
struct Timer {
    /// `None` before the thread's first call.
    fd: Option<Arc<OwnedFd>>,
    runs: bool,
}

/// From now on an engine's epoch moves with the pulse. The first call starts the thread, which inherits the caller's cores: on a worker's
/// core a spinning guest would keep it from beating.
///
/// # Errors
/// What the system says.
pub(super) fn moves(engine: &Engine) -> std::io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = locked(&STARTING);
    let pulse = match PULSE.get() {
        Some(pulse) => pulse,
        None => {
            let told = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let shared = timer(&told, 0)?;
            let timers = Mutex::new(BTreeMap::from([(0, Arc::downgrade(&shared))]));
            let made = Arc::new(Pulse { told, timers, shared, engines: Mutex::default() });
            let beating = Arc::clone(&made);
            // Before anybody else can have it: where there is no thread, there is no pulse.
            std::thread::Builder::new().name("epoch".to_owned()).spawn(move || beat(&beating))?;
            PULSE.get_or_init(|| made)
        }
    };
    locked(&pulse.engines).push(engine.weak());
    Ok(())
}

/// What changes with each beat.
#[inline]
pub(super) fn beats() -> u64 {
    // Only whether it changed matters, and who changes it for a thread is the thread itself.
    BEATS.load(Ordering::Relaxed)
}

/// How long the pulse has missed altogether, ns: its thread had no CPU, or the whole machine stood still.
pub(super) fn missed_ns() -> u64 {
    MISSED_NS.load(Ordering::Relaxed)
}

/// A call begins on this thread.
#[cold]
pub(super) fn run() {
    let Some(pulse) = PULSE.get() else { unreachable!("an engine without a pulse") };
    // A thread that is about to end has no timer any more.
    let running = TIMER.try_with(|timer| timer.borrow_mut().run(pulse)).unwrap_or(Err(Errno::BADF));
    if let Err(error) = running {
        tracing::warn!(%error, "a thread that calls guests has no timer of its own; the shared one runs from now on");
        if let Err(error) = set(&pulse.shared, EPOCH_PERIOD_NS) {
            give_up(error);
        }
    }
}

/// No call comes on this thread before it says so by calling: it is about to sleep, or has made the one call that it had to.
pub(crate) fn rest() {
    // Where it fails the thread ends, and its timer with it.
    let _ = TIMER.try_with(|timer| timer.borrow_mut().rest());
}

impl Timer {
    fn run(&mut self, pulse: &Pulse) -> Result<(), Errno> {
        if !self.runs {
            let fd = match self.fd.take() {
                Some(fd) => fd,
                None => pulse.timer()?,
            };
            set(&fd, EPOCH_PERIOD_NS)?;
            self.fd = Some(fd);
            self.runs = true;
        }
        Ok(())
    }

    fn rest(&mut self) {
        if let (true, Some(fd)) = (self.runs, &self.fd) {
            self.runs = false;
            BEATS.fetch_add(1, Ordering::Relaxed);
            // Where it goes on all the same it costs wake-ups.
            let _ = set(fd, 0);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.rest();
    }
}

impl Pulse {
    /// A timer that does not run yet, among all others.
    fn timer(&self) -> Result<Arc<OwnedFd>, Errno> {
        let mut timers = locked(&self.timers);
        timers.retain(|_, timer| timer.strong_count() > 0);
        let number = timers.last_key_value().map_or(0, |(last, _)| last + 1);
        let timer = timer(&self.told, number)?;
        timers.insert(number, Arc::downgrade(&timer));
        Ok(timer)
    }
}

/// A timer that does not run yet, told by this number.
fn timer(told: &OwnedFd, number: u64) -> Result<Arc<OwnedFd>, Errno> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    epoll::add(told, &timer, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
    Ok(Arc::new(timer))
}

/// Has a timer run out every so many ns, fewer than a second has; 0: never.
fn set(timer: &OwnedFd, period_ns: u64) -> Result<(), Errno> {
    let period = Timespec { tv_sec: 0, tv_nsec: i64::try_from(period_ns).unwrap_or(i64::MAX) };
    let every = Itimerspec { it_interval: period, it_value: period };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &every).map(drop)
}

/// Nothing stops a guest any more, so nothing may run one.
fn give_up(error: Errno) -> ! {
    tracing::error!(%error, "the clock that stops guests has failed");
    std::process::abort()
}

fn beat(pulse: &Pulse) {
    let mut out = Vec::with_capacity(64);
    loop {
        out.clear();
        match epoll::wait(&pulse.told, spare_capacity(&mut out), None) {
            Ok(_) => {
                let late = out.iter().map(|told| {
                    let timer = locked(&pulse.timers).get(&told.data.u64()).and_then(Weak::upgrade);
                    // It goes on when it has been read; one that was put off meanwhile has nothing to read.
                    let mut times = [0; 8];
                    timer.filter(|timer| rustix::io::read(timer, &mut times).is_ok());
                    u64::from_ne_bytes(times).saturating_sub(1)
                });
                // All run out at about the same time again where all were late.
                let missed = late.max().unwrap_or(0);
                MISSED_NS.fetch_add(missed.saturating_mul(EPOCH_PERIOD_NS), Ordering::Relaxed);
                BEATS.fetch_add(1, Ordering::Relaxed);
                locked(&pulse.engines)
                    .retain(|engine| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
            }
            Err(Errno::INTR) => {}
            Err(error) => give_up(error),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::mono_ns;

    /// How many times an engine's epoch moves while this thread waits for so many periods; told by a counter of its own.
    fn beats_in(periods: u64) -> u64 {
        let (before, until) = (beats(), mono_ns() + periods * EPOCH_PERIOD_NS);
        while mono_ns() < until {
            std::thread::park_timeout(std::time::Duration::from_nanos(EPOCH_PERIOD_NS));
        }
        beats() - before
    }

    /// In a process of its own: other tests' threads call guests.
    #[test]
    #[ignore = "run by the test below"]
    fn alone() {
        moves(&crate::sandbox::engine::compiler().unwrap()).unwrap();
        assert_eq!(beats_in(20), 0, "nobody calls");
        run();
        assert!(beats_in(200) > 50);
        std::thread::spawn(run).join().unwrap();
        let rested = beats();
        rest();
        assert_eq!(beats(), rested + 1, "whoever had a deadline sets another one");
        assert_eq!(beats_in(20), 0, "all rest, or have ended");
        run();
        assert!(beats_in(200) > 50, "it begins again");
        let (before, held) = (missed_ns(), locked(&PULSE.get().unwrap().engines));
        let until = mono_ns() + 20 * EPOCH_PERIOD_NS;
        while mono_ns() < until {}
        drop(held);
        beats_in(20);
        assert!(missed_ns() - before >= 15 * EPOCH_PERIOD_NS, "it could not beat for 20 periods, and says so");
    }

    #[test]
    fn it_beats_while_a_thread_may_call_and_not_while_all_rest() {
        let name = "sandbox::pulse::tests::alone";
        let mut own = std::process::Command::new(std::env::current_exe().unwrap());
        let out = own.args([name, "--exact", "--ignored"]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
    }
}
