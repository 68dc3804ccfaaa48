//! How much CPU time a call has had.
//!
//! Epochs pass in wall-clock time, a budget is in CPU time: a guest whose thread was off the CPU is not to blame. Reading the
//! thread's CPU clock is a system call, too much for every callback; so it is read once per epoch tick, and again whenever a tick finds a call
//! still running. What passed between that reading and the call is taken off: only time that the call surely had counts. A call of which
//! nobody says when it began has surely had what passed since the first tick that found it. Nor counts what the pulse missed: where a whole
//! virtual machine stands still, its clocks go on.

use std::cell::Cell;

use wasmtime::{Store, UpdateDeadline};

use super::pulse;
use super::state::State;
use crate::clock::thread_cpu_ns;
use crate::limits::{COLD_CALL_NS_MAX, EPOCH_PERIOD_NS};
use crate::stopwatch;
use pinion_spec::strategy::Budget;

thread_local! {
    static READING: Cell<Reading> =
        const { Cell::new(Reading { tick: u64::MAX, at_ns: 0, cpu: Cpu { clock_ns: 0, missed_ns: 0 } }) };
}

/// What this thread's CPU clock said.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    clock_ns: u64,
    /// [`pulse::missed_ns`] then.
    missed_ns: u64,
}

impl Cpu {
    fn now() -> Self {
        Self { missed_ns: pulse::missed_ns(), clock_ns: thread_cpu_ns() }
    }

    /// What the thread has surely had since an earlier reading.
    const fn since(self, earlier: Self) -> u64 {
        (self.clock_ns.saturating_sub(earlier.clock_ns))
            .saturating_sub(self.missed_ns.saturating_sub(earlier.missed_ns))
    }
}

/// What this thread's CPU clock said, and when.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The epoch tick.
    tick: u64,
    /// By [`stopwatch`].
    at_ns: u64,
    cpu: Cpu,
}

impl Reading {
    /// CPU time that a call which began at `began_ns` has surely had when the clock says `cpu`: what passed between the
    /// reading and the call may all have been CPU time of others. A ticker that starves makes the reading old, never the guest guilty.
    /// `None` of a call that did not begin after the reading: nobody said when.
    fn surely_used(self, began_ns: u64, cpu: Cpu) -> Option<u64> {
        let before_ns = began_ns.checked_sub(self.at_ns)?;
        Some(cpu.since(self.cpu).saturating_sub(before_ns))
    }
}

/// What one call may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// CPU time.
    cpu_ns: u64,
}

impl Allowance {
    pub(super) const fn new(cpu_ns: u64) -> Self {
        Self { cpu_ns }
    }

    /// For a callback on the hot path.
    pub(super) const fn call(budget: &Budget) -> Self {
        Self::new(budget.call_micros as u64 * 1_000)
    }

    /// For instantiation, `on-init`, `on-start` and `on-stop`.
    pub(super) const COLD: Self = Self::new(COLD_CALL_NS_MAX);

    /// What to do at a tick, with a call that has surely had `used_ns`: it may go on for as many more as it would take to use up the rest.
    fn verdict(self, used_ns: u64) -> UpdateDeadline {
        let missing_ns = self.cpu_ns.saturating_sub(used_ns);
        match missing_ns.div_ceil(EPOCH_PERIOD_NS) {
            0 => UpdateDeadline::Interrupt,
            ticks => UpdateDeadline::Continue(ticks),
        }
    }
}

/// The meter of one instance.
#[derive(Debug)]
pub(super) struct Meter {
    /// What [`pulse::beats`] said when the deadline was set.
    seen: u64,
    running: Allowance,
    /// What the CPU clock said at the first tick that found this call.
    found: Option<Cpu>,
}

impl Meter {
    pub(super) const fn new() -> Self {
        Self { seen: u64::MAX, running: Allowance::COLD, found: None }
    }

    /// Whether the call that begins still has the deadline and the reading of an earlier one: the epoch has not moved since, and the thread
    /// has not rested.
    #[inline]
    fn continues(&self, allowance: Allowance) -> bool {
        self.seen == pulse::beats() && self.running.cpu_ns == allowance.cpu_ns
    }

    #[cold]
    fn begin(&mut self, allowance: Allowance) {
        (self.running, self.found) = (allowance, None);
        pulse::run();
        self.seen = pulse::beats();
        // Another instance's call may have read this thread's clock at this tick.
        if READING.get().tick != self.seen {
            // The CPU clock last: what passes between the two is nobody's.
            READING.set(Reading { tick: self.seen, at_ns: stopwatch::ns(), cpu: Cpu::now() });
        }
    }

    fn deadline(&mut self, began_ns: u64) -> UpdateDeadline {
        // What this call is given now, the next one does not have.
        self.seen = u64::MAX;
        let cpu = Cpu::now();
        let found = *self.found.get_or_insert(cpu);
        self.running.verdict(READING.get().surely_used(began_ns, cpu).unwrap_or_else(|| cpu.since(found)))
    }
}

/// Lets the deadlines of a store's calls look at the CPU time.
pub(super) fn meter(store: &mut Store<State>) {
    store.epoch_deadline_callback(|mut context| {
        let State { host, meter, .. } = context.data_mut();
        Ok(meter.deadline(host.began_ns))
    });
}

/// Begins a call.
#[inline]
pub(super) fn begin(store: &mut Store<State>, allowance: Allowance) {
    if !store.data().meter.continues(allowance) {
        store.set_epoch_deadline(1);
        store.data_mut().meter.begin(allowance);
    }
    store.data_mut().host.begin();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::engine;

    /// The allowance of a budget, and whether a call that has used so much goes on, and for how many ticks.
    fn goes_on(budget_ns: u64, used_ns: u64) -> Option<u64> {
        match Allowance::new(budget_ns).verdict(used_ns) {
            UpdateDeadline::Continue(ticks) => Some(ticks),
            _ => None,
        }
    }

    #[test]
    fn a_call_is_stopped_by_the_cpu_time_that_it_surely_had() {
        const P: u64 = EPOCH_PERIOD_NS;
        assert_eq!(goes_on(3 * P, 3 * P), None);
        assert_eq!(goes_on(3 * P, 3 * P - 1), Some(1));
        // Its thread had no CPU at all: the whole allowance is still there.
        assert_eq!(goes_on(3 * P, 0), Some(3));
        assert_eq!(goes_on(1, 0), Some(1));
        assert_eq!(goes_on(1, 1), None);
    }

    #[test]
    fn what_the_thread_did_before_the_call_is_not_the_calls_nor_is_what_the_pulse_missed() {
        let cpu = |clock_ns| Cpu { clock_ns, missed_ns: 3_000_000 };
        let reading = Reading { tick: 0, at_ns: 50_000_000, cpu: cpu(1_000) };
        // The ticker starved for 10 ms, in which the thread worked all the time; the call began just now.
        assert_eq!(reading.surely_used(60_000_000, cpu(10_001_500)), Some(500));
        // The call began with the reading and has had 7 ms.
        assert_eq!(reading.surely_used(50_000_000, cpu(7_001_000)), Some(7_000_000));
        // It began after the reading and was off the CPU since.
        assert_eq!(reading.surely_used(50_400_000, cpu(1_300)), Some(0));
        // Nobody said when it began; or it was another call that said so.
        assert_eq!(reading.surely_used(0, cpu(7_001_000)), None);
        assert_eq!(reading.surely_used(49_000_000, cpu(7_001_000)), None);
        // The machine stood still for 80 ms of these 81, and all of its clocks went on.
        let later = Cpu { clock_ns: 81_001_000, missed_ns: 83_000_000 };
        assert_eq!(reading.surely_used(50_000_000, later), Some(1_000_000));
        // So it did while another thread ran: of that nobody has had anything.
        assert_eq!(reading.surely_used(50_000_000, Cpu { clock_ns: 1_500, ..later }), Some(0));
    }

    #[test]
    fn a_call_is_looked_at_within_a_period_of_its_budget_and_never_stopped_before_it() {
        for budget_ns in [0, 1, EPOCH_PERIOD_NS - 1, EPOCH_PERIOD_NS, EPOCH_PERIOD_NS + 1, 50 * EPOCH_PERIOD_NS] {
            // The first tick comes anywhere between at once and a whole period from now.
            for first_ns in [0, EPOCH_PERIOD_NS / 2, EPOCH_PERIOD_NS] {
                // One that does not say when it began has the time before the first tick for nothing.
                for (from_ns, over_ns) in [(0, EPOCH_PERIOD_NS), (first_ns, 2 * EPOCH_PERIOD_NS)] {
                    let mut at_ns = first_ns;
                    while let Some(ticks) = goes_on(budget_ns, at_ns - from_ns) {
                        assert!(at_ns - from_ns < budget_ns);
                        at_ns += ticks * EPOCH_PERIOD_NS;
                    }
                    assert!(at_ns >= budget_ns && at_ns <= budget_ns + over_ns, "{budget_ns}: {at_ns}");
                }
            }
        }
    }

    #[test]
    fn a_late_tick_is_not_counted_against_a_call_of_which_nobody_says_when_it_began() {
        pulse::moves(&engine::compiler().unwrap()).unwrap();
        let spin = |periods| {
            let start = thread_cpu_ns();
            while thread_cpu_ns() - start < periods * EPOCH_PERIOD_NS {}
        };
        let stops = |meter: &mut Meter, began_ns| matches!(meter.deadline(began_ns), UpdateDeadline::Interrupt);
        let mut meter = Meter::new();
        meter.begin(Allowance::new(EPOCH_PERIOD_NS));
        let began_ns = READING.get().at_ns;
        // Other calls may have had this, which began before the tick that is late.
        spin(20);
        assert!(!stops(&mut meter, 0), "it may have begun just now");
        spin(2);
        assert!(stops(&mut meter, 0), "it has run for longer than it may since it was found");
        assert!(stops(&mut meter, began_ns), "of one that has run since then all is known");
        meter.begin(Allowance::new(EPOCH_PERIOD_NS));
        assert!(!stops(&mut meter, 0), "another call has not been found before");
        pulse::rest();
        meter.begin(Allowance::new(10 * EPOCH_PERIOD_NS));
        assert!(!stops(&mut meter, 0));
    }
}
