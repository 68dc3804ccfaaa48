//! One request to one host, and its answer: connected to, encrypted, with a limit for each wait and each length.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_openssl::SslStream;
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use openssl::x509::X509VerifyResult;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::zone::{Zone, zone};
use super::{Patience, RegistryConfig, RegistryError};
use crate::limits::ANSWER_HEAD_BYTES_MAX;

/// Characters of a host's name that a message shows.
const HOST_CHARS_SHOWN: usize = 100;
/// Bytes of a body that are sent at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Whether a host is spoken to with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// Always.
    Tls,
    /// Never: it has been said so.
    Plain,
    /// Where it speaks TLS: this machine's own.
    TlsIfSpoken,
}

/// Who is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    host: String,
    port: Option<u16>,
    pub(super) security: Security,
}

impl Origin {
    /// Of an absolute address; `None` where it is not one of HTTP. What security an `http` address gets, its caller decides.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let security = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => Security::Tls,
            scheme if *scheme == Scheme::HTTP => Security::Plain,
            _ => return None,
        };
        // Neither a user nor a port that is none: both would be dropped in silence.
        let authority = uri.authority()?.as_str();
        let host = uri.host()?;
        let port = match authority.strip_prefix(host)?.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if authority == host => None,
            None => return None,
        };
        Some(Self { host: host.to_ascii_lowercase(), port, security })
    }

    /// Whether it is this machine by its very name.
    pub(super) fn is_this_machine(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse().ok().and_then(zone);
        self.host == "localhost" || address == Some(Zone::Loopback)
    }

    /// Whether it is the same to whom one would say who one is.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.host, self.port(), self.security) == (&other.host, other.port(), other.security)
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.security == Security::Plain { 80 } else { 443 })
    }

    /// As in an address, and in messages.
    pub(super) fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.shown()),
            None => self.shown(),
        }
    }

    fn shown(&self) -> String {
        self.host.chars().take(HOST_CHARS_SHOWN).collect()
    }
}

/// What is sent with a request.
#[derive(Clone, Default)]
pub(super) struct Body {
    bytes: Bytes,
    kind: Option<&'static str>,
    sent: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl Body {
    /// Of a media type.
    pub(super) fn of(kind: &'static str, bytes: Bytes) -> Self {
        Self { bytes, kind: Some(kind), sent: None }
    }

    /// Tells how much of it was handed to the connection with each piece.
    pub(super) fn with_progress(self, sent: Arc<dyn Fn(usize) + Send + Sync>) -> Self {
        Self { sent: Some(sent), ..self }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let piece = PIECE_BYTES.min(self.bytes.len());
        let piece = self.bytes.split_to(piece);
        if let Some(sent) = &self.sent {
            sent(piece.len());
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// An answer, its body still to be read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Where it came from.
    pub(super) zone: Zone,
    pub(super) host: String,
    body: Incoming,
    stall: Duration,
    /// Reads and writes as long as the answer is there.
    _connection: Connection,
}

struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let frame = tokio::time::timeout(self.stall, self.body.frame()).await;
            let frame = frame.map_err(|_| RegistryError::Slow { host: self.host.clone(), limit: self.stall })?;
            let broken = |error: hyper::Error| RegistryError::Unreachable {
                host: self.host.clone(),
                problem: format!("the answer broke off: {}", crate::args::chain(&error)),
            };
            match frame.transpose().map_err(broken)?.map(Frame::into_data) {
                Some(Ok(data)) => return Ok(Some(data)),
                // Trailers.
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn read(&mut self, what: &'static str, limit: usize) -> Result<Vec<u8>, RegistryError> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await? {
            if all.len() + piece.len() > limit {
                return Err(RegistryError::TooLarge { what, limit });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// What a connection reads and writes.
trait Io: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Io for T {}

/// Makes requests.
pub(super) struct Client {
    tls: SslConnector,
    plain: Vec<String>,
    patience: Patience,
}

impl Client {
    /// With the system's authorities, and those of the file that is configured.
    pub(super) fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let broken = |error: openssl::error::ErrorStack| RegistryError::Authorities {
            file: config.authorities.clone().unwrap_or_default(),
            problem: error.errors().first().and_then(|error| error.reason()).unwrap_or("no reason given").to_owned(),
        };
        let mut tls = SslConnector::builder(SslMethod::tls_client()).map_err(broken)?;
        tls.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(broken)?;
        if let Some(file) = &config.authorities {
            tls.set_ca_file(file).map_err(broken)?;
        }
        Ok(Self { tls: tls.build(), plain: config.plain.clone(), patience: config.patience })
    }

    /// How a registry is spoken to.
    pub(super) fn registry(&self, registry: &str) -> Result<Origin, RegistryError> {
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(registry).path_and_query("/").build();
        let origin = uri.ok().as_ref().and_then(Origin::of);
        let origin = origin.ok_or_else(|| RegistryError::Host(registry.chars().take(HOST_CHARS_SHOWN).collect()))?;
        let security = match () {
            () if self.plain.iter().any(|plain| plain.eq_ignore_ascii_case(registry)) => Security::Plain,
            () if origin.is_this_machine() => Security::TlsIfSpoken,
            () => Security::Tls,
        };
        Ok(Origin { security, ..origin })
    }

    /// Whether an `http` address that a registry names may be asked.
    pub(super) fn may_be_plain(&self, origin: &Origin) -> bool {
        self.plain.iter().any(|plain| plain.eq_ignore_ascii_case(&origin.authority()))
    }

    /// Sends a request to a host that is at most as far inside as `nearest`.
    pub(super) async fn send(
        &self,
        origin: &Origin,
        nearest: Zone,
        method: Method,
        path: &PathAndQuery,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Answer, RegistryError> {
        let host = origin.authority();
        let connecting = tokio::time::timeout(self.patience.connect, self.connect(origin, nearest)).await;
        let slow = |limit| RegistryError::Slow { host: host.clone(), limit };
        let (io, zone) = connecting.map_err(|_| slow(self.patience.connect))??;
        let broken = |error: hyper::Error| RegistryError::Unreachable {
            host: host.clone(),
            problem: crate::args::chain(&error),
        };
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(ANSWER_HEAD_BYTES_MAX).handshake(io).await.map_err(broken)?;
        // It ends with an error where the answer breaks off, and then whoever reads the answer is told.
        let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
        // The answer to an upload comes when all of it has been sent.
        let patience = if body.is_end_stream() { self.patience.stall } else { self.patience.transfer };
        let request = request(origin, method, path, headers, body)?;
        let answer = tokio::time::timeout(patience, sender.send_request(request)).await;
        let (parts, body) = answer.map_err(|_| slow(patience))?.map_err(broken)?.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        let stall = self.patience.stall;
        Ok(Answer { status, headers, zone, host, body, stall, _connection: connection })
    }

    async fn connect(&self, origin: &Origin, nearest: Zone) -> Result<(Box<dyn Io>, Zone), RegistryError> {
        let host = origin.authority();
        let unreachable = |problem: String| RegistryError::Unreachable { host: origin.authority(), problem };
        let name = origin.host.trim_matches(['[', ']']);
        let addresses = tokio::net::lookup_host((name, origin.port())).await;
        let (mut problem, mut inside) = ("its name has no address".to_owned(), false);
        for address in addresses.map_err(|error| unreachable(error.to_string()))? {
            let Some(zone) = zone(address.ip()).filter(|zone| *zone <= nearest) else {
                inside = true;
                continue;
            };
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Best effort: it only saves time.
                    let _ = stream.set_nodelay(true);
                    let io = TokioIo::new(stream);
                    if origin.security == Security::Plain {
                        return Ok((Box::new(io), zone));
                    }
                    return Ok((Box::new(self.encrypt(origin, name, io).await?), zone));
                }
                Err(error) => problem = error.to_string(),
            }
        }
        Err(if inside { RegistryError::Inside { host } } else { unreachable(problem) })
    }

    async fn encrypt<S: Read + Write + Unpin>(
        &self,
        origin: &Origin,
        name: &str,
        io: S,
    ) -> Result<SslStream<S>, RegistryError> {
        let host = origin.authority();
        let refused = |problem: &str| RegistryError::Untrusted { host: host.clone(), problem: problem.to_owned() };
        let ssl =
            self.tls.configure().and_then(|tls| tls.into_ssl(name)).map_err(|error| refused(&error.to_string()))?;
        let mut stream = SslStream::new(ssl, io).map_err(|error| refused(&error.to_string()))?;
        let Err(error) = Pin::new(&mut stream).connect().await else { return Ok(stream) };
        let verified = stream.ssl().verify_result();
        if verified != X509VerifyResult::OK {
            return Err(refused(verified.error_string()));
        }
        Err(match error.ssl_error().and_then(|stack| stack.errors().first()?.reason()) {
            Some("wrong version number" | "packet length too long" | "record layer failure") => {
                RegistryError::NoTls { host }
            }
            Some(reason) => refused(reason),
            None => RegistryError::Unreachable { host, problem: error.to_string() },
        })
    }
}

fn request(
    origin: &Origin,
    method: Method,
    path: &PathAndQuery,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Request<Body>, RegistryError> {
    let host = HeaderValue::from_str(&match origin.port {
        Some(port) => format!("{}:{port}", origin.host),
        None => origin.host.clone(),
    });
    headers.insert(header::HOST, host.map_err(|_| RegistryError::Host(origin.authority()))?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("pinion/", env!("CARGO_PKG_VERSION"))));
    if let Some(kind) = body.kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path.clone());
    *request.headers_mut() = headers;
    Ok(request)
}
