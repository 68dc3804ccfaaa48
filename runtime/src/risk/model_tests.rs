//! No sequence of intents, reports and prices passes a limit: what was sent is given to a venue of the test's own, which fills,
//! refuses and delays as it likes, and the limits are measured there and not in the ledger.

use std::collections::{BTreeMap, VecDeque};

use pinion_spec::strategy::{Risk, TradingState};
use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::event::ExecutionKind;

const RATE: usize = 6;
const OPEN: usize = 4;
const SIZE: i64 = 10;
const POSITION: i64 = 20;
const NOTIONAL: i128 = 1_000 * ONE as i128;

#[derive(Debug, Clone)]
enum Step {
    Submit {
        is_buy: bool,
        kind: u8,
        price: i64,
        size: i64,
    },
    Modify {
        which: usize,
        price: i64,
        size: i64,
    },
    Cancel {
        which: usize,
    },
    CancelAll,
    /// The venue takes the next request.
    Venue,
    /// The venue fills so much of an order.
    Fill {
        which: usize,
        size: i64,
    },
    /// The next report arrives, maybe twice.
    Report {
        twice: bool,
    },
    Wait(u64),
    Quote {
        bid: i64,
        spread: i64,
    },
    State(TradingState),
    Kill(bool),
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly inside every limit, else nothing is sent and nothing is tested.
    let price = prop_oneof![6 => 9_850i64..10_050, 1 => 9_700i64..10_300];
    let size = prop_oneof![8 => (1i64..6).prop_map(|lots| lots * LOT), 1 => -1i64..14];
    prop_oneof![
        8 => (any::<bool>(), 0u8..5, price.clone(), size.clone())
            .prop_map(|(is_buy, kind, price, size)| Step::Submit { is_buy, kind, price, size }),
        4 => (0usize..6, price.clone(), size.clone()).prop_map(|(which, price, size)| Step::Modify { which, price, size }),
        2 => (0usize..6).prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::CancelAll),
        8 => Just(Step::Venue),
        4 => (0usize..6, 1i64..11).prop_map(|(which, size)| Step::Fill { which, size }),
        8 => any::<bool>().prop_map(|twice| Step::Report { twice }),
        6 => (0u64..SECOND).prop_map(Step::Wait),
        6 => (9_880i64..9_960, -1i64..100).prop_map(|(bid, spread)| Step::Quote { bid, spread }),
        1 => prop_oneof![6 => Just(TradingState::Active), 1 => Just(TradingState::Reducing), 1 => Just(TradingState::Halted)]
            .prop_map(Step::State),
        1 => prop::bool::weighted(0.1).prop_map(Step::Kill),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Live {
    side: Side,
    price: i64,
    size: i64,
    filled: i64,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    order_id: u64,
    kind: ExecutionKind,
    side: Side,
    price: i64,
    size: i64,
    leaves: i64,
}

/// A venue that takes requests and sends reports in order, each some time later.
#[derive(Default)]
struct Venue {
    live: BTreeMap<u64, Live>,
    requests: VecDeque<Order>,
    reports: VecDeque<(u64, Report)>,
    sequence: u64,
    net: i64,
}

impl Venue {
    fn send(&mut self, report: Report) {
        self.sequence += 1;
        self.reports.push_back((self.sequence, report));
    }

    fn take(&mut self) {
        let Some(order) = self.requests.pop_front() else { return };
        let (order_id, side, price, size) = (order.order_id(), order.side(), order.price(), order.size());
        let report = |kind, size, leaves| Report { order_id, kind, side, price, size, leaves };
        match order.kind() {
            OrderKind::New => {
                self.live.insert(order_id, Live { side, price, size, filled: 0 });
                self.send(report(ExecutionKind::Accepted, size, size));
            }
            OrderKind::Modify => match self.live.get_mut(&order_id) {
                Some(live) if size > live.filled => {
                    (live.price, live.size) = (price, size);
                    let leaves = size - live.filled;
                    self.send(report(ExecutionKind::Replaced, size, leaves));
                }
                Some(live) => {
                    let leaves = live.size - live.filled;
                    self.send(report(ExecutionKind::Rejected, size, leaves));
                }
                None => self.send(report(ExecutionKind::Rejected, size, 0)),
            },
            OrderKind::Cancel => match self.live.remove(&order_id) {
                Some(_) => self.send(report(ExecutionKind::Cancelled, size, 0)),
                None => self.send(report(ExecutionKind::Rejected, size, 0)),
            },
        }
    }

    fn fill(&mut self, which: usize, size: i64) {
        let Some((order_id, live)) = self.live.iter_mut().nth(which) else { return };
        let size = size.min(live.size - live.filled);
        live.filled += size;
        let (order_id, side, price, leaves) = (*order_id, live.side, live.price, live.size - live.filled);
        self.net += if side == Side::Buy { size } else { -size };
        if leaves == 0 {
            self.live.remove(&order_id);
        }
        self.send(Report { order_id, kind: ExecutionKind::Filled, side, price, size, leaves });
    }

    /// Every order that works or will, with the most it can fill and the prices it can have.
    fn possible(&self) -> BTreeMap<u64, (Side, i64, Vec<i64>)> {
        let mut orders: BTreeMap<u64, (Side, i64, Vec<i64>)> = BTreeMap::new();
        for (order_id, live) in &self.live {
            orders.insert(*order_id, (live.side, live.size - live.filled, vec![live.price]));
        }
        for order in &self.requests {
            let filled = self.live.get(&order.order_id()).map_or(0, |live| live.filled);
            let leaves = order.size() - filled;
            match order.kind() {
                OrderKind::New => {
                    orders.insert(order.order_id(), (order.side(), leaves, vec![order.price()]));
                }
                OrderKind::Modify => {
                    if let Some((_, most, prices)) = orders.get_mut(&order.order_id()) {
                        *most = (*most).max(leaves);
                        prices.push(order.price());
                    }
                }
                OrderKind::Cancel => {}
            }
        }
        orders
    }
}

/// What a run leaves behind, to compare two of them.
type Trace = Vec<Result<Order, DenyReason>>;

fn run(executions: Executions, steps: &[Step]) -> Result<Trace, TestCaseError> {
    let risk = Risk {
        messages_per_second: u32::try_from(RATE).unwrap(),
        max_open_orders: u32::try_from(OPEN).unwrap(),
        stale_after_millis: 2_000,
        ..risk()
    };
    let mut desk = Desk::with(&risk, executions);
    let mut venue = Venue::default();
    let mut trace = Trace::new();
    let mut sent_at: Vec<u64> = Vec::new();
    let (mut bid, mut ask, mut quoted_at) = (99 * ONE, 100 * ONE, desk.now);
    for step in steps {
        let before = trace.len();
        let known: Vec<u64> = desk.ledger.working_ids().collect();
        match step {
            Step::Submit { is_buy, kind, price, size } => {
                let side = if *is_buy { Side::Buy } else { Side::Sell };
                let order = match kind {
                    0 => market(side, *size),
                    1 => NewOrder { time_in_force: TimeInForce::Ioc, ..limit(side, price * TICK, *size) },
                    _ => limit(side, price * TICK, *size),
                };
                trace.push(desk.submit(order));
            }
            Step::Modify { which, price, size } => {
                let order_id = known.get(*which).copied().unwrap_or(u64::MAX);
                trace.push(desk.modify(order_id, price * TICK, *size));
            }
            Step::Cancel { which } => {
                if let Some(order_id) = known.get(*which) {
                    let outcome = desk.cancel(*order_id);
                    prop_assert!(outcome.is_ok(), "a cancel of a working order was denied");
                    trace.push(outcome);
                }
            }
            Step::CancelAll => {
                for place in (0..desk.ledger.working_len()).rev() {
                    let outcome = desk.cancel(desk.ledger.working_id(place).unwrap());
                    prop_assert!(outcome.is_ok(), "a cancel of a working order was denied");
                    trace.push(outcome);
                }
                prop_assert!(executions == Executions::Reported || desk.ledger.working_len() == 0);
            }
            Step::Venue if executions == Executions::Reported => venue.take(),
            Step::Fill { which, size } if executions == Executions::Reported => venue.fill(*which, *size),
            Step::Report { twice } if executions == Executions::Reported => {
                if let Some((sequence, r)) = venue.reports.pop_front() {
                    for _ in 0..=u8::from(*twice) {
                        desk.report_at(sequence, r.order_id, r.kind, r.side, r.price, r.size, r.leaves);
                    }
                }
            }
            Step::Venue | Step::Fill { .. } | Step::Report { .. } => {}
            Step::Wait(ns) => desk.now += ns,
            Step::Quote { bid: b, spread } => {
                (bid, ask, quoted_at) = (b * TICK, (b + spread) * TICK, desk.now);
                desk.quote(bid, ask);
            }
            Step::State(state) => desk.trading_state = *state,
            Step::Kill(kill) => desk.kill = *kill,
        }
        for order in trace[before..].iter().flatten() {
            sent_at.push(desk.now);
            if order.kind() != OrderKind::Cancel {
                prop_assert!(!desk.kill && desk.trading_state != TradingState::Halted);
                prop_assert!(order.size() > 0 && order.size() <= SIZE && order.size() % LOT == 0);
                prop_assert!(order.price() > 0 && order.price() % TICK == 0);
                prop_assert!(i128::from(order.price()) * i128::from(order.size()) <= NOTIONAL);
                prop_assert!(bid < ask && desk.now - quoted_at <= 2 * SECOND);
                match order.side() {
                    Side::Buy => prop_assert!(order.price() * 100 <= ask * 101),
                    Side::Sell => prop_assert!(order.price() * 100 >= bid * 99),
                }
                let recent = sent_at.iter().filter(|at| desk.now - **at < SECOND).count();
                prop_assert!(recent <= RATE, "{recent} messages in a second");
            }
            match executions {
                Executions::Reported => venue.requests.push_back(*order),
                Executions::Assumed => assume(&mut venue, order),
            }
        }
        let possible = venue.possible();
        let most = |side: Side| possible.values().filter(|o| o.0 == side).map(|o| o.1).sum::<i64>();
        prop_assert!(venue.net + most(Side::Buy) <= POSITION, "{} and {:?}", venue.net, possible);
        prop_assert!(venue.net - most(Side::Sell) >= -POSITION, "{} and {:?}", venue.net, possible);
        prop_assert!(possible.len() <= OPEN);
        if desk.trading_state == TradingState::Reducing
            && trace[before..].iter().flatten().any(|o| o.kind() != OrderKind::Cancel)
        {
            let side = trace[before].unwrap().side();
            // By what the ledger knows: a fill whose report is on its way is not known.
            let position = desk.position();
            match side {
                Side::Buy => prop_assert!(position.net + position.working_buy <= 0),
                Side::Sell => prop_assert!(position.net - position.working_sell >= 0),
            }
        }
        let prices = |side: Side| possible.values().filter(move |o| o.0 == side).flat_map(|o| o.2.iter().copied());
        if let (Some(buy), Some(sell)) = (prices(Side::Buy).max(), prices(Side::Sell).min()) {
            prop_assert!(buy < sell, "own orders at {buy} and {sell} could match");
        }
        prop_assert!(desk.ledger.working_len() <= OPEN);
        if executions == Executions::Assumed {
            prop_assert_eq!(desk.sizes(), (venue.net, most(Side::Buy), most(Side::Sell)));
        }
    }
    // Once every request is answered and every report is in, the ledger and the venue agree.
    while !venue.requests.is_empty() {
        venue.take();
    }
    while let Some((sequence, r)) = venue.reports.pop_front() {
        desk.report_at(sequence, r.order_id, r.kind, r.side, r.price, r.size, r.leaves);
    }
    let possible = venue.possible();
    let most = |side: Side| possible.values().filter(|o| o.0 == side).map(|o| o.1).sum::<i64>();
    prop_assert_eq!(desk.sizes(), (venue.net, most(Side::Buy), most(Side::Sell)));
    prop_assert_eq!(desk.ledger.working_len(), possible.len());
    Ok(trace)
}

/// A venue that does at once what it is asked.
fn assume(venue: &mut Venue, order: &Order) {
    let rests = order.order_type() == OrderType::Limit && order.time_in_force() == TimeInForce::Gtc;
    venue.requests.push_back(*order);
    venue.take();
    if order.kind() == OrderKind::New && !rests {
        let which = venue.live.keys().position(|id| *id == order.order_id()).unwrap();
        venue.fill(which, order.size());
    }
    venue.reports.clear();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_sequence_of_intents_reports_and_prices_passes_a_limit(steps in prop::collection::vec(step(), 1..160)) {
        run(Executions::Reported, &steps)?;
    }

    #[test]
    fn without_reports_the_outcome_is_a_function_of_what_was_asked(steps in prop::collection::vec(step(), 1..120)) {
        prop_assert_eq!(run(Executions::Assumed, &steps)?, run(Executions::Assumed, &steps)?);
    }
}
