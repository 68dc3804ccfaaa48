//! The demo's paper venue, on a thread of its own: what the strategies' orders would have come to.
//!
//! The strategies do not hear of it: their orders are a function of the market data alone, and two demos give the same digests. What fills
//! is not: an order meets the market when its record has been read.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::kafka::Kafka;
use pinion_spec::strategy::{Encoding, Strategy};
use pinion_venue::Model;

use crate::error::CliError;
use crate::paper::{Outcome, Paper, StrategyOutcome, Turn, taken_over};

/// Between two looks at what it has come to.
const LOOK_NS: u64 = 200_000_000;
/// When as long nothing has come that was expected, nothing more will.
const STALLED_NS: u64 = 10_000_000_000;

/// What it has come to so far, by strategy.
pub(super) type Latest = Arc<Mutex<BTreeMap<String, StrategyOutcome>>>;

/// How much it is to read before it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// Records of market data.
    pub(super) records: u64,
    /// Orders.
    pub(super) orders: u64,
}

/// The venue's thread.
pub(super) struct PaperVenue {
    latest: Latest,
    expected: Sender<Expected>,
    thread: JoinHandle<Result<Outcome, CliError>>,
}

/// The topic of a strategy's executions.
pub(super) fn executions_topic(name: &str) -> String {
    format!("pinion-demo.executions.{name}")
}

impl PaperVenue {
    /// Opens the venue for these strategies; it listens when this returns.
    pub(super) fn start(kafka: &Kafka, strategies: &[Strategy]) -> Result<Self, CliError> {
        let (kafka, strategies) = (kafka.clone(), strategies.iter().map(reported).collect::<Vec<_>>());
        let latest = Latest::default();
        let (expected, receiver) = channel();
        let (open, opened) = channel();
        let seen = Arc::clone(&latest);
        let thread = std::thread::Builder::new()
            .name("paper".to_owned())
            .spawn(move || {
                let (_running, stop) = channel();
                let paper = Paper::start(&kafka, &strategies, Model::default(), &stop)?;
                // Nobody waits any more when the demo has failed.
                let _ = open.send(());
                run(paper, &seen, &receiver)
            })
            .map_err(|error| CliError::Internal(format!("cannot start a thread: {error}")))?;
        let venue = Self { latest, expected, thread };
        match opened.recv() {
            Ok(()) => Ok(venue),
            Err(_) => Err(venue.join().err().unwrap_or_else(|| CliError::Internal("the paper venue ended".to_owned()))),
        }
    }

    /// What it has come to so far.
    pub(super) fn latest(&self) -> Latest {
        Arc::clone(&self.latest)
    }

    /// Waits until it has read so much, and says what it came to.
    pub(super) fn finish(self, expected: Expected) -> Result<Outcome, CliError> {
        // Fails only when the thread has ended with an error, which it returns below.
        let _ = self.expected.send(expected);
        self.join()
    }

    fn join(self) -> Result<Outcome, CliError> {
        drop(self.expected);
        self.thread.join().map_err(|_| CliError::Internal("the paper venue's thread panicked".to_owned()))?
    }
}

/// A strategy as the venue sees it: with a topic to report on.
fn reported(strategy: &Strategy) -> Strategy {
    let mut strategy = strategy.clone();
    let market = strategy.spec.inputs.first().cloned();
    strategy.spec.inputs.extend(market.map(|mut input| {
        input.topic = executions_topic(&strategy.metadata.name);
        (input.encoding, input.publisher) = (Encoding::PinionExecution, None);
        input
    }));
    strategy
}

fn run(mut paper: Paper<'_>, latest: &Latest, expected: &Receiver<Expected>) -> Result<Outcome, CliError> {
    let (mut looked_ns, mut read_ns) = (mono_ns(), mono_ns());
    let (mut wanted, mut read) = (None, 0);
    loop {
        if let Turn::TakenOver(topic) = paper.turn()? {
            return Err(taken_over(&topic));
        }
        let now_ns = mono_ns();
        let counts = paper.read();
        if counts.records + counts.orders > read {
            (read, read_ns) = (counts.records + counts.orders, now_ns);
        }
        if now_ns - looked_ns >= LOOK_NS {
            looked_ns = now_ns;
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = paper.outcome()?.strategies;
            match expected.try_recv() {
                Ok(expected) => (wanted, read_ns) = (Some(expected), now_ns),
                Err(std::sync::mpsc::TryRecvError::Disconnected) if wanted.is_none() => break,
                Err(_) => {}
            }
        }
        let Some(Expected { records, orders }) = wanted else { continue };
        if counts.records >= records && counts.orders >= orders {
            break;
        }
        if now_ns - read_ns > STALLED_NS {
            return Err(CliError::Unavailable(format!(
                "the paper venue has read {} of {records} records and {} of {orders} orders",
                counts.records, counts.orders
            )));
        }
    }
    match paper.end()? {
        (outcome, 0) => Ok(outcome),
        (_, lost) => Err(CliError::Unavailable(format!("{lost} execution reports were not acknowledged"))),
    }
}
