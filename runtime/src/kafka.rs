//! How Pinion talks to Kafka: the low-latency profile, what a deployment adds to it, and librdkafka's log.
//!
//! | setting | value | why |
//! |---|---|---|
//! | `fetch.min.bytes` | 1 | a fetch returns as soon as there is anything |
//! | `fetch.queue.backoff.ms` | 0 | the default pause of a second after a full local queue is a second of latency |
//! | `fetch.wait.max.ms` | 100 | an empty fetch is held by the broker this long; new data ends it at once |
//! | `enable.auto.commit` | false | offsets are committed by what has been acknowledged, not by what has been read |
//! | `enable.partition.eof` | true | tells a quiet stream from a slow one |
//! | `linger.ms` | 0 | a record is sent as soon as a request is free |
//! | `max.in.flight` | 1 | sends at once when idle and batches while a request is out: batching by back-pressure, not by timer |
//! | `enable.idempotence` | true | a retry inside the client makes no duplicate |
//! | `message.timeout.ms` | 0 | the client retries for ever: a lost broker delays an order, it does not lose it |
//! | `message.max.bytes` | 64 MiB | a dead letter is as large as what came: its topic sets the limit, not the client (default 1 MB) |

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Which Kafka, and the settings that a deployment adds (TLS, SASL). `Debug` shows no value of them.
#[derive(Clone)]
pub struct Kafka {
    brokers: String,
    extra: BTreeMap<String, String>,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers).field("extra", &self.extra.keys()).finish()
    }
}

/// A client properties file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    /// It cannot be read.
    #[error("cannot read the Kafka properties {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not `key=value`.
    #[error("{path}:{line}: not key=value")]
    Syntax {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
    },
    /// A setting that Pinion decides itself, because its promises rest on it.
    #[error("{path}:{line}: {key} is set by Pinion and cannot be changed; remove the line")]
    Fixed {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// The setting.
        key: String,
    },
}

/// Settings that Pinion's delivery promise rests on.
const FIXED: [&str; 9] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "message.timeout.ms",
    "statistics.interval.ms",
];

impl Kafka {
    /// These brokers, nothing added.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), extra: BTreeMap::new() }
    }

    /// The brokers, as given.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Adds one of librdkafka's settings.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.extra.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds the settings of a properties file: `key=value` lines, `#` comments. Secrets belong there, not on a command line.
    ///
    /// # Errors
    /// Names the file and line.
    pub fn with_properties(mut self, path: &Path) -> Result<Self, PropertiesError> {
        let shown = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| PropertiesError::Read { path: shown.clone(), source })?;
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(PropertiesError::Syntax { path: shown, line: line_number });
            };
            let (key, value) = (key.trim(), value.trim());
            if FIXED.contains(&key) {
                return Err(PropertiesError::Fixed { path: shown, line: line_number, key: key.to_owned() });
            }
            self.extra.insert(key.to_owned(), value.to_owned());
        }
        Ok(self)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "pinion");
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("topic.metadata.refresh.interval.ms", "60000");
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn finish(&self, mut config: ClientConfig, wanted: impl Fn(&str) -> bool) -> ClientConfig {
        for (key, value) in self.extra.iter().filter(|(key, _)| wanted(key)) {
            config.set(key, value);
        }
        config
    }

    /// A consumer of the low-latency profile.
    #[must_use]
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.base();
        config.set("group.id", group);
        config.set("fetch.min.bytes", "1");
        config.set("fetch.queue.backoff.ms", "0");
        config.set("fetch.wait.max.ms", "100");
        config.set("fetch.error.backoff.ms", "20");
        config.set("queued.max.messages.kbytes", "16384");
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("session.timeout.ms", "10000");
        self.finish(config, |_| true)
    }

    /// A producer of the low-latency profile.
    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config.set("linger.ms", "0");
        config.set("max.in.flight", "1");
        config.set("enable.idempotence", "true");
        config.set("message.timeout.ms", "0");
        config.set("message.max.bytes", "67108864");
        config.set("retry.backoff.ms", "20");
        config.set("retry.backoff.max.ms", "500");
        // A producer warns of what only a consumer has a use for.
        self.finish(config, |key| !key.starts_with("fetch."))
    }
}

/// Where librdkafka's own log lines go, and whether any broker answers.
#[derive(Debug, Clone)]
pub struct Log {
    client: &'static str,
}

impl Log {
    /// For the client of this name.
    #[must_use]
    pub const fn new(client: &'static str) -> Self {
        Self { client }
    }

    /// A log line of the library.
    pub fn line(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(client, facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(client, facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(client, facility, "{message}"),
            RDKafkaLogLevel::Debug => tracing::debug!(client, facility, "{message}"),
        }
    }

    /// An error of the client as a whole. Lost connections are the client's to mend and only worth a warning.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        let client = self.client;
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            // Not an error: it tells a quiet stream, and `poll` returns it too.
        } else if is_unreachable(error) {
            // One for every attempt to connect, forty a second. The library's own log line, which it holds back when it repeats
            // itself, names the broker and the reason.
            tracing::debug!(client, "{reason}");
        } else if is_fatal(error) {
            tracing::error!(client, "{reason}");
        } else {
            tracing::warn!(client, "{reason}");
        }
    }
}

/// Whether a client can never work again.
#[must_use]
pub fn is_fatal(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::SaslAuthenticationFailed))
}

/// Whether an error says that no broker can be reached.
#[must_use]
pub fn is_unreachable(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::WaitingForCoordinator
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_reach_debug_output() {
        let kafka = Kafka::new("broker:9092").with("sasl.password", "hunter2");
        assert!(!format!("{kafka:?}").contains("hunter2"));
    }

    #[test]
    fn a_setting_that_the_delivery_promise_rests_on_is_refused_with_its_line() {
        let path = std::env::temp_dir().join(format!("pinion-properties-{}", std::process::id()));
        std::fs::write(&path, "# TLS\nsecurity.protocol=SSL\nenable.auto.commit=true\n").unwrap();
        let error = Kafka::new("broker:9092").with_properties(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(error, PropertiesError::Fixed { line: 3, .. }), "{error}");
    }
}
