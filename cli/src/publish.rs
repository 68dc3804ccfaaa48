//! `pinion publish`: a capture into Kafka at its recorded gaps, open loop.
//!
//! When each frame is due is computed from the recording alone; a frame that is late is sent late and counted, never skipped, and
//! does not put off the ones after it. So what the reader of the topic feels is the recorded load, however the broker behaves.
//!
//! A record is the frame as it came; its key is the symbol (or the instrument's id where the encoding has no symbols), its
//! timestamp now, and its header `pinion-ts-recv` the time of capture.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::{DecodeError, Decoder, Record};
use pinion_runtime::kafka::Kafka;
use pinion_runtime::run::RunError;
use pinion_spec::strategy::Encoding;

use crate::capture::{Capture, Frame};
use crate::capture_progress::Progress;
use crate::capture_source::{Source, SourceArgs};
use crate::error::CliError;
use crate::inspect::Format;
use crate::signal;

#[path = "publish_pace.rs"]
mod pace;
#[path = "publish_sender.rs"]
mod sender;
#[path = "publish_summary.rs"]
mod summary;

use pace::Pace;
pub use pace::Speed;
pub(crate) use sender::{DELIVERY_TIMEOUT, Destination, Sender, Sent};
pub(crate) use summary::Lateness;
use summary::Summary;

/// Replays a capture into a Kafka topic at its recorded gaps
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pinion publish usdm-btcusdt_20240808.gz --brokers localhost:9092 --topic md.usdm\n  \
    pinion publish capture.gz --brokers localhost:9092 --topic md --speed 10 --loop"
)]
pub struct PublishArgs {
    /// Capture, as `pinion inspect` reads it
    pub file: PathBuf,
    /// Brokers to ask for the cluster
    #[arg(long, value_name = "HOST:PORT,..")]
    pub brokers: String,
    /// A properties file with more client settings: TLS, SASL. Secrets belong there
    #[arg(long, value_name = "FILE")]
    pub kafka_properties: Option<PathBuf>,
    /// Topic to write to; it must exist, unless the broker creates topics by itself
    #[arg(long)]
    pub topic: String,
    /// Partition to write to [default: by the record's key]
    #[arg(long, value_name = "N")]
    pub partition: Option<u16>,
    /// How fast: 1 as recorded, N times as fast (0.5 is half), or max
    #[arg(long, value_name = "1|N|max", default_value = "1")]
    pub speed: Speed,
    /// Start again at the end, until Ctrl-C
    #[arg(long = "loop")]
    pub repeat: bool,
    /// How its frames are decoded
    #[command(flatten)]
    pub source: SourceArgs,
    /// How to write the summary
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Publishes the capture; on Ctrl-C sends nothing more, waits for what is under way and sums up as usual. So it does where the file is
/// damaged or cut: what stands before that is sent.
///
/// # Errors
/// [`CliError::Usage`] for a bad file, topic or partition, [`CliError::Unavailable`] for a broker that cannot be reached or did not take
/// all records.
pub fn run(args: PublishArgs) -> Result<(), CliError> {
    let stop = signal::stop()?;
    let (summary, damage) = publish(&args, &stop)?;
    let text = match args.format {
        Format::Text => summary.to_string(),
        Format::Json => serde_json::to_string(&summary)
            .map_err(|error| CliError::Internal(format!("cannot write the summary: {error}")))?,
    };
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    if summary.acked < summary.sent {
        let lost = summary.sent - summary.acked;
        return Err(CliError::Unavailable(format!(
            "{lost} of {} records were not acknowledged by {}; look at the broker's log and publish again",
            summary.sent, args.brokers
        )));
    }
    damage.map_or(Ok(()), Err)
}

/// Sends until the end of the capture (of all passes), until `stop` has a message, or as far as it can be read, and then says why no
/// further.
fn publish(args: &PublishArgs, stop: &Receiver<()>) -> Result<(Summary, Option<CliError>), CliError> {
    let source = Source::of(&args.source, &args.file)?;
    let mut decoder = source.decoder()?;
    let kafka = Kafka::of(&args.brokers, args.kafka_properties.as_deref()).map_err(RunError::from)?;
    let to =
        Destination { kafka: &kafka, topic: &args.topic, partition: args.partition, patience: Some(DELIVERY_TIMEOUT) };
    let sender = Sender::connect(to, stop)?;
    let started_ns = mono_ns();
    let mut summary = Summary::default();
    let mut lateness = Lateness::new().map_err(CliError::Internal)?;
    let damage = loop {
        let before = summary.sent;
        match pass(args, source.encoding, &sender, &mut decoder, &mut summary, &mut lateness) {
            Err(error) => break Some(error),
            Ok(whole) => {
                summary.passes += u64::from(whole);
                // An empty capture must not be read for ever.
                if !whole || !args.repeat || summary.sent == before {
                    break None;
                }
            }
        }
    };
    let delivered = sender.finish();
    (summary.acked, summary.failed) = (delivered.acked, delivered.failed);
    summary.late = lateness.report();
    summary.seconds = Duration::from_nanos(mono_ns() - started_ns).as_secs_f64();
    Ok((summary, damage))
}

/// Sends the capture once; false when stopped before its end.
fn pass(
    args: &PublishArgs,
    encoding: Encoding,
    sender: &Sender<'_>,
    decoder: &mut Decoder,
    summary: &mut Summary,
    lateness: &mut Lateness,
) -> Result<bool, CliError> {
    let mut capture = Capture::open_as(&args.file, encoding)?;
    let mut progress = Progress::new(capture.progress());
    let mut pace = Pace::new(args.speed, mono_ns());
    while let Some(mut frame) = capture.next_frame()? {
        progress.tick(|| format!("{} sent, {} late", summary.sent, lateness.count()));
        let (key, value);
        match key_of(decoder, &frame) {
            Ok(symbol) => key = Some(symbol),
            Err(error) => {
                // Whoever asks the capture about it lets go of its bytes.
                (key, value) = (None, frame.value.to_vec());
                let ts_recv = frame.ts_recv;
                if let Some(cut) = capture.cut(&error) {
                    return Err(cut.into());
                }
                frame = Frame { ts_recv, value: &value };
                summary.undecodable += 1;
            }
        }
        let due_ns = pace.due_ns(frame.ts_recv);
        if sender.stopped_before(due_ns.unwrap_or(0)) {
            return Ok(false);
        }
        if let Some(due_ns) = due_ns {
            lateness.record(mono_ns().saturating_sub(due_ns));
        }
        match sender.send(&frame, key.as_deref())? {
            Sent::Queued { retries } => summary.queue_full += retries,
            Sent::Stopped => return Ok(false),
        }
        summary.sent += 1;
    }
    Ok(true)
}

/// A frame's symbol, or its instrument's id in an encoding without symbols. A message without an instrument (an answer to a
/// subscription) has an empty key.
///
/// # Errors
/// What is wrong with a frame that cannot be decoded.
pub(crate) fn key_of(decoder: &mut Decoder, frame: &Frame<'_>) -> Result<String, DecodeError> {
    let mut events = Vec::new();
    decoder.decode(&Record { value: frame.value, key: None, ts_recv: frame.ts_recv }, &mut events)?;
    let Some(event) = events.first() else { return Ok(String::new()) };
    let id = event.head.instrument_id;
    Ok(decoder.symbols().symbol_of(id).map_or_else(|| id.to_string(), str::to_owned))
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
