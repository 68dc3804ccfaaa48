//! Rows 9 to 11: a worker on its thread, fed by hand: many strategies, a swap, a strategy that does not return.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use hdrhistogram::Histogram;
use pinion_benches::hiccups::latencies;
use pinion_benches::machine::{Quiet, load};
use pinion_benches::pairs::sides;
use pinion_benches::pooled::{Turns, merged, percentile_of};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::Event;
use pinion_runtime::fence::Fence;
use pinion_runtime::instance::{Notice, ReadyGuest};
use pinion_runtime::metrics::Latency;
use pinion_runtime::plan;
use pinion_runtime::ring::Wait;
use pinion_runtime::sandbox::Module;
use pinion_runtime::worker::Command;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::SPOT;
use pinion_tests::rig::{self, Loaded, Rig};

use crate::bench::{Bench, quote};

/// What the worker's rows have of a strategy: it orders at every quote.
pub(crate) struct Ordering {
    pub(crate) strategy: Strategy,
    module: Module,
    instrument_id: u64,
}

impl Ordering {
    pub(crate) fn new(bench: &Bench, folder: &str, name: &str, params: &[(&str, &str)]) -> Result<Self, String> {
        let mut strategy = rig::example("record-only", &SPOT);
        name.clone_into(&mut strategy.metadata.name);
        strategy.spec.params = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        if let Some(risk) = &mut strategy.spec.risk {
            risk.messages_per_second = 1_000_000;
            risk.stale_after_millis = 3_600_000;
            risk.price_collar_bps = 1_000;
        }
        let instrument_id = plan::instruments(&strategy).map_err(|error| error.to_string())?[0].id;
        Ok(Self { module: bench.module(folder, name)?, strategy, instrument_id })
    }

    pub(crate) fn guest(&self) -> Result<ReadyGuest, String> {
        let guest = self.module.instantiate(rig::host_of(&self.strategy), &self.strategy.spec.budget);
        Ok(rig::ready(guest.map_err(|fault| fault.to_string())?, &self.strategy))
    }

    pub(crate) fn rig(&self) -> Rig {
        Rig::start_with(self.strategy.spec.inputs[0].resync, Fence::default(), Wait::Spin, || {})
    }

    pub(crate) fn quote(&self, sequence: u64) -> Event {
        quote(self.instrument_id, sequence)
    }
}

// --- row 9 ---

/// Strategies that share a worker.
const SHARING: u32 = 100;
/// Rounds of work of each for an event: a microsecond or so.
const WORK: u32 = 500;
/// Share of the worker's time.
const LOAD_PERCENT: u64 = 70;
const SHARING_P99: f64 = 2.0;
const SHARES: f64 = 1.1;
const SHARING_BLOCK_NS: u64 = 120_000_000;

/// A worker with so many strategies of so much work each, of which the last one orders at every event.
struct Shared {
    ordering: Ordering,
    rig: Rig,
    /// Those that do not order.
    silent: Vec<Loaded>,
    sequence: u64,
}

impl Shared {
    fn new(bench: &Bench, count: u32, work: u32) -> Result<Self, String> {
        let work = work.to_string();
        let of = |every: &str| {
            let params = [("every", every), ("size", "0.001"), ("work", work.as_str())];
            let mut ordering = Ordering::new(bench, "strategies-examples", "record-only", &params)?;
            ordering.strategy.spec.budget.call_micros = 1_000_000;
            Ok::<_, String>(ordering)
        };
        let (silent, ordering) = (of(&u64::MAX.to_string())?, of("1")?);
        let mut rig = ordering.rig();
        let silent =
            (1..count).map(|_| Ok(rig.load(&silent.strategy, silent.guest()?))).collect::<Result<Vec<_>, String>>()?;
        rig.load(&ordering.strategy, ordering.guest()?);
        rig.settle();
        let mut shared = Self { ordering, rig, silent, sequence: 0 };
        for _ in 0..200 {
            shared.closed();
        }
        Ok(shared)
    }

    /// One event, alone; ns until the order.
    fn closed(&mut self) -> u64 {
        self.sequence += 1;
        let event = self.ordering.quote(self.sequence);
        self.rig.decide(&event)
    }

    /// Events at this gap, whatever becomes of those before; from the time at which each was due to its order.
    fn open(&mut self, gap_ns: u64, ns: u64) -> Histogram<u64> {
        let mut latency = latencies();
        let (begin, count) = (mono_ns() + 10_000, ns / gap_ns.max(1));
        let (mut sent, mut done) = (0, 0);
        while done < count {
            if sent < count && mono_ns() >= begin + sent * gap_ns && self.rig.has_room() {
                self.sequence += 1;
                sent += 1;
                self.rig.publish(&self.ordering.quote(self.sequence));
            }
            if self.rig.take_one() {
                latency.saturating_record(mono_ns().saturating_sub(begin + done * gap_ns));
                done += 1;
            }
            // The worker's core may be half of this one.
            std::hint::spin_loop();
        }
        latency
    }

    /// ns that an event takes the worker when there is always another.
    fn service_ns(&mut self) -> u64 {
        const EVENTS: u64 = 400;
        let began = mono_ns();
        // Due at once, all of them.
        self.open(1, EVENTS);
        (mono_ns() - began) / EVENTS
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub(crate) fn sharing(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    // On two cores one worker at a time: each block has one of its own.
    let before = load();
    let fours = bench.plan.fours / 3;
    let (mut turns, mut shares) = (Turns::new(fours), Vec::new());
    for four in 0..fours {
        let sides = sides(four);
        // The machine's speed changes: the load is of what it is now.
        let gap_ns = Shared::new(bench, SHARING, WORK)?.service_ns() * 100 / LOAD_PERCENT;
        let quiet = Quiet::now();
        let (mut blocks, mut shared_out) = (Vec::new(), Vec::new());
        for many in sides {
            let (count, work) = if many { (SHARING, WORK) } else { (1, WORK * SHARING) };
            let mut shared = Shared::new(bench, count, work)?;
            blocks.push(shared.open(gap_ns, SHARING_BLOCK_NS));
            if many {
                let sums = shared.silent.iter().map(|loaded| {
                    let mut latency = Latency::default();
                    latency.merge(&loaded.metrics.strategy_latency);
                    // Of a call: what the machine does to one of them is nobody's share.
                    latency.quantile(0.5) as f64
                });
                let (least, most) = sums.fold((f64::INFINITY, 0.0_f64), |(a, b), sum| (a.min(sum), b.max(sum)));
                shared_out.push(most / least);
            }
        }
        if quiet.held_since() {
            turns.take(sides[0], [0, 1, 2, 3].map(|at: usize| &blocks[at]));
            shares.append(&mut shared_out);
        } else {
            turns.pairs.dropped += 1;
        }
    }
    let floor = "one strategy that does all of the work";
    let what = What { id: "9.p99", name: "100 strategies at 70 % load, p99", unit: "ns", floor, shown: Shown::Cost };
    let row = turns.row(what, Goal::RatioAtMost(SHARING_P99), 0.99, before);
    results.push(row.ok_or("row 9: too few events for a p99")?);
    let what = What { id: "9.shares", name: "largest share of time over the least", unit: "x", floor: "", ..what };
    results.push(turns.pairs.judge(Row::of_figures(what, Goal::AtMost(SHARES), &shares, before)));
    Ok(())
}

// --- row 10 ---

/// Swaps of each kind: enough for a p99.
const SWAPS: usize = 10_000;
/// Parts of a row's operations that are drawn anew for its interval.
const GROUPS: usize = 20;
/// Events after each, one at a time, until the next.
const BETWEEN: u64 = 8;
const STATE_BYTES: &str = "262144";
const PAUSE_NS: f64 = 100_000.0;
const PAUSE_WITH_STATE_NS: f64 = 1_000_000.0;

/// The longest that an event waited for its order around each swap.
fn pauses(ordering: &Ordering) -> Result<Vec<Histogram<u64>>, String> {
    let mut rig = ordering.rig();
    let Loaded { id, route, .. } = rig.load(&ordering.strategy, ordering.guest()?);
    rig.settle();
    let (mut pauses, mut sequence) = (vec![latencies(); GROUPS], 0);
    let (answer, answered) = crossbeam_channel::unbounded();
    for swap in 0..SWAPS {
        let ready = ordering.guest()?;
        rig.command(Command::Swap { id, ready, route: route.clone(), answer: answer.clone() });
        // Each has one order of its own, or this does not return: none is lost and none is doubled.
        let mut longest = 0;
        for _ in 0..BETWEEN {
            sequence += 1;
            longest = longest.max(rig.decide(&ordering.quote(sequence)));
        }
        pauses[swap % GROUPS].saturating_record(longest);
        match answered.recv_timeout(Duration::from_secs(5)) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(format!("row 10: a swap was refused: {why}")),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err("row 10: no answer to a swap".to_owned());
            }
        }
        // Guests that have gone are dropped here, not on the worker.
        rig.notices.try_iter().for_each(drop);
    }
    let _ = rig.finish();
    Ok(pauses)
}

pub(crate) fn swaps(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let stateless = Ordering::new(bench, "strategies-examples", "record-only", &[("every", "1"), ("size", "0.001")])?;
    let stateful =
        Ordering::new(bench, "benches/strategies", "stateful", &[("size", "0.001"), ("bytes", STATE_BYTES)])?;
    for (id, name, ordering, goal) in [
        ("10.stateless", "a swap under load: the longest wait around it, p99", &stateless, PAUSE_NS),
        ("10.state", "the same with 256 KiB of state handed on, p99", &stateful, PAUSE_WITH_STATE_NS),
    ] {
        let before = load();
        let pauses = pauses(ordering)?;
        let what = What { id, name, unit: "ns", floor: "", shown: Shown::Cost };
        let p99 = percentile_of(&pauses, 0.99).ok_or("row 10: too few swaps for a p99")?;
        let row = Row::of_interval(what, Goal::AtMost(goal), p99, before);
        let all = merged(&pauses);
        let told = format!(
            "{} swaps, p50 {} max {} ns, none lost or doubled",
            all.len(),
            all.value_at_quantile(0.5),
            all.max()
        );
        results.push(Row { operations: all.len(), ..row }.noting(&told));
    }
    Ok(())
}

// --- row 11 ---

/// Calls that do not return: enough for a p95.
const RUNAWAYS: usize = 2_000;
const OVER_NS: f64 = 2_000_000.0;
const OVER_WORST_NS: f64 = 5_000_000.0;

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
pub(crate) fn runaways(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let ordering = Ordering::new(bench, "strategies-examples", "record-only", &[("every", "1"), ("size", "0.001")])?;
    let runaway = Ordering::new(bench, "strategies-examples", "misbehaving/spin", &[])?;
    let budget_ns = u64::from(runaway.strategy.spec.budget.call_micros) * 1_000;
    let before = load();
    let mut rig = ordering.rig();
    rig.load(&ordering.strategy, ordering.guest()?);
    let spinning = rig.load(&runaway.strategy, runaway.guest()?);
    rig.settle();
    let (mut over, mut next, mut sequence) = (vec![latencies(); GROUPS], vec![latencies(); GROUPS], 1);
    for call in 0..RUNAWAYS {
        sequence += 1;
        let began = mono_ns();
        rig.publish(&ordering.quote(sequence));
        let faulted = loop {
            match rig.notices.recv_timeout(Duration::from_secs(5)) {
                Ok(Notice::Faulted { .. }) => break mono_ns() - began,
                Ok(_) => {}
                Err(_) => return Err("row 11: a call that does not return was not stopped within 5 s".to_owned()),
            }
        };
        over[call % GROUPS].saturating_record(faulted.saturating_sub(budget_ns));
        // The neighbour has had its order before or after, and goes on.
        while !rig.take_one() {
            std::hint::spin_loop();
        }
        sequence += 1;
        next[call % GROUPS].saturating_record(rig.decide(&ordering.quote(sequence)));
        rig.command(Command::Revive { id: spinning.id, ready: runaway.guest()?, route: spinning.route.clone() });
        // A worker that did not run for a while may take the next quote with what it was taking.
        rig.settle();
    }
    let what = What {
        id: "11.over",
        name: "a call that does not return: stopped over its budget, p95",
        unit: "ns",
        floor: "",
        shown: Shown::Cost,
    };
    let p95 = |groups: &[Histogram<u64>]| percentile_of(groups, 0.95).ok_or("row 11: too few calls for a p95");
    let all = merged(&over);
    let row = Row::of_interval(what, Goal::AtMost(OVER_NS), p95(&over)?, before);
    let told = format!("{} calls, p50 {} ns", all.len(), all.value_at_quantile(0.5));
    results.push(Row { operations: all.len(), ..row }.noting(&told));
    let what = What { id: "11.worst", name: "the worst of them", ..what };
    let row = Row::of_figures(what, Goal::AtMost(OVER_WORST_NS), &[all.max() as f64], before);
    results.push(row.noting("one call: it has no interval"));
    let what = What { id: "11.next", name: "its neighbour's next order, p95", ..what };
    results.push(Row::of_interval(what, Goal::None, p95(&next)?, before));
    let _ = rig.finish();
    Ok(())
}
