//! Several requests about one repository: says who we are when that is asked for, and goes where the registry sends us.
//!
//! Credentials go to the registry and to the token service that it names over TLS, and to nobody else: a store that it sends us on to
//! gets neither them nor the token. A token is asked for this one repository, whatever the registry proposes.

use std::fmt::Write as _;

use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::credentials::{self, Credentials};
use super::exchange::{Answer, Body, Client, Origin, Security};
use super::zone::Zone;
use super::{RegistryConfig, RegistryError};
use crate::limits::{REDIRECTS_MAX, TOKEN_ANSWER_BYTES_MAX};
use pinion_spec::oci::Repository;

/// What we want of a repository, as tokens are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rights {
    Pull,
    Push,
}

pub(super) struct Session<'a> {
    client: &'a Client,
    config: &'a RegistryConfig,
    repository: &'a Repository,
    rights: Rights,
    registry: Origin,
    /// Where the registry is, once it has answered; nothing further inside is asked.
    zone: Zone,
    authorization: Option<HeaderValue>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: &'a Client,
        config: &'a RegistryConfig,
        repository: &'a Repository,
        rights: Rights,
    ) -> Result<Self, RegistryError> {
        let registry = client.registry(credentials::host_of(&repository.registry))?;
        Ok(Self { client, config, repository, rights, registry, zone: Zone::Loopback, authorization: None })
    }

    /// An answer of 200 to a `GET` below the repository, from wherever the registry has it.
    pub(super) async fn get(&mut self, what: &'static str, path: &str, accept: &str) -> Result<Answer, RegistryError> {
        let mut headers = HeaderMap::new();
        if let Ok(accept) = HeaderValue::from_str(accept) {
            headers.insert(header::ACCEPT, accept);
        }
        let path = self.below(path)?;
        let mut answer = self.ask(Method::GET, &path, &headers, Body::default()).await?;
        let mut from = self.registry.clone();
        for _ in 0..REDIRECTS_MAX {
            if !answer.status.is_redirection() {
                return self.is(StatusCode::OK, what, answer);
            }
            let (origin, path) = self.sent_to(&answer, &from)?;
            let mut headers = headers.clone();
            // The same registry under another path may ask who we are; nobody else is told.
            if let Some(authorization) = self.authorization.as_ref().filter(|_| origin.is(&self.registry)) {
                headers.insert(header::AUTHORIZATION, authorization.clone());
            }
            answer = self.client.send(&origin, self.zone, Method::GET, &path, headers, Body::default()).await?;
            from = origin;
        }
        let problem = format!("that is redirect {REDIRECTS_MAX} and not the last");
        Err(RegistryError::Redirect { host: self.registry.authority(), problem })
    }

    /// An answer of `status` to a request below the repository.
    pub(super) async fn send(
        &mut self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Body,
        status: StatusCode,
    ) -> Result<Answer, RegistryError> {
        let path = self.below(path)?;
        let answer = self.ask(method, &path, &HeaderMap::new(), body).await?;
        self.is(status, what, answer)
    }

    /// Whether the registry has something.
    pub(super) async fn has(&mut self, what: &'static str, path: &str) -> Result<bool, RegistryError> {
        let path = self.below(path)?;
        let answer = self.ask(Method::HEAD, &path, &HeaderMap::new(), Body::default()).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_redirection() => Ok(true),
            _ => self.is(StatusCode::OK, what, answer).map(|_| true),
        }
    }

    /// Sends the body of an upload to where the registry wants it: at the registry itself.
    pub(super) async fn upload(&mut self, begun: &Answer, query: &str, body: Body) -> Result<Answer, RegistryError> {
        let (origin, path) = self.sent_to(begun, &self.registry.clone())?;
        if !origin.is(&self.registry) {
            let problem = "an upload goes to the registry itself and to nobody else".to_owned();
            return Err(RegistryError::Redirect { host: self.registry.authority(), problem });
        }
        let separator = if path.query().is_some() { '&' } else { '?' };
        let path = self.path(&format!("{path}{separator}{query}"))?;
        let answer = self.ask(Method::PUT, &path, &HeaderMap::new(), body).await?;
        self.is(StatusCode::CREATED, "upload", answer)
    }

    fn below(&self, path: &str) -> Result<PathAndQuery, RegistryError> {
        self.path(&format!("/v2/{}/{path}", self.repository.name))
    }

    fn path(&self, path: &str) -> Result<PathAndQuery, RegistryError> {
        PathAndQuery::try_from(path).map_err(|_| RegistryError::Host(self.registry.authority()))
    }

    /// One request to the registry; a second one where it wants to know who we are.
    async fn ask(
        &mut self,
        method: Method,
        path: &PathAndQuery,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Answer, RegistryError> {
        let had = self.authorization.is_some();
        let answer = self.once(method.clone(), path, headers, body.clone()).await?;
        self.zone = answer.zone;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        if had {
            // A token of minutes may have ended in mid-push.
            self.authorization = None;
        }
        self.authorise(challenge::read(&answer.headers)).await?;
        let answer = self.once(method, path, headers, body).await?;
        if answer.status == StatusCode::UNAUTHORIZED { Err(self.unauthorised()) } else { Ok(answer) }
    }

    async fn once(
        &mut self,
        method: Method,
        path: &PathAndQuery,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Answer, RegistryError> {
        let mut headers = headers.clone();
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let request = (method.clone(), headers.clone(), body.clone());
        let answer = self.client.send(&self.registry, self.zone, request.0, path, request.1, request.2).await;
        match answer {
            Err(RegistryError::NoTls { .. }) if self.registry.security == Security::TlsIfSpoken => {
                self.registry.security = Security::Plain;
                self.client.send(&self.registry, self.zone, method, path, headers, body).await
            }
            Ok(answer) => {
                if self.registry.security == Security::TlsIfSpoken {
                    self.registry.security = Security::Tls;
                }
                Ok(answer)
            }
            answer => answer,
        }
    }

    async fn authorise(&mut self, challenge: Option<Challenge>) -> Result<(), RegistryError> {
        let credentials = self.credentials()?;
        let basic = || credentials.as_ref().and_then(Credentials::basic);
        self.authorization = match challenge {
            Some(Challenge::Basic) => Some(basic().ok_or_else(|| self.unauthorised())?),
            Some(Challenge::Bearer { realm, service }) => {
                let realm = realm.parse::<Uri>().ok().and_then(|realm| Some((self.origin(&realm)?, realm)));
                let (origin, realm) = realm.ok_or_else(|| RegistryError::Redirect {
                    host: self.registry.authority(),
                    problem: "its token service is not at an https address".to_owned(),
                })?;
                let mut query = realm.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
                let rights = match self.rights {
                    Rights::Pull => "pull",
                    Rights::Push => "pull,push",
                };
                let scope = format!("repository:{}:{rights}", self.repository.name);
                let service = service.iter().map(|service| ("service", service.as_str()));
                for (name, value) in service.chain([("scope", scope.as_str())]) {
                    query.push(if query.contains('?') { '&' } else { '?' });
                    // Writing to a String does not fail.
                    let _ = write!(query, "{name}={}", escaped(value));
                }
                let mut headers = HeaderMap::new();
                headers.extend(basic().map(|basic| (header::AUTHORIZATION, basic)));
                let path = self.path(&query)?;
                let answer = self.client.send(&origin, self.zone, Method::GET, &path, headers, Body::default()).await?;
                Some(self.token(answer).await?)
            }
            None => return Err(self.unauthorised()),
        };
        Ok(())
    }

    async fn token(&self, mut answer: Answer) -> Result<HeaderValue, RegistryError> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.unauthorised()),
            status => return Err(RegistryError::Status { host: answer.host, what: "token", status }),
        }
        let text = answer.read("answer of the token service", TOKEN_ANSWER_BYTES_MAX).await?;
        // Its text would tell the token.
        let none = || RegistryError::Status { host: answer.host.clone(), what: "token", status: answer.status };
        let token: Token = serde_json::from_slice(&text).map_err(|_| none())?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty()).ok_or_else(none)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| none())?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn credentials(&self) -> Result<Option<Credentials>, RegistryError> {
        let Some(file) = &self.config.credentials else { return Ok(None) };
        credentials::read(file, self.repository)
            .map_err(|problem| RegistryError::Credentials { file: file.clone(), problem })
    }

    fn unauthorised(&self) -> RegistryError {
        let credentials = match (&self.config.credentials, self.credentials()) {
            (None, _) => {
                "there are none: give them by --registry-config, or registry.credentials of the Tenant".to_owned()
            }
            (Some(file), Ok(Some(_))) => format!("it does not take those in {}", file.display()),
            (Some(file), _) => format!("{} has none for it", file.display()),
        };
        RegistryError::Unauthorised { host: self.registry.authority(), credentials }
    }

    /// Who answers at an absolute address that the registry has named, if anybody may be asked there: over TLS, or without where that
    /// has been allowed, or on this machine where the registry itself is here and speaks none.
    fn origin(&self, uri: &Uri) -> Option<Origin> {
        let origin = Origin::of(uri)?;
        let here =
            || self.registry.security == Security::Plain && self.registry.is_this_machine() && origin.is_this_machine();
        (origin.security == Security::Tls || self.client.may_be_plain(&origin) || here()).then_some(origin)
    }

    /// Where an answer sends us. Its address is not shown: it may be signed.
    fn sent_to(&self, answer: &Answer, from: &Origin) -> Result<(Origin, PathAndQuery), RegistryError> {
        let refused = |problem: &str| RegistryError::Redirect { host: from.authority(), problem: problem.to_owned() };
        let location = answer.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| refused("it does not say where to"))?;
        let uri: Uri = location.parse().map_err(|_| refused("that is no address"))?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        if uri.scheme().is_none() && location.starts_with('/') && !location.starts_with("//") {
            return Ok((from.clone(), path));
        }
        let origin = self.origin(&uri).ok_or_else(|| refused("that is not an https address"))?;
        if origin.security == Security::Plain && from.security != Security::Plain {
            return Err(refused("that is not an https address"));
        }
        Ok((origin, path))
    }

    fn is(&self, status: StatusCode, what: &'static str, answer: Answer) -> Result<Answer, RegistryError> {
        let host = answer.host.clone();
        match answer.status {
            is if is == status => Ok(answer),
            StatusCode::UNAUTHORIZED if host == self.registry.authority() => Err(self.unauthorised()),
            StatusCode::FORBIDDEN => Err(RegistryError::Forbidden { host, what }),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound { host, what }),
            status => Err(RegistryError::Status { host, what, status }),
        }
    }
}

/// As part of a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
