//! Sends the demo's market data, open loop: frame `i` is due `i` / rate after the start, whatever became of those before it. A frame
//! that is late is sent late and counted.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::Decoder;
use pinion_runtime::kafka::Kafka;
use pinion_spec::strategy::Encoding;

use super::generator::{Generator, SYMBOL};
use super::strategies::MARKET_TOPIC;
use crate::capture::{Capture, CaptureError, Frame};
use crate::error::CliError;
use crate::publish::{DELIVERY_TIMEOUT, Destination, Lateness, Sender, Sent, key_of};

/// Where frames come from.
pub(super) enum Feed {
    /// Made up.
    Generated(Box<Generator>),
    /// A capture, and a decoder that knows its symbols.
    Recorded(Capture, Box<Decoder>, Encoding),
}

impl Feed {
    /// A capture of Binance's streams, from its first frame.
    pub(super) fn recorded(path: &Path) -> Result<Self, CliError> {
        let encoding = Capture::guess(path)?;
        if !matches!(encoding, Encoding::BinanceSpot | Encoding::BinanceUsdm) {
            let (path, name) = (path.display(), encoding.name());
            return Err(CliError::Usage(format!(
                "{path} holds {name}; the demo's strategies trade BTCUSDT, spot or USD-M, from Binance's streams"
            )));
        }
        let decoder = Decoder::new(encoding, encoding.name(), &[]);
        let decoder = decoder.map_err(|error| CliError::Internal(error.to_string()))?;
        Ok(Self::Recorded(Capture::open(path)?, Box::new(decoder), encoding))
    }

    /// How the frames are written.
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Self::Generated(_) => Encoding::BinanceSpot,
            Self::Recorded(_, _, encoding) => *encoding,
        }
    }

    /// The next frame and its key; `None` at a capture's end.
    fn next(&mut self) -> Result<Option<(Frame<'_>, String)>, CaptureError> {
        match self {
            Self::Generated(generator) => Ok(Some((generator.next_frame(), SYMBOL.to_owned()))),
            Self::Recorded(capture, decoder, _) => {
                let Some(frame) = capture.next_frame()? else { return Ok(None) };
                let key = key_of(decoder, &frame).unwrap_or_default();
                Ok(Some((frame, key)))
            }
        }
    }
}

/// How far the publisher is. It writes, others read.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Records handed to the producer.
    pub(super) sent: AtomicU64,
    /// Of these, more than 1 ms after their time.
    pub(super) late: AtomicU64,
    /// Records that the broker has acknowledged; set at the end.
    pub(super) acked: AtomicU64,
    /// Nothing more comes.
    pub(super) finished: AtomicBool,
}

/// Sends at most `frames` frames at `rate` a second, until `stop` has a message or nobody can send one any more.
pub(super) fn run(
    mut feed: Feed,
    kafka: &Kafka,
    (rate, frames): (u32, u64),
    stop: &Receiver<()>,
    published: &Published,
) -> Result<(), CliError> {
    /// However this ends, nobody waits for more.
    struct Finish<'a>(&'a Published);
    impl Drop for Finish<'_> {
        fn drop(&mut self) {
            self.0.finished.store(true, Ordering::Release);
        }
    }
    let _finish = Finish(published);
    let sender = Sender::connect(
        Destination { kafka, topic: MARKET_TOPIC, partition: Some(0), patience: Some(DELIVERY_TIMEOUT) },
        stop,
    )?;
    let mut lateness = Lateness::new().map_err(CliError::Internal)?;
    let mut start_ns = mono_ns();
    for index in 0..frames {
        let Some((frame, key)) = feed.next()? else { break };
        let due_ns = start_ns.saturating_add(after_ns(index, rate));
        // Slept for to its end: the strategies need the processor more than the last microseconds of the schedule do.
        let left_ns = due_ns.saturating_sub(mono_ns());
        if sender.stopped_within(Duration::from_nanos(left_ns)) {
            break;
        }
        lateness.record(mono_ns().saturating_sub(due_ns));
        if let Sent::Stopped = sender.send(&frame, Some(&key))? {
            break;
        }
        if index == 0 {
            // An idempotent producer takes up to half a second for its first record; the schedule begins when it is ready.
            sender.finish();
            start_ns = mono_ns();
        }
        published.sent.store(index + 1, Ordering::Relaxed);
        published.late.store(lateness.count(), Ordering::Relaxed);
    }
    let delivered = sender.finish();
    published.acked.store(delivered.acked, Ordering::Release);
    match published.sent.load(Ordering::Relaxed) - delivered.acked {
        0 => Ok(()),
        lost => Err(CliError::Unavailable(format!(
            "{lost} market-data records were not acknowledged by {}",
            kafka.brokers()
        ))),
    }
}

/// When frame `index` is due after the first.
fn after_ns(index: u64, rate: u32) -> u64 {
    u64::try_from(u128::from(index) * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_by_the_rate_and_their_place_alone() {
        assert_eq!(
            (0..4).map(|index| after_ns(index, 3)).collect::<Vec<_>>(),
            [0, 333_333_333, 666_666_666, 1_000_000_000]
        );
        assert_eq!(after_ns(u64::from(u32::MAX), 1), u64::from(u32::MAX) * 1_000_000_000);
    }
}
