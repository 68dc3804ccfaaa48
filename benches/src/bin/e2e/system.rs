//! The systems under load: each a process of its own, with topics of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pinion_tests::kafka::Broker;

use crate::collect::Collector;
use crate::load::{Block, Sender};
use crate::schedule::Pattern;

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One of them.
pub(crate) struct System {
    pub(crate) name: &'static str,
    process: Running,
    sender: Sender,
    collector: Collector,
    blocks: u64,
}

impl System {
    /// Starts one that reads one topic and writes another.
    pub(crate) fn start(
        broker: &Broker,
        name: &'static str,
        command: impl FnOnce(&str, &str, &str) -> Result<Command, String>,
    ) -> Result<Self, String> {
        let (input, output, brokers) = (format!("in.{name}"), format!("out.{name}"), broker.address());
        broker.create_topic(&input, 1);
        broker.create_topic(&output, 1);
        let mut command = command(&brokers, &input, &output)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = Running(child.map_err(|error| format!("{command:?}: {error}"))?);
        let (sender, collector) = (Sender::new(&brokers, &input), Collector::start(&brokers, &output));
        Ok(Self { name, process, sender, collector, blocks: 0 })
    }

    /// Waits until it answers.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        self.sender.until_answered(&self.collector)
    }

    /// A block of load.
    pub(crate) fn block(&mut self, pattern: &Pattern, rate: u64, ns: u64) -> Block {
        self.blocks += 1;
        let times = pattern.times(rate, ns, self.blocks);
        let pid = self.process.0.id();
        self.sender.block(&times, &self.collector, &|| cpu_ns(pid))
    }
}

/// CPU time that all threads of a process have had, ns.
fn cpu_ns(pid: u32) -> u64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let of = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum()
}

/// `pinion-runtime` with a strategy that sends an order for every quote.
pub(crate) fn pinion(own: &Path, brokers: &str, input: &str, output: &str, wait: &str) -> Result<Command, String> {
    let file = strategy_file(input, output)?;
    let mut command = Command::new(own.with_file_name("pinion-runtime"));
    command.arg(file).args(["--brokers", brokers, "--wait", wait]);
    Ok(command)
}

/// This program again, as the bare client.
pub(crate) fn echo(own: &Path, brokers: &str, input: &str, output: &str) -> Command {
    let mut command = Command::new(own);
    command.args(["--echo", brokers, input, output]);
    command
}

/// A strategy file that sends an order for every quote.
fn strategy_file(input: &str, output: &str) -> Result<PathBuf, String> {
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
