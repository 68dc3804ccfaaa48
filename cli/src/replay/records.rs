//! Where a journal's records come from: Kafka, or captures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pinion_runtime::decode::Record;
use pinion_runtime::kafka::Kafka;
use pinion_runtime::kafka::log::LogReader;
use pinion_runtime::playback::follow::Records;

use crate::capture::Capture;
use crate::error::CliError;

/// From the topics that they were read from.
pub(super) struct KafkaRecords(LogReader);

impl KafkaRecords {
    pub(super) const fn new(kafka: Kafka) -> Self {
        Self(LogReader::new(kafka))
    }
}

impl Records for KafkaRecords {
    fn read(
        &mut self,
        topic: &str,
        partition: u16,
        offsets: (u64, u64),
        take: &mut dyn FnMut(u64, &Record<'_>),
    ) -> Result<(), String> {
        let read = self.0.read(topic, partition, offsets, |_, offset, record| take(offset, record));
        read.map_err(|error| error.to_string())
    }
}

/// From captures, whose n-th message is offset n of partition 0: what `pinion publish` makes of one in an empty topic.
pub(super) struct FileRecords {
    files: BTreeMap<String, File>,
}

struct File {
    path: PathBuf,
    capture: Option<Capture>,
    /// The offset of the capture's next message.
    next: u64,
}

impl FileRecords {
    /// Of `TOPIC=FILE` texts.
    pub(super) fn open(texts: &[String]) -> Result<Self, CliError> {
        let mut files = BTreeMap::new();
        for text in texts {
            let Some((topic, path)) = text.split_once('=') else {
                return Err(CliError::Usage(format!("--data {text}: say which topic it is, as TOPIC=FILE")));
            };
            let path = PathBuf::from(path);
            let capture = Some(Capture::open(&path)?);
            if files.insert(topic.to_owned(), File { path, capture, next: 0 }).is_some() {
                return Err(CliError::Usage(format!("--data {text}: there is a file of {topic} already")));
            }
        }
        Ok(Self { files })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Records for FileRecords {
    fn read(
        &mut self,
        topic: &str,
        partition: u16,
        (first, last): (u64, u64),
        take: &mut dyn FnMut(u64, &Record<'_>),
    ) -> Result<(), String> {
        let known: Vec<_> = self.files.keys().cloned().collect();
        let file = self.files.get_mut(topic).filter(|_| partition == 0);
        let file = file.ok_or_else(|| format!("no --data has them; there is partition 0 of {}", known.join(", ")))?;
        if first < file.next || file.capture.is_none() {
            file.capture = Some(Capture::open(&file.path).map_err(|error| error.to_string())?);
            file.next = 0;
        }
        let Some(capture) = &mut file.capture else { return Ok(()) };
        while file.next <= last {
            match capture.next_frame().map_err(|error| error.to_string())? {
                None => return Err(format!("{} ends at message {}", file.path.display(), file.next)),
                Some(frame) => {
                    if file.next >= first {
                        take(file.next, &Record { value: frame.value, key: None, ts_recv: frame.ts_recv });
                    }
                    file.next += 1;
                }
            }
        }
        Ok(())
    }
}
