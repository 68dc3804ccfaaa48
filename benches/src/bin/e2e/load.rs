//! Open-loop load: send times fixed in advance, latency counted from the intended one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
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
    unanswered: u64,
}

impl Block {
    /// Whether the machine spoilt it.
    pub(crate) fn is_void(&self) -> bool {
        self.unanswered > 0 || self.late.value_at_quantile(0.99) > LATE_NS_MAX
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) / 1_000;
        write!(
            f,
            "p50 {} p99 {} max {} us, sender late p99 {} us, unanswered {}{}",
            us(&self.latency, 0.5),
            us(&self.latency, 0.99),
            us(&self.latency, 1.0),
            us(&self.late, 0.99),
            self.unanswered,
            if self.is_void() { ": dropped" } else { "" }
        )
    }
}

/// Sends to one system's input.
pub(crate) struct Sender {
    producer: BaseProducer,
    topic: String,
    /// The offset that the next record will have.
    next: u64,
}

/// Longest latency told apart. An answer that takes longer than [`STRAGGLERS`] is no answer.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Its bounds are given: one without them clamps whatever is recorded to the 2 ns that it begins with.
pub(crate) fn histogram() -> Histogram<u64> {
    let Ok(histogram) = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3) else { unreachable!("3 digits are allowed") };
    histogram
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

    /// Sends `count` records at `rate` and waits for their answers.
    pub(crate) fn block(&mut self, rate: u64, count: u64, collector: &Collector) -> Block {
        let first = self.next;
        let gap_ns = 1_000_000_000 / rate;
        let begin = mono_ns() + 1_000_000;
        let due = |offset: u64| begin + (offset - first) * gap_ns;
        let mut block = Block { latency: histogram(), late: histogram(), unanswered: count };
        let take = |(offset, at): (u64, u64), block: &mut Block| {
            if (first..first + count).contains(&offset) {
                block.latency.saturating_record(at.saturating_sub(due(offset)));
                block.unanswered -= 1;
            }
        };
        for offset in first..first + count {
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
        block
    }
}

/// A strategy file that sends an order for every quote.
pub(crate) fn strategy_file(input: &str, output: &str) -> Result<PathBuf, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = root.join("strategies-examples/record-only/record-only.wasm");
    let module =
        module.canonicalize().map_err(|error| format!("{}: {error}; run `make strategies`", module.display()))?;
    let file = std::env::temp_dir().join(format!("pinion-e2e-{}.yaml", std::process::id()));
    let text = serde_json::json!({
        "apiVersion": "pinion.dev/v1alpha1",
        "kind": "Strategy",
        "metadata": {"name": "every-quote"},
        "spec": {
            "module": {"file": module},
            "inputs": [{"topic": input, "encoding": "binance-spot", "start": "earliest", "resync": "rebuild"}],
            "outputs": {"orders": {"topic": output}},
            "instruments": [{"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"}],
            "params": {"every": "1", "size": "0.001"},
            "risk": {
                "maxOrderSize": "1", "maxOrderNotional": "100000", "priceCollarBps": 100, "messagesPerSecond": 1_000_000,
                "maxOpenOrders": 4096, "maxPosition": "1000000", "staleAfterMillis": 3_600_000
            }
        }
    });
    std::fs::write(&file, text.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}
