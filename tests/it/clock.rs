//! The stream clock and its timers, on a worker that is fed by hand.

use std::sync::Mutex;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::{Aggressor, Body, Event, FLAG_LAST, Head, MarketState, Origin, Quote, Stamp, Trade};
use pinion_runtime::fence::Fence;
use pinion_strategy::{BarSeries, Callbacks, Host, Instrument, Params, Strategy};
use pinion_tests::captures::SPOT;
use pinion_tests::native::Native;
use pinion_tests::rig::{Rig, example, host_of, ready};
use pinion_tests::runtime::START;
use pinion_tests::wait::until;

/// What a strategy was called with, and its clock then.
type Seen = Mutex<Vec<(&'static str, u64)>>;

static SEEN: Seen = Mutex::new(Vec::new());
static SEEN_UNDER_LEASE: Seen = Mutex::new(Vec::new());
static SEEN_OF_BARS: Seen = Mutex::new(Vec::new());

/// Wants bars of a millisecond and of two trades, and a timer at each millisecond.
struct Barred {
    instrument_id: u64,
}

const MS: u64 = 1_000_000;

impl Strategy for Barred {
    const WANTS: Callbacks = Callbacks::TRADE.and(Callbacks::TIMER).and(Callbacks::STATUS);

    fn new(_: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        Ok(Self { instrument_id: instruments[0].id })
    }

    fn bars(&self) -> Vec<BarSeries> {
        vec![BarSeries::trades(self.instrument_id, 2), BarSeries::time(self.instrument_id, MS)]
    }

    fn on_start(&mut self, host: &mut impl Host) {
        host.set_timer(1, 2 * MS);
        host.set_timer(0, 2 * MS);
    }

    fn on_trade(&mut self, host: &mut impl Host, _: &pinion_strategy::Trade) {
        SEEN_OF_BARS.lock().unwrap().push(("trade", host.now()));
    }

    fn on_status(&mut self, host: &mut impl Host, status: &pinion_strategy::Status) {
        assert_eq!(status.state, pinion_strategy::MarketState::Paused);
        SEEN_OF_BARS.lock().unwrap().push(("status", host.now()));
    }

    fn on_bar(&mut self, host: &mut impl Host, bar: &pinion_strategy::Bar) {
        assert_eq!(bar.ts_recv, host.now(), "the clock stands where the bar was closed");
        let kind = ["bar of 2 trades", "bar of 1 ms"][bar.series as usize];
        SEEN_OF_BARS.lock().unwrap().push((kind, host.now()));
    }

    fn on_timer(&mut self, host: &mut impl Host, timer_id: u64, _: u64) {
        SEEN_OF_BARS.lock().unwrap().push((["timer 0", "timer 1"][usize::from(timer_id > 0)], host.now()));
    }
}

/// Sets two timers at its first quote, the later one first.
struct Clocked {
    quotes: u32,
}

impl Strategy for Clocked {
    const WANTS: Callbacks = Callbacks::QUOTE.and(Callbacks::TIMER);

    fn new(_: &Params, _: &[Instrument]) -> Result<Self, String> {
        Ok(Self { quotes: 0 })
    }

    fn on_quote(&mut self, host: &mut impl Host, _: &pinion_strategy::Quote) {
        SEEN.lock().unwrap().push(("quote", host.now()));
        if self.quotes == 0 {
            host.set_timer(1, host.now() + 500);
            host.set_timer(2, host.now() + 300);
        }
        self.quotes += 1;
    }

    fn on_timer(&mut self, host: &mut impl Host, _: u64, at: u64) {
        assert_eq!(host.now(), at, "a timer's own time is the clock's");
        SEEN.lock().unwrap().push(("timer", host.now()));
    }
}

/// Notes its quotes.
struct Leased;

impl Strategy for Leased {
    const WANTS: Callbacks = Callbacks::QUOTE;

    fn new(_: &Params, _: &[Instrument]) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_quote(&mut self, host: &mut impl Host, _: &pinion_strategy::Quote) {
        SEEN_UNDER_LEASE.lock().unwrap().push(("quote", host.now()));
    }
}

fn quote(offset: u64, ts_recv: u64) -> Event {
    Event {
        head: Head { flags: FLAG_LAST, ts_recv, ..Head::default() },
        body: Body::Quote(Quote { bid_price: 1, bid_size: 1, ask_price: 2, ask_size: 1, bid_count: 0, ask_count: 0 }),
        origin: Origin { topic: 0, partition: 0, offset },
        stamp: Stamp::default(),
    }
}

#[test]
fn a_timer_fires_at_its_own_time_before_the_event_that_passes_it_and_the_clock_never_goes_back() {
    let strategy = example("ema-cross", &SPOT);
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    rig.load(&strategy, ready(Box::new(Native::<Clocked>::new(host_of(&strategy))), &strategy));
    for (offset, ts_recv) in [(0, 1_000), (1, 1_100), (2, 5_000), (3, 4_000), (4, 5_100)] {
        rig.push(&[quote(offset, ts_recv)]);
    }
    rig.settle();
    let _ = rig.finish();
    let wanted = [
        ("quote", 1_000),
        ("quote", 1_100),
        ("timer", 1_300),
        ("timer", 1_500),
        ("quote", 5_000),
        ("quote", 5_000),
        ("quote", 5_100),
    ];
    assert_eq!(*SEEN.lock().unwrap(), wanted);
}

#[test]
fn a_worker_presents_nothing_once_its_lease_has_run_out() {
    let strategy = example("ema-cross", &SPOT);
    let fence = Fence::closed();
    let end = mono_ns() + 300_000_000;
    assert!(fence.renew(end));
    let mut rig = Rig::start_fenced(strategy.spec.inputs[0].resync, fence, || {});
    rig.load(&strategy, ready(Box::new(Native::<Leased>::new(host_of(&strategy))), &strategy));
    rig.push(&[quote(0, 1_000)]);
    until("the event in time", START, || (!SEEN_UNDER_LEASE.lock().unwrap().is_empty()).then_some(()));
    until("the lease to run out", START, || (mono_ns() > end).then_some(()));
    rig.push(&[quote(1, 2_000)]);
    // The worker ends; what it was sent too late stays unpresented.
    let _ = rig.finish();
    assert_eq!(*SEEN_UNDER_LEASE.lock().unwrap(), [("quote", 1_000)]);
}

#[test]
fn bars_close_before_timers_of_their_time_and_both_before_the_event_that_passes_them() {
    let strategy = example("ema-cross", &SPOT);
    let instrument_id = host_of(&strategy).instruments_in_order()[0].id;
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    rig.load(&strategy, ready(Box::new(Native::<Barred>::new(host_of(&strategy))), &strategy));
    let trade = Body::Trade(Trade { price: 5, size: 1, trade_id: 0, aggressor: Aggressor::None });
    let events = [(trade, MS), (trade, 2 * MS - 1), (Body::Status(MarketState::Paused), 3 * MS), (trade, 3 * MS)];
    for (offset, (body, ts_recv)) in (0..).zip(events) {
        let mut event = quote(offset, ts_recv);
        (event.body, event.head.instrument_id) = (body, instrument_id);
        rig.push(&[event]);
    }
    rig.settle();
    let _ = rig.finish();
    let wanted = [
        ("trade", MS),
        ("trade", 2 * MS - 1),
        ("bar of 2 trades", 2 * MS - 1),
        ("bar of 1 ms", 2 * MS),
        ("timer 0", 2 * MS),
        ("timer 1", 2 * MS),
        ("status", 3 * MS),
        ("trade", 3 * MS),
    ];
    assert_eq!(*SEEN_OF_BARS.lock().unwrap(), wanted);
}
