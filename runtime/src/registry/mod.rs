//! Modules in registries: pulled by digest, pushed by `pinion push`. The runtime is its own client, so that a strategy file means the
//! same on a laptop and in a pod, and no other program has to be trusted with what is run.
//!
//! Promises: what is kept has the digest that was asked for, manifest and module, whatever the registry and those between it and us
//! do; nothing is read without a limit of length and time; nothing is sent without TLS but to hosts that were named for it and to this
//! machine; credentials reach the registry and its token service alone, and no message holds them, nor an address that may be signed.
//! Costs a connection a request: a pull is two to five of them, once for each module.

mod challenge;
mod credentials;
mod error;
mod exchange;
mod manifest;
mod session;
mod zone;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::StatusCode;
use pinion_spec::oci::{Reference, Tagged};

use crate::limits::{
    MANIFEST_BYTES_MAX, REGISTRY_CONNECT_SECONDS_MAX, REGISTRY_STALL_SECONDS_MAX, TRANSFER_SECONDS_MAX,
};
use crate::modules::Modules;
use crate::sandbox::artefact::Digest;
pub use error::RegistryError;
use exchange::{Body, Client};
use manifest::Layer;
use session::{Rights, Session};

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer to begin, and between two parts of it.
    pub stall: Duration,
    /// For all of a pull or push.
    pub transfer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(REGISTRY_CONNECT_SECONDS_MAX),
            stall: Duration::from_secs(REGISTRY_STALL_SECONDS_MAX),
            transfer: Duration::from_secs(TRANSFER_SECONDS_MAX),
        }
    }
}

/// What is needed to speak to registries. The files are read anew for each pull.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// Docker's `config.json`.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities that are trusted besides the system's, PEM.
    pub authorities: Option<PathBuf>,
    /// Registries that are spoken to without TLS, `host` or `host:port`.
    pub plain: Vec<String>,
    /// How long is waited.
    pub patience: Patience,
}

/// Pulls and pushes.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    config: RegistryConfig,
}

impl Registry {
    /// By this configuration.
    #[must_use]
    pub const fn new(config: RegistryConfig) -> Self {
        Self { config }
    }

    /// Puts a module among `modules`, unless it is there, and returns its digest: the SHA-256 of its bytes, 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing is kept then that is not what the reference names.
    pub async fn pull(&self, reference: &Reference, modules: &Modules) -> Result<String, RegistryError> {
        if let Some(digest) = modules.pulled(&reference.digest).filter(|digest| modules.has(digest)) {
            return Ok(digest);
        }
        let limit = self.config.patience.transfer;
        let slow = || RegistryError::Slow { host: reference.repository.registry.clone(), limit };
        tokio::time::timeout(limit, self.fetch(reference, modules)).await.map_err(|_| slow())?
    }

    async fn fetch(&self, reference: &Reference, modules: &Modules) -> Result<String, RegistryError> {
        let client = Client::new(&self.config)?;
        let mut session = Session::new(&client, &self.config, &reference.repository, Rights::Pull)?;
        let path = format!("manifests/sha256:{}", reference.digest);
        let manifest =
            session.get("manifest", &path, manifest::ACCEPTED).await?.read("manifest", MANIFEST_BYTES_MAX).await?;
        // Before a byte of it is believed.
        same("manifest", &reference.digest, Digest::of(&manifest).hex())?;
        let layer = manifest::layer(&manifest)?;
        if !modules.has(&layer.digest) {
            fetch_layer(&mut session, &layer, modules).await?;
        }
        modules.put_manifest(&reference.digest, &manifest, &layer.digest)?;
        Ok(layer.digest)
    }

    /// [`Registry::pull`] for a thread that may wait.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub fn pull_now(&self, reference: &Reference, modules: &Modules) -> Result<String, RegistryError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pulled = runtime.block_on(self.pull(reference, modules));
        // A look-up of a name that hangs is not waited for.
        runtime.shutdown_background();
        pulled
    }

    /// Pushes a module and returns the reference that a strategy file names. `progress` is told how many of its bytes have been sent.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub fn push_now(
        &self,
        to: &Tagged,
        module: Vec<u8>,
        progress: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<Reference, RegistryError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let limit = self.config.patience.transfer;
        let pushing = async {
            let pushed = tokio::time::timeout(limit, self.push(to, module, Arc::new(progress))).await;
            pushed.map_err(|_| RegistryError::Slow { host: to.repository.registry.clone(), limit })?
        };
        let pushed = runtime.block_on(pushing);
        runtime.shutdown_background();
        pushed
    }

    async fn push(
        &self,
        to: &Tagged,
        module: Vec<u8>,
        progress: Arc<dyn Fn(usize) + Send + Sync>,
    ) -> Result<Reference, RegistryError> {
        let client = Client::new(&self.config)?;
        let mut session = Session::new(&client, &self.config, &to.repository, Rights::Push)?;
        let artefact = manifest::artefact(&module);
        let (size, module) = (module.len(), Bytes::from(module));
        let body = |bytes: Bytes| Body::of("application/octet-stream", bytes);
        if !push_blob(&mut session, &Digest::of(&module), body(module).with_progress(Arc::clone(&progress))).await? {
            progress(size);
        }
        push_blob(&mut session, &Digest::of(&artefact.config), body(artefact.config.into())).await?;
        let digest = Digest::of(&artefact.manifest).hex();
        let manifest = Body::of(manifest::MANIFEST_TYPE, artefact.manifest.into());
        session
            .send("manifest", http::Method::PUT, &format!("manifests/{}", to.tag), manifest, StatusCode::CREATED)
            .await?;
        Ok(Reference { repository: to.repository.clone(), digest })
    }
}

/// Streams a layer to the disk; it gets its name when its last byte is right.
async fn fetch_layer(session: &mut Session<'_>, layer: &Layer, modules: &Modules) -> Result<(), RegistryError> {
    let mut answer =
        session.get("module", &format!("blobs/sha256:{}", layer.digest), "application/octet-stream").await?;
    let mut arriving = modules.begin()?;
    while let Some(piece) = answer.piece().await? {
        if arriving.bytes() + piece.len() > layer.bytes {
            return Err(RegistryError::TooLarge { what: "module", limit: layer.bytes });
        }
        arriving.write(&piece)?;
    }
    same("module", &layer.digest, arriving.digest())?;
    Ok(modules.keep(arriving)?)
}

/// Whether it had to be sent.
async fn push_blob(session: &mut Session<'_>, digest: &Digest, body: Body) -> Result<bool, RegistryError> {
    if session.has("blob", &format!("blobs/{digest}")).await? {
        return Ok(false);
    }
    let begun =
        session.send("upload", http::Method::POST, "blobs/uploads/", Body::default(), StatusCode::ACCEPTED).await?;
    session.upload(&begun, &format!("digest={digest}"), body).await?;
    Ok(true)
}

fn same(what: &'static str, wanted: &str, is: String) -> Result<(), RegistryError> {
    if is == wanted { Ok(()) } else { Err(RegistryError::OtherDigest { what, wanted: wanted.to_owned(), is }) }
}

/// The digest of a manifest's module, if it is one of a module.
pub(crate) fn module_of(manifest: &[u8]) -> Option<String> {
    manifest::layer(manifest).ok().map(|layer| layer.digest)
}
