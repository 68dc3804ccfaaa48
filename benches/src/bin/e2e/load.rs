//! Open-loop load: latency counts from the time at which a record was to be sent, whenever it was.

use std::time::Duration;

use hdrhistogram::Histogram;
use pinion_benches::hiccups::latencies;
use pinion_benches::machine::Quiet;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::kafka::Kafka;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use crate::collect::Collector;

/// A block whose sender woke later than this at p99 says nothing.
const LATE_NS_MAX: u64 = 500_000;
/// How long after the last record an answer may come.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// What one block of load gave.
pub(crate) struct Block {
    /// Intended send to answer, ns.
    pub(crate) latency: Histogram<u64>,
    /// Intended send to send, ns.
    late: Histogram<u64>,
    unanswered: usize,
    /// Nothing was stolen meanwhile, and the sender was not put aside.
    quiet: bool,
    /// CPU time of the system's process meanwhile, ns.
    pub(crate) cpu_ns: u64,
    pub(crate) sent: u64,
}

impl Block {
    /// Why it says nothing: the machine spoilt it, or the system did not keep up; `None` where it says something.
    pub(crate) fn void(&self) -> Option<String> {
        let late = self.late.value_at_quantile(0.99);
        match () {
            () if self.unanswered > 0 => Some(format!("{} of {} not answered", self.unanswered, self.sent)),
            () if late > LATE_NS_MAX => Some(format!("the sender woke {} us late at p99", late / 1_000)),
            () if !self.quiet => Some("the machine was elsewhere".to_owned()),
            () => None,
        }
    }

    /// For a person who waits for the run.
    pub(crate) fn told(&self) -> String {
        let us = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) / 1_000;
        let (latency, late) = (&self.latency, us(&self.late, 0.99));
        format!(
            "p50 {} p99 {} max {} us, sender late {late} us at p99, {} not answered",
            us(latency, 0.5),
            us(latency, 0.99),
            us(latency, 1.0),
            self.unanswered
        )
    }
}

/// A quote of the spot feed, numbered.
fn quote(n: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{},"s":"BTCUSDT","b":"61685.99000000","B":"1.25869000","a":"61686.00000000","A":"2.44816000"}}}}"#,
        n + 1
    )
}

/// Sends to one system's input.
pub(crate) struct Sender {
    producer: BaseProducer,
    /// For backlogs.
    bulk: BaseProducer,
    topic: String,
    /// The offset that the next record will have.
    next: u64,
}

impl Sender {
    /// A producer that sends at once.
    pub(crate) fn new(brokers: &str, topic: &str) -> Self {
        let mut settings = Kafka::new(brokers).producer();
        let Ok(producer) = settings.create() else { unreachable!("the settings are constant") };
        let Ok(bulk) = settings.set("linger.ms", "5").create() else { unreachable!("the settings are constant") };
        Self { producer, bulk, topic: topic.to_owned(), next: 0 }
    }

    /// The offset that the next record will have.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Sends so many records as quickly as it can, and waits until the broker has them.
    pub(crate) fn backlog(&mut self, records: u64) -> Result<(), String> {
        for _ in 0..records {
            let payload = quote(self.next);
            let record = BaseRecord::to(&self.topic).partition(0).key("BTCUSDT").payload(&payload);
            let mut sent = self.bulk.send(record);
            while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) = sent {
                self.bulk.poll(Duration::from_millis(1));
                sent = self.bulk.send(record);
            }
            sent.map_err(|(error, _)| format!("{}: {error}", self.topic))?;
            self.next += 1;
        }
        self.bulk.flush(Duration::from_secs(30)).map_err(|error| format!("{}: {error}", self.topic))
    }

    fn send(&mut self) {
        let quote = quote(self.next);
        let record = BaseRecord::to(&self.topic).partition(0).key("BTCUSDT").payload(&quote);
        if self.producer.send(record).is_ok() {
            self.next += 1;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Sends a record now and then until an answer comes.
    pub(crate) fn until_answered(&mut self, collector: &Collector) -> Result<(), String> {
        // A peer may have to be fetched and built first.
        for _ in 0..3_000 {
            self.send();
            let _ = self.producer.flush(Duration::from_secs(5));
            if collector.next(Duration::from_millis(100)).is_some() {
                // The other answers are on their way: the block that follows steps over them.
                return Ok(());
            }
        }
        Err(format!("nothing answers on {} after 5 minutes", self.topic))
    }

    /// Sends a record at each of these times from now on, and waits for their answers.
    pub(crate) fn block(&mut self, times: &[u64], collector: &Collector, cpu_ns: &dyn Fn() -> u64) -> Block {
        let first = self.next;
        let (quiet, used) = (Quiet::now(), cpu_ns());
        let begin = mono_ns() + 1_000_000;
        let due = |offset: u64| {
            let at = usize::try_from(offset - first).ok().and_then(|at| times.get(at));
            begin + at.copied().unwrap_or_default()
        };
        let until = first + times.len() as u64;
        let mut block = Block {
            latency: latencies(),
            late: latencies(),
            unanswered: times.len(),
            quiet: true,
            cpu_ns: 0,
            sent: until - first,
        };
        let take = |(offset, at): (u64, u64), block: &mut Block| {
            if (first..until).contains(&offset) {
                block.latency.saturating_record(at.saturating_sub(due(offset)));
                block.unanswered -= 1;
            }
        };
        for offset in first..until {
            loop {
                let now = mono_ns();
                if now >= due(offset) {
                    block.late.saturating_record(now - due(offset));
                    break;
                }
                self.producer.poll(Duration::ZERO);
                std::thread::park_timeout(Duration::from_nanos(due(offset) - now));
            }
            self.send();
            while let Some(answer) = collector.next(Duration::ZERO) {
                take(answer, &mut block);
            }
        }
        while block.unanswered > 0 {
            let Some(answer) = collector.next(STRAGGLERS) else { break };
            take(answer, &mut block);
        }
        block.cpu_ns = cpu_ns().saturating_sub(used);
        block.quiet = quiet.held_since();
        block
    }
}
