//! The systems under load: each a process of its own, with topics of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pinion_benches::machine::resident_bytes;
use pinion_runtime::clock::mono_ns;
use pinion_tests::kafka::Broker;
use pinion_tests::watchdog::watch;
use rustix::process::{Pid, Signal, kill_process};

use crate::collect::Collector;
use crate::load::{Block, Sender};
use crate::schedule::Pattern;
use crate::throughput::Backlog;

/// A process that ends with this one, however this one ends.
struct Running {
    child: Child,
    watchdog: Child,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One of them.
pub(crate) struct System {
    pub(crate) name: String,
    process: Running,
    sender: Sender,
    collector: Collector,
    blocks: u64,
    /// Where its metrics are read as each block begins.
    scraped: Option<SocketAddr>,
    /// Of the last time that they were.
    pub(crate) scrape: Option<Scrape>,
}

/// What a Prometheus would have got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scrape {
    pub(crate) bytes: usize,
    pub(crate) ns: u64,
}

fn scrape(admin: SocketAddr) -> Option<Scrape> {
    let began = mono_ns();
    let answer = pinion_tests::http::request(admin, "GET", "/metrics", &[], b"").ok()?;
    Some(Scrape { bytes: answer.body.len(), ns: mono_ns() - began })
}

impl System {
    /// Starts one that reads one topic and writes another.
    pub(crate) fn start(
        broker: &Broker,
        name: &str,
        command: impl FnOnce(&str, &str, &str) -> Result<(Command, PathBuf), String>,
    ) -> Result<Self, String> {
        let (input, output, brokers) = (format!("in.{name}"), format!("out.{name}"), broker.address());
        broker.create_topic(&input, 1);
        broker.create_topic(&output, 1);
        let (mut command, folder) = command(&brokers, &input, &output)?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let watchdog = watch(&child, &folder).map_err(|error| format!("sh: {error}"))?;
        let (sender, collector) = (Sender::new(&brokers, &input), Collector::start(&brokers, &output));
        let process = Running { child, watchdog, folder };
        Ok(Self { name: name.to_owned(), process, sender, collector, blocks: 0, scraped: None, scrape: None })
    }

    /// Waits until it answers.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        self.sender.until_answered(&self.collector)
    }

    /// From now on its metrics are read as each block begins.
    pub(crate) fn scraped(mut self, admin: SocketAddr) -> Self {
        self.scraped = Some(admin);
        self
    }

    /// A block of load.
    pub(crate) fn block(&mut self, pattern: &Pattern, rate: u64, ns: u64) -> Block {
        self.blocks += 1;
        let times = pattern.times(rate, ns, self.blocks);
        let pid = self.pid();
        let (sender, collector) = (&mut self.sender, &self.collector);
        let (block, scrape) = std::thread::scope(|scope| {
            let scrape = self.scraped.map(|admin| scope.spawn(move || scrape(admin)));
            let block = sender.block(&times, collector, &|| cpu_ns(pid));
            (block, scrape.and_then(|scrape| scrape.join().ok()).flatten())
        });
        self.scrape = scrape;
        block
    }

    /// Has it read a backlog; ns until the last answer.
    pub(crate) fn drain(&mut self, Backlog { records, every }: Backlog) -> Result<u64, String> {
        let first = self.sender.next();
        self.signal(Signal::STOP)?;
        self.sender.backlog(records)?;
        let begin = mono_ns();
        self.signal(Signal::CONT)?;
        let (mut answers, mut last) = (0, begin);
        while answers < records / every {
            let Some((offset, at)) = self.collector.next(Duration::from_secs(20)) else {
                return Err(format!("{}: {answers} of {} answers after 20 s", self.name, records / every));
            };
            if offset >= first {
                (answers, last) = (answers + 1, at);
            }
        }
        Ok(last - begin)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(Pid::from_child(&self.process.child), signal).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Memory of it that is in RAM, MiB.
    #[expect(clippy::cast_precision_loss, reason = "bytes")]
    pub(crate) fn resident_mib(&self) -> f64 {
        resident_bytes(&self.pid().to_string()) as f64 / f64::from(1 << 20)
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

/// `pinion-runtime` with so many strategies, of which one sends an order for every so many-th quote.
pub(crate) fn pinion(
    own: &Path,
    brokers: &str,
    input: &str,
    output: &str,
    strategies: u32,
    every: u64,
) -> Result<(Command, PathBuf), String> {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pinion-e2e-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut command = Command::new(own.with_file_name("pinion-runtime"));
    for n in 0..strategies {
        let (name, every) = (format!("strategy-{n}"), if n == 0 { every } else { u64::MAX });
        command.arg(strategy_file(&folder, &name, (input, &name), output, every)?);
    }
    command.args(["--brokers", brokers]);
    Ok((command, folder))
}

/// This program again, as a bare client: how it reads, and whatever else it is told.
pub(crate) fn floor(own: &Path, reads: &[&str], every: u64, [brokers, input, output]: [&str; 3]) -> (Command, PathBuf) {
    let mut command = Command::new(own);
    command.arg("--floor").args(reads).args(["--every", &every.to_string(), brokers, input, output]);
    (command, PathBuf::new())
}

/// A strategy file that sends an order for every so many-th quote of a topic, which it reads as one of a group.
pub(crate) fn strategy_file(
    folder: &Path,
    name: &str,
    (input, group): (&str, &str),
    output: &str,
    every: u64,
) -> Result<PathBuf, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = root.join("strategies-examples/record-only/record-only.wasm");
    let module =
        module.canonicalize().map_err(|error| format!("{}: {error}; run `make strategies`", module.display()))?;
    let file = folder.join(format!("{name}.yaml"));
    // What a second may have takes 8 bytes of each: so many as the fastest may send, and as by default whoever sends none.
    let messages = if every == u64::MAX { 10 } else { 100_000 };
    let text = serde_json::json!({
        "apiVersion": "pinion.dev/v1alpha1",
        "kind": "Strategy",
        "metadata": {"name": name},
        "spec": {
            "module": {"file": module},
            "inputs": [{"topic": input, "encoding": "binance-spot", "start": "earliest", "resync": "rebuild", "group": group}],
            "outputs": {"orders": {"topic": output}},
            "instruments": [{"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"}],
            "params": {"every": every.to_string(), "size": "0.001"},
            "risk": {
                "maxOrderSize": "1", "maxOrderNotional": "100000", "priceCollarBps": 100, "messagesPerSecond": messages,
                "maxOpenOrders": 4096, "maxPosition": "1000000", "staleAfterMillis": 3_600_000
            }
        }
    });
    std::fs::write(&file, text.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}
