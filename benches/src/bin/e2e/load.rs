//! Open-loop load: latency counts from the time at which a record was to be sent, whenever it was.

use std::time::Duration;

use hdrhistogram::Histogram;
use pinion_benches::hiccups::latencies;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::kafka::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

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
    /// CPU time of the system's process meanwhile, ns.
    pub(crate) cpu_ns: u64,
    pub(crate) sent: u64,
}

impl Block {
    /// Whether the machine spoilt it, or the system did not keep up.
    pub(crate) fn is_void(&self) -> bool {
        self.unanswered > 0 || self.late.value_at_quantile(0.99) > LATE_NS_MAX
    }

    /// Whether every record was answered.
    pub(crate) const fn is_answered(&self) -> bool {
        self.unanswered == 0
    }

    /// A quantile, ns.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

/// Sends to one system's input.
pub(crate) struct Sender {
    producer: BaseProducer,
    topic: String,
    /// The offset that the next record will have.
    next: u64,
}

impl Sender {
    /// A producer that sends at once.
    pub(crate) fn new(brokers: &str, topic: &str) -> Self {
        let Ok(producer) = Kafka::new(brokers).producer().create() else { unreachable!("the settings are constant") };
        Self { producer, topic: topic.to_owned(), next: 0 }
    }

    fn send(&mut self) {
        let n = self.next;
        let quote = format!(
            r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{},"s":"BTCUSDT","b":"61685.99000000","B":"1.25869000","a":"61686.00000000","A":"2.44816000"}}}}"#,
            n + 1
        );
        let record = BaseRecord::to(&self.topic).partition(0).key("BTCUSDT").payload(&quote);
        if self.producer.send(record).is_ok() {
            self.next += 1;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Sends a record now and then until an answer comes.
    pub(crate) fn until_answered(&mut self, collector: &Collector) -> Result<(), String> {
        for _ in 0..300 {
            self.send();
            let _ = self.producer.flush(Duration::from_secs(5));
            if collector.next(Duration::from_millis(100)).is_some() {
                // The other answers are on their way: the block that follows steps over them.
                return Ok(());
            }
        }
        Err(format!("nothing answers on {} after 30 s", self.topic))
    }

    /// Sends a record at each of these times from now on, and waits for their answers.
    pub(crate) fn block(&mut self, times: &[u64], collector: &Collector, cpu_ns: &dyn Fn() -> u64) -> Block {
        let first = self.next;
        let used = cpu_ns();
        let begin = mono_ns() + 1_000_000;
        let due = |offset: u64| {
            let at = usize::try_from(offset - first).ok().and_then(|at| times.get(at));
            begin + at.copied().unwrap_or_default()
        };
        let until = first + times.len() as u64;
        let mut block =
            Block { latency: latencies(), late: latencies(), unanswered: times.len(), cpu_ns: 0, sent: until - first };
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
        block
    }
}
