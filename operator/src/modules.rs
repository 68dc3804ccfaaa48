//! What pins a strategy's module. Of one in a ConfigMap that is its SHA-256, and its bytes are had when a pod asks for them; they are
//! not kept. Of one in a registry it is the digest that the strategy names: the pods pull it, and nothing is asked here.
//!
//! A digest that was read once holds while Kubernetes does not answer, and for ever if the ConfigMap is immutable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use pinion_spec::oci::{NameError, Reference};
use pinion_spec::strategy::{ConfigMapKey, ModuleSource};
use sha2::{Digest as _, Sha256};

use crate::client::{ReadError, read};
use crate::clock::mono_ns;
use crate::metrics::Metrics;

/// How long a digest is trusted before the ConfigMap's version is asked for again: nobody but an administrator may change one.
const FRESH: Duration = Duration::from_secs(60);
/// Digests that are remembered; more, and all are asked for again.
const DIGESTS_MAX: usize = 10_000;

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The ConfigMap is not there.
    #[error("spec.module.configMap: there is no ConfigMap {0}")]
    NoConfigMap(String),
    /// It has no such entry.
    #[error("spec.module.configMap: ConfigMap {name} has no entry {key}")]
    NoKey {
        /// The ConfigMap.
        name: String,
        /// The entry.
        key: String,
    },
    /// A source that pods of a cluster cannot be given.
    #[error(
        "spec.module: a file is on a laptop; `pinion deploy` puts it into a ConfigMap, `pinion push` into a registry"
    )]
    Source,
    /// A reference that is none.
    #[error("spec.module.oci")]
    Name(#[from] NameError),
    /// Kubernetes does not say.
    #[error("read the module's ConfigMap: {0}")]
    Read(#[from] ReadError),
}

#[derive(Debug, Clone)]
struct Known {
    resource_version: Option<String>,
    checked_ns: u64,
    immutable: bool,
    digest: String,
}

/// Digests of modules by where they are.
pub struct Modules {
    client: Client,
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<(String, String, String), Known>>,
}

impl Modules {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, known: Mutex::default() }
    }

    /// What pins a module ([`pinion_spec::assignment::AssignedStrategy::module`]).
    ///
    /// # Errors
    /// [`ModuleError`]
    pub async fn digest(&self, namespace: &str, source: &ModuleSource) -> Result<String, ModuleError> {
        if let Some(reference) = &source.oci {
            return Ok(Reference::parse(reference)?.digest);
        }
        let ConfigMapKey { name, key } = source.config_map.as_ref().ok_or(ModuleError::Source)?;
        let id = (namespace.to_owned(), name.clone(), key.clone());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let now_ns = mono_ns();
        let fresh =
            |known: &Known| known.immutable || Duration::from_nanos(now_ns.saturating_sub(known.checked_ns)) < FRESH;
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(known.digest.clone());
        }
        match (self.look(namespace, name, key, known.as_ref(), now_ns).await, known) {
            (Err(ModuleError::Read(error)), Some(known)) => {
                tracing::warn!(namespace, name, %error, "a module's ConfigMap cannot be read; its digest is taken to hold");
                // Asked again as late as if it had been read: what does not answer is not asked more often.
                self.remember(id, Known { checked_ns: now_ns, ..known.clone() });
                Ok(known.digest)
            }
            (looked, _) => {
                let known = looked?;
                self.remember(id, known.clone());
                Ok(known.digest)
            }
        }
    }

    async fn look(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        known: Option<&Known>,
        now_ns: u64,
    ) -> Result<Known, ModuleError> {
        if let Some(known) = known {
            let metadata = read(&self.metrics, self.api(namespace).get_metadata_opt(name)).await?;
            let version = metadata.and_then(|object| object.metadata.resource_version);
            if version.is_some() && version == known.resource_version {
                return Ok(Known { checked_ns: now_ns, ..known.clone() });
            }
        }
        let (bytes, map) = self.read(namespace, name, key).await?;
        Ok(Known {
            resource_version: map.metadata.resource_version,
            checked_ns: now_ns,
            immutable: map.immutable.unwrap_or(false),
            digest: hex(&Sha256::digest(&bytes)),
        })
    }

    /// The bytes of a ConfigMap's module; `None` where they are not those of this digest any more.
    ///
    /// # Errors
    /// [`ModuleError`]
    pub async fn bytes(
        &self,
        namespace: &str,
        source: &ModuleSource,
        digest: &str,
    ) -> Result<Option<Vec<u8>>, ModuleError> {
        let ConfigMapKey { name, key } = source.config_map.as_ref().ok_or(ModuleError::Source)?;
        let (bytes, _) = self.read(namespace, name, key).await?;
        Ok((hex(&Sha256::digest(&bytes)) == digest).then_some(bytes))
    }

    async fn read(&self, namespace: &str, name: &str, key: &str) -> Result<(Vec<u8>, ConfigMap), ModuleError> {
        let map = read(&self.metrics, self.api(namespace).get_opt(name)).await?;
        let mut map = map.ok_or_else(|| ModuleError::NoConfigMap(name.to_owned()))?;
        let bytes = map.binary_data.take().and_then(|mut data| Some(data.remove(key)?.0));
        // kubectl puts bytes that happen to be UTF-8 under data.
        let bytes = bytes.or_else(|| Some(map.data.take()?.remove(key)?.into_bytes()));
        let bytes = bytes.ok_or_else(|| ModuleError::NoKey { name: name.to_owned(), key: key.to_owned() })?;
        Ok((bytes, map))
    }

    fn remember(&self, id: (String, String, String), known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= DIGESTS_MAX {
            all.clear();
        }
        all.insert(id, known);
    }

    fn api(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
