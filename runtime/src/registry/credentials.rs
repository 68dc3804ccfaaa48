//! Who we are to a registry: Docker's `config.json`, as `docker login` and a Secret of type `kubernetes.io/dockerconfigjson` have it.
//!
//! Only entries that hold a user and a password are used. Programs that are named for fetching them are not run: the file that a
//! user was shown is all that there is. Nothing of the file gets into a message but its path, and line and column of a mistake.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use pinion_spec::oci::Repository;
use serde::Deserialize;

use crate::limits::REGISTRY_CONFIG_BYTES_MAX;

/// The names of Docker Hub, all one registry.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// A user and a password. It has no `Debug`.
pub(super) struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// The value of `Authorization`.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let text = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The entry of the file for a repository; read anew each time, for a Secret may have been changed.
///
/// # Errors
/// What is wrong with the file, and what to do about it.
pub(super) fn read(file: &Path, repository: &Repository) -> Result<Option<Credentials>, String> {
    let mut text = Vec::new();
    let opened = File::open(file).and_then(|file| file.take(REGISTRY_CONFIG_BYTES_MAX + 1).read_to_end(&mut text));
    opened.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > REGISTRY_CONFIG_BYTES_MAX {
        return Err(format!("has more than {REGISTRY_CONFIG_BYTES_MAX} bytes"));
    }
    find(&text, repository)
}

fn find(text: &[u8], repository: &Repository) -> Result<Option<Credentials>, String> {
    // The error's own text would quote the file.
    let config: Config = serde_json::from_slice(text)
        .map_err(|error| format!("is not Docker's config.json, at line {}, column {}", error.line(), error.column()))?;
    let registry = &repository.registry;
    let entries = config.auths.iter().filter(|(key, _)| covers(key, repository));
    let entry = entries.max_by_key(|(key, _)| place(key).1.len()).map(|(_, entry)| entry);
    let helper = config.cred_helpers.iter().find(|(key, _)| covers(key, repository)).map(|(_, helper)| helper);
    // Where a store has the passwords, its registries stand among `auths` without any.
    let helper = helper.or(config.creds_store.as_ref().filter(|_| entry.is_some_and(Entry::is_empty)));
    if let Some(helper) = helper {
        return Err(format!(
            "leaves {registry} to the program docker-credential-{}, and no program is run for credentials; give a file with \
             \"auths\": {{\"{registry}\": {{\"auth\": ..}}}} by --registry-config",
            helper.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect::<String>()
        ));
    }
    let Some(entry) = entry.filter(|entry| !entry.is_empty()) else { return Ok(None) };
    if let (Some(user), Some(password)) = (&entry.username, &entry.password) {
        return Ok(Some(Credentials { user: user.clone(), password: password.clone() }));
    }
    let Some(auth) = &entry.auth else {
        return Err(format!("has a token for {registry} and no user and password; use those of a robot account"));
    };
    let broken = || format!("has an `auth` for {registry} that is not Base64 of user:password");
    let decoded = STANDARD.decode(auth.trim()).map_err(|_| broken())?;
    let text = String::from_utf8(decoded).map_err(|_| broken())?;
    let (user, password) = text.trim_end_matches('\0').split_once(':').ok_or_else(broken)?;
    Ok(Some(Credentials { user: user.to_owned(), password: password.to_owned() }))
}

impl Entry {
    fn is_empty(&self) -> bool {
        let Self { username, password, auth, identitytoken, registrytoken } = self;
        let none = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
        (none(username) || none(password)) && none(auth) && none(identitytoken) && none(registrytoken)
    }
}

/// The registry that a key is for, and the part of its names: `https://index.docker.io/v1/` is Docker Hub, all of it.
fn place(key: &str) -> (String, &str) {
    let key = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
    let (host, name) = key.split_once('/').unwrap_or((key, ""));
    let name = match name.trim_end_matches('/') {
        "v1" | "v2" => "",
        name => name,
    };
    (canonical(host), name)
}

fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if DOCKER_HUB.contains(&host.as_str()) { DOCKER_HUB[0].to_owned() } else { host }
}

/// The host that answers for a registry.
pub(super) fn host_of(registry: &str) -> &str {
    if DOCKER_HUB.contains(&registry) { DOCKER_HUB[2] } else { registry }
}

fn covers(key: &str, repository: &Repository) -> bool {
    let (host, name) = place(key);
    let own = Repository { registry: canonical(&repository.registry), name: repository.name.clone() };
    let prefix = if name.is_empty() { host } else { format!("{host}/{name}") };
    own.is_under(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(registry: &str, name: &str) -> Repository {
        Repository { registry: registry.into(), name: name.into() }
    }

    /// `user:password` as found.
    fn found(text: &str, registry: &str, name: &str) -> Option<String> {
        let credentials = find(text.as_bytes(), &repository(registry, name)).unwrap()?;
        Some(format!("{}:{}", credentials.user, credentials.password))
    }

    #[test]
    fn the_entry_that_names_the_most_of_the_repository_is_taken() {
        let auth = |text: &str| STANDARD.encode(text);
        let text = format!(
            r#"{{"auths": {{"registry.example": {{"auth": "{}"}}, "registry.example/desk-7": {{"username": "b", "password": "p:q"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}}, "other.example:5000": {{}}}}}}"#,
            auth("a:x"),
            auth("hub:y")
        );
        assert_eq!(found(&text, "registry.example", "desk-8/ema").as_deref(), Some("a:x"));
        assert_eq!(found(&text, "registry.example", "desk-7/ema").as_deref(), Some("b:p:q"));
        assert_eq!(found(&text, "registry.example", "desk-70/ema").as_deref(), Some("a:x"));
        assert_eq!(found(&text, "docker.io", "someone/ema").as_deref(), Some("hub:y"));
        for (registry, name) in [("registry.example:5000", "ema"), ("other.example:5000", "ema"), ("example", "ema")] {
            assert_eq!(found(&text, registry, name), None, "{registry}");
        }
    }

    #[test]
    fn a_program_for_credentials_is_refused_where_it_would_be_asked_and_nowhere_else() {
        let text =
            r#"{"auths": {"a.example": {}}, "credsStore": "desktop", "credHelpers": {"b.example": "ecr-login"}}"#;
        for (registry, helper) in
            [("a.example", "docker-credential-desktop"), ("b.example", "docker-credential-ecr-login")]
        {
            let error = find(text.as_bytes(), &repository(registry, "x")).err().unwrap();
            assert!(error.contains(helper) && error.contains("--registry-config"), "{error}");
        }
        assert_eq!(found(text, "c.example", "x"), None);
    }

    #[test]
    fn a_file_that_is_none_is_told_by_line_and_column_and_never_quoted() {
        for text in [
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"a.example": {"auth": 7, "x": "hunter2"}}}"#,
            r#"{"auths": {"a.example": {"auth": "hunter2"}}}"#,
            r#"{"auths": {"a.example": {"identitytoken": "hunter2"}}}"#,
        ] {
            let error = find(text.as_bytes(), &repository("a.example", "x")).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
