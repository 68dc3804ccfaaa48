//! The venue between market data and orders: a state machine without Kafka. Records go in, reports come out when they are due.
//!
//! Its clock is the stream's: the largest `ts_recv` of the market data that it was shown, moved on by the wall clock while none comes. An
//! order is at the venue one latency after its decision, or when its record is read if that is later.

use std::collections::{BTreeMap, HashMap, VecDeque};

use pinion_runtime::book::Books;
use pinion_runtime::decode::Record;
use pinion_runtime::event::{Event, FLAG_LAST, Head};
use pinion_runtime::instruments::Instruments;
use pinion_runtime::metrics::EventKind;
use pinion_runtime::wire;
use pinion_spec::ids::ClientOrderId;
use pinion_venue::account::Account;
use pinion_venue::{Message, Model, Refusal, Report, Venue};

use super::listen::{Listen, Market, Member};
use super::outcome::{Counts, Outcome, StrategyOutcome, Told};
use crate::error::CliError;

/// How far ahead of the stream and of the wall clock an order may have been decided: clocks differ by less.
const AHEAD_NS_MAX: u64 = 60_000_000_000;

/// A report on its way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Where to.
    pub(super) topic: String,
    /// The instrument's symbol, as on the order.
    pub(super) key: String,
    /// Stream time at which the strategy learns of it, ns.
    pub(super) ts_recv: u64,
    /// As JSON.
    pub(super) value: Vec<u8>,
}

/// How much has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    /// Records of market data.
    pub(crate) records: u64,
    /// Orders of our strategies.
    pub(crate) orders: u64,
}

struct Trader {
    member: Member,
    account: Account,
    told: Told,
}

/// The venue and what it knows.
pub(crate) struct Desk {
    venue: Venue,
    books: Books,
    markets: Vec<Market>,
    instruments: Instruments,
    traders: Vec<Trader>,
    /// By [`Member::hash`].
    by_hash: HashMap<u32, usize>,
    /// Who writes the reports.
    reporter: String,
    now: u64,
    /// What the last record made of `now`, and the monotonic clock then.
    shown: (u64, u64),
    events: Vec<Event>,
    outgoing: VecDeque<Outgoing>,
    counts: Counts,
}

impl Desk {
    /// A venue to which nothing has come yet.
    pub(crate) fn new(listen: Listen, model: Model, reporter: String) -> Self {
        let venue = Venue::new(model, listen.instruments.iter());
        let trader = |member| Trader { member, account: Account::default(), told: Told::default() };
        let traders: Vec<Trader> = listen.members.into_iter().map(trader).collect();
        Self {
            venue,
            books: Books::new(listen.resync),
            markets: listen.markets,
            instruments: listen.instruments,
            by_hash: traders.iter().enumerate().map(|(place, trader)| (trader.member.hash, place)).collect(),
            traders,
            reporter,
            now: 0,
            shown: (0, 0),
            events: Vec::new(),
            outgoing: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Goes on after an earlier venue, see [`Venue::resume`].
    pub(super) fn resume(&mut self, sequence: u64, ended: impl IntoIterator<Item = ClientOrderId>) {
        self.venue.resume(sequence, ended);
    }

    /// Whether a topic is one of market data.
    pub(super) fn is_market(&self, topic: &str) -> bool {
        self.markets.iter().any(|market| market.topic == topic)
    }

    /// Takes a record of market data; `mono_ns` is the monotonic clock.
    ///
    /// # Errors
    /// [`CliError::Usage`] for sums that do not fit.
    pub(super) fn market(&mut self, topic: &str, record: &Record<'_>, mono_ns: u64) -> Result<(), CliError> {
        let Some(market) = self.markets.iter_mut().find(|market| market.topic == topic) else { return Ok(()) };
        self.counts.records += 1;
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        if let Err(error) = market.decoder.decode(record, &mut events) {
            *self.counts.decode_errors.entry(error.reason()).or_default() += 1;
        }
        // One that is older than the clock moves nothing: time goes on by the wall.
        if let Some(ts) = events.first().map(|first| first.head.ts_recv).filter(|ts| *ts > self.now) {
            self.shown = (ts, mono_ns);
            self.reach(ts);
        } else {
            self.pass(mono_ns);
        }
        for event in &events {
            self.books.apply(event);
            self.venue.market(event, &self.books);
        }
        self.counts.events += events.iter().filter(|event| EventKind::of(event).is_some()).count() as u64;
        self.events = events;
        self.settle()
    }

    /// Takes a record of an orders topic; `wall_ns` is the wall clock.
    pub(super) fn order(&mut self, topic: &str, value: &[u8], (mono_ns, wall_ns): (u64, u64)) {
        let order = match wire::read_order(value) {
            Ok(order) => order,
            Err(error) => {
                if self.counts.unreadable == 0 {
                    tracing::warn!(topic, %error, "no order message; further ones are only counted");
                }
                self.counts.unreadable += 1;
                return;
            }
        };
        let Some(trader) = self.by_hash.get(&order.id.strategy).and_then(|place| self.traders.get_mut(*place)) else {
            self.counts.not_ours += 1;
            return;
        };
        // What is decided then would wait for ever, and all behind it.
        if order.ts > self.now.max(wall_ns).saturating_add(AHEAD_NS_MAX) {
            tracing::warn!(topic, order = %order.id, ts = order.ts, "an order from the future is left aside");
            self.counts.unreadable += 1;
            return;
        }
        trader.told.orders += 1;
        if self.shown.0 == 0 {
            self.shown = (order.ts, mono_ns);
        }
        let instrument = self.instruments.get(order.instrument_id);
        // What does not fit is refused as no size at all.
        let size = instrument.and_then(|instrument| order.size.at_exponent(instrument.size_exponent)).unwrap_or(0);
        self.venue.send(Message {
            id: order.id,
            kind: order.kind,
            instrument_id: order.instrument_id,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            price: order.price,
            size,
            ts: order.ts,
        });
    }

    /// Moves the clock on while no market data does.
    pub(super) fn pass(&mut self, mono_ns: u64) {
        let (ts, at) = self.shown;
        if ts > 0 {
            self.reach(ts.saturating_add(mono_ns.saturating_sub(at)));
        }
    }

    /// Takes note of a report that another venue wrote, which is about to end: what it answered is not answered again.
    pub(super) fn heard(&mut self, order: ClientOrderId, sequence: u64) {
        self.venue.resume(sequence, [order]);
    }

    /// Whether an order is of one of our strategies.
    pub(super) fn is_ours(&self, hash: u32) -> bool {
        self.by_hash.contains_key(&hash)
    }

    /// Whether something is due by the clock alone.
    pub(super) fn is_waiting(&self) -> bool {
        self.venue.next_arrival().is_some() || self.venue.next_report().is_some()
    }

    /// Ends: what works is cancelled, what is on its way is refused, and all of it is told.
    pub(super) fn close(&mut self) {
        self.venue.close();
        self.reach(self.now);
    }

    /// The reports that are due.
    pub(super) fn take_outgoing(&mut self) -> impl Iterator<Item = Outgoing> + '_ {
        self.outgoing.drain(..)
    }

    /// What it has read.
    pub(super) fn read(&self) -> Read {
        let orders = self.traders.iter().map(|trader| trader.told.orders).sum();
        Read { records: self.counts.records, orders }
    }

    /// What it has come to.
    ///
    /// # Errors
    /// As [`Desk::market`].
    pub(crate) fn outcome(&mut self) -> Result<Outcome, CliError> {
        let mut strategies = BTreeMap::new();
        for trader in &mut self.traders {
            let held: Vec<u64> = trader.account.holdings().keys().copied().collect();
            for instrument_id in held {
                let (bid, ask) = self.venue.touch(instrument_id, &self.books);
                trader.account.mark(instrument_id, bid, ask);
            }
            let of = StrategyOutcome::new(&trader.told, &trader.account, &self.instruments)?;
            strategies.insert(trader.member.name.clone(), of);
        }
        let venue = self.venue.counts();
        Ok(Outcome {
            counts: self.counts.clone(),
            working: self.venue.working_len(),
            repeated: venue.repeated,
            fills_unbounded: venue.unbounded,
            expired_unpriced: venue.unpriced,
            strategies,
        })
    }

    /// Takes what arrives until then, and tells what is seen until then.
    fn reach(&mut self, ts: u64) {
        self.now = self.now.max(ts);
        self.venue.arrive(self.now, &self.books);
        while let Some(report) = self.venue.report(self.now) {
            self.tell(&report);
        }
    }

    /// Tells the strategy a report.
    pub(super) fn tell(&mut self, report: &Report) {
        let place = self.by_hash.get(&report.execution.order.strategy);
        let Some(trader) = place.and_then(|place| self.traders.get_mut(*place)) else { return };
        if let Some(refusal) = report.refusal {
            *trader.told.refused.entry(refusal.label()).or_default() += 1;
        }
        let Some(topic) = trader.member.executions.clone() else { return };
        trader.told.reports += 1;
        let instrument = self.instruments.get(report.instrument_id);
        let scale = instrument.map_or(9, |instrument| u32::from(instrument.size_exponent.unsigned_abs()));
        let head = Head {
            instrument_id: report.instrument_id,
            publisher_id: 0,
            flags: FLAG_LAST,
            ts_event: report.ts_event,
            ts_recv: report.ts_recv,
            sequence: report.sequence,
        };
        let mut value = Vec::new();
        let reason = report.refusal.map(Refusal::label);
        wire::encode_execution(&head, &report.execution, scale, &self.reporter, reason, &mut value);
        let key = instrument.map_or_else(|| report.instrument_id.to_string(), |known| known.symbol.to_string());
        self.outgoing.push_back(Outgoing { topic, key, ts_recv: report.ts_recv, value });
    }

    fn settle(&mut self) -> Result<(), CliError> {
        for traded in self.venue.traded() {
            let place = self.by_hash.get(&traded.report.execution.order.strategy);
            if let Some(trader) = place.and_then(|place| self.traders.get_mut(*place)) {
                trader.account.take(&traded)?;
                trader.told.fills += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pinion_spec::strategy::Strategy;
    use pinion_venue::{Fees, Latency};
    use serde_json::{Value, json};

    use super::*;

    const MS: u64 = 1_000_000;
    const FILE: &str = "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata: {name: a}\nspec:\n  module: {file: a.wasm}\n  \
        outputs: {orders: {topic: o}}\n  instruments: [{symbol: A, tick: '1', lot: '1', publisher: binance-spot}]\n  \
        inputs: [{topic: md, encoding: binance-spot}, {topic: ex, encoding: pinion-execution}]\n";

    /// With a millisecond each way.
    fn desk() -> Desk {
        let strategy: Strategy = pinion_spec::parse(FILE, "a.yaml").unwrap().remove(0);
        let model = Model { latency: Latency::fixed(MS), fees: Fees::default(), seed: 1 };
        Desk::new(Listen::of(&[strategy]).unwrap(), model, "paper-1".to_owned())
    }

    fn quote(desk: &mut Desk, ms: u64, bid: u32, ask: u32, mono_ms: u64) {
        let value = format!(r#"{{"u":{ms},"s":"A","b":"{bid}","B":"5","a":"{ask}","A":"5"}}"#);
        let record = Record { value: value.as_bytes(), key: None, ts_recv: ms * MS };
        desk.market("md", &record, mono_ms * MS).unwrap();
    }

    /// A message of the strategy's first order.
    fn message(kind: &str, price: u32, ms: u64) -> Vec<u8> {
        let strategy = ClientOrderId::strategy_hash("default", "a");
        let id = ClientOrderId { strategy, topic: 1, partition: 0, offset: 2, n: 0 }.to_string();
        let instrument_id = pinion_spec::ids::instrument_id("binance-spot", b"A");
        let order = json!({
            "type": kind, "client_order_id": id, "instrument_id": instrument_id, "side": "buy", "order_type": "limit",
            "time_in_force": "gtc", "price": price.to_string(), "size": "2", "tag": 0, "ts": ms * MS,
        });
        order.to_string().into_bytes()
    }

    /// What is due: type, leaves, reason, when it is learned in ms, and its number.
    fn due(desk: &mut Desk) -> Vec<(String, String, Value, u64, u64)> {
        let told = desk.take_outgoing().map(|report| {
            assert_eq!((report.topic.as_str(), report.key.as_str()), ("ex", "A"));
            let value: Value = serde_json::from_slice(&report.value).unwrap();
            assert_eq!(value["reporter"], "paper-1");
            let text = |field: &str| value[field].as_str().unwrap().to_owned();
            let (kind, leaves) = (text("type"), text("leaves"));
            (kind, leaves, value["reason"].clone(), report.ts_recv / MS, value["sequence"].as_u64().unwrap())
        });
        told.collect()
    }

    fn told(kind: &str, leaves: &str, ms: u64, sequence: u64) -> (String, String, Value, u64, u64) {
        (kind.to_owned(), leaves.to_owned(), Value::Null, ms, sequence)
    }

    #[test]
    fn an_order_meets_the_market_after_its_latency_and_its_reports_are_told_when_they_are_due() {
        let mut desk = desk();
        quote(&mut desk, 10, 99, 101, 0);
        desk.order("o", &message("new", 101, 10), (0, 0));
        quote(&mut desk, 11, 99, 101, 1);
        assert_eq!(due(&mut desk), [], "accepted and filled at 11, which is learned at 12");
        assert!(desk.is_waiting());
        quote(&mut desk, 12, 99, 101, 2);
        assert_eq!(due(&mut desk), [told("accepted", "2", 12, 1), told("filled", "0", 12, 2)]);
        let outcome = desk.outcome().unwrap();
        let of = &outcome.strategies["a"];
        assert_eq!((of.told.orders, of.told.fills, of.told.reports, of.pnl.as_str()), (1, 1, 2, "-4"));
        assert_eq!(of.positions["A"].net, "2");
    }

    #[test]
    fn on_a_quiet_market_the_wall_clock_brings_orders_and_reports_but_no_fill() {
        let mut desk = desk();
        quote(&mut desk, 10, 99, 101, 500);
        desk.order("o", &message("new", 101, 10), (500, 0));
        desk.pass(501 * MS);
        assert_eq!(due(&mut desk), []);
        desk.pass(502 * MS);
        assert_eq!(due(&mut desk), [told("accepted", "2", 12, 1)]);
        desk.pass(900 * MS);
        assert_eq!(due(&mut desk), []);
        // Captured before where the clock has gone on to: it fills by its own time, and is told at once.
        quote(&mut desk, 13, 99, 101, 901);
        assert_eq!(due(&mut desk), []);
        desk.pass(901 * MS);
        assert_eq!(due(&mut desk), [told("filled", "0", 14, 2)]);
    }

    #[test]
    fn an_order_that_comes_before_any_market_is_answered_all_the_same() {
        let mut desk = desk();
        desk.order("o", &message("new", 101, 10), (500, 0));
        desk.pass(600 * MS);
        assert_eq!(due(&mut desk).first().map(|told| told.0.clone()), Some("accepted".to_owned()));
    }

    #[test]
    fn what_is_no_order_or_another_strategys_is_counted_and_changes_nothing() {
        let mut desk = desk();
        let ours = ClientOrderId::strategy_hash("default", "a");
        let theirs = String::from_utf8(message("new", 101, 10)).unwrap().replace(&format!("{ours:08x}"), "00000001");
        for value in [&b"nonsense"[..], b"{}", b"", theirs.as_bytes()] {
            desk.order("o", value, (0, 0));
        }
        desk.pass(900 * MS);
        let outcome = desk.outcome().unwrap();
        assert_eq!((outcome.counts.unreadable, outcome.counts.not_ours), (3, 1));
        assert_eq!((due(&mut desk), outcome.strategies["a"].told.orders), (vec![], 0));
    }

    #[test]
    fn an_order_from_the_future_holds_nothing_up() {
        let mut desk = desk();
        desk.order("o", &message("new", 101, u64::MAX / MS), (0, 90_000 * MS));
        quote(&mut desk, 10, 99, 101, 0);
        desk.order("o", &message("new", 101, 10), (0, 90_000 * MS));
        quote(&mut desk, 20, 99, 101, 0);
        assert_eq!(due(&mut desk).first().map(|told| told.0.clone()), Some("accepted".to_owned()));
        assert_eq!(desk.outcome().unwrap().counts.unreadable, 1);
    }

    #[test]
    fn a_market_that_is_shown_again_with_its_old_times_holds_no_clock_up() {
        let mut desk = desk();
        quote(&mut desk, 500, 99, 101, 0);
        desk.order("o", &message("new", 90, 500), (0, 0));
        for mono in 1..=4 {
            quote(&mut desk, 10 + mono, 99, 101, mono);
        }
        assert_eq!(due(&mut desk), [told("accepted", "2", 502, 1)]);
    }

    #[test]
    fn what_another_venue_has_answered_is_not_opened() {
        let mut desk = desk();
        quote(&mut desk, 10, 99, 101, 0);
        let order: Value = serde_json::from_slice(&message("new", 101, 10)).unwrap();
        desk.heard(ClientOrderId::parse(order["client_order_id"].as_str().unwrap().as_bytes()).unwrap(), 8);
        desk.order("o", &message("new", 101, 10), (0, 0));
        quote(&mut desk, 20, 99, 101, 0);
        quote(&mut desk, 30, 99, 101, 0);
        assert_eq!(due(&mut desk), []);
    }

    #[test]
    fn a_size_that_the_instrument_cannot_have_is_refused_with_its_reason() {
        let mut desk = desk();
        quote(&mut desk, 10, 99, 101, 0);
        let order =
            String::from_utf8(message("new", 90, 10)).unwrap().replace(r#""size":"2""#, r#""size":"9999999999""#);
        desk.order("o", order.as_bytes(), (0, 0));
        quote(&mut desk, 20, 99, 101, 0);
        let (kind, _, reason, ..) = due(&mut desk).remove(0);
        assert_eq!((kind.as_str(), reason), ("rejected", json!("invalid")));
        assert_eq!(desk.outcome().unwrap().strategies["a"].told.refused, BTreeMap::from([("invalid", 1)]));
    }

    #[test]
    fn a_desk_that_closes_tells_the_end_of_every_order() {
        let mut desk = desk();
        quote(&mut desk, 10, 99, 101, 0);
        desk.order("o", &message("new", 90, 10), (0, 0));
        quote(&mut desk, 20, 99, 101, 0);
        due(&mut desk);
        desk.close();
        assert_eq!(due(&mut desk), [told("cancelled", "0", 21, 2)]);
    }
}
