//! Whether the Secret with a tenant's Kafka credentials is there: pods that name a missing one would wait for it in silence.
//!
//! What is in the Secret is not kept, and not looked at but for the names of its entries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use pinion_spec::tenant::SecretKey;

use crate::client::{ReadError, read};
use crate::clock::mono_ns;
use crate::metrics::Metrics;

/// How long one that was there counts as there. One that was not is asked for in every round.
const FRESH: Duration = Duration::from_secs(60);

/// Why pods would not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The Secret is not there.
    #[error(
        "spec.kafka.credentials of the Tenant: there is no Secret {name} in namespace {namespace}; create it with the entry {key}, the \
         properties of Kafka's client"
    )]
    Secret {
        /// Where it should be.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry that is read.
        key: String,
    },
    /// It has no such entry.
    #[error(
        "spec.kafka.credentials of the Tenant: Secret {name} in namespace {namespace} has no entry {key}; add it, or name another in \
         credentials.key"
    )]
    Key {
        /// Where it is.
        namespace: String,
        /// Its name.
        name: String,
        /// The entry that is read.
        key: String,
    },
}

/// Asks for Secrets.
pub struct Credentials {
    client: Client,
    metrics: Arc<Metrics>,
    there: Mutex<BTreeMap<(String, String, String), u64>>,
}

impl Credentials {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, there: Mutex::default() }
    }

    /// Why a tenant's pods would not start; `None` where they would.
    ///
    /// # Errors
    /// If Kubernetes does not say.
    pub async fn missing(&self, namespace: &str, wanted: Option<&SecretKey>) -> Result<Option<Missing>, ReadError> {
        let Some(SecretKey { name, key }) = wanted.cloned() else { return Ok(None) };
        let namespace = namespace.to_owned();
        let id = (namespace.clone(), name.clone(), key.clone());
        let now_ns = mono_ns();
        let known = self.there.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        if known.is_some_and(|at_ns| Duration::from_nanos(now_ns.saturating_sub(at_ns)) < FRESH) {
            return Ok(None);
        }
        let api = Api::<Secret>::namespaced(self.client.clone(), &namespace);
        let secret = match (read(&self.metrics, api.get_opt(&name)).await, known) {
            (Ok(secret), _) => secret,
            // It was there; that nobody says so now takes nothing away.
            (Err(_), Some(_)) => return Ok(None),
            (Err(error), None) => return Err(error),
        };
        let has = secret.as_ref().map(|secret| secret.data.as_ref().is_some_and(|data| data.contains_key(&key)));
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        there.remove(&id);
        Ok(match has {
            Some(true) => {
                there.insert(id, now_ns);
                None
            }
            Some(false) => Some(Missing::Key { namespace, name, key }),
            None => Some(Missing::Secret { namespace, name, key }),
        })
    }
}
