//! What an earlier venue left open, read from Kafka alone: orders that work by the last report of them, and orders that were never answered.
//!
//! A venue that is gone has no book of orders any more. So whatever it left is over: what worked is told as cancelled, what came while
//! nobody was there as rejected. Nothing of it is filled, and nothing is filled twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pinion_runtime::decode::{Decoder, Record};
use pinion_runtime::event::{Body, Event, Execution, ExecutionKind, Liquidity, Side};
use pinion_runtime::instruments::Instruments;
use pinion_runtime::kafka::log::{LogError, LogReader};
use pinion_runtime::risk::OrderKind;
use pinion_runtime::wire;
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::Encoding;
use pinion_venue::{Refusal, Report};

use super::claim::{Said, said};
use super::listen::Member;
use crate::capture_progress::Progress;
use crate::error::CliError;

/// Records of a partition that are read back: those of a busy week. What is open from before them has long been given up.
const READ_MAX: u64 = 1_000_000;
/// Orders that were never answered and are told so, the last ones: more than strategies may have open together.
const UNANSWERED_MAX: usize = 10_000;

/// What is left open.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// As the last report says it.
    open: BTreeMap<ClientOrderId, Open>,
    heard: HashMap<ClientOrderId, Heard>,
    /// New orders.
    sent: BTreeMap<ClientOrderId, Open>,
    /// The last claim of each topic.
    claims: BTreeMap<String, String>,
    /// Of orders before this stream time the reports may be gone from the topic.
    known_since: u64,
    /// Of the partition that is being read the first report.
    earliest: Option<u64>,
    sequence: u64,
    ts: u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    instrument_id: u64,
    side: Side,
    price: i64,
    size: i64,
    ts: u64,
}

/// The last report of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Heard {
    ts: u64,
    sequence: u64,
}

/// What an earlier venue left, ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What is to be told of it, numbered on.
    pub(super) reports: Vec<Report>,
    /// All orders that are over, the last ones last.
    pub(super) orders: Vec<ClientOrderId>,
    /// The last number of the venues before.
    pub(super) sequence: u64,
}

impl Left {
    /// Reads what is there of the members' orders and reports; `ends`: each partition's first offset that is not read.
    ///
    /// # Errors
    /// A topic that cannot be read; [`CliError::Usage`] where somebody else reports on the members' orders.
    pub(super) fn read(
        log: &mut LogReader,
        members: &[Member],
        instruments: &Instruments,
        ends: &[(String, u16, u64)],
    ) -> Result<Self, CliError> {
        let declared: Vec<_> = instruments.iter().cloned().collect();
        let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &declared)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let mut left = Self::default();
        let done = Arc::new(AtomicU64::new(0));
        let mut progress = Progress::new((ends.iter().map(|(.., end)| *end.min(&READ_MAX)).sum(), Arc::clone(&done)));
        for (topic, partition, end) in ends {
            let of = |of: fn(&Member) -> Option<&String>| -> HashSet<u32> {
                let members = members.iter().filter(|member| of(member) == Some(topic));
                members.map(|member| member.hash).collect()
            };
            let sends = of(|member| Some(&member.orders));
            let hears = of(|member| member.executions.as_ref());
            if *end == 0 || (sends.is_empty() && hears.is_empty()) {
                continue;
            }
            let low = log.bounds(topic, *partition).map_err(|error| unreadable(topic, &error))?.0;
            let first = low.max(end.saturating_sub(READ_MAX));
            if first >= *end {
                continue;
            }
            let mut stranger = None;
            left.earliest = None;
            let read = log.read(topic, *partition, (first, end - 1), |_, offset, record| {
                done.fetch_add(1, Ordering::Relaxed);
                progress.tick(|| format!("what earlier venues left in {topic}"));
                if !sends.is_empty() {
                    left.order(record.value, &sends, instruments);
                }
                if !hears.is_empty() && !left.report(topic, record, &hears, &mut decoder) {
                    stranger.get_or_insert(offset);
                }
            });
            read.map_err(|error| unreadable(topic, &error))?;
            if let Some(offset) = stranger {
                return Err(somebody_else(topic, *partition, offset));
            }
            if let Some(earliest) = left.earliest.filter(|_| first > 0) {
                left.known_since = left.known_since.max(earliest);
            }
        }
        Ok(left)
    }

    /// The topic in which another venue has the last claim, where there is one.
    pub(super) fn claimed_by_another(&self, reporter: &str) -> Option<&String> {
        self.claims.iter().find(|(_, last)| *last != reporter).map(|(topic, _)| topic)
    }

    /// A record of an orders topic.
    fn order(&mut self, value: &[u8], members: &HashSet<u32>, instruments: &Instruments) {
        let Ok(order) = wire::read_order(value) else { return };
        if order.kind == OrderKind::New && members.contains(&order.id.strategy) {
            let instrument = instruments.get(order.instrument_id);
            let size = instrument.and_then(|instrument| order.size.at_exponent(instrument.size_exponent)).unwrap_or(0);
            let (instrument_id, side, price, ts) = (order.instrument_id, order.side, order.price, order.ts);
            self.sent.insert(order.id, Open { instrument_id, side, price, size, ts });
        }
    }

    /// A record of an executions topic. False where it is about a member's order, and no paper venue's.
    fn report(&mut self, topic: &str, record: &Record<'_>, members: &HashSet<u32>, decoder: &mut Decoder) -> bool {
        let paper = match said(record.value, |hash| members.contains(&hash)) {
            Said::Nothing => return true,
            Said::Claim(reporter) => {
                self.claims.insert(topic.to_owned(), reporter);
                return true;
            }
            Said::Report { paper, .. } => paper,
        };
        let mut events = Vec::new();
        let decoded = decoder.decode(record, &mut events);
        let Some(Event { head, body: Body::Execution(execution), .. }) = events.first() else {
            return decoded.is_err() || paper.is_some();
        };
        self.sequence = self.sequence.max(head.sequence);
        self.ts = self.ts.max(head.ts_recv);
        self.earliest.get_or_insert(head.ts_recv);
        let heard = Heard { ts: head.ts_recv, sequence: head.sequence };
        // Of an order the partition may have changed, and then it is not the last one that is read last.
        if self.heard.get(&execution.order).is_some_and(|known| known.sequence > heard.sequence) {
            return paper.is_some();
        }
        self.heard.insert(execution.order, heard);
        if execution.leaves > 0 {
            let Execution { side, price, leaves: size, .. } = *execution;
            let open = Open { instrument_id: head.instrument_id, side, price, size, ts: head.ts_recv };
            self.open.insert(execution.order, open);
        } else {
            self.open.remove(&execution.order);
        }
        paper.is_some()
    }

    /// Ends all of it. Only who hears of executions is told: `hears` tells a strategy that does by its hash.
    pub(super) fn end(self, hears: impl Fn(u32) -> bool) -> Ended {
        let Self { open, heard, sent, known_since, sequence: last, ts, .. } = self;
        let (mut over, mut unanswered) = (Vec::new(), Vec::new());
        for (id, order) in sent {
            if heard.contains_key(&id) {
                continue;
            }
            if hears(id.strategy) && order.ts >= known_since {
                unanswered.push((id, order));
            } else {
                over.push((Heard { ts: order.ts, sequence: 0 }, id));
            }
        }
        unanswered.sort_unstable_by_key(|(id, order)| (order.ts, *id));
        let given_up = unanswered.len().saturating_sub(UNANSWERED_MAX);
        over.extend(unanswered.drain(..given_up).map(|(id, order)| (Heard { ts: order.ts, sequence: 0 }, id)));
        over.extend(heard.into_iter().map(|(id, heard)| (heard, id)));
        over.sort_unstable();
        let mut orders: Vec<ClientOrderId> = over.into_iter().map(|(_, id)| id).collect();

        let cancelled = open.into_iter().map(|order| (order, ExecutionKind::Cancelled, None));
        let rejected = unanswered.into_iter().map(|order| (order, ExecutionKind::Rejected, Some(Refusal::Closed)));
        let (mut reports, mut sequence) = (Vec::new(), last);
        for ((order, open), kind, refusal) in cancelled.chain(rejected) {
            sequence += 1;
            orders.push(order);
            let Open { instrument_id, side, price, size, ts: at } = open;
            let (ts, liquidity) = (ts.max(at), Liquidity::Unknown);
            let execution = Execution { order, kind, side, liquidity, price, size, leaves: 0, fee: 0 };
            reports.push(Report { instrument_id, ts_event: ts, ts_recv: ts, sequence, execution, refusal });
        }
        Ended { reports, orders, sequence }
    }
}

/// Somebody who is no paper venue trades for a strategy.
pub(super) fn somebody_else(topic: &str, partition: u16, offset: u64) -> CliError {
    CliError::Usage(format!(
        "{topic}/{partition}/{offset} is a report on these strategies' orders that no paper venue wrote; whoever trades for them must be \
         alone: stop it, or give the strategy a topic of its own for executions"
    ))
}

/// What cannot be read of a topic.
pub(super) fn unreadable(topic: &str, error: &LogError) -> CliError {
    let text = format!("topic {topic} cannot be read: {error}");
    if error.is_unavailable() { CliError::Unavailable(text) } else { CliError::Usage(text) }
}

#[cfg(test)]
mod tests {
    use pinion_runtime::event::Head;
    use pinion_runtime::instruments::Instrument;
    use pinion_spec::ids::publisher_id;

    use super::*;

    const HASH: u32 = 42;

    fn instruments() -> Instruments {
        Instruments::new([Instrument {
            id: 7,
            publisher_id: publisher_id("venue"),
            publisher: "venue".into(),
            symbol: "A".into(),
            tick: 0,
            lot: 0,
            size_exponent: -3,
        }])
    }

    fn id(offset: u64) -> ClientOrderId {
        ClientOrderId { strategy: HASH, topic: 1, partition: 0, offset, n: 0 }
    }

    fn order(offset: u64) -> String {
        let id = id(offset);
        format!(
            r#"{{"type":"new","client_order_id":"{id}","strategy":"a","symbol":"A","instrument_id":7,"side":"buy","order_type":"limit","time_in_force":"gtc","price":"10","size":"0.5","tag":0,"ts":{offset}}}"#
        )
    }

    fn report(offset: u64, kind: ExecutionKind, leaves: i64, sequence: u64, reporter: &str) -> Vec<u8> {
        let head = Head { instrument_id: 7, sequence, ..Head::default() };
        let (order, side, liquidity) = (id(offset), Side::Buy, Liquidity::Unknown);
        let execution = Execution { order, kind, side, liquidity, price: 10_000_000_000, size: 500, leaves, fee: 0 };
        let mut value = Vec::new();
        wire::encode_execution(&head, &execution, 3, reporter, None, &mut value);
        value
    }

    /// Orders by offset, then reports; what is said of what is left, and whether all reports were a paper venue's.
    fn left(orders: &[u64], reports: &[Vec<u8>]) -> (Vec<Report>, bool) {
        let (mut left, instruments, members) = (Left::default(), instruments(), HashSet::from([HASH]));
        let declared: Vec<_> = instruments.iter().cloned().collect();
        let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &declared).unwrap();
        orders.iter().for_each(|offset| left.order(order(*offset).as_bytes(), &members, &instruments));
        let record = |value| Record { value, key: None, ts_recv: 90 };
        let ours: Vec<bool> =
            reports.iter().map(|value| left.report("ex", &record(value), &members, &mut decoder)).collect();
        let Ended { reports, orders: ended, sequence } = left.end(|_| true);
        assert!(orders.iter().all(|offset| ended.contains(&id(*offset))), "nothing is opened again");
        assert!(reports.iter().all(|report| report.sequence <= sequence));
        (reports, ours.iter().all(|ours| *ours))
    }

    #[test]
    fn what_worked_is_cancelled_and_what_nobody_answered_is_rejected() {
        use ExecutionKind::{Accepted, Cancelled, Filled, Rejected};
        let by = "paper-5";
        let (reports, ours) = left(
            &[1, 2, 3, 4],
            &[
                report(1, Accepted, 500, 1, by),
                report(2, Accepted, 500, 2, by),
                report(2, Filled, 0, 3, by),
                report(3, Accepted, 500, 4, by),
                report(3, Filled, 200, 5, by),
            ],
        );
        assert!(ours);
        let said: Vec<_> = reports
            .iter()
            .map(|report| {
                let Execution { order, kind, size, leaves, .. } = report.execution;
                (order.offset, kind, size, leaves, report.sequence, report.ts_recv)
            })
            .collect();
        assert_eq!(said, [(1, Cancelled, 500, 0, 6, 90), (3, Cancelled, 200, 0, 7, 90), (4, Rejected, 500, 0, 8, 90)]);
        assert_eq!(reports[2].refusal, Some(Refusal::Closed));
    }

    #[test]
    fn a_report_that_no_paper_venue_wrote_is_seen() {
        let by = |reporter: &str| left(&[1], &[report(1, ExecutionKind::Accepted, 500, 1, reporter)]).1;
        assert!(by("paper-1764183600000000000"));
        assert!(!by("fix-gateway-2") && !by("paper-x") && !by(""));
    }

    #[test]
    fn another_strategys_orders_are_another_venues_business() {
        let (mut left, instruments, members) = (Left::default(), instruments(), HashSet::from([HASH + 1]));
        left.order(order(1).as_bytes(), &members, &instruments);
        assert!(left.end(|_| true).reports.is_empty());
    }

    #[test]
    fn of_two_reports_the_one_with_the_higher_number_counts_whatever_is_read_last() {
        use ExecutionKind::{Accepted, Filled};
        let (reports, _) = left(&[1], &[report(1, Filled, 0, 9, "paper-5"), report(1, Accepted, 500, 8, "paper-5")]);
        assert_eq!(reports, []);
    }

    #[test]
    fn what_ended_last_is_remembered_last() {
        let report = |offset, sequence| report(offset, ExecutionKind::Filled, 0, sequence, "paper-5");
        let mut all = Left::default();
        let declared: Vec<_> = instruments().iter().cloned().collect();
        let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &declared).unwrap();
        for offset in 0..1_000 {
            let value = report(offset, offset + 1);
            let record = Record { value: &value, key: None, ts_recv: offset };
            assert!(all.report("ex", &record, &HashSet::from([HASH]), &mut decoder));
        }
        let offsets: Vec<u64> = all.end(|_| true).orders.iter().map(|id| id.offset).collect();
        assert_eq!(offsets, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn who_hears_of_nothing_and_what_may_have_been_answered_is_told_nothing() {
        let all = || {
            let mut left = Left::default();
            for offset in [10, 20] {
                left.order(order(offset).as_bytes(), &HashSet::from([HASH]), &instruments());
            }
            left
        };
        let deaf = all().end(|_| false);
        assert_eq!((deaf.reports.len(), deaf.orders.len()), (0, 2));
        let cut = Left { known_since: 15, ..all() }.end(|_| true);
        assert_eq!(cut.reports.iter().map(|report| report.execution.order.offset).collect::<Vec<_>>(), [20]);
        assert_eq!(cut.orders.len(), 2);
    }

    #[test]
    fn the_last_claim_of_a_topic_counts() {
        use super::super::claim::claim;
        let member = Member { name: "a".to_owned(), hash: HASH, orders: "o".to_owned(), executions: None };
        let mut left = Left::default();
        let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &[]).unwrap();
        for reporter in ["paper-9", "paper-3"] {
            let value = claim(reporter, std::slice::from_ref(&member));
            let record = Record { value: &value, key: None, ts_recv: 1 };
            assert!(left.report("ex", &record, &HashSet::from([HASH]), &mut decoder));
        }
        assert_eq!(left.claimed_by_another("paper-9").map(String::as_str), Some("ex"));
        assert_eq!(left.claimed_by_another("paper-3"), None);
    }
}
