//! What may go wrong with a registry, in words that say what to do. No message holds a secret, nor the address of a redirect, which may be signed.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use crate::modules::ModulesError;

/// Why a module was not pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody there, or no more.
    #[error("{host} is not reached: {problem}")]
    Unreachable {
        /// Whom we spoke to.
        host: String,
        /// What the system says.
        problem: String,
    },
    /// Its address is nothing to connect to.
    #[error("{host} is at an address that is not connected to: further inside than the registry, or no machine's own")]
    Inside {
        /// Whom we were to speak to.
        host: String,
    },
    /// No host.
    #[error("{0} is no host that can be asked")]
    Host(String),
    /// Its certificate.
    #[error(
        "{host} is not trusted: {problem}; an authority of your own is given by --registry-ca, or registry.authorities of the Tenant"
    )]
    Untrusted {
        /// Whom we spoke to.
        host: String,
        /// What OpenSSL says.
        problem: String,
    },
    /// It answers, and not in TLS.
    #[error("{host} speaks no TLS; --registry-plain-http {host} would speak to it without")]
    NoTls {
        /// Whom we spoke to.
        host: String,
    },
    /// Too slow.
    #[error("{host} lets us wait for more than {limit:?}")]
    Slow {
        /// Whom we spoke to.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// It does not know us.
    #[error("unauthorised: {host} wants credentials, and {credentials}")]
    Unauthorised {
        /// The registry.
        host: String,
        /// What there is of credentials.
        credentials: String,
    },
    /// It knows us, and that is not enough.
    #[error("forbidden: {host} does not let these credentials at the {what}")]
    Forbidden {
        /// The registry.
        host: String,
        /// What was asked for.
        what: &'static str,
    },
    /// It has no such thing.
    #[error("not found: {host} has no such {what}")]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: &'static str,
    },
    /// Another answer than one that does what was asked for.
    #[error("{host} answers {status} where a {what} was asked for")]
    Status {
        /// Whom we spoke to.
        host: String,
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        status: StatusCode,
    },
    /// It sends us where we do not go.
    #[error("{host} sends us elsewhere: {problem}")]
    Redirect {
        /// Who sends us.
        host: String,
        /// Why we do not go.
        problem: String,
    },
    /// Something else than was asked for.
    #[error("digest mismatch: the {what} that came is sha256:{is}, not sha256:{wanted}")]
    OtherDigest {
        /// Manifest or module.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// What came.
        is: String,
    },
    /// Something longer than it may be.
    #[error("too large: the {what} has more than {limit} bytes")]
    TooLarge {
        /// Manifest, module or another answer.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is there and no module.
    #[error("not a Wasm artefact: {0}")]
    Artefact(String),
    /// Docker's file.
    #[error("registry credentials: {} {problem}", file.display())]
    Credentials {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file of authorities.
    #[error("certificates of authorities: {}: {problem}", file.display())]
    Authorities {
        /// Which file.
        file: PathBuf,
        /// What OpenSSL says.
        problem: String,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Keep(#[from] ModulesError),
    /// The operating system refused.
    #[error("set up the network")]
    System(#[from] std::io::Error),
}

impl RegistryError {
    /// Whether nothing but a person's doing mends it: a push, a right, another digest.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Status { .. } | Self::Keep(_) | Self::System(_) => {
                false
            }
            Self::Inside { .. }
            | Self::Host(_)
            | Self::Untrusted { .. }
            | Self::NoTls { .. }
            | Self::Unauthorised { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Redirect { .. }
            | Self::OtherDigest { .. }
            | Self::TooLarge { .. }
            | Self::Artefact(_)
            | Self::Credentials { .. }
            | Self::Authorities { .. } => true,
        }
    }
}
