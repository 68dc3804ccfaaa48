//! Whether this client may do what it is to do: the first answer of a cluster, and why it does not come, in words that a person
//! can act on.
//!
//! Asked before anything is read, so a wrong password or a missing grant ends the process instead of hanging it. Costs a request
//! for each topic.

use std::fmt;
use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};

use super::callbacks::{Callbacks, Trouble, is_credentials, is_refusal, is_right, is_unreachable, wall_ms};
use super::{Kafka, TokenError};
use crate::clock::mono_ns;

/// How long a cluster has for its first answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long other brokers have for theirs when one has refused.
const SECOND_OPINION: Duration = Duration::from_secs(1);
/// The first attempt is cut off after this, each next one after twice as long: an answer that is near comes at once, and one that
/// takes seconds still comes.
const ATTEMPT: Duration = Duration::from_millis(100);
/// Between two attempts librdkafka's callbacks are served this long.
const SERVE: Duration = Duration::from_millis(10);

/// What is done with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicUse {
    /// Its records are read.
    Read,
    /// Records are written to it.
    Write,
}

/// A right that a client's user lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// To use a topic.
    Topic(TopicUse, String),
    /// To be in a consumer group and commit its offsets.
    Group(String),
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(TopicUse::Read, topic) => write!(f, "read topic {topic}"),
            Self::Topic(TopicUse::Write, topic) => write!(f, "write topic {topic}"),
            Self::Group(group) => write!(f, "use consumer group {group}"),
        }
    }
}

impl Right {
    /// As `kafka-acls` takes it.
    fn arguments(&self) -> String {
        match self {
            Self::Topic(TopicUse::Read, topic) => format!("--operation Read --topic {topic}"),
            Self::Topic(TopicUse::Write, topic) => format!("--operation Write --topic {topic}"),
            Self::Group(group) => format!("--operation Read --group {group}"),
        }
    }
}

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// librdkafka makes no client of the settings.
    #[error("{problem}")]
    Settings {
        /// What it says, without any value.
        problem: String,
    },
    /// No broker has answered.
    #[error(
        "no answer within {seconds} s: {reason}; is the broker running, and does its advertised listener resolve from here?"
    )]
    Silent {
        /// How long it was waited for.
        seconds: u64,
        /// The client's last error.
        reason: String,
    },
    /// Who the client says it is, is not believed.
    #[error("the credentials are refused: {reason}; {remedy}")]
    Credentials {
        /// What the broker says.
        reason: String,
        /// What to look at.
        remedy: String,
    },
    /// There is no token to show.
    #[error("no token")]
    Token(#[from] TokenError),
    /// There is no TLS between client and broker.
    #[error("no TLS connection: {reason}; {remedy}")]
    Tls {
        /// What OpenSSL says.
        reason: String,
        /// What to look at.
        remedy: String,
    },
    /// The user is known and may not.
    #[error("{principal} may not {right}; grant it: {command}")]
    Forbidden {
        /// The user.
        principal: String,
        /// What they may not do.
        right: Right,
        /// What grants it.
        command: String,
    },
}

/// Why a question had no answer: what the call returned, and what the client's callbacks told meanwhile.
pub(super) struct Unanswered {
    pub(super) error: KafkaError,
    trouble: Option<Trouble>,
}

impl Kafka {
    /// How many partitions a topic has; 0: it does not exist. Blocks until a broker answers. `serve` takes that long and polls
    /// the client meanwhile, or just waits where a thread polls it.
    ///
    /// Kafka shows a topic to whoever may do anything with it: that a topic is shown does not say that it may be used so.
    ///
    /// # Errors
    /// [`AccessError`], after 10 s at most.
    pub fn partitions<C: ClientContext>(
        &self,
        client: &Client<C>,
        callbacks: &Callbacks,
        (topic, used): (&str, TopicUse),
        serve: impl Fn(Duration),
    ) -> Result<usize, AccessError> {
        let metadata = insist(callbacks, serve, |limit| client.fetch_metadata(Some(topic), limit))
            .map_err(|unanswered| self.explain(unanswered))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(found.partitions().len()),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(self.forbidden(Right::Topic(used, topic.to_owned())))
            }
            Some(_) => Ok(0),
        }
    }

    /// Whether a consumer may use its group: asks what it has committed for one partition of `topic`.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`]. What else may be wrong with a group is for whoever reads to wait for.
    pub fn check_group<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        callbacks: &Callbacks,
        (group, topic): (&str, &str),
    ) -> Result<(), AccessError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let ask = |limit| consumer.committed_offsets(list.clone(), limit);
        let Err(Unanswered { error, trouble }) = insist(callbacks, |time| drop(consumer.poll(time)), ask) else {
            return Ok(());
        };
        // The coordinator may refuse, or may not even be asked for; of that only a poll tells.
        let codes = [error.rdkafka_error_code(), trouble.map(|trouble| trouble.code)];
        match codes.contains(&Some(RDKafkaErrorCode::GroupAuthorizationFailed)) {
            true => Err(self.forbidden(Right::Group(group.to_owned()))),
            false => Ok(()),
        }
    }

    /// What to tell of a record for `topic` that Kafka has refused for good; `fatal` is the reason where the client itself is done.
    #[must_use]
    pub fn refused(&self, error: &KafkaError, fatal: Option<(RDKafkaErrorCode, String)>, topic: &str) -> String {
        let restart = if fatal.is_some() { "; then restart, this client has given up" } else { "" };
        let (code, reason) = match fatal {
            Some((code, reason)) => (Some(code), reason),
            None => (error.rdkafka_error_code(), error.to_string()),
        };
        // Who may not write any topic may not be an idempotent producer either.
        match code.filter(|code| is_right(*code)) {
            Some(_) => format!("{}{restart}", self.forbidden(Right::Topic(TopicUse::Write, topic.to_owned()))),
            None => reason,
        }
    }

    /// What to tell of a client that cannot be made.
    #[must_use]
    pub fn settings_error(&self, error: &KafkaError) -> AccessError {
        // Never the error's own text where it holds the setting's value.
        let problem = match error {
            KafkaError::ClientConfig(_, description, key, _) => format!("setting {key}: {description}"),
            KafkaError::ClientCreation(description) => description.clone(),
            other => other.to_string(),
        };
        AccessError::Settings { problem: format!("{}: {problem}", self.source()) }
    }

    /// That this client's user lacks a right.
    pub(crate) fn forbidden(&self, right: Right) -> AccessError {
        let principal = self.principal();
        let user = principal.as_deref().unwrap_or("User:NAME");
        let command = format!("kafka-acls --add --allow-principal {user} {}", right.arguments());
        AccessError::Forbidden {
            principal: principal.unwrap_or_else(|| "this client's user".to_owned()),
            right,
            command,
        }
    }

    fn explain(&self, Unanswered { error, trouble }: Unanswered) -> AccessError {
        let (code, reason) = match trouble {
            Some(Trouble { code, reason }) => (Some(code), reason),
            None => (None, error.to_string()),
        };
        // Before anything that follows from it.
        if let Some(Err(error)) = self.token.as_ref().map(|file| file.read(wall_ms())) {
            return error.into();
        }
        match code {
            Some(code) if is_credentials(code) => {
                AccessError::Credentials { reason, remedy: self.credentials_remedy() }
            }
            Some(RDKafkaErrorCode::SSL) => AccessError::Tls { reason, remedy: self.tls_remedy() },
            _ => AccessError::Silent { seconds: ANSWER.as_secs(), reason },
        }
    }

    fn credentials_remedy(&self) -> String {
        match &self.token {
            Some(file) => format!(
                "see that issuer and audience of the token in {} are those that the brokers expect",
                file.path().display()
            ),
            None => format!(
                "check sasl.mechanism, sasl.username and sasl.password in {}, and that the cluster knows this user for this mechanism",
                self.source()
            ),
        }
    }

    fn tls_remedy(&self) -> String {
        let verb = if self.extra.contains_key("ssl.ca.location") { "check" } else { "set" };
        format!(
            "{verb} ssl.ca.location in {}: a PEM file with the authority that signed the brokers' certificates; and --brokers must \
             name the hosts that those certificates name",
            self.source()
        )
    }

    /// Who the brokers take this client for, where the settings tell.
    pub(crate) fn principal(&self) -> Option<String> {
        let name = match &self.token {
            // An ended one names its user, too.
            Some(file) => file.read(i64::MIN).ok().map(|token| token.subject),
            None => self.extra.get("sasl.username").cloned(),
        };
        name.map(|name| format!("User:{name}"))
    }

    /// Where the settings come from.
    fn source(&self) -> &str {
        self.properties.as_deref().unwrap_or("the file of --kafka-properties")
    }
}

/// Asks again and again, with more and more patience, until there is an answer or no hope for one.
pub(super) fn insist<T>(
    callbacks: &Callbacks,
    serve: impl Fn(Duration),
    ask: impl Fn(Duration) -> KafkaResult<T>,
) -> Result<T, Unanswered> {
    let mut until = mono_ns() + nanos(ANSWER);
    let (mut attempt, mut refused) = (ATTEMPT, false);
    loop {
        serve(SERVE);
        let left = Duration::from_nanos(until.saturating_sub(mono_ns()));
        let error = match ask(attempt.min(left)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let trouble = callbacks.trouble();
        if !refused && trouble.as_ref().is_some_and(|trouble| is_refusal(trouble.code)) {
            refused = true;
            until = until.min(mono_ns() + nanos(SECOND_OPINION));
        }
        if !is_unreachable(&error) || mono_ns() >= until {
            return Err(Unanswered { error, trouble });
        }
        attempt = (attempt * 2).min(ANSWER);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
