//! How Pinion talks to Kafka: the low-latency profile, and what a deployment adds to it: TLS, SASL.
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
use rdkafka::error::KafkaError;

use crate::limits::{PRODUCER_KIB_MAX, PRODUCER_RECORD_BYTES_MAX, PRODUCER_RECORDS_MAX};

mod access;
pub mod batches;
mod callbacks;
pub mod log;
pub mod queue;
pub mod tail;
mod token;

pub(crate) use access::ANSWER;
pub use access::{AccessError, Right, TopicUse};
pub use callbacks::{Callbacks, is_fatal, is_unreachable};
pub use token::{TokenError, TokenFile, TokenUrlError};

/// Which Kafka, and the settings that a deployment adds (TLS, SASL). `Debug` shows no value of them.
#[derive(Clone)]
pub struct Kafka {
    brokers: String,
    extra: BTreeMap<String, String>,
    /// Where `extra` comes from, for messages.
    properties: Option<String>,
    /// Where tokens come from, with SASL/OAUTHBEARER.
    token: Option<TokenFile>,
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
    /// A setting that librdkafka does not have, or not in this build, or a value that it does not take.
    #[error("{path}:{line}: {problem}")]
    Setting {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What librdkafka says.
        problem: String,
    },
    /// OAUTHBEARER's tokens come from somewhere that Pinion cannot read.
    #[error("{path}:{line}: {TOKEN_URL}: {problem}")]
    TokenUrl {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What is supported.
        problem: TokenUrlError,
    },
    /// OAUTHBEARER without a word about where its tokens come from.
    #[error(
        "{path}: sasl.mechanism=OAUTHBEARER needs {TOKEN_URL}=file:///PATH, a file that holds a JWT and is kept fresh"
    )]
    NoToken {
        /// Which file.
        path: String,
    },
}

/// The Java clients' name for where tokens come from. librdkafka has it only with an OIDC client of its own, which this build
/// lacks; so it is read here.
const TOKEN_URL: &str = "sasl.oauthbearer.token.endpoint.url";

/// librdkafka's two names for the mechanism.
const MECHANISM: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];

/// Settings that Pinion's delivery promise rests on.
const FIXED: [&str; 11] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "message.timeout.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "statistics.interval.ms",
];

impl Kafka {
    /// These brokers, nothing added.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), extra: BTreeMap::new(), properties: None, token: None }
    }

    /// As a command line names it: brokers, and a properties file perhaps.
    ///
    /// # Errors
    /// As [`Kafka::with_properties`].
    pub fn of(brokers: &str, properties: Option<&Path>) -> Result<Self, PropertiesError> {
        let kafka = Self::new(brokers);
        match properties {
            Some(path) => kafka.with_properties(path),
            None => Ok(kafka),
        }
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
            if key == TOKEN_URL {
                let file = TokenFile::from_url(value).map_err(|problem| PropertiesError::TokenUrl {
                    path: shown.clone(),
                    line: line_number,
                    problem,
                })?;
                self.token = Some(file);
                continue;
            }
            // Here, where the line is known; and later errors of librdkafka's would show the value.
            if let Err(KafkaError::ClientConfig(_, problem, ..)) =
                ClientConfig::new().set(key, value).create_native_config()
            {
                return Err(PropertiesError::Setting { path: shown, line: line_number, problem });
            }
            self.extra.insert(key.to_owned(), value.to_owned());
        }
        let oauth = MECHANISM.iter().any(|key| self.extra.get(*key).is_some_and(|value| value == "OAUTHBEARER"));
        if oauth && self.token.is_none() {
            return Err(PropertiesError::NoToken { path: shown });
        }
        self.properties = Some(shown);
        Ok(self)
    }

    /// What a client of this name answers librdkafka.
    #[must_use]
    pub fn callbacks(&self, client: &'static str) -> Callbacks {
        Callbacks::new(client, self.token.clone())
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
        config.set("message.max.bytes", PRODUCER_RECORD_BYTES_MAX.to_string());
        config.set("queue.buffering.max.messages", PRODUCER_RECORDS_MAX.to_string());
        config.set("queue.buffering.max.kbytes", PRODUCER_KIB_MAX.to_string());
        config.set("retry.backoff.ms", "20");
        config.set("retry.backoff.max.ms", "500");
        // A producer warns of what only a consumer has a use for.
        self.finish(config, |key| !key.starts_with("fetch."))
    }

    /// A client of no profile, for a tool: the brokers, and what the deployment adds.
    #[must_use]
    pub fn plain(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        self.finish(config, |key| !key.starts_with("fetch."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_reach_debug_output() {
        let kafka = Kafka::new("broker:9092").with("sasl.password", "hunter2");
        assert!(!format!("{kafka:?}").contains("hunter2"));
    }

    /// What is said of a properties file.
    fn refused(name: &str, text: &str) -> PropertiesError {
        let path = std::env::temp_dir().join(format!("pinion-properties-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let outcome = Kafka::new("broker:9092").with_properties(&path);
        std::fs::remove_file(&path).unwrap();
        outcome.unwrap_err()
    }

    #[test]
    fn a_setting_that_the_delivery_promise_rests_on_is_refused_with_its_line() {
        let error = refused("fixed", "# TLS\nsecurity.protocol=SSL\nenable.auto.commit=true\n");
        assert!(matches!(error, PropertiesError::Fixed { line: 3, .. }), "{error}");
    }

    #[test]
    fn a_setting_that_librdkafka_does_not_take_is_refused_with_its_line_and_never_with_a_secret() {
        for wrong in ["sasl.pasword=hunter2", "sasl.jaas.config=password=\"hunter2\";", "sasl.oauthbearer.method=oidc"]
        {
            let error = refused("wrong", &format!("security.protocol=SASL_SSL\n{wrong}\n"));
            assert!(matches!(error, PropertiesError::Setting { line: 2, .. }), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn oauthbearer_needs_a_token_file_and_no_server_takes_its_place() {
        let error = refused("no-token", "sasl.mechanism=OAUTHBEARER\n");
        assert!(matches!(error, PropertiesError::NoToken { .. }), "{error}");
        let error =
            refused("http", "sasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://sso/token\n");
        assert!(matches!(error, PropertiesError::TokenUrl { line: 2, .. }), "{error}");
        assert!(error.to_string().contains("file:///PATH"), "{error}");
    }
}
