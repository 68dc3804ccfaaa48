//! What every client answers librdkafka: where its log lines go, what becomes of its errors, which token it shows.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::token::TokenFile;
use crate::args::chain;
use crate::clock::wall_ns;

/// The answers of one client: its context, or what its context hands its callbacks on to.
///
/// librdkafka asks for a token inside `poll`, so a client that waits for something else must be polled meanwhile; and a context
/// of one's own must say `ENABLE_REFRESH_OAUTH_TOKEN`, or it is never asked.
#[derive(Debug, Clone)]
pub struct Callbacks {
    client: &'static str,
    token: Option<TokenFile>,
    errors: Arc<Mutex<Errors>>,
}

/// What a client's errors came to.
#[derive(Debug, Default)]
struct Errors {
    last: Option<Trouble>,
    telling: Option<Trouble>,
}

/// An error of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

impl Callbacks {
    /// For the client of this name.
    pub(super) fn new(client: &'static str, token: Option<TokenFile>) -> Self {
        Self { client, token, errors: Arc::default() }
    }

    /// The error so far that tells most of why a client has no broker.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).telling.clone()
    }

    /// Remembers an error. False where it is the last one again: a producer reports each twice, and the library's own log line
    /// says how often it came.
    fn is_news(&self, code: RDKafkaErrorCode, reason: &str) -> bool {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = Some(Trouble { code, reason: reason.to_owned() });
        if errors.last == trouble {
            return false;
        }
        if errors.telling.as_ref().is_none_or(|telling| weight(telling.code) <= weight(code)) {
            errors.telling.clone_from(&trouble);
        }
        errors.last = trouble;
        true
    }
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// A log line of the library.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
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
    fn error(&self, error: KafkaError, reason: &str) {
        let client = self.client;
        let Some(code) = error.rdkafka_error_code() else { return tracing::warn!(client, "{reason}") };
        if code == RDKafkaErrorCode::PartitionEOF {
            // Not an error: it tells a quiet stream, and `poll` returns it too.
            return;
        }
        let news = self.is_news(code, reason);
        if is_unreachable(&error) || !news {
            // One for every attempt to connect, forty a second. The library's own log line, which it holds back when it repeats
            // itself, names the broker and the reason.
            tracing::debug!(client, "{reason}");
        } else if is_fatal(&error) {
            tracing::error!(client, "{reason}");
        } else {
            tracing::warn!(client, "{reason}");
        }
    }

    /// The token that lies in the file now. Of what goes wrong librdkafka makes an authentication error with this text.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let file = self.token.as_ref().ok_or("no sasl.oauthbearer.token.endpoint.url names a token file")?;
        let token = file.read(wall_ms()).map_err(|error| chain(&error))?;
        Ok(OAuthToken { token: token.value, principal_name: token.subject, lifetime_ms: token.expires_ms })
    }
}

impl ConsumerContext for Callbacks {}

/// The time that tokens are measured by, ms since the Unix epoch.
pub(super) fn wall_ms() -> i64 {
    i64::try_from(wall_ns() / 1_000_000).unwrap_or(i64::MAX)
}

/// How much an error tells: that all brokers are down follows from every other, and a refusal tells more than a lost connection.
fn weight(code: RDKafkaErrorCode) -> u8 {
    match code {
        RDKafkaErrorCode::AllBrokersDown => 0,
        code if is_refusal(code) => 2,
        _ => 1,
    }
}

/// Whether it is about something that only a person can mend.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    is_credentials(code) || is_right(code) || code == RDKafkaErrorCode::SSL
}

/// Whether it says that the broker does not take the client for who it says it is.
pub(super) fn is_credentials(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
}

/// Whether it says that the client's user lacks a right.
pub(super) fn is_right(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
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
    fn the_error_that_tells_most_is_remembered() {
        let callbacks = Callbacks::new("test", None);
        let say = |code, reason: &str| callbacks.error(KafkaError::Global(code), reason);
        say(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        say(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(callbacks.trouble().unwrap().reason, "connection refused");
        say(RDKafkaErrorCode::Authentication, "wrong password");
        say(RDKafkaErrorCode::BrokerTransportFailure, "disconnected");
        assert_eq!(callbacks.trouble().unwrap().reason, "wrong password");
    }
}
