//! The strategy that runs, over the admin port of its `pinion run`: which module it is, and another in its place.
//!
//! Only on this machine: the token and the module go in the clear, and whoever can put a module into a process trades with it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use pinion_runtime::args::chain;
use pinion_runtime::clock::mono_ns;
use pinion_spec::strategy::Strategy;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::error::CliError;

/// Who listens on this machine takes a connection at once.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A swap may wait for a compilation: 20 s for Python, more on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// From the answer of a swap until what runs is seen to be it.
const SEEN_MAX: Duration = Duration::from_secs(10);
/// Between two looks at it.
const SEEN_LOOK: Duration = Duration::from_millis(50);
/// An answer; a list of many strategies is some tens of KiB.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// An admin address on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let address = match rest.strip_prefix("localhost:") {
            Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => rest.parse().ok(),
        };
        let Some(address) = address else { return Err("write http://127.0.0.1:PORT".to_owned()) };
        let here = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        };
        if here {
            Ok(Self(address))
        } else {
            Err("it must be on this machine: the token would go over the network in the clear; forward the port"
                .to_owned())
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// The bearer token in a file, as `pinion run` reads it.
///
/// # Errors
/// [`CliError::Usage`] where it cannot be read.
pub(super) fn token(file: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Usage(format!("--admin-token-file {}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

/// What may run there.
#[derive(Debug, Clone)]
pub(super) struct Running {
    address: Address,
    token: Option<String>,
}

/// The module of a strategy that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs {
    /// Its digest.
    pub(super) module: String,
    /// It is there, but not called any more.
    pub(super) quarantined: bool,
}

/// One strategy that runs, as far as this looks at it.
#[derive(Debug, Deserialize)]
struct Shown {
    tenant: String,
    strategy: String,
    module: String,
    quarantined: bool,
}

impl Running {
    pub(super) const fn new(address: Address, token: Option<String>) -> Self {
        Self { address, token }
    }

    pub(super) const fn address(&self) -> Address {
        self.address
    }

    /// What runs.
    ///
    /// # Errors
    /// [`CliError::Unavailable`] where nobody answers, [`CliError::Usage`] where it is refused or does not run there.
    pub(super) fn runs(&self, strategy: &Strategy) -> Result<Runs, CliError> {
        let Shown { module, quarantined, .. } = self.shown(strategy)?;
        Ok(Runs { module, quarantined })
    }

    /// Swaps a module in and waits until it is seen to run.
    ///
    /// # Errors
    /// As [`Running::runs`]; [`CliError::Usage`] where the swap is refused, and then what ran goes on.
    pub(super) fn swap(&self, strategy: &Strategy, component: &[u8], digest: &str) -> Result<(), CliError> {
        let path = format!(
            "/control/swap?tenant={}&strategy={}",
            escaped(strategy.tenant()),
            escaped(&strategy.metadata.name)
        );
        self.ask(Method::POST, &path, component)?;
        let asked_ns = mono_ns();
        loop {
            let shown = self.shown(strategy)?;
            if shown.module == digest && !shown.quarantined {
                return Ok(());
            }
            if Duration::from_nanos(mono_ns() - asked_ns) > SEEN_MAX {
                let (address, module) = (self.address, shown.module);
                let more = if shown.quarantined { ", quarantined for its faults" } else { "" };
                return Err(CliError::Unavailable(format!(
                    "the swap was taken, but {module} is what runs at {address}{more}; another may be changing it"
                )));
            }
            std::thread::park_timeout(SEEN_LOOK);
        }
    }

    fn shown(&self, strategy: &Strategy) -> Result<Shown, CliError> {
        let (tenant, name) = (strategy.tenant(), strategy.metadata.name.as_str());
        let answer = self.ask(Method::GET, "/strategies", &[])?;
        let shown: Vec<Shown> = serde_json::from_slice(&answer).map_err(|error| {
            CliError::Usage(format!("{}: not the admin port of `pinion run`: {error}", self.address))
        })?;
        let names: Vec<String> = shown.iter().map(|one| format!("{}/{}", one.tenant, one.strategy)).collect();
        shown.into_iter().find(|one| one.tenant == tenant && one.strategy == name).ok_or_else(|| {
            let runs = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            CliError::Usage(format!("{tenant}/{name} does not run at {}; there runs {runs}", self.address))
        })
    }

    fn ask(&self, method: Method, path: &str, body: &[u8]) -> Result<Bytes, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CliError::Internal(format!("cannot make a runtime: {error}")))?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.address.0.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)));
        let request = request.map_err(|error| CliError::Usage(format!("--admin-token-file: {error}")))?;
        let (status, answer) = runtime.block_on(exchange(self.address, request)).map_err(|problem| {
            let address = self.address;
            CliError::Unavailable(format!("{address}: {problem}; is there a `pinion run --admin {}`?", address.0))
        })?;
        if status.is_success() {
            return Ok(answer);
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let said = serde_json::from_slice::<Refusal>(&answer).map_or_else(|_| status.to_string(), |said| said.error);
        let fix = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; name its token with --admin-token-file",
            _ => "",
        };
        Err(CliError::Usage(format!("{} refuses it: {said}{fix}", self.address)))
    }
}

/// One request on a connection of its own.
async fn exchange(address: Address, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
    let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address.0)).await;
    let stream = connecting.map_err(|_| "it does not answer".to_owned())?.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    // It ends with the answer; what went wrong with it, the answer says.
    let connection = tokio::spawn(async move { drop(connection.await) });
    let answering = async {
        let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = answer.status();
        let body =
            Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    let answer = tokio::time::timeout(ANSWER_MAX, answering).await;
    connection.abort();
    answer.map_err(|_| format!("no answer in {} s", ANSWER_MAX.as_secs()))?
}

/// A name in a query: what is no letter, digit, dash or dot is written by its bytes.
fn escaped(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_this_machine_or_is_refused() {
        for good in ["http://127.0.0.1:9101", "http://localhost:9101/", "127.0.0.1:9101"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), "http://127.0.0.1:9101");
        }
        assert!("http://[::1]:9101".parse::<Address>().is_ok());
        for bad in
            ["http://10.0.0.7:9101", "http://0.0.0.0:9101", "http://pod:9101", "https://127.0.0.1:1", "127.0.0.1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert!("http://10.0.0.7:9101".parse::<Address>().unwrap_err().contains("in the clear"));
    }

    #[test]
    fn a_name_cannot_say_more_than_a_name() {
        assert_eq!(escaped("ema-cross.2"), "ema-cross.2");
        assert_eq!(escaped("a&tenant=b"), "a%26tenant%3Db");
    }
}
