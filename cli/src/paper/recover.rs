//! What an earlier venue left open, read from Kafka alone: orders that work by the last report of them, and orders that were never answered.
//!
//! A venue that is gone has no book of orders any more. So whatever it left is over: what worked is told as cancelled, what came while
//! nobody was there as rejected. Nothing of it is filled, and nothing is filled twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
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
use serde::Deserialize;

use super::REPORTER;
use super::listen::Member;
use crate::capture_progress::Progress;
use crate::error::CliError;

/// Records of a partition that are read back: those of a busy week. What is open from before them has long been given up.
const READ_MAX: u64 = 1_000_000;

/// What is left open.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// As the last report says it.
    open: BTreeMap<ClientOrderId, Open>,
    heard: HashSet<ClientOrderId>,
    /// New orders.
    sent: BTreeMap<ClientOrderId, Open>,
    sequence: u64,
    ts: u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    instrument_id: u64,
    side: Side,
    price: i64,
    size: i64,
}

/// Who wrote a report, as far as it says.
#[derive(Deserialize)]
struct Reported<'a> {
    #[serde(default, borrow)]
    reporter: Option<Cow<'a, str>>,
}

/// When the paper venue that wrote this report was started, wall ns; `None` where no paper venue did.
pub(super) fn started(value: &[u8]) -> Option<u64> {
    let reported: Reported<'_> = serde_json::from_slice(value).ok()?;
    reported.reporter?.strip_prefix(REPORTER)?.parse().ok()
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
            let read = log.read(topic, *partition, (first, end - 1), |_, offset, record| {
                done.fetch_add(1, Ordering::Relaxed);
                progress.tick(|| format!("what earlier venues left in {topic}"));
                if !sends.is_empty() {
                    left.order(record.value, &sends, instruments);
                }
                if !hears.is_empty() && !left.report(record, &hears, &mut decoder) {
                    stranger.get_or_insert(offset);
                }
            });
            read.map_err(|error| unreadable(topic, &error))?;
            if let Some(offset) = stranger {
                return Err(CliError::Usage(format!(
                    "{topic}/{partition}/{offset} is a report on these strategies' orders that no paper venue wrote; whoever trades for \
                     them must be alone: stop it, or give the strategy a topic of its own for executions"
                )));
            }
        }
        Ok(left)
    }

    /// A record of an orders topic.
    fn order(&mut self, value: &[u8], members: &HashSet<u32>, instruments: &Instruments) {
        let Ok(order) = wire::read_order(value) else { return };
        if order.kind == OrderKind::New && members.contains(&order.id.strategy) {
            self.ts = self.ts.max(order.ts);
            let instrument = instruments.get(order.instrument_id);
            let size = instrument.and_then(|instrument| order.size.at_exponent(instrument.size_exponent)).unwrap_or(0);
            let open = Open { instrument_id: order.instrument_id, side: order.side, price: order.price, size };
            self.sent.insert(order.id, open);
        }
    }

    /// A record of an executions topic. False where it is a member's, and no paper venue's.
    fn report(&mut self, record: &Record<'_>, members: &HashSet<u32>, decoder: &mut Decoder) -> bool {
        let mut events = Vec::new();
        if decoder.decode(record, &mut events).is_err() {
            return true;
        }
        let Some(Event { head, body: Body::Execution(execution), .. }) = events.first() else { return true };
        if !members.contains(&execution.order.strategy) {
            return true;
        }
        self.sequence = self.sequence.max(head.sequence);
        self.ts = self.ts.max(head.ts_recv);
        self.heard.insert(execution.order);
        if execution.leaves > 0 {
            let Execution { side, price, leaves: size, .. } = *execution;
            self.open.insert(execution.order, Open { instrument_id: head.instrument_id, side, price, size });
        } else {
            self.open.remove(&execution.order);
        }
        started(record.value).is_some()
    }

    /// The reports that end all of it, numbered on; what is over now; and the last number.
    pub(super) fn end(self) -> (Vec<Report>, HashSet<ClientOrderId>, u64) {
        let Self { open, mut heard, sent, mut sequence, ts } = self;
        let unheard: Vec<_> = sent.into_iter().filter(|(id, _)| !heard.contains(id)).collect();
        let cancelled = open.into_iter().map(|order| (order, ExecutionKind::Cancelled, None));
        let rejected = unheard.into_iter().map(|order| (order, ExecutionKind::Rejected, Some(Refusal::Closed)));
        let mut reports = Vec::new();
        for ((order, open), kind, refusal) in cancelled.chain(rejected) {
            sequence += 1;
            heard.insert(order);
            let Open { instrument_id, side, price, size } = open;
            let liquidity = Liquidity::Unknown;
            let execution = Execution { order, kind, side, liquidity, price, size, leaves: 0, fee: 0 };
            reports.push(Report { instrument_id, ts_event: ts, ts_recv: ts, sequence, execution, refusal });
        }
        (reports, heard, sequence)
    }
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
        let ours: Vec<bool> = reports.iter().map(|value| left.report(&record(value), &members, &mut decoder)).collect();
        let (reports, ended, last) = left.end();
        assert!(orders.iter().all(|offset| ended.contains(&id(*offset))), "nothing is opened again");
        assert!(reports.iter().all(|report| report.sequence <= last));
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
        assert!(left.end().0.is_empty());
    }
}
