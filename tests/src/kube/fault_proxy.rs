//! Between a client and the apiserver, where a test makes things go wrong: refusals, late answers, lost answers, cut watches.
//!
//! A client's TLS ends here, by the apiserver's own certificate; the apiserver is called as `cluster-admin`, whoever the client is. HTTP/1.1,
//! a thread and a connection to the apiserver for each connection of the client. Every request is logged, and when it was answered.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::park_timeout;
use std::time::Duration;

use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream};
use pinion_runtime::clock::mono_ns;

use super::{Cluster, pki};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The apiserver never gets it; the client gets this status, and is told when to come again.
    Refuse(u16, Option<u32>),
    /// It is done at once, and the answer comes late.
    LateAnswer(Duration),
    /// It is done, and the connection breaks before the answer.
    LoseAnswer,
    /// A watch breaks off in the middle of its next event.
    CutEvent,
    /// A watch is told that its past is gone (410), and ends.
    Gone,
}

/// Which requests, how many of them, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The method; empty: any.
    pub method: &'static str,
    /// What the path and the query must all contain.
    pub parts: Vec<String>,
    /// How many requests it is for.
    pub times: usize,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// A fault of the next `times` requests of this method whose path contains `part`.
    #[must_use]
    pub fn new(method: &'static str, part: impl Into<String>, times: usize, fault: Fault) -> Self {
        Self { method, parts: vec![part.into()], times, fault }
    }

    /// Only where this is contained as well.
    #[must_use]
    pub fn and(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }

    fn is_for(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && (self.method.is_empty() || self.method == method)
            && self.parts.iter().all(|part| path.contains(part))
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Call {
    /// When, monotonic nanoseconds.
    pub at_ns: u64,
    /// When its answer began; `None` before that.
    pub answered_ns: Option<u64>,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// The answer's status.
    pub status: Option<u16>,
    /// What was made to go wrong.
    pub fault: Option<Fault>,
}

impl Call {
    /// Whether it writes anything but the Lease.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != "GET" && !self.is_lease()
    }

    /// Whether it is about a Lease.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.path.contains("/leases/") || self.path.ends_with("/leases") || self.path.contains("/leases?")
    }
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<Call>,
    /// Each connection's socket, and what is being asked over it.
    sockets: Vec<(TcpStream, String)>,
}

struct Shared {
    state: Mutex<State>,
    ends: AtomicBool,
    apiserver: SocketAddr,
    host: String,
    acceptor: SslAcceptor,
    connector: SslConnector,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy; gone with this value.
pub struct FaultProxy {
    shared: Arc<Shared>,
    listen: SocketAddr,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// A proxy of its own for a client of this name.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn fault_proxy(&self, name: &str) -> FaultProxy {
        let file = |name: &str| self.plan.pki.path(name);
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("TLS");
        acceptor.set_private_key_file(file("apiserver.key"), SslFiletype::PEM).expect("the apiserver's key");
        acceptor.set_certificate_chain_file(file("apiserver.crt")).expect("the apiserver's certificate");
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("TLS");
        connector.set_ca_file(file("ca.crt")).expect("the authority's certificate");
        connector.set_private_key_file(file("admin.key"), SslFiletype::PEM).expect("the admin's key");
        connector.set_certificate_file(file("admin.crt"), SslFiletype::PEM).expect("the admin's certificate");

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let listen = listener.local_addr().expect("an address");
        let kubeconfig = self.plan.kubeconfig(&format!("proxy-{name}"));
        let content = pki::kubeconfig(&format!("https://{listen}"), &self.authority(), "{}");
        std::fs::write(&kubeconfig, content).expect("write a kubeconfig");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ends: AtomicBool::new(false),
            apiserver: SocketAddr::new(self.plan.host, self.plan.apiserver_port),
            host: self.plan.host.to_string(),
            acceptor: acceptor.build(),
            connector: connector.build(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ends.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&shared, client));
            }
        });
        FaultProxy { shared, listen, kubeconfig }
    }
}

impl FaultProxy {
    /// The kubeconfig that leads through it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on, until [`FaultProxy::heal`]. The first rule that a request meets is the one that counts.
    pub fn inject(&self, rule: Rule) {
        self.shared.state().rules.push(rule);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.state().rules.clear();
    }

    /// Breaks the client's connections over which this is being asked now.
    pub fn cut(&self, part: &str) {
        for (socket, _) in self.shared.state().sockets.iter().filter(|(_, path)| path.contains(part)) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Requests so far; a watch is one.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// Requests since a moment by the monotonic clock that meet a condition.
    #[must_use]
    pub fn count_since(&self, since_ns: u64, is: impl Fn(&Call) -> bool) -> usize {
        self.shared.state().calls.iter().filter(|call| call.at_ns >= since_ns && is(call)).count()
    }

    /// Requests so far that something was made to go wrong with.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.shared.state().calls.iter().filter(|call| call.fault.is_some()).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        for (socket, _) in &self.shared.state().sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes who accepts.
        let _ = TcpStream::connect(self.listen);
    }
}

type Tls = BufReader<SslStream<TcpStream>>;

/// One connection of the client, until it or the apiserver ends it.
fn serve(shared: &Shared, client: TcpStream) {
    let _ = client.set_nodelay(true);
    let Ok(socket) = client.try_clone() else { return };
    let connection = {
        let mut state = shared.state();
        state.sockets.push((socket, String::new()));
        state.sockets.len() - 1
    };
    let Ok(client) = shared.acceptor.accept(client) else { return };
    let (mut client, mut apiserver) = (BufReader::new(client), None);
    while exchange(shared, connection, &mut client, &mut apiserver).is_some() {}
    let _ = client.get_ref().get_ref().shutdown(Shutdown::Both);
}

/// One request and its answer. `None`: the connection is over.
fn exchange(shared: &Shared, connection: usize, client: &mut Tls, apiserver: &mut Option<Tls>) -> Option<()> {
    let head = Head::read(client)?;
    let mut body = vec![0; head.length().unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    let (method, path) = head.request()?;
    let (index, fault) = {
        let mut state = shared.state();
        let rule = state.rules.iter_mut().find(|rule| rule.is_for(&method, &path));
        let fault = rule.map(|rule| {
            rule.times -= 1;
            rule.fault
        });
        state.sockets[connection].1.clone_from(&path);
        let call = Call { at_ns: mono_ns(), answered_ns: None, method, path, status: None, fault };
        state.calls.push(call);
        (state.calls.len() - 1, fault)
    };
    let answered = |status: u16| {
        let call = &mut shared.state().calls[index];
        (call.answered_ns, call.status) = (Some(mono_ns()), Some(status));
    };
    match fault {
        Some(Fault::Refuse(status, retry_after)) => {
            answered(status);
            write(client, refusal(status, retry_after).as_bytes())
        }
        Some(Fault::Gone) => {
            answered(200);
            write(client, gone().as_bytes())
        }
        _ => {
            let apiserver = send(shared, apiserver, &head.bytes, &body)?;
            let answer = Head::read(apiserver)?;
            match fault {
                Some(Fault::LateAnswer(late)) => wait(late),
                Some(Fault::LoseAnswer) => {
                    // The answer's end shows that it is done.
                    let mut rest = vec![0; answer.length().unwrap_or(1)];
                    let _ = apiserver.read_exact(&mut rest);
                    return None;
                }
                _ => {}
            }
            answered(answer.status()?);
            write(client, &answer.bytes)?;
            match answer.length() {
                Some(length) => copy(apiserver, client, length),
                None if answer.is_chunked() => copy_chunks(apiserver, client, fault == Some(Fault::CutEvent)),
                None => Some(()),
            }
        }
    }
}

/// Sends a request, over a new connection where the last one has ended meanwhile.
fn send<'a>(shared: &Shared, apiserver: &'a mut Option<Tls>, head: &[u8], body: &[u8]) -> Option<&'a mut Tls> {
    for _ in 0..2 {
        if apiserver.is_none() {
            let socket = TcpStream::connect(shared.apiserver).ok()?;
            let _ = socket.set_nodelay(true);
            shared.state().sockets.push((socket.try_clone().ok()?, String::new()));
            *apiserver = Some(BufReader::new(shared.connector.connect(&shared.host, socket).ok()?));
        }
        let connection = apiserver.as_mut()?;
        let sent = write(connection, &[head, body].concat()).is_some();
        // An end of the connection is all that can be there to read before the answer.
        if sent && connection.fill_buf().is_ok_and(|answer| !answer.is_empty()) {
            break;
        }
        *apiserver = None;
    }
    apiserver.as_mut()
}

fn write(to: &mut Tls, bytes: &[u8]) -> Option<()> {
    let stream = to.get_mut();
    stream.write_all(bytes).ok()?;
    stream.flush().ok()
}

fn copy(from: &mut Tls, to: &mut Tls, length: usize) -> Option<()> {
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    write(to, &body)
}

/// Copies a body of chunks as each comes; `cut`: to the middle of its first.
fn copy_chunks(from: &mut Tls, to: &mut Tls, cut: bool) -> Option<()> {
    loop {
        let mut chunk = Vec::new();
        from.read_until(b'\n', &mut chunk).ok()?;
        let size = usize::from_str_radix(std::str::from_utf8(&chunk).ok()?.trim(), 16).ok()?;
        let head = chunk.len();
        chunk.resize(head + size + 2, 0);
        from.read_exact(&mut chunk[head..]).ok()?;
        if cut {
            let _ = write(to, &chunk[..head + size / 2]);
            return None;
        }
        write(to, &chunk)?;
        if size == 0 {
            return Some(());
        }
    }
}

fn wait(late: Duration) {
    let until_ns = mono_ns() + u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
    while mono_ns() < until_ns {
        park_timeout(Duration::from_millis(20));
    }
}

/// As the apiserver writes it: what is too much is said in a line of text, all else is a Status.
fn refusal(status: u16, retry_after: Option<u32>) -> String {
    let body = if status == 429 {
        "Too many requests, please try again later.\n".to_owned()
    } else {
        let reason = if status == 409 { "Conflict" } else { "InternalError" };
        format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"made by a test","reason":"{reason}","code":{status}}}"#
        )
    };
    let retry_after = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{retry_after}\r\n{body}", body.len())
}

fn gone() -> String {
    let event = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;
    let event = format!("{event}\n");
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n0\r\n\r\n",
        event.len()
    )
}

/// The lines before a body.
struct Head {
    bytes: Vec<u8>,
}

impl Head {
    fn read(from: &mut Tls) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            from.read_until(b'\n', &mut bytes).ok()?;
            match bytes.len() - before {
                0 => return None,
                2 => return Some(Self { bytes }),
                _ => {}
            }
        }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let mut headers = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn request(&self) -> Option<(String, String)> {
        let text = self.text();
        let mut words = text.lines().next()?.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?))
    }

    fn status(&self) -> Option<u16> {
        self.text().split(' ').nth(1)?.parse().ok()
    }
}
