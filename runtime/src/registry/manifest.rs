//! The manifest of a module in a registry: one layer, which is the module, as the CNCF's "Wasm OCI artifact layout" has it.
//!
//! What `wkg`, `wash` and `oras push x.wasm:application/wasm` write is read as well: what counts is the layer's media type.
//! Nothing else of a manifest is followed: no address in it, no other layer, no configuration.

use serde::Deserialize;
use serde_json::json;

use super::RegistryError;
use crate::limits::MODULE_BYTES_MAX;
use crate::sandbox::artefact::{Digest, interfaces};

/// Of a manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// What is asked for. Lists of manifests only to be told that they are none.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// Of a layer that is a module, today's first.
const LAYER_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";

/// A layer that is a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// SHA-256 of the module, 64 hexadecimal digits.
    pub(super) digest: String,
    /// Its size in bytes, at most [`MODULE_BYTES_MAX`].
    pub(super) bytes: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// The layer of a manifest whose digest has been checked.
///
/// # Errors
/// [`RegistryError::Artefact`], [`RegistryError::TooLarge`]
pub(super) fn layer(manifest: &[u8]) -> Result<Layer, RegistryError> {
    let other = |problem: String| RegistryError::Artefact(problem);
    let read: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| other(format!("its manifest is none: line {}, column {}", error.line(), error.column())))?;
    if read.manifests.is_some() {
        return Err(other("the digest is that of a list of manifests; name the one of the module".into()));
    }
    if read.schema_version != 2 {
        return Err(other(format!("its manifest is of version {}, not 2", read.schema_version)));
    }
    let mut modules = read.layers.iter().filter(|layer| LAYER_TYPES.contains(&layer.media_type.as_str()));
    let (Some(layer), None) = (modules.next(), modules.next()) else {
        let types: Vec<_> = read.layers.iter().map(|layer| printable(&layer.media_type)).take(4).collect();
        let has = if types.is_empty() { "no layer".to_owned() } else { format!("layers of type {}", types.join(", ")) };
        return Err(other(format!(
            "it has {has}, not one of type application/wasm; push the module with `pinion push`"
        )));
    };
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digest = layer.digest.strip_prefix("sha256:").filter(|digest| digest.len() == 64 && digest.bytes().all(hex));
    let digest =
        digest.ok_or_else(|| other(format!("its layer has the digest {}, not SHA-256", printable(&layer.digest))))?;
    match usize::try_from(layer.size) {
        Ok(bytes) if bytes <= MODULE_BYTES_MAX => Ok(Layer { digest: digest.to_owned(), bytes }),
        _ => Err(RegistryError::TooLarge { what: "module", limit: MODULE_BYTES_MAX }),
    }
}

/// A manifest with the configuration that it names, both the same whenever the same module is pushed.
pub(super) struct Artefact {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

/// Of a module.
pub(super) fn artefact(module: &[u8]) -> Artefact {
    let digest = Digest::of(module).to_string();
    let (imports, exports) = interfaces(module);
    let config = json!({
        // A date would make another artefact of the same module.
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest],
        "component": {"imports": imports, "exports": exports},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": Digest::of(&config).to_string(), "size": config.len()},
        "layers": [{"mediaType": LAYER_TYPES[0], "digest": digest, "size": module.len()}],
    });
    Artefact { config, manifest: manifest.to_string().into_bytes() }
}

/// A registry's text, fit to be shown.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "ab".repeat(32))
    }

    fn of(layers: serde_json::Value) -> Result<Layer, String> {
        let manifest = json!({"schemaVersion": 2, "config": {"mediaType": "application/x"}, "layers": layers});
        layer(manifest.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_module_is_the_one_layer_of_wasm_whoever_pushed_it() {
        let expected = Layer { digest: "ab".repeat(32), bytes: 7 };
        for kind in LAYER_TYPES {
            assert_eq!(of(json!([{"mediaType": kind, "digest": digest(), "size": 7}])), Ok(expected.clone()));
        }
        let with_notes = json!([
            {"mediaType": "text/markdown", "digest": "sha512:00", "size": u64::MAX, "urls": ["http://169.254.169.254/"]},
            {"mediaType": "application/wasm", "digest": digest(), "size": 7, "urls": ["file:///etc/passwd"], "data": "AAAA"},
        ]);
        assert_eq!(of(with_notes), Ok(expected));
    }

    #[test]
    fn what_is_pushed_is_what_is_read_and_the_same_each_time() {
        let (one, two) = (artefact(b"module"), artefact(b"module"));
        assert_eq!((one.manifest.clone(), one.config), (two.manifest, two.config));
        assert_eq!(layer(&one.manifest).unwrap(), Layer { digest: Digest::of(b"module").hex(), bytes: 6 });
    }

    #[test]
    fn anything_else_is_named_and_refused() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layer_of =
            |kind: &str, digest: &str, size: u64| json!([{"mediaType": kind, "digest": digest, "size": size}]);
        let wasm = |digest: &str, size: u64| layer_of("application/wasm", digest, size);
        let two = json!([wasm(&digest(), 1)[0], wasm(&digest(), 1)[0]]);
        for (layers, says) in [
            (json!([]), "it has no layer"),
            (layer_of(tar, &digest(), 7), tar),
            (two, "not one of type application/wasm"),
            (wasm("sha512:ab", 7), "not SHA-256"),
            (wasm(&digest().to_uppercase(), 7), "not SHA-256"),
            (wasm("sha256:\u{1b}[2J", 7), "sha256:?[2J"),
            (wasm(&digest(), MODULE_BYTES_MAX as u64 + 1), "too large"),
            (wasm(&digest(), u64::MAX), "too large"),
        ] {
            let error = of(layers).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        for (text, says) in [
            (r#"{"schemaVersion": 2, "manifests": []}"#, "a list of manifests"),
            (r#"{"schemaVersion": 1, "layers": []}"#, "version 1"),
            ("<html>hunter2</html>", "line 1, column 1"),
            (&"[".repeat(100_000), "its manifest is none"),
        ] {
            let error = layer(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }
}
