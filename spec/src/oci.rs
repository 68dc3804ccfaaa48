//! How modules in a registry are named: `registry/name@sha256:…` to run one, `registry/name:tag` to push one.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// How an artefact is pinned. A tag before the digest is for people: nothing is looked up by it.
pub(crate) const OCI_REFERENCE: &str = r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$";
/// A registry, or a repository in one with all that is below it.
pub(crate) const OCI_PREFIX: &str =
    r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$";
/// Where an artefact is pushed to.
const OCI_TAGGED: &str = r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";

/// Longest name of a repository with its registry.
const NAME_BYTES_MAX: usize = 512;

/// A text that names no artefact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is written otherwise.
    #[error("write it as {0}")]
    Form(&'static str),
    /// It does not say whose it is. A default would be a registry that nobody has chosen.
    #[error("say the registry before the name: a host such as registry.example or localhost:5000")]
    NoRegistry,
}

/// Where artefacts of one name lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// Host, with its port where it has one; small letters.
    pub registry: String,
    /// Name in the registry.
    pub name: String,
}

/// An artefact by the digest of its manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Where it lies.
    pub repository: Repository,
    /// SHA-256 of its manifest, 64 hexadecimal digits.
    pub digest: String,
}

/// Where an artefact is pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// Where it will lie.
    pub repository: Repository,
    /// The name of this version, for people.
    pub tag: String,
}

impl Repository {
    fn of(text: &str) -> Self {
        let (registry, name) = text.split_once('/').unwrap_or((text, ""));
        Self { registry: registry.to_ascii_lowercase(), name: name.to_owned() }
    }

    /// The first part is a host, and no part of a name, where it could not be one.
    fn parse(text: &str) -> Result<Self, NameError> {
        let repository = Self::of(text);
        let is_host = repository.registry.contains(['.', ':']) || repository.registry == "localhost";
        if is_host { Ok(repository) } else { Err(NameError::NoRegistry) }
    }

    /// Whether it is the repository `prefix`, or below it, or in the registry `prefix`.
    #[must_use]
    pub fn is_under(&self, prefix: &str) -> bool {
        let prefix = Self::of(prefix);
        let below =
            || self.name.strip_prefix(&prefix.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.registry == prefix.registry && (prefix.name.is_empty() || below())
    }
}

impl Reference {
    /// Reads `registry/name@sha256:…`; a tag before the digest is left out.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(OCI_REFERENCE).ok());
        let like = NameError::Form("registry.example/name@sha256: and 64 hexadecimal digits in small letters");
        let (name, digest) = matches(&PATTERN, text).then(|| text.split_once("@sha256:")).flatten().ok_or(like)?;
        // A colon after the last slash begins a tag; one before it, a port.
        let tag = name.rfind('/').and_then(|slash| Some(slash + name[slash..].find(':')?));
        let repository = Repository::parse(&name[..tag.unwrap_or(name.len())])?;
        Ok(Self { repository, digest: digest.to_owned() })
    }
}

impl Tagged {
    /// Reads `registry/name:tag`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(OCI_TAGGED).ok());
        let like = NameError::Form("registry.example/name:tag");
        let (name, tag) = matches(&PATTERN, text).then(|| text.rsplit_once(':')).flatten().ok_or(like)?;
        Ok(Self { repository: Repository::parse(name)?, tag: tag.to_owned() })
    }
}

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:{}", self.repository, self.digest)
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn a_reference_is_its_registry_its_name_and_its_digest() {
        for (name, registry, path) in [
            ("registry.example/ema", "registry.example", "ema"),
            ("Registry.Example:5000/desk-7/ema__cross", "registry.example:5000", "desk-7/ema__cross"),
            ("localhost/ema:1.2", "localhost", "ema"),
            ("[2001:db8::1]:5000/a/b:x", "[2001:db8::1]:5000", "a/b"),
            ("10.0.0.7:5000/a", "10.0.0.7:5000", "a"),
        ] {
            let reference = Reference::parse(&format!("{name}@sha256:{}", digest())).unwrap();
            assert_eq!((reference.repository.registry.as_str(), reference.repository.name.as_str()), (registry, path));
            assert_eq!(reference.digest, digest());
            assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }

    #[test]
    fn what_names_no_registry_or_no_digest_is_refused() {
        let digest = digest();
        for text in [
            format!("ema@sha256:{digest}"),
            format!("library/ema@sha256:{digest}"),
            format!("registry.example/Ema@sha256:{digest}"),
            format!("registry.example/../ema@sha256:{digest}"),
            format!("registry.example/a//b@sha256:{digest}"),
            format!("user@registry.example/ema@sha256:{digest}"),
            format!("https://registry.example/ema@sha256:{digest}"),
            format!("registry.example/ema?x=@sha256:{digest}"),
            format!("registry.example/ema@sha256:{}", digest.to_uppercase()),
            format!("registry.example/ema@sha512:{digest}{digest}"),
            format!("registry.example/{}@sha256:{digest}", "a".repeat(512)),
            "registry.example/ema:latest".to_owned(),
            String::new(),
        ] {
            assert!(Reference::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_parts_of_names_and_one_registry() {
        let repository = |text| Repository::of(text);
        for (name, prefix, is_under) in [
            ("registry.example/desk-7/ema", "registry.example", true),
            ("registry.example/desk-7/ema", "Registry.example/desk-7", true),
            ("registry.example/desk-7", "registry.example/desk-7", true),
            ("registry.example/desk-70/ema", "registry.example/desk-7", false),
            ("registry.example:5000/desk-7", "registry.example", false),
            ("registry.example.evil/desk-7", "registry.example", false),
            ("other.example/desk-7", "registry.example/desk-7", false),
        ] {
            assert_eq!(repository(name).is_under(prefix), is_under, "{name} under {prefix}");
        }
    }

    #[test]
    fn a_place_to_push_to_has_a_tag() {
        let tagged = Tagged::parse("registry.example:5000/desk-7/ema:1.2").unwrap();
        assert_eq!(
            (tagged.repository.to_string().as_str(), tagged.tag.as_str()),
            ("registry.example:5000/desk-7/ema", "1.2")
        );
        for text in ["registry.example:5000/ema", "ema:1", "registry.example/ema:", "registry.example/ema:1/2"] {
            assert!(Tagged::parse(text).is_err(), "{text}");
        }
    }
}
