//! `pinion demo`: the whole flow on one machine. A broker (embedded, or the user's), market data at a steady rate, two strategies in
//! the sandbox on one worker, their orders read back from Kafka and filled by a paper venue.
//!
//! `order_stream_sha256` of a strategy is SHA-256, in hex, over the values of its orders topic's records in the order of their offsets,
//! each followed by a newline. That of the demo is SHA-256 over the strategies' hex digests, one after the other in the order of the
//! strategies' names. Both are functions of the arguments (seed, rate and seconds, or the capture): what runs twice and is not stopped
//! gives the same digests twice.

mod broker;
pub(crate) mod generator;
mod live;
mod log;
mod market;
mod paper;
mod publisher;
mod strategies;
mod view;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use pinion_runtime::app::{self, AppConfig};
use pinion_runtime::args::default_cache;
use pinion_runtime::clock::{mono_ns, wall_ns};
use pinion_runtime::fence::Fence;
use pinion_runtime::metrics::Histograms;
use pinion_runtime::pin::Pin;
use pinion_runtime::registry::RegistryConfig;
use pinion_runtime::ring::Wait;
use pinion_runtime::run::{RunConfig, Source};
use pinion_runtime::sandbox::Compiler;

use broker::{Broker, OrderReader};
use generator::Generator;
use live::Live;
use paper::{Expected, PaperVenue, executions_topic};
use publisher::{Feed, Published};
use strategies::{MARKET_TOPIC, orders_topic};

use crate::error::CliError;
use crate::inspect::Format;
use crate::summary::Summary;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// When nothing has been read for so long after the last record was published, nothing more will be.
const STALLED_NS: u64 = 5_000_000_000;

/// Shows the whole flow: market data on Kafka, two sandboxed strategies, their orders
///
/// Starts an embedded broker inside the process (or uses yours), publishes BTCUSDT market data to it at a steady rate, runs the examples
/// ema-cross and book-imbalance in the sandbox on one worker, fills their orders at a paper venue (`pinion paper`), shows what happens, and
/// sums up. Ctrl-C sums up early.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion demo
  pinion demo --seconds 60 --rate 20000 --seed 7
  pinion demo --data spot-btcusdt_20240809.gz --brokers localhost:9092
  pinion demo --seconds 5 --format json | tail -n 1

With --format json the last line of stdout is the summary, one object; progress goes to stderr.

The order_stream_sha256 of a strategy is SHA-256 over the values of its orders topic's records in offset order, each followed by a \
newline; the demo's is SHA-256 over the strategies' hex digests, concatenated in the order of their names. The same arguments give \
the same digests. What the paper venue fills is not that exact: an order meets the market when it is read.

With --brokers the topics pinion-demo.* on that cluster are deleted and made anew.

Exit codes: 0 done, also after Ctrl-C; 64 a bad file or command line; 69 the broker cannot be reached or lost records; 70 our fault")]
pub struct DemoArgs {
    /// How long to publish
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Market-data records a second
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// A capture of Binance's streams to publish, from its start, instead of made-up market data
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    pub data: Option<PathBuf>,
    /// Which market is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Your Kafka instead of the embedded broker
    #[arg(long, value_name = "HOST:PORT,..")]
    pub brokers: Option<String>,
    /// The folder of the example strategies
    #[arg(long, value_name = "DIR", default_value = "strategies-examples")]
    pub strategies: PathBuf,
    /// How to write the summary; with json there is no live view
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

impl DemoArgs {
    fn feed(&self) -> Result<Feed, CliError> {
        match &self.data {
            Some(path) => Feed::recorded(path),
            None => Ok(Feed::Generated(Box::new(Generator::new(self.seed, self.rate)))),
        }
    }

    fn frames(&self) -> u64 {
        u64::from(self.seconds) * u64::from(self.rate)
    }
}

/// Runs the demo to its end, or to Ctrl-C, and writes the summary.
///
/// # Errors
/// [`CliError`]; the terminal has been given back by then.
pub fn run(args: &DemoArgs) -> Result<(), CliError> {
    let view = args.format == Format::Text && std::io::stdout().is_terminal();
    let log = log::start(view);
    let outcome = flow(args, view, &log);
    for line in log.take() {
        eprintln!("{line}");
    }
    let summary = outcome?;
    let text = match args.format {
        Format::Text => format!("{summary}{}", next_commands(args)),
        Format::Json => summary.to_json()?,
    };
    // A reader that has gone away is no fault of anyone's.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}

/// From the broker to the digests.
fn flow(args: &DemoArgs, view: bool, log: &log::Kept) -> Result<Summary, CliError> {
    let feed = args.feed()?;
    // Of its own in every run: a group's committed offsets would make the next demo begin in the middle.
    let group = format!("pinion-demo-{}", wall_ns());
    let loaded = strategies::load(&args.strategies, feed.encoding(), &group)?;
    let orders: Vec<String> = strategies::NAMES.iter().map(|name| orders_topic(name)).collect();
    let executions = strategies::NAMES.map(executions_topic);
    let topics: Vec<String> = orders.iter().cloned().chain(executions).chain([MARKET_TOPIC.to_owned()]).collect();
    let broker = Broker::start(args.brokers.as_deref(), &topics)?;
    let reader = OrderReader::start(broker.kafka(), &orders)?;
    let venue = PaperVenue::start(broker.kafka(), &loaded)?;
    let config = RunConfig {
        source: Source::Strategies(loaded),
        app: AppConfig {
            kafka: broker.kafka().clone(),
            pin: Pin::Auto,
            wait: Wait::Park,
            threads: app::Threads::Auto,
            workers: 1,
            fence: Fence::default(),
            journal: None,
            histograms: Histograms::On,
        },
        admin: None,
        token_file: None,
        cache: default_cache(),
        compiler: Compiler::this_executable().map_err(pinion_runtime::run::RunError::from)?,
        registry: RegistryConfig::default(),
        watch: false,
    };
    let (stop, stopped) = channel();
    let running: OnceLock<Live> = OnceLock::new();
    let mut threads = None;
    let all_read = AtomicBool::new(false);
    let outcome = pinion_runtime::run::run(
        &config,
        |started| {
            let live = Live {
                metrics: Arc::clone(&started.metrics),
                published: Arc::new(Published::default()),
                venue: venue.latest(),
                started_ns: mono_ns(),
                seconds: u64::from(args.seconds),
                rate: args.rate,
                embedded: broker.is_embedded(),
            };
            let started = Threads::start(args, feed, &broker, &live, view.then(|| log.clone()), (stop, stopped));
            // Nothing comes where nobody publishes.
            live.published.finished.store(started.is_err(), Ordering::Release);
            threads = Some(started);
            let _ = running.set(live);
        },
        async {
            until_all_read(&running).await;
            all_read.store(true, Ordering::Relaxed);
        },
    );
    let published = threads.transpose()?.map(Threads::end);
    outcome?;
    published.transpose()?;
    let Some(live) = running.get() else {
        return Err(CliError::Internal("the runtime ended before it began".to_owned()));
    };
    let mut summary = live.summary();
    let unread = live.published.acked.load(Ordering::Acquire).saturating_sub(summary.records);
    if all_read.into_inner() && unread > 0 {
        let why = if live.embedded {
            "the embedded broker keeps 5 MB, try a lower --rate"
        } else {
            "look at the broker's log"
        };
        return Err(CliError::Unavailable(format!("{unread} published records did not come back: {why}")));
    }
    let expected = Expected { records: summary.records, orders: summary.orders.approved };
    add_digests(&mut summary, reader)?;
    summary.add_paper(venue.finish(expected)?.strategies);
    Ok(summary)
}

/// Reads the orders back: each strategy's digest, and that of all.
fn add_digests(summary: &mut Summary, reader: OrderReader) -> Result<(), CliError> {
    let sent: BTreeMap<String, u64> =
        summary.strategies.iter().map(|(name, strategy)| (orders_topic(name), strategy.approved())).collect();
    let digests = reader.finish(sent)?;
    for (name, strategy) in &mut summary.strategies {
        strategy.order_stream_sha256 = digests.get(&orders_topic(name)).cloned();
    }
    let in_order = summary.strategies.values().filter_map(|strategy| strategy.order_stream_sha256.as_ref());
    summary.order_stream_sha256 = Some(broker::combined(in_order));
    Ok(())
}

/// Ends when all that was published has been read, or nothing has come for long after the last was published. What has been read is
/// worked off by the drain.
async fn until_all_read(running: &OnceLock<Live>) {
    let mut look = tokio::time::interval(LOOK);
    let (mut read, mut since_ns) = (0, mono_ns());
    loop {
        look.tick().await;
        let Some(live) = running.get() else { continue };
        let now_read = live.records_read();
        let Some(published) = live.finished().filter(|_| now_read == read) else {
            (read, since_ns) = (now_read, mono_ns());
            continue;
        };
        if read >= published || mono_ns() - since_ns > STALLED_NS {
            return;
        }
    }
}

/// What runs beside the runtime.
struct Threads {
    publisher: JoinHandle<Result<(), CliError>>,
    show: JoinHandle<()>,
    stop: Sender<()>,
    done: Sender<()>,
}

impl Threads {
    /// Starts publishing and showing; `log` where there is a view.
    fn start(
        args: &DemoArgs,
        feed: Feed,
        broker: &Broker,
        live: &Live,
        log: Option<log::Kept>,
        (stop, stopped): (Sender<()>, Receiver<()>),
    ) -> Result<Self, CliError> {
        let failed = |error| CliError::Internal(format!("cannot start a thread: {error}"));
        let (kafka, frames, rate) = (broker.kafka().clone(), args.frames(), args.rate);
        let published = Arc::clone(&live.published);
        let publish = move || publisher::run(feed, &kafka, (rate, frames), &stopped, &published);
        let publisher = std::thread::Builder::new().name("publisher".to_owned()).spawn(publish).map_err(failed)?;
        let (done, is_done) = channel();
        let (live, to_stderr, asks) = (live.clone(), args.format == Format::Json, stop.clone());
        let show = move || match log {
            Some(log) => view::run(&live, &log, &asks, &is_done),
            None if to_stderr => live::lines(&live, &mut std::io::stderr(), &is_done),
            None => live::lines(&live, &mut std::io::stdout(), &is_done),
        };
        let show = std::thread::Builder::new().name("show".to_owned()).spawn(show).map_err(failed)?;
        Ok(Self { publisher, show, stop, done })
    }

    /// Ends both, the view first: what comes next may write to the terminal.
    fn end(self) -> Result<(), CliError> {
        // Either may have ended already.
        let _ = self.done.send(());
        let shown = self.show.join();
        let _ = self.stop.send(());
        let published = self.publisher.join();
        let panicked = |_| CliError::Internal("a thread of the demo panicked".to_owned());
        shown.map_err(panicked)?;
        published.map_err(panicked)?
    }
}

fn next_commands(args: &DemoArgs) -> String {
    let pinion = std::env::args().next().unwrap_or_else(|| "pinion".to_owned());
    let data = args.data.as_ref().map_or_else(|| "CAPTURE.gz".to_owned(), |path| path.display().to_string());
    let strategy = args.strategies.join("ema-cross").join("strategy.yaml");
    let strategy = strategy.display();
    let brokers = args.brokers.as_deref().unwrap_or("localhost:9092");
    format!(
        "\nNext:\n  {pinion} new my-strategy --lang python\n  {pinion} inspect {data}\n  {pinion} run {strategy} --brokers {brokers}\n  make test\n"
    )
}
