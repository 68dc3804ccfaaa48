//! `pinion paper`: the simulated venue of backtests ([`pinion_venue`]) as a process on Kafka. It reads strategies' orders and their market
//! data and reports what became of the orders, as a gateway to a real venue would.
//!
//! It keeps nothing: what an earlier one left open is read from Kafka and ended ([`recover`]). Two at once would fill twice: the
//! younger takes over, the older ends ([`claim`]).

mod claim;
mod desk;
mod listen;
mod outcome;
mod recover;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use clap::Args;
use pinion_runtime::args::{LevelFilter, LogFormat, log_to_stderr};
use pinion_runtime::clock::{mono_ns, wall_ns};
use pinion_runtime::kafka::Kafka;
use pinion_runtime::kafka::log::LogReader;
use pinion_runtime::kafka::tail::Tail;
use pinion_runtime::run::RunError;
use pinion_spec::strategy::Strategy;
use pinion_venue::Model;

use crate::capture::Frame;
use crate::error::CliError;
use crate::inspect::Format;
use crate::publish::{Destination, Sender, Sent};
use crate::signal;
use crate::venue_args::VenueArgs;
use claim::Said;
use desk::{Desk, Read};
use listen::Listen;
pub(crate) use outcome::{Outcome, StrategyOutcome};
use recover::{Ended, Left, somebody_else, unreadable};

/// For what an older venue had under way when a younger one claimed its place.
const TAKEOVER: Duration = Duration::from_secs(1);
/// Between two looks at the clock while something is due.
const LOOK: Duration = Duration::from_millis(1);
/// And while nothing is.
const IDLE: Duration = Duration::from_millis(50);
/// Between two lines of the log.
const LINE_NS: u64 = 10_000_000_000;

/// Fills strategies' orders on Kafka at a simulated venue
///
/// Reads the orders topics and the market data of strategies that run elsewhere (`pinion run`, a cluster), and writes execution reports to
/// the topic of each one's `pinion-execution` input. The venue is that of `pinion backtest`. Ends on Ctrl-C or SIGTERM: what works is
/// cancelled then, and a summary is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion paper strategy.yaml --brokers localhost:9092
  pinion paper maker.yaml taker.yaml --brokers localhost:9092 --latency 500us..5ms --fees=-0.5,2
  pinion paper strategy.yaml -n desk-7 --brokers kafka:9093 --kafka-properties tls.properties --format json

Orders and market data are read from their topics' ends. What an earlier paper venue left working is cancelled first, and orders that \
came while there was none are rejected. Reports are signed `paper-...`; where anybody else reports on these orders, nothing is begun.

Exit codes: 0 ended as asked; 64 a bad file or command line, or somebody else trades for a strategy; 69 the broker cannot be reached or \
did not take all reports, or a younger paper venue has taken over; 70 our fault")]
pub struct PaperArgs {
    /// The strategies' files
    #[arg(value_name = "FILE.yaml", required = true)]
    pub files: Vec<PathBuf>,
    /// Brokers to ask for the cluster
    #[arg(long, value_name = "HOST:PORT,..", env = "PINION_BROKERS")]
    pub brokers: String,
    /// A properties file with more client settings: TLS, SASL. Secrets belong there
    #[arg(long, value_name = "FILE")]
    pub kafka_properties: Option<PathBuf>,
    /// The namespace that the strategies run in, in the place of what their files say
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The venue
    #[command(flatten)]
    pub venue: VenueArgs,
    /// How to write the summary
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs until a signal, and writes the summary.
///
/// # Errors
/// [`CliError`]; the summary has been written where reports were lost.
pub fn run(args: &PaperArgs) -> Result<(), CliError> {
    log_to_stderr(LogFormat::Text, LevelFilter::INFO);
    let strategies = listen::strategies(&args.files, args.namespace.as_deref())?;
    let kafka = Kafka::of(&args.brokers, args.kafka_properties.as_deref()).map_err(RunError::from)?;
    let model = args.venue.model();
    let stop = signal::stop()?;
    let mut paper = Paper::start(&kafka, &strategies, model, &stop)?;
    let mut said_ns = mono_ns();
    let turned = loop {
        match paper.turn() {
            Ok(Turn::On) => {}
            Ok(Turn::Stopped) => break Ok(()),
            // Whatever is open is the other's now.
            Ok(Turn::TakenOver(topic)) => return Err(taken_over(&topic)),
            Err(error) => break Err(error),
        }
        let now_ns = mono_ns();
        if now_ns - said_ns >= LINE_NS {
            tracing::info!("{}", paper.outcome()?.line());
            said_ns = now_ns;
        }
    };
    let (outcome, lost) = paper.end()?;
    match args.format {
        Format::Text => crate::output::text(&outcome.to_string()),
        Format::Json => crate::output::json(&outcome)?,
    }
    turned?;
    match lost {
        0 => Ok(()),
        lost => Err(CliError::Unavailable(format!(
            "{lost} reports were not acknowledged by {}: the strategies do not know of them",
            args.brokers
        ))),
    }
}

/// Why a venue ends that is not the last to have claimed this topic.
pub(crate) fn taken_over(topic: &str) -> CliError {
    CliError::Unavailable(format!("another paper venue writes to {topic} and has taken over"))
}

/// What came of a turn.
pub(crate) enum Turn {
    /// It is to go on.
    On,
    /// It was asked to end.
    Stopped,
    /// A younger venue has claimed this topic.
    TakenOver(String),
}

/// The venue at work.
pub(crate) struct Paper<'a> {
    desk: Desk,
    tail: Tail,
    /// By topic of executions.
    senders: BTreeMap<String, Sender<'a>>,
    /// How it signs.
    reporter: String,
    stop: &'a Receiver<()>,
    stopped: bool,
}

impl<'a> Paper<'a> {
    /// Ends what an earlier venue left, and listens from now on.
    ///
    /// # Errors
    /// [`CliError`] for what cannot be listened to or written to.
    pub(crate) fn start(
        kafka: &'a Kafka,
        strategies: &'a [Strategy],
        model: Model,
        stop: &'a Receiver<()>,
    ) -> Result<Self, CliError> {
        let listen = Listen::of(strategies)?;
        let reporter = claim::reporter(wall_ns());
        let mut log = LogReader::new(kafka.clone());
        let mut senders = BTreeMap::new();
        for input in strategies.iter().flat_map(|strategy| &strategy.spec.inputs) {
            if listen.members.iter().any(|member| member.executions.as_ref() == Some(&input.topic))
                && !senders.contains_key(&input.topic)
            {
                let to = Destination { kafka, topic: &input.topic, partition: None, patience: None };
                senders.insert(input.topic.clone(), Sender::connect(to, stop)?);
            }
        }
        // Before the first claim there is nobody to take over from.
        let is_first = ends(&log, senders.keys().map(|topic| (topic, None)))?.iter().all(|(.., end)| *end == 0);
        for (topic, sender) in &senders {
            let claim = claim::claim(&reporter, &listen.members);
            // It has no time: strategies' stream clocks, which may be a capture's, are not the venue's to move.
            sender.send(&Frame { ts_recv: 0, value: &claim }, Some(claim::CLAIM))?;
            if sender.finish().acked == 0 {
                return Err(CliError::Unavailable(format!("topic {topic} does not take the venue's claim")));
            }
        }
        let stopped = !is_first && senders.values().next().is_some_and(|sender| sender.stopped_within(TAKEOVER));
        let places = ends(&log, listen.topics())?;
        let left = Left::read(&mut log, &listen.members, &listen.instruments, &places)?;
        if let Some(topic) = left.claimed_by_another(&reporter) {
            return Err(taken_over(topic));
        }
        let hearing: BTreeSet<u32> =
            listen.members.iter().filter(|member| member.executions.is_some()).map(|member| member.hash).collect();
        let mut desk = Desk::new(listen, model, reporter.clone());
        let Ended { reports, orders, sequence } = left.end(|hash| hearing.contains(&hash));
        desk.resume(sequence, orders);
        if !reports.is_empty() {
            tracing::info!("{} orders of before are over: nobody was there to fill them", reports.len());
        }
        reports.iter().for_each(|report| desk.tell(report));
        let tail = Tail::start(kafka, &places).map_err(|error| CliError::Unavailable(error.to_string()))?;
        let mut paper = Self { desk, tail, senders, reporter, stop, stopped };
        paper.send()?;
        tracing::info!(strategies = strategies.len(), "the paper venue is open");
        Ok(paper)
    }

    /// Takes one record, or lets time pass, and writes what is due.
    ///
    /// # Errors
    /// [`CliError`] where topics cannot be read or written any more, or somebody else trades for a strategy.
    pub(crate) fn turn(&mut self) -> Result<Turn, CliError> {
        let wait = if self.desk.is_waiting() { LOOK } else { IDLE };
        // What a person can mend was found at the start.
        let gone = |error| CliError::Unavailable(format!("orders or market data cannot be read any more: {error}"));
        match self.tail.poll(wait).map_err(gone)? {
            None => {}
            Some(tailed) if self.desk.is_market(tailed.topic()) => {
                self.desk.market(tailed.topic(), &tailed.record(), mono_ns())?;
            }
            Some(tailed) if self.senders.contains_key(tailed.topic()) => {
                match claim::said(tailed.record().value, |hash| self.desk.is_ours(hash)) {
                    Said::Claim(other) if other != self.reporter => {
                        return Ok(Turn::TakenOver(tailed.topic().to_owned()));
                    }
                    Said::Report { paper: None, .. } => {
                        return Err(somebody_else(tailed.topic(), tailed.partition(), tailed.offset()));
                    }
                    Said::Report { paper: Some(other), order, sequence } if other != self.reporter => {
                        self.desk.heard(order, sequence);
                    }
                    Said::Claim(_) | Said::Report { .. } | Said::Nothing => {}
                }
            }
            Some(tailed) => self.desk.order(tailed.topic(), tailed.record().value, (mono_ns(), wall_ns())),
        }
        self.desk.pass(mono_ns());
        self.send()?;
        self.are_taken()?;
        self.stopped |= !matches!(self.stop.try_recv(), Err(TryRecvError::Empty));
        Ok(if self.stopped { Turn::Stopped } else { Turn::On })
    }

    /// What it has read so far.
    pub(crate) fn read(&self) -> Read {
        self.desk.read()
    }

    /// What it has come to so far.
    ///
    /// # Errors
    /// [`CliError::Usage`] for sums that do not fit.
    pub(crate) fn outcome(&mut self) -> Result<Outcome, CliError> {
        self.desk.outcome()
    }

    /// Cancels what works and waits for the last reports to be written; what it came to, and how many reports were lost.
    ///
    /// # Errors
    /// As [`Paper::turn`].
    pub(crate) fn end(mut self) -> Result<(Outcome, u64), CliError> {
        self.desk.close();
        self.send()?;
        // Of each the first was the claim.
        let delivered = self.senders.values().map(|sender| sender.finish().acked.saturating_sub(1)).sum::<u64>();
        let outcome = self.desk.outcome()?;
        let written: u64 = outcome.strategies.values().map(|strategy| strategy.told.reports).sum();
        Ok((outcome, written.saturating_sub(delivered)))
    }

    fn send(&mut self) -> Result<(), CliError> {
        for report in self.desk.take_outgoing() {
            let Some(sender) = self.senders.get(&report.topic) else { continue };
            let frame = Frame { ts_recv: report.ts_recv, value: &report.value };
            // A report is never left out: the one behind it would be believed. Whoever cannot wait sends a second signal.
            while let Sent::Stopped = sender.send(&frame, Some(&report.key))? {
                self.stopped = true;
            }
        }
        Ok(())
    }

    /// Whether the broker has refused a report.
    fn are_taken(&self) -> Result<(), CliError> {
        match self.senders.iter().find(|(_, sender)| sender.failed() > 0) {
            None => Ok(()),
            Some((topic, _)) => Err(CliError::Unavailable(format!(
                "topic {topic} does not take reports any more: the strategies do not know of them"
            ))),
        }
    }
}

/// The partitions of these topics, all or only some, each with its end.
fn ends<'t>(
    log: &LogReader,
    topics: impl IntoIterator<Item = (&'t String, Option<&'t Vec<u16>>)>,
) -> Result<Vec<(String, u16, u64)>, CliError> {
    let mut ends = Vec::new();
    for (topic, only) in topics {
        for partition in 0..log.partitions(topic).map_err(|error| unreadable(topic, &error))? {
            if only.is_none_or(|only| only.contains(&partition)) {
                let (_, end) = log.bounds(topic, partition).map_err(|error| unreadable(topic, &error))?;
                ends.push((topic.clone(), partition, end));
            }
        }
    }
    Ok(ends)
}
