//! Makes objects what they are to be, by server-side apply, and writes nothing where they are so already.
//!
//! Whether they are is decided from the cache alone: an annotation tells which desired state was last applied, so that a field that
//! is not desired any more is taken away, and each desired field is compared, so that one that somebody has changed is put
//! right. Every write asks first whether this process is still the leader, and is given up when its lease ends.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::cache::{Cache, Key};
use crate::client::Patience;
use crate::kinds::Kind;
use crate::leader::{Leadership, NotLeader};
use crate::metrics::{Call, Metrics};

/// Writes at a time, of all tenants together. More do not make a busy apiserver quicker, and the Lease would wait behind them.
pub const WRITES_MAX: usize = 8;
/// Which desired state was last applied.
const ANNOTATION: &str = "pinion.dev/applied";
/// Bytes of the digest that are kept: a chance change of 64 bits is none.
const DIGEST_BYTES: usize = 8;

/// A write that was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another process leads.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// The lease ended first.
    #[error("{what}: no answer before this leader's lease would have ended")]
    Slow {
        /// Which write.
        what: String,
    },
    /// Kubernetes has asked for patience.
    #[error("{what}: the apiserver asks to wait for {left:?} more")]
    Patience {
        /// Which write.
        what: String,
        /// How much longer.
        left: Duration,
    },
    /// Kubernetes refused it, or did not answer.
    #[error("{what}")]
    Kube {
        /// Which write.
        what: String,
        /// Why.
        source: kube::Error,
    },
    /// An object cannot be said in JSON.
    #[error("{what}: write it as JSON")]
    Json {
        /// Which write.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl WriteError {
    /// The status of Kubernetes' refusal.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Kube { source: kube::Error::Api(status), .. } => Some(status.code),
            _ => None,
        }
    }
}

/// Writes objects.
#[derive(Clone)]
pub struct Writer {
    /// Kubernetes.
    pub client: Client,
    /// What it has.
    pub cache: Arc<Cache>,
    /// Whether this process may write.
    pub leadership: Arc<Leadership>,
    /// What the apiserver has asked for.
    pub patience: Arc<Patience>,
    /// Writes that may be under way.
    pub permits: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Writer {
    /// Makes an object so. `manager` is the concern's field manager.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn apply<T: Serialize + Sync>(&self, kind: Kind, desired: &T, manager: &str) -> Result<(), WriteError> {
        let mut desired = to_json(kind, desired)?;
        let key = Key::of(kind, &desired);
        desired["metadata"]["annotations"][ANNOTATION] = json!(digest(&desired));
        let current = self.cache.get(kind, &key.tenant, &key.name);
        if current.as_ref().is_some_and(|current| holds(&desired, current)) {
            return Ok(());
        }
        // A ConfigMap holds what several leaders write in turn: it is written only over the version that was decided by.
        if let (Kind::ConfigMap, Some(current)) = (kind, &current) {
            desired["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
        }
        let api = kind.api(&self.client, &key.tenant);
        let params = PatchParams::apply(manager).force();
        let patch = Patch::Apply(&desired);
        let written = self.write("apply", &key, api.patch(&key.name, &params, &patch)).await?;
        self.take(kind, written)
    }

    /// Makes an object that is not there yet. One that is there already is left as it is.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn create<T: Serialize + Sync>(&self, kind: Kind, object: &T, manager: &str) -> Result<(), WriteError> {
        let object = to_json(kind, object)?;
        let key = Key::of(kind, &object);
        let what = |source| WriteError::Json { what: format!("create {} {}", kind.name(), key.name), source };
        let object: DynamicObject = serde_json::from_value(object).map_err(what)?;
        let api = kind.api(&self.client, &key.tenant);
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        match self.write("create", &key, api.create(&params, &object)).await {
            Ok(created) => self.take(kind, created),
            Err(error) if error.code() == Some(409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a status if it says anything else than the one there.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn status<T: Serialize + Sync>(
        &self,
        kind: Kind,
        tenant: &str,
        name: &str,
        status: &T,
        manager: &str,
    ) -> Result<(), WriteError> {
        let status = to_value(kind, status)?;
        let Some(current) = self.cache.get(kind, tenant, name) else { return Ok(()) };
        if is_same(&status, &current["status"]) {
            return Ok(());
        }
        let resource = kind.resource();
        let mut metadata = json!({"name": name});
        if !kind.is_cluster_wide() {
            metadata["namespace"] = json!(tenant);
        }
        let patch = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": status
        });
        let key = Key { kind, tenant: tenant.to_owned(), name: name.to_owned() };
        let api = kind.api(&self.client, tenant);
        let params = PatchParams::apply(manager).force();
        let patch = Patch::Apply(&patch);
        match self.write("write the status of", &key, api.patch_status(name, &params, &patch)).await {
            Ok(written) => self.take(kind, written),
            // It has been deleted meanwhile.
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets or takes away the finalizer of a resource.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn finalizer(
        &self,
        kind: Kind,
        tenant: &str,
        name: &str,
        finalizer: &str,
        wanted: bool,
    ) -> Result<(), WriteError> {
        let Some(current) = self.cache.get(kind, tenant, name) else { return Ok(()) };
        let mut all: Vec<String> =
            serde_json::from_value(current["metadata"]["finalizers"].clone()).unwrap_or_default();
        if all.iter().any(|one| one == finalizer) == wanted {
            return Ok(());
        }
        all.retain(|one| one != finalizer);
        if wanted {
            all.push(finalizer.to_owned());
        }
        // Others' finalizers are in the list too: it is written only over the version that it was read from.
        let version = &current["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"finalizers": all, "resourceVersion": version}});
        let key = Key { kind, tenant: tenant.to_owned(), name: name.to_owned() };
        let api = kind.api(&self.client, tenant);
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        match self.write("write the finalizer of", &key, api.patch(name, &params, &patch)).await {
            Ok(written) => self.take(kind, written),
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object if it is there.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn delete(&self, key: &Key) -> Result<(), WriteError> {
        let api = key.kind.api(&self.client, &key.tenant);
        match self.write("delete", key, api.delete(&key.name, &DeleteParams::background())).await {
            Ok(_) => {
                self.cache.remove(key);
                Ok(())
            }
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write<T>(
        &self,
        verb: &str,
        key: &Key,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, WriteError> {
        let what = || format!("{verb} {} {}/{}", key.kind.name(), key.tenant, key.name);
        self.leadership.epoch()?;
        if let Some(left) = self.patience.left() {
            return Err(WriteError::Patience { what: what(), left });
        }
        let outcome = tokio::time::timeout(self.leadership.left(), async {
            // Never closed.
            let _permit = self.permits.acquire().await.ok();
            call.await
        });
        let outcome = outcome.await;
        self.metrics.wrote(key.kind);
        match outcome {
            Ok(Ok(done)) => {
                tracing::debug!(what = what(), "done");
                Ok(done)
            }
            Ok(Err(source)) => {
                self.metrics.kube_error(Call::Write, Some(&source));
                Err(WriteError::Kube { what: what(), source })
            }
            Err(_) => {
                self.metrics.kube_error(Call::Write, None);
                Err(WriteError::Slow { what: what() })
            }
        }
    }

    fn take(&self, kind: Kind, written: DynamicObject) -> Result<(), WriteError> {
        let written = to_value(kind, &written)?;
        // What is gone with its last finalizer is told by the watch.
        self.cache.answered(kind, written);
        Ok(())
    }
}

fn to_value<T: Serialize>(kind: Kind, object: &T) -> Result<Json, WriteError> {
    serde_json::to_value(object).map_err(|source| WriteError::Json { what: kind.name().to_owned(), source })
}

fn to_json<T: Serialize>(kind: Kind, object: &T) -> Result<Json, WriteError> {
    let mut object = to_value(kind, object)?;
    let resource = kind.resource();
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    Ok(object)
}

fn digest(desired: &Json) -> String {
    let digest = Sha256::digest(desired.to_string());
    digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `current` has all that is desired. What is not desired may be anything: it is somebody else's, or a default.
fn holds(desired: &Json, current: &Json) -> bool {
    match (desired, current) {
        (Json::Object(desired), Json::Object(current)) => {
            desired.iter().all(|(key, desired)| holds(desired, current.get(key).unwrap_or(&Json::Null)))
        }
        (Json::Array(desired), Json::Array(current)) => {
            desired.len() == current.len()
                && desired.iter().zip(current).all(|(desired, current)| holds(desired, current))
        }
        // Kubernetes leaves out what is empty.
        (desired, Json::Null) => is_empty(desired),
        (Json::String(desired), Json::String(current)) => {
            desired == current || matches!((quantity(desired), quantity(current)), (Some(a), Some(b)) if a == b)
        }
        (desired, current) => desired == current,
    }
}

/// Whether two statuses say the same, whatever of them is empty.
fn is_same(a: &Json, b: &Json) -> bool {
    holds(a, b) && holds(b, a)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// A quantity in thousandths: Kubernetes writes 2048Mi as 2Gi.
pub(crate) fn quantity(text: &str) -> Option<u128> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u128 = text[..digits].parse().ok()?;
    let thousandths: u128 = match &text[digits..] {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    number.checked_mul(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_other_peoples_fields_are_no_difference() {
        let desired = json!({"spec": {"replicas": 2, "template": {"x": [{"name": "a"}]}}, "data": {}});
        let current = json!({
            "metadata": {"uid": "1"},
            "spec": {"replicas": 2, "revisionHistoryLimit": 10, "template": {"x": [{"name": "a", "policy": "Always"}]}}
        });
        assert!(holds(&desired, &current));
    }

    #[test]
    fn a_changed_field_a_missing_one_and_a_longer_list_are_differences() {
        let desired = json!({"spec": {"replicas": 2, "ports": [1]}});
        for current in [
            json!({"spec": {"replicas": 3, "ports": [1]}}),
            json!({"spec": {"ports": [1]}}),
            json!({"spec": {"replicas": 2, "ports": [1, 2]}}),
            json!({}),
        ] {
            assert!(!holds(&desired, &current), "{current}");
        }
    }

    #[test]
    fn a_quantity_is_what_it_amounts_to() {
        for (a, b) in [("32768Mi", "32Gi"), ("1000m", "1"), ("1024Ki", "1Mi"), ("2", "2000m")] {
            assert!(holds(&json!(a), &json!(b)), "{a} {b}");
        }
        assert!(!holds(&json!("1Gi"), &json!("1G")));
        assert!(!holds(&json!("a1"), &json!("b1")));
    }

    #[test]
    fn what_is_not_desired_any_more_changes_the_digest() {
        assert_ne!(digest(&json!({"a": {"b": 1, "c": 2}})), digest(&json!({"a": {"b": 1}})));
    }

    #[test]
    fn a_status_that_lost_a_field_is_another() {
        assert!(is_same(&json!({"a": 1, "b": []}), &json!({"a": 1})));
        assert!(!is_same(&json!({"a": 1}), &json!({"a": 1, "b": "x"})));
        assert!(!is_same(&json!({"a": 1}), &Json::Null));
    }
}
