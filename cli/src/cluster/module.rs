//! A module file's way into a cluster: a ConfigMap named by the module's digest, made once and never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use pinion_runtime::sandbox::artefact::Artefact;
use serde_json::{Value as Json, json};

use super::connect::Cluster;
use crate::error::CliError;
use crate::time::count;

/// Largest module in a ConfigMap, bytes. Kubernetes takes 1 MiB of data, counted before Base64; the rest is room for whatever
/// admission adds.
const MODULE_BYTES_MAX: usize = 900 * 1024;

/// The entry of the ConfigMap.
const KEY: &str = "module.wasm";

/// Who made it.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "pinion-cli");

/// A module that has been read and looked at.
pub(super) struct ModuleFile {
    bytes: Vec<u8>,
    /// SHA-256, 64 hex digits.
    pub(super) digest: String,
}

impl ModuleFile {
    /// Reads the module that a strategy file names, `file` being relative to it.
    ///
    /// # Errors
    /// If it cannot be read, is no module, or is too large for a ConfigMap.
    pub(super) fn read(strategy_file: &Path, file: &str) -> Result<Self, CliError> {
        let path = strategy_file.parent().map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
        let wrong = |why: String| CliError::Usage(format!("spec.module.file: {}: {why}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| wrong(format!("cannot read it: {error}")))?;
        let digest = Artefact::inspect(&bytes).map_err(|error| wrong(error.to_string()))?.digest().hex();
        if bytes.len() > MODULE_BYTES_MAX {
            let (has, most) = (count(bytes.len() as u64), count(MODULE_BYTES_MAX as u64));
            return Err(wrong(format!(
                "it has {has} bytes, and a ConfigMap takes {most}; push it to a registry, `pinion push {} \
                 REGISTRY/NAME:TAG`, and write what this prints, `module: {{oci: …}}`, into the strategy file",
                path.display()
            )));
        }
        Ok(Self { bytes, digest })
    }

    /// Puts it into the namespace.
    ///
    /// # Errors
    /// If it is refused, or if something else has its name.
    pub(super) async fn upload(self, cluster: &Cluster, namespace: &str) -> Result<(), CliError> {
        let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
        let name = config_map_name(&self.digest);
        let bytes = ByteString(self.bytes);
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(KEY.to_owned(), bytes.clone())])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        let doing = format!("put the module into ConfigMap {namespace}/{name}");
        // Made, not applied: a tenant's people may make ConfigMaps and not change them.
        match cluster.try_ask(&doing, api.create(&PostParams::default(), &object)).await? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = cluster.ask(&doing, api.get(&name)).await?;
                let same = there.binary_data.is_some_and(|entries| entries.get(KEY) == Some(&bytes));
                same.then_some(()).ok_or_else(|| {
                    CliError::Usage(format!("{doing}: it holds another module under this digest; have it deleted"))
                })
            }
            Err(error) => Err(cluster.failure(&doing, &error)),
        }
    }
}

/// The ConfigMap of a module.
fn config_map_name(digest: &str) -> String {
    format!("pinion-module-{digest}")
}

/// `spec.module` of a strategy that takes its module from there.
pub(super) fn source(digest: &str) -> Json {
    json!({"configMap": {"name": config_map_name(digest), "key": KEY}})
}

/// Whether the namespace has a module's ConfigMap.
///
/// # Errors
/// If nobody answers.
pub(super) async fn is_there(cluster: &Cluster, namespace: &str, name: &str) -> Result<bool, CliError> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let doing = format!("look for ConfigMap {namespace}/{name}");
    // The metadata alone: the module itself is up to a megabyte.
    Ok(cluster.ask(&doing, api.get_metadata_opt(name)).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<ModuleFile, CliError> {
        let folder = std::env::temp_dir().join(format!("pinion-module-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("m.wasm"), bytes).unwrap();
        let read = ModuleFile::read(&folder.join("strategy.yaml"), "m.wasm");
        std::fs::remove_dir_all(folder).unwrap();
        read
    }

    #[test]
    fn what_is_no_module_is_refused_before_anything_is_sent() {
        let error = read("text", b"hello").err().unwrap().to_string();
        assert!(error.starts_with("spec.module.file: ") && error.contains("not WebAssembly"), "{error}");
    }

    #[test]
    fn a_name_that_a_config_map_can_have_says_the_digest() {
        let name = config_map_name(&"a".repeat(64));
        assert_eq!(source(&"a".repeat(64)).pointer("/configMap/name").unwrap(), &name);
        assert!(name.len() <= 253);
    }
}
