//! What pins a strategy's module. Of one in a ConfigMap that is its SHA-256, and its bytes are had when a pod asks for them; they are
//! not kept. Of one in a registry it is the digest that the strategy names: the pods pull it, and nothing is asked here.
//!
//! A digest that was read once holds while Kubernetes does not answer, and for ever if the ConfigMap is immutable. What is missing is asked
//! for again, but not more often than a tenant's share of the apiserver allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
/// How long a ConfigMap that is not there counts as missing: less than from one round to the next, so that one that comes is found at once.
const MISSING: Duration = Duration::from_millis(1_500);
/// The same for each of many: a tenant may have a thousand strategies whose ConfigMaps are missing, and ten reads a second.
const MISSING_EACH: Duration = Duration::from_millis(100);

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

/// What is not there: without a ConfigMap, or without the entry in it.
#[derive(Debug, Clone, Copy)]
struct Absence {
    looked_ns: u64,
    without_map: bool,
}

/// What one tenant lacks, by ConfigMap and entry.
#[derive(Debug, Default)]
struct Absences(BTreeMap<(String, String), Absence>);

impl Absences {
    /// How long each counts.
    fn pace(&self) -> Duration {
        MISSING.max(MISSING_EACH * u32::try_from(self.0.len()).unwrap_or(u32::MAX))
    }

    fn get(&self, of: &ConfigMapKey, now_ns: u64) -> Option<ModuleError> {
        let absence = self.0.get(&(of.name.clone(), of.key.clone()))?;
        let since = Duration::from_nanos(now_ns.saturating_sub(absence.looked_ns));
        (since < self.pace()).then(|| {
            let (name, key) = (of.name.clone(), of.key.clone());
            if absence.without_map { ModuleError::NoConfigMap(name) } else { ModuleError::NoKey { name, key } }
        })
    }

    /// Notes what was found; what nobody has asked for since is forgotten.
    fn note<T>(&mut self, of: &ConfigMapKey, found: &Result<T, ModuleError>, now_ns: u64) {
        let without_map = match found {
            Err(ModuleError::NoConfigMap(_)) => true,
            Err(ModuleError::NoKey { .. }) => false,
            _ => {
                self.0.remove(&(of.name.clone(), of.key.clone()));
                return;
            }
        };
        let long = self.pace() * 4;
        self.0.retain(|_, absence| Duration::from_nanos(now_ns.saturating_sub(absence.looked_ns)) < long);
        self.0.insert((of.name.clone(), of.key.clone()), Absence { looked_ns: now_ns, without_map });
    }
}

/// Digests of modules by where they are.
pub struct Modules {
    client: Client,
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<(String, String, String), Known>>,
    /// By namespace.
    missing: Mutex<BTreeMap<String, Absences>>,
}

impl Modules {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, known: Mutex::default(), missing: Mutex::default() }
    }

    /// What pins a module ([`pinion_spec::assignment::AssignedStrategy::module`]).
    ///
    /// # Errors
    /// [`ModuleError`]
    pub async fn digest(&self, namespace: &str, source: &ModuleSource) -> Result<String, ModuleError> {
        if let Some(reference) = &source.oci {
            return Ok(Reference::parse(reference)?.digest);
        }
        let of = source.config_map.as_ref().ok_or(ModuleError::Source)?;
        let ConfigMapKey { name, key } = of;
        let id = (namespace.to_owned(), name.clone(), key.clone());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let now_ns = mono_ns();
        let fresh =
            |known: &Known| known.immutable || Duration::from_nanos(now_ns.saturating_sub(known.checked_ns)) < FRESH;
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            return Ok(known.digest.clone());
        }
        if let Some(missing) = self.missing().get(namespace).and_then(|missing| missing.get(of, now_ns)) {
            return Err(missing);
        }
        let looked = self.look(namespace, name, key, known.as_ref(), now_ns).await;
        self.note(namespace, of, &looked, now_ns);
        match (looked, known) {
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

    fn missing(&self) -> MutexGuard<'_, BTreeMap<String, Absences>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, namespace: &str, of: &ConfigMapKey, found: &Result<T, ModuleError>, now_ns: u64) {
        let mut missing = self.missing();
        missing.entry(namespace.to_owned()).or_default().note(of, found, now_ns);
        missing.retain(|_, of_tenant| !of_tenant.0.is_empty());
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn of(n: u64) -> ConfigMapKey {
        ConfigMapKey { name: format!("map-{n}"), key: "module.wasm".into() }
    }

    fn missing<T>(of: &ConfigMapKey) -> Result<T, ModuleError> {
        Err(ModuleError::NoConfigMap(of.name.clone()))
    }

    #[test]
    fn what_is_missing_is_asked_for_in_every_round_and_once_found_no_more() {
        let mut absences = Absences::default();
        absences.note(&of(1), &missing::<()>(&of(1)), SECOND);
        assert!(matches!(absences.get(&of(1), 2 * SECOND), Some(ModuleError::NoConfigMap(_))));
        assert!(absences.get(&of(1), 3 * SECOND).is_none(), "the next round asks");
        absences.note(&of(1), &Ok(()), 3 * SECOND);
        assert!(absences.0.is_empty());
    }

    #[test]
    fn a_thousand_that_are_missing_are_ten_reads_a_second() {
        let (mut absences, mut reads) = (Absences::default(), 0);
        for now_ns in (1..=400).map(|round| round * 2 * SECOND) {
            for n in 0..1_000 {
                if absences.get(&of(n), now_ns).is_none() {
                    absences.note(&of(n), &missing::<()>(&of(n)), now_ns);
                    reads += 1;
                }
            }
        }
        // The first look is free.
        assert!((8_000..=9_000).contains(&reads), "{reads} in 800 s");
        absences.note(&of(7), &missing::<()>(&of(7)), 5_000 * SECOND);
        assert_eq!(absences.0.len(), 1, "of strategies that are gone nothing is kept");
    }
}
