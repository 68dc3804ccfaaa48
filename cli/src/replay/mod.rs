//! `pinion replay`: a journal presented again, and its orders held against those that were sent.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use pinion_runtime::args::{chain, default_cache};
use pinion_runtime::journal::{Entry, JournalError, Reader};
use pinion_runtime::kafka::Kafka;
use pinion_runtime::playback::follow::{FollowError, Follower, Records};
use pinion_runtime::run::RunError;
use pinion_runtime::sandbox::{Compiler, LoadError, Module, Sandbox, SandboxConfig};

use crate::error::CliError;
use crate::inspect::Format;

mod outcome;
mod recorded;
mod records;
mod replayed;

use outcome::{Outcome, StrategyOutcome, order_text};
use recorded::Recorded;
use records::{FileRecords, KafkaRecords};
use replayed::{Presented, Replayed};

/// Presents a journal again and says whether the orders are the same
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion replay --journal journal --brokers localhost:9092
  pinion replay --journal journal --data binance.spot.btcusdt=capture.gz --format json
  pinion replay --journal journal --brokers localhost:9092 --module ema-cross=target/ema-cross.wasm

Exit codes:
  0   the orders are those that were sent, or there was nothing to hold them against
  64  a wrong command line, or a journal that cannot be read
  65  an order differs, or a fault
  69  the broker cannot be reached, or does not have the records any more
  70  our fault")]
pub struct ReplayArgs {
    /// The folder that `pinion run --journal` wrote to.
    #[arg(long, value_name = "DIR")]
    pub journal: PathBuf,
    /// Kafka's bootstrap servers: where the records are, and the orders that were sent.
    #[arg(long, value_name = "HOST:PORT,..", env = "PINION_BROKERS", required_unless_present = "data")]
    pub brokers: Option<String>,
    /// A properties file with more client settings: TLS, SASL. Secrets belong there.
    #[arg(long, value_name = "FILE", requires = "brokers")]
    pub kafka_properties: Option<PathBuf>,
    /// Records from a capture instead, whose n-th message is offset n of partition 0; once for each topic.
    #[arg(long, value_name = "TOPIC=FILE")]
    pub data: Vec<String>,
    /// Another module in the place of the one that a strategy ran: would it have sent the same?
    #[arg(long, value_name = "STRATEGY=FILE")]
    pub module: Vec<String>,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Replays, and writes what it came to to stdout.
///
/// # Errors
/// [`CliError::Differs`] where an order is not the one that was sent.
pub fn run(args: &ReplayArgs) -> Result<(), CliError> {
    let outcome = replay(args)?;
    let text = match args.format {
        Format::Text => outcome.to_string(),
        Format::Json => serde_json::to_string(&outcome)
            .map_err(|error| CliError::Internal(format!("cannot write the outcome: {error}")))?,
    };
    // A reader that has gone away (`| head`) is no fault of anyone's.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    match outcome.differences() {
        0 => Ok(()),
        1 => Err(CliError::Differs("one strategy did not send what it sends now".to_owned())),
        several => Err(CliError::Differs(format!("{several} strategies did not send what they send now"))),
    }
}

fn replay(args: &ReplayArgs) -> Result<Outcome, CliError> {
    let kafka = match &args.brokers {
        Some(brokers) => Some(Kafka::of(brokers, args.kafka_properties.as_deref()).map_err(RunError::from)?),
        None => None,
    };
    let mut files = FileRecords::open(&args.data)?;
    let mut logs = kafka.clone().map(KafkaRecords::new);
    let others = others(&args.module)?;
    let sandbox =
        Sandbox::new(SandboxConfig::new(default_cache(), Compiler::this_executable().map_err(RunError::from)?))
            .map_err(RunError::from)?;
    let modules = |digest: &str| load(&sandbox, &args.journal, digest);
    let mut recorded = kafka.map(Recorded::new);
    let mut outcomes: BTreeMap<(String, String), StrategyOutcome> = BTreeMap::new();
    let (mut cut, mut records) = (Vec::new(), 0);
    for worker in Reader::workers(&args.journal).map_err(unreadable)? {
        let mut reader = Reader::open(&worker).map_err(unreadable)?;
        let mut follower = Follower::new(&modules);
        for (strategy, file) in &others {
            let module = sandbox.load_file(file).map_err(|error| CliError::Usage(chain(&error)))?;
            follower.substitute(strategy, module);
        }
        let (mut replayed, mut presented) = (Replayed::default(), Presented::default());
        let mut crashed = true;
        while let Some(entry) = reader.next_entry().map_err(unreadable)? {
            if matches!(entry, Entry::Start { .. }) {
                replayed.settle(crashed, &presented, recorded.as_mut(), &mut outcomes)?;
                crashed = true;
            }
            crashed &= !matches!(entry, Entry::Stop);
            if let Entry::Run(run) = &entry
                && let Some(source) = follower.source(run)
            {
                presented.note(source, run.first, run.last);
            }
            let records: &mut dyn Records = match &mut logs {
                Some(logs) if files.is_empty() => logs,
                _ => &mut files,
            };
            let followed = follower.follow(&entry, records, &mut |outbound| replayed.take(outbound, &mut outcomes));
            if let Err(error) = followed {
                return Err(trouble(error));
            }
        }
        follower.finish().map_err(trouble)?;
        replayed.settle(crashed, &presented, recorded.as_mut(), &mut outcomes)?;
        for (stream, sent) in recorded.iter().flat_map(|recorded| recorded.missed(&presented)) {
            if let Some(outcome) = outcomes.get_mut(&(stream.tenant.clone(), stream.strategy.clone())) {
                let sent = order_text(sent);
                outcome.differs(u64::MAX - 1, "an order that is not decided any more".to_owned(), None, Some(sent));
            }
        }
        cut.extend(reader.cut().iter().map(|(path, at)| format!("{} at byte {at}", path.display())));
        records += follower.records();
    }
    Ok(Outcome { records, strategies: outcomes.into_values().collect(), cut })
}

fn unreadable(error: JournalError) -> CliError {
    CliError::Usage(chain(&error))
}

fn trouble(error: FollowError) -> CliError {
    match error {
        FollowError::Records { .. } => CliError::Unavailable(chain(&error)),
        FollowError::Fault { .. } => CliError::Differs(chain(&error)),
        FollowError::App(_) | FollowError::Module { .. } | FollowError::Journal(_) => CliError::Usage(chain(&error)),
    }
}

/// A module of the journal's own folder. What bears a digest there must have it.
fn load(sandbox: &Sandbox, journal: &Path, digest: &str) -> Result<Module, LoadError> {
    let path = journal.join("modules").join(format!("{digest}.wasm"));
    let module = sandbox.load_file(&path)?;
    if module.digest().hex() != digest {
        let source = std::io::Error::other("the file is not the module whose digest it bears");
        return Err(LoadError::Read { path, source });
    }
    Ok(module)
}

/// `STRATEGY=FILE`.
fn others(texts: &[String]) -> Result<Vec<(String, PathBuf)>, CliError> {
    let other = |text: &String| match text.split_once('=') {
        Some((strategy, file)) => Ok((strategy.to_owned(), PathBuf::from(file))),
        None => Err(CliError::Usage(format!("--module {text}: say whose it is, as STRATEGY=FILE"))),
    };
    texts.iter().map(other).collect()
}
