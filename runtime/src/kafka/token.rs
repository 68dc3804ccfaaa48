//! Tokens for SASL/OAUTHBEARER, from a file that somebody else keeps fresh: in Kubernetes a projected service-account token.
//!
//! Promise: the file is read anew each time that librdkafka asks (after 80 % of the last token's life, and 10 s after a failure).
//! Of the token only the claims `sub` and `exp` are looked at, and no other part of it is ever shown. Whether it is genuine is
//! for the broker to say.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::limits::TOKEN_BYTES_MAX;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// A token as it lay in its file. `Debug` does not show it.
#[derive(PartialEq, Eq)]
pub(super) struct Token {
    pub(super) value: String,
    /// Its `sub`: who the broker takes the client for.
    pub(super) subject: String,
    /// Its `exp`, ms since the Unix epoch.
    pub(super) expires_ms: i64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value: _, subject, expires_ms } = self;
        f.debug_struct("Token").field("subject", subject).field("expires_ms", expires_ms).finish_non_exhaustive()
    }
}

/// A setting that names no token file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenUrlError {
    /// A server that gives tokens out.
    #[error(
        "a token endpoint over HTTP is not supported: this build has no OIDC client; let a sidecar or the kubelet write the \
         token to a file, and name it as file:///PATH"
    )]
    Http,
    /// Something else.
    #[error("want file:///PATH, an absolute path to a file that holds a JWT")]
    NotAFile,
}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read the token file {path}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no token: {problem}; want a JWT with the claims `sub` and `exp`")]
    NotAToken {
        /// Which file.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Whoever is to renew it has not.
    #[error(
        "the token in {path} expired {seconds} s ago; see why nobody has renewed it (a projected token is the kubelet's to renew)"
    )]
    Expired {
        /// Which file.
        path: String,
        /// How long ago.
        seconds: i64,
    },
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
}

impl TokenFile {
    /// The file that a `file:` URL names.
    pub(super) fn from_url(url: &str) -> Result<Self, TokenUrlError> {
        if url.starts_with("http://") || url.starts_with("https://") {
            return Err(TokenUrlError::Http);
        }
        let rest = url.strip_prefix("file:").ok_or(TokenUrlError::NotAFile)?;
        let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
        if path.is_absolute() { Ok(Self { path: path.to_owned() }) } else { Err(TokenUrlError::NotAFile) }
    }

    /// Which file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The token that lies there now, where `now_ms` is before its end.
    pub(super) fn read(&self, now_ms: i64) -> Result<Token, TokenError> {
        let path = || self.path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(&self.path)
            .and_then(|file| file.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut text))
            .map_err(|source| TokenError::Read { path: path(), source })?;
        let token = parse(&text).map_err(|problem| TokenError::NotAToken { path: path(), problem })?;
        match now_ms.saturating_sub(token.expires_ms) {
            late if late >= 0 => Err(TokenError::Expired { path: path(), seconds: late / 1000 }),
            _ => Ok(token),
        }
    }
}

/// A JWT in compact form; an unsigned one has an empty last part.
fn parse(text: &str) -> Result<Token, &'static str> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err("it is larger than any token");
    }
    let value = text.trim();
    let mut parts = value.split('.');
    let (Some(_header), Some(claims), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it has not three parts with dots between them");
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !value.bytes().all(plain) {
        return Err("it has characters that no token has");
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| "its second part is not base64url")?;
    // Of what serde says nothing is passed on: it quotes what it has read.
    let claims: Claims =
        serde_json::from_slice(&claims).map_err(|_| "its claims lack `sub`, a text, or `exp`, a number of seconds")?;
    if claims.sub.is_empty() || claims.sub.contains('\0') {
        return Err("its `sub` is empty");
    }
    if !(0.0..=1e12).contains(&claims.exp) {
        return Err("its `exp` is no time");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below 1e15, and a fraction of a millisecond is nobody's concern"
    )]
    let expires_ms = (claims.exp * 1e3) as i64;
    Ok(Token { value: value.to_owned(), subject: claims.sub, expires_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims))
    }

    fn file(name: &str, content: &str) -> TokenFile {
        let path = std::env::temp_dir().join(format!("pinion-token-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        TokenFile { path }
    }

    #[test]
    fn a_token_is_for_its_sub_until_its_exp_and_is_read_anew_each_time() {
        let first = jwt(r#"{"sub":"system:serviceaccount:desk-7:runtime","exp":1000,"aud":["kafka"]}"#);
        let tokens = file("renewed", &format!("{first}\n"));
        let token = tokens.read(999_999).unwrap();
        assert_eq!(
            (token.value, token.subject.as_str(), token.expires_ms),
            (first, "system:serviceaccount:desk-7:runtime", 1_000_000)
        );
        assert!(matches!(tokens.read(1_007_000), Err(TokenError::Expired { seconds: 7, .. })));
        std::fs::write(&tokens.path, jwt(r#"{"sub":"x","exp":2000.5}"#)).unwrap();
        assert_eq!(tokens.read(1_007_000).unwrap().expires_ms, 2_000_500);
        std::fs::remove_file(&tokens.path).unwrap();
        assert!(matches!(tokens.read(0), Err(TokenError::Read { .. })));
    }

    #[test]
    fn what_is_no_token_is_refused_and_nothing_of_it_is_shown() {
        let large = "x".repeat(TOKEN_BYTES_MAX + 1);
        let claims =
            [r#"{"sub":"hunter2"}"#, r#"{"exp":"hunter2"}"#, r#"{"sub":"hunter2","exp":-1}"#, r#"{"sub":"","exp":1}"#];
        let others = ["", "hunter2", "a.hunter2.c", "hunter2.b.c.d.e", "hunter2\u{0}.e30.c", &large];
        for text in claims.map(jwt).into_iter().chain(others.map(str::to_owned)) {
            let tokens = file("hostile", &text);
            let error = tokens.read(0).unwrap_err();
            assert!(matches!(error, TokenError::NotAToken { .. }), "{text}: {error}");
            assert!(!crate::args::chain(&error).contains("hunter2"), "{error}");
            std::fs::remove_file(&tokens.path).unwrap();
        }
    }

    #[test]
    fn a_token_is_not_in_debug_output() {
        let token = parse(&jwt(r#"{"sub":"x","exp":1}"#)).unwrap();
        assert!(!format!("{token:?}").contains(&token.value));
    }

    #[test]
    fn only_a_file_url_names_a_token_file() {
        for url in ["file:///var/run/token", "file:/var/run/token"] {
            assert_eq!(TokenFile::from_url(url).unwrap().path(), Path::new("/var/run/token"));
        }
        for url in ["http://sso/token", "https://sso/token"] {
            assert_eq!(TokenFile::from_url(url), Err(TokenUrlError::Http));
        }
        for url in ["", "/var/run/token", "file:token", "file://host/token", "ftp://x"] {
            assert_eq!(TokenFile::from_url(url), Err(TokenUrlError::NotAFile), "{url}");
        }
    }
}
