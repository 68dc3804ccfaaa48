//! One run: the runtime's worker and the venue, turn by turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinion_runtime::app::{Deployment, Shards};
use pinion_runtime::egress::Outbound;
use pinion_runtime::event::{Event, Origin};
use pinion_runtime::instruments::Instruments;
use pinion_runtime::metrics::{Latency, ORDER_LABELS};
use pinion_runtime::plan;
use pinion_runtime::playback::{Faulted, Playback};
use pinion_runtime::risk::DenyReason;
use pinion_runtime::run::RunError;
use pinion_runtime::sandbox::{FaultKind, Module};
use pinion_runtime::wire::{self, Provenance};
use pinion_spec::ids::publisher_id;
use pinion_spec::strategy::{Encoding, Strategy};
use pinion_venue::account::{Account, Overflow};
use pinion_venue::{Message, Model, Report, Venue};
use sha2::{Digest as _, Sha256};

use super::amount::{Position, money};
use super::equity::{Equity, Seen};
use super::outcome::{Callback, Outcome};
use super::reader::{Batch, Tally};
use super::report::Fills;
use super::sink::{Sink, SinkError};
use crate::error::CliError;

/// Faults that are told; all are counted.
const FAULTS_TOLD_MAX: usize = 20;
/// Records between two looks at guests' log lines.
const REPORT_RECORDS: u64 = 256;

/// What all runs have in common.
pub struct Setup {
    /// The strategy file.
    pub strategy: Strategy,
    /// Its module.
    pub module: Module,
    /// How the venue behaves.
    pub model: Model,
    /// How many partitions each topic of market data has; one where it is not named.
    pub partitions: BTreeMap<String, u16>,
    /// Records after which the data ends, whatever there is of it.
    pub records_max: u64,
}

/// Where the venue's reports go when the strategy reads them.
struct Executions {
    topic: u16,
    publisher_id: u32,
    offset: u64,
}

/// One run.
pub struct Run {
    playback: Playback,
    venue: Venue,
    instruments: Arc<Instruments>,
    executions: Option<Executions>,
    /// The instrument whose price is drawn.
    drawn: Option<u64>,
    account: Account,
    equity: Equity,
    sink: Option<Sink>,
    params: BTreeMap<String, String>,
    stream: Sha256,
    buffer: Vec<u8>,
    messages: u64,
    records: u64,
    first: u64,
    now: u64,
    faults: Vec<Faulted>,
    fills: Fills,
}

impl From<Overflow> for CliError {
    fn from(error: Overflow) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<SinkError> for CliError {
    fn from(error: SinkError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Run {
    /// A run with these parameters in the place of the file's, started.
    ///
    /// # Errors
    /// What a live start would say.
    pub fn new(setup: &Setup, params: &BTreeMap<String, String>) -> Result<Self, CliError> {
        Self::written(setup, params, None)
    }

    /// The same, whose results go to files.
    ///
    /// # Errors
    /// The same.
    pub(super) fn written(
        setup: &Setup,
        params: &BTreeMap<String, String>,
        sink: Option<Sink>,
    ) -> Result<Self, CliError> {
        let mut strategy = setup.strategy.clone();
        strategy.spec.params.extend(params.clone());
        let executions =
            (0..).zip(&strategy.spec.inputs).find(|(_, input)| input.encoding == Encoding::PinionExecution);
        let executions = executions.map(|(topic, input)| {
            let publisher_id = publisher_id(input.publisher_name());
            Executions { topic, publisher_id, offset: 0 }
        });
        let declared = strategy.spec.instruments.first();
        let drawn = declared.and_then(|one| Some(plan::id_of(one, plan::publisher_of(&strategy, one)?)));
        let params = strategy.spec.params.clone();
        let deployment = Deployment { strategy, module: setup.module.clone(), shards: Shards::All };
        let partitions = |topic: &str| setup.partitions.get(topic).copied().unwrap_or(1);
        let playback = Playback::new(vec![deployment], partitions).map_err(RunError::from)?;
        let instruments = playback.instruments(0).map(Arc::clone).unwrap_or_default();
        let venue = Venue::new(setup.model, instruments.iter());
        let mut run = Self {
            playback,
            venue,
            instruments,
            executions,
            drawn,
            account: Account::default(),
            equity: Equity::default(),
            sink,
            params,
            stream: Sha256::new(),
            buffer: Vec::new(),
            messages: 0,
            records: 0,
            first: 0,
            now: 0,
            faults: Vec::new(),
            fills: Fills::default(),
        };
        // What on-start has asked for.
        run.collect()?;
        Ok(run)
    }

    /// The topics' decoders, by their numbers among the inputs.
    pub(super) fn playback(&self) -> &Playback {
        &self.playback
    }

    /// Presents records.
    ///
    /// # Errors
    /// Sums that do not fit, a file that cannot be written.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), CliError> {
        batch.records().try_for_each(|record| self.record(record))
    }

    /// Presents the events of one record, in the order of records' times.
    ///
    /// # Errors
    /// Sums that do not fit, a file that cannot be written.
    pub fn record(&mut self, record: &[Event]) -> Result<(), CliError> {
        let Some(first) = record.first() else { return Ok(()) };
        self.reach(first.head.ts_recv.max(self.now))?;
        let venue = &mut self.venue;
        self.playback.present(0, record, |event, books| venue.market(event, books));
        self.after()?;
        self.records += 1;
        if self.records.is_multiple_of(REPORT_RECORDS) {
            self.playback.report();
            self.hear();
        }
        Ok(())
    }

    /// What happens before the record of this time: arrivals and reports, each at its own.
    fn reach(&mut self, ts: u64) -> Result<(), CliError> {
        loop {
            let (arrival, report) = (self.venue.next_arrival(), self.venue.next_report());
            let arrives = arrival.is_some_and(|at| at <= ts && report.is_none_or(|report| at <= report));
            if arrives {
                let at = arrival.unwrap_or(ts);
                if let Some(books) = self.playback.books(0) {
                    self.venue.arrive(at, books);
                }
            } else if let Some(report) = self.venue.report(ts) {
                self.tell(&report)?;
            } else {
                break;
            }
        }
        // A record that cannot be decoded has no time.
        if self.first == 0 {
            self.first = ts;
        }
        self.now = ts;
        if ts >= self.equity.due {
            self.mark();
            self.equity.space(ts, &self.account, self.seen())?;
        }
        Ok(())
    }

    /// Presents a report to a strategy that reads them.
    fn tell(&mut self, report: &Report) -> Result<(), CliError> {
        let Some(executions) = &mut self.executions else { return Ok(()) };
        let origin = Origin { topic: executions.topic, partition: 0, offset: executions.offset };
        executions.offset += 1;
        self.now = self.now.max(report.ts_recv);
        self.playback.present(0, &[report.event(executions.publisher_id, origin)], |_, _| ());
        self.after()
    }

    #[inline]
    fn after(&mut self) -> Result<(), CliError> {
        self.collect()?;
        if self.venue.has_traded() {
            self.account_for()?;
        }
        Ok(())
    }

    /// Takes the orders that have been approved: into the stream, and on their way to the venue.
    #[inline]
    fn collect(&mut self) -> Result<(), CliError> {
        for outbound in self.playback.take_outbound() {
            let Outbound::Order { order, route, origin, ts, .. } = outbound else { continue };
            let provenance = Provenance { route: &route, origin, ts };
            self.buffer.clear();
            wire::encode_order(&order, &provenance, &mut self.buffer);
            self.buffer.push(b'\n');
            self.stream.update(&self.buffer);
            self.messages += 1;
            let id = provenance.client_order_id(order.order_id());
            if let Some(sink) = &mut self.sink {
                sink.order(&order, &provenance, id)?;
            }
            self.venue.send(Message {
                id,
                kind: order.kind(),
                instrument_id: order.instrument_id(),
                side: order.side(),
                order_type: order.order_type(),
                time_in_force: order.time_in_force(),
                price: order.price(),
                size: order.size(),
                ts,
            });
        }
        Ok(())
    }

    fn account_for(&mut self) -> Result<(), CliError> {
        let traded: Vec<_> = self.venue.traded().collect();
        for traded in traded {
            self.account.take(&traded)?;
            if self.drawn == Some(traded.report.instrument_id) {
                self.fills.take(&traded);
            }
            self.mark();
            let point = self.equity.fill(traded.report.ts_event, &self.account, self.seen())?;
            if let Some(sink) = &mut self.sink {
                let net = self.account.holdings().get(&traded.report.instrument_id).map_or(0, |holding| holding.net);
                let symbol = self.instruments.get(traded.report.instrument_id).map_or("", |i| &i.symbol);
                sink.fill(&traded, symbol, net, &point)?;
            }
        }
        Ok(())
    }

    /// Marks what is held to the market as it is.
    fn mark(&mut self) {
        let Some(books) = self.playback.books(0) else { return };
        let held: Vec<u64> = self.account.holdings().keys().copied().collect();
        for instrument_id in held {
            let (bid, ask) = self.venue.touch(instrument_id, books);
            self.account.mark(instrument_id, bid, ask);
        }
    }

    /// The first declared instrument as it is now.
    fn seen(&self) -> Seen {
        let (Some(id), Some(books)) = (self.drawn, self.playback.books(0)) else { return Seen::default() };
        let (bid, ask) = self.venue.touch(id, books);
        let net = self.account.holdings().get(&id).map_or(0, |holding| holding.net);
        Seen { bid: bid.unwrap_or_default(), ask: ask.unwrap_or_default(), net }
    }

    fn hear(&mut self) {
        for faulted in self.playback.take_faults() {
            if self.faults.len() < FAULTS_TOLD_MAX {
                self.faults.push(faulted);
            }
        }
    }

    /// Ends the run as a drain would, and says what it came to.
    ///
    /// # Errors
    /// As [`Run::batch`].
    pub(super) fn finish(mut self, tally: &Tally) -> Result<(Outcome, Option<Sink>), CliError> {
        self.mark();
        if self.now > 0 {
            self.equity.space(self.now, &self.account, self.seen())?;
        }
        let working = self.venue.working_len();
        self.playback.stop();
        self.hear();
        self.collect()?;
        let mut latency = Latency::default();
        let (mut denied, mut faults, mut kinds) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut quarantined = false;
        for metrics in self.playback.metrics(0) {
            latency.merge(&metrics.strategy_latency);
            quarantined |= metrics.quarantined.get() > 0;
            let add = |to: &mut BTreeMap<&'static str, u64>, label, count: u64| {
                if count > 0 {
                    *to.entry(label).or_default() += count;
                }
            };
            for reason in DenyReason::ALL {
                add(&mut denied, reason.label(), metrics.denials[reason.index()].get());
            }
            for kind in FaultKind::ALL {
                add(&mut faults, kind.label(), metrics.faults[kind as usize].get());
            }
            for (label, count) in ORDER_LABELS.iter().zip(&metrics.orders) {
                add(&mut kinds, label, count.get());
            }
        }
        let counts = self.venue.counts();
        let positions =
            self.account.holdings().iter().map(|(id, holding)| Position::of(*id, holding, &self.instruments));
        let points = self.equity.points();
        if let Some(sink) = &mut self.sink {
            sink.equity(&points)?;
        }
        let outcome = Outcome {
            events: tally.events,
            orders: self.messages,
            fills: counts.fills,
            denied,
            pnl: money(self.account.pnl()?),
            order_stream_sha256: hex(self.stream),
            callback_ns: Callback::of(&latency),
            wall_s: 0.0,
            params: self.params,
            records: tally.records,
            order_kinds: kinds,
            fees: money(self.account.fees()),
            drawdown_max: money(self.equity.drawdown_max()),
            positions: positions.collect(),
            working_at_end: working,
            refused: counts.refused.iter().map(|(refusal, count)| (refusal.label(), *count)).collect(),
            repeated: counts.repeated,
            fills_unbounded: counts.unbounded,
            expired_unpriced: counts.unpriced,
            decode_errors: tally.decode_errors.clone(),
            faults,
            quarantined,
            fault_list: super::outcome::told(&self.faults),
            first_ns: self.first,
            last_ns: self.now,
            model: String::new(),
            notes: super::outcome::notes(self.executions.is_some(), counts, tally),
            run: super::outcome::Curve { points, fills: self.fills, callbacks: latency },
        };
        Ok((outcome, self.sink))
    }
}

pub(super) fn hex(sha256: Sha256) -> String {
    sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
