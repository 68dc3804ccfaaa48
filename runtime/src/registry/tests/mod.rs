//! Registries that lie, stall, flood and lead astray; what a real one does is in `tests/it/registry.rs`.

mod bodies;
mod certificates;
mod elsewhere;
mod hostile;
mod who;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use pinion_spec::oci::Reference;

use super::{Patience, Registry, RegistryConfig, RegistryError, manifest};
use crate::modules::Modules;
use crate::sandbox::artefact::Digest;
use hostile::{Asked, Hostile, Wire, answer};

/// What the honest one has. No component: nothing is compiled here.
const MODULE: &[u8] = b"the bytes of a module";

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A client with a folder of its own.
struct Puller {
    folder: PathBuf,
    config: RegistryConfig,
}

impl Puller {
    /// That speaks to these servers without TLS.
    fn new(plain: &[&Hostile]) -> Self {
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("pinion-registry-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let patience = Patience {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            transfer: Duration::from_secs(30),
        };
        let plain = plain.iter().map(|server| server.host()).collect();
        Self { folder, config: RegistryConfig { plain, patience, ..RegistryConfig::default() } }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// With this user and password for a server.
    fn log_in(&mut self, host: &str, user_and_password: &str) {
        let auth = base64::engine::general_purpose::STANDARD.encode(user_and_password);
        let config = format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#);
        self.config.credentials = Some(self.write("config.json", config));
    }

    fn modules(&self) -> Modules {
        Modules::open(self.folder.join("modules")).unwrap()
    }

    fn pull(&self, reference: &Reference) -> Result<String, RegistryError> {
        Registry::new(self.config.clone()).pull_now(reference, &self.modules())
    }

    /// Files that it keeps.
    fn kept(&self) -> usize {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).map_or(0, |entries| entries.count());
        let manifests = self.folder.join("modules/manifests");
        entries(self.folder.join("modules")) - usize::from(manifests.exists()) + entries(manifests)
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The reference of the honest module at a server.
fn reference(host: &str) -> Reference {
    reference_of(host, &manifest::artefact(MODULE).manifest)
}

fn reference_of(host: &str, manifest: &[u8]) -> Reference {
    Reference::parse(&format!("{host}/desk-7/ema@{}", Digest::of(manifest))).unwrap()
}

fn is_manifest(asked: &Asked) -> bool {
    asked.path.starts_with("/v2/desk-7/ema/manifests/sha256:")
}

/// What an honest registry answers.
fn honest(asked: &Asked, to: &mut dyn Wire) {
    if is_manifest(asked) {
        answer(to, "200 OK", &[], &manifest::artefact(MODULE).manifest);
    } else if asked.path == format!("/v2/desk-7/ema/blobs/{}", Digest::of(MODULE)) {
        answer(to, "200 OK", &[], MODULE);
    } else {
        answer(to, "404 Not Found", &[], b"{}");
    }
}

#[test]
fn a_module_is_pulled_once_and_kept_over_a_restart() {
    let server = Hostile::start(honest);
    let puller = Puller::new(&[&server]);
    let digest = puller.pull(&reference(&server.host())).unwrap();
    assert_eq!(digest, Digest::of(MODULE).hex());
    assert_eq!(puller.modules().get(&digest).unwrap(), MODULE);
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    // Each pull opens the folder anew, as a restarted process does.
    assert_eq!(puller.pull(&reference(&server.host())).unwrap(), digest);
    assert_eq!(server.asked().len(), 2, "the second is had from the folder");
    std::fs::write(puller.folder.join(format!("modules/{digest}.wasm")), b"damaged").unwrap();
    assert!(puller.modules().get(&digest).is_err());
    puller.pull(&reference(&server.host())).unwrap();
    assert_eq!(puller.modules().get(&digest).unwrap(), MODULE, "what was damaged here is pulled again");
}

#[test]
fn a_name_of_this_machine_needs_no_flag_and_any_other_needs_tls() {
    let server = Hostile::start(honest);
    let mut puller = Puller::new(&[]);
    puller.pull(&reference(&format!("localhost:{}", server.port))).unwrap();
    // By an address that is this machine's too, and not by name.
    puller.config.patience.connect = Duration::from_secs(2);
    let registry = super::exchange::Client::new(&puller.config).unwrap();
    for (host, security) in [
        ("localhost:5000", super::exchange::Security::TlsIfSpoken),
        ("127.0.0.1:5000", super::exchange::Security::TlsIfSpoken),
        ("[::1]:5000", super::exchange::Security::TlsIfSpoken),
        ("registry.example", super::exchange::Security::Tls),
        ("localhost.example", super::exchange::Security::Tls),
        ("10.0.0.1:5000", super::exchange::Security::Tls),
    ] {
        assert_eq!(registry.registry(host).unwrap().security, security, "{host}");
    }
    for host in ["registry.example:99999", "registry.example:", "a@registry.example"] {
        assert!(registry.registry(host).is_err(), "{host}");
    }
}
