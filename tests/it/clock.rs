//! The stream clock and its timers, on a worker that is fed by hand.

use std::sync::Mutex;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Quote, Stamp};
use pinion_runtime::fence::Fence;
use pinion_strategy::{Callbacks, Host, Instrument, Params, Strategy};
use pinion_tests::captures::SPOT;
use pinion_tests::native::Native;
use pinion_tests::rig::{Rig, example, host_of, ready};
use pinion_tests::runtime::START;
use pinion_tests::wait::until;

/// What a strategy was called with, and its clock then.
type Seen = Mutex<Vec<(&'static str, u64)>>;

static SEEN: Seen = Mutex::new(Vec::new());
static SEEN_UNDER_LEASE: Seen = Mutex::new(Vec::new());

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
