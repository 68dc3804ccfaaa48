//! Counts over a capture, in memory that grows with its instruments and its seconds, not with its messages.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;
use pinion_runtime::book::Books;
use pinion_runtime::decode::{DecodeError, Outcome, Skip};
use pinion_runtime::event::{Body, Event};
use pinion_runtime::instruments::SymbolTable;
use pinion_spec::strategy::Encoding;
use serde::Serialize;

use super::report::{Checksums, ClockDifference, InstrumentReport, Rate, Report};
use crate::capture::Capture;
use crate::time::rfc3339;

const SECOND_NS: u64 = 1_000_000_000;

/// A clock that differs by more than ten years is counted as ten years in the median; extremes stay exact.
const DIFFERENCE_NS_MAX: u64 = 10 * 366 * 86_400 * SECOND_NS;

/// Events by kind. A depth update of n levels is one `book_update` and n `book_delta`; a snapshot is one `book_snapshot`, its levels
/// are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct EventCounts {
    /// Best bid and ask.
    pub(crate) quote: u64,
    /// Trades.
    pub(crate) trade: u64,
    /// Levels changed.
    pub(crate) book_delta: u64,
    /// Depth updates.
    pub(crate) book_update: u64,
    /// Whole books.
    pub(crate) book_snapshot: u64,
    /// Execution reports.
    pub(crate) execution: u64,
    /// States of a market.
    pub(crate) status: u64,
}

impl EventCounts {
    fn add(&mut self, event: &Event, in_snapshot: bool) {
        match event.body {
            Body::Quote(_) => self.quote += 1,
            Body::Trade(_) => self.trade += 1,
            Body::Depth(depth) if depth.snapshot => self.book_snapshot += 1,
            Body::Depth(_) => self.book_update += 1,
            Body::Delta(_) if in_snapshot => {}
            Body::Delta(_) => self.book_delta += 1,
            Body::Execution(_) => self.execution += 1,
            Body::Status(_) => self.status += 1,
            Body::Skip => {}
        }
    }
}

#[derive(Debug, Default)]
struct Instrument {
    symbol: Option<String>,
    name: Option<String>,
    events: EventCounts,
    /// Sequence of the last depth update.
    sequence: Option<u64>,
    gaps: u64,
}

/// Counts so far.
#[derive(Debug)]
pub(crate) struct Tally {
    encoding: Encoding,
    messages: u64,
    events: EventCounts,
    instruments: HashMap<u64, Instrument>,
    errors: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<&'static str, u64>,
    first: Option<u64>,
    last: Option<u64>,
    /// Receive time of the frame before, and how often one came that was received earlier.
    before: u64,
    steps_back: u64,
    /// Messages of each second of receive time.
    seconds: BTreeMap<u64, u64>,
    clock: Clock,
    /// Where the venue sends checksums: the host's books, to measure by them.
    books: Option<Books>,
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            messages: 0,
            events: EventCounts::default(),
            instruments: HashMap::new(),
            errors: BTreeMap::new(),
            skipped: BTreeMap::new(),
            first: None,
            last: None,
            before: 0,
            steps_back: 0,
            seconds: BTreeMap::new(),
            clock: Clock::default(),
            books: (encoding == Encoding::KrakenV1).then(Books::default),
        }
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Counts a frame.
    pub(crate) fn frame(&mut self, ts_recv: u64, outcome: Result<Outcome, DecodeError>, events: &[Event]) {
        self.messages += 1;
        self.first = Some(self.first.map_or(ts_recv, |first| first.min(ts_recv)));
        self.last = Some(self.last.map_or(ts_recv, |last| last.max(ts_recv)));
        self.steps_back += u64::from(ts_recv < self.before);
        self.before = ts_recv;
        *self.seconds.entry(ts_recv / SECOND_NS).or_default() += 1;
        match outcome {
            Ok(Outcome { skipped: Some((reason, count)), .. }) => self.skip(reason, count),
            Ok(_) => {}
            Err(error) => *self.errors.entry(error.reason()).or_default() += 1,
        }
        if let Some(first) = events.first().filter(|event| event.head.ts_event != 0) {
            self.clock.add(first.head.ts_recv, first.head.ts_event);
        }
        let mut in_snapshot = false;
        for event in events {
            let instrument = self.instruments.entry(event.head.instrument_id).or_default();
            if let Body::Depth(depth) = event.body {
                in_snapshot = depth.snapshot;
                if !depth.snapshot {
                    // The venue's rule: an update follows the one before it. One that begins earlier loses nothing.
                    instrument.gaps += u64::from(instrument.sequence.is_some_and(|sequence| depth.follows > sequence));
                }
                // A snapshot too is what the next update must follow.
                instrument.sequence = instrument.sequence.max(Some(event.head.sequence));
            }
            if let Some(books) = &mut self.books {
                instrument.gaps += u64::from(books.apply(event).gap().is_some());
            }
            instrument.events.add(event, in_snapshot);
            self.events.add(event, in_snapshot);
        }
    }

    fn skip(&mut self, reason: Skip, count: u32) {
        *self.skipped.entry(reason.reason()).or_default() += u64::from(count);
    }

    /// Gives instruments the symbols that the decoder has learnt, and the names that the file gives.
    pub(crate) fn name_instruments(&mut self, symbols: &SymbolTable, capture: &Capture) {
        for (id, instrument) in &mut self.instruments {
            let symbol = symbols.symbol_of(*id);
            let name = capture.name_of(*id, symbol);
            instrument.symbol = symbol.or(name).map(str::to_owned);
            instrument.name = symbol.and(name).map(str::to_owned);
        }
    }

    /// The counts as they are shown.
    pub(crate) fn report(&self, cut: Option<String>, rows: Option<u64>) -> Report {
        let instruments = self.instruments.iter().map(|(id, instrument)| {
            let name = instrument.symbol.clone().unwrap_or_else(|| id.to_string());
            let (events, gaps) = (instrument.events, instrument.gaps);
            (name, InstrumentReport { id: *id, name: instrument.name.clone(), events, gaps })
        });
        Report {
            encoding: self.encoding.name(),
            messages: self.messages,
            events: self.events,
            instruments: instruments.collect(),
            decode_errors: self.errors.clone(),
            skipped: self.skipped.clone(),
            checksums: self
                .books
                .as_ref()
                .map(|books| Checksums { measured: books.counts().checksums, failed: books.counts().checksums_failed }),
            cut,
            rows,
            receive_time_steps_back: self.steps_back,
            gaps: self.instruments.values().map(|instrument| instrument.gaps).sum(),
            first: self.first.map(rfc3339),
            last: self.last.map(rfc3339),
            clock_difference_ns: self.clock.report(),
            messages_per_second: self.rate(),
        }
    }

    fn rate(&self) -> Rate {
        let span_ns = match (self.first, self.last) {
            (Some(first), Some(last)) => last - first,
            _ => 0,
        };
        // A capture of an instant has no mean rate but its count.
        let per_second = u128::from(self.messages) * 1_000 * u128::from(SECOND_NS) / u128::from(span_ns.max(1));
        #[expect(clippy::cast_precision_loss, reason = "three digits after the point, for people")]
        let mean = if span_ns == 0 { self.messages as f64 } else { per_second as f64 / 1_000.0 };
        Rate { mean, peak: self.seconds.values().max().copied().unwrap_or(0) }
    }
}

/// Receive time minus venue time. Both signs are usual (the clocks are two), so each has its histogram; extremes are exact, the median
/// to three digits.
#[derive(Debug, Default)]
struct Clock {
    range: Option<(i64, i64)>,
    behind: Option<Histogram<u64>>,
    ahead: Option<Histogram<u64>>,
}

impl Clock {
    fn add(&mut self, ts_recv: u64, ts_event: u64) {
        let difference = i64::try_from(i128::from(ts_recv) - i128::from(ts_event)).unwrap_or(if ts_recv > ts_event {
            i64::MAX
        } else {
            i64::MIN
        });
        let (min, max) = self.range.unwrap_or((difference, difference));
        self.range = Some((min.min(difference), max.max(difference)));
        let side = if difference < 0 { &mut self.behind } else { &mut self.ahead };
        if side.is_none() {
            *side = Histogram::new_with_max(DIFFERENCE_NS_MAX, 3).ok();
        }
        if let Some(histogram) = side {
            histogram.saturating_record(difference.unsigned_abs());
        }
    }

    fn report(&self) -> Option<ClockDifference> {
        let (min, max) = self.range?;
        let behind = self.behind.as_ref().map_or(0, Histogram::len);
        let ahead = self.ahead.as_ref().map_or(0, Histogram::len);
        let rank = (behind + ahead).div_ceil(2);
        let at_rank = |histogram: &Histogram<u64>, rank: u64| {
            let value = histogram.iter_recorded().scan(0, |before, step| {
                *before += step.count_since_last_iteration();
                Some((*before, step.value_iterated_to()))
            });
            let value = value.skip_while(|(count, _)| *count < rank).map(|(_, value)| value).next();
            i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX)
        };
        let p50 = match (&self.behind, &self.ahead) {
            // Ascending differences are descending magnitudes.
            (Some(histogram), _) if rank <= behind => -at_rank(histogram, behind - rank + 1),
            (_, Some(histogram)) => at_rank(histogram, rank - behind),
            _ => 0,
        };
        Some(ClockDifference { min, p50: p50.clamp(min, max), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(differences: &[i64]) -> Option<ClockDifference> {
        let mut clock = Clock::default();
        for difference in differences {
            clock.add(1_000_000u64.strict_add_signed(*difference), 1_000_000);
        }
        clock.report()
    }

    #[test]
    fn the_clock_difference_may_have_both_signs() {
        assert_eq!(clock(&[]), None);
        assert_eq!(clock(&[-3, -2, -1]), Some(ClockDifference { min: -3, p50: -2, max: -1 }));
        assert_eq!(clock(&[5, 7, 6]), Some(ClockDifference { min: 5, p50: 6, max: 7 }));
        assert_eq!(clock(&[-9, 4, 2]), Some(ClockDifference { min: -9, p50: 2, max: 4 }));
        assert_eq!(clock(&[-9, -4, 2]), Some(ClockDifference { min: -9, p50: -4, max: 2 }));
        assert_eq!(clock(&[-900_000, -800_000, 5]), Some(ClockDifference { min: -900_000, p50: -800_255, max: 5 }));
        assert_eq!(clock(&[0]), Some(ClockDifference { min: 0, p50: 0, max: 0 }));
    }

    #[test]
    fn the_peak_is_of_whole_seconds_of_receive_time() {
        let mut tally = Tally::new(Encoding::BinanceSpot);
        for ts_recv in [900, 1_000, 1_100, 1_999, 2_000, 2_900] {
            tally.frame(ts_recv * 1_000_000, Ok(Outcome { events: 0, skipped: None }), &[]);
        }
        let rate = tally.rate();
        assert_eq!(rate.peak, 3);
        assert!((rate.mean - 3.0).abs() < 1e-9, "6 messages in 2 s: {}", rate.mean);
    }
}
