//! A registry that answers whatever a test makes it answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use openssl::ssl::{SslAcceptor, SslMethod};

use super::certificates::Certified;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
}

/// What a server's answer is written to.
pub(super) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A server on a port of this machine. Its threads end with the test process.
pub(super) struct Hostile {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    /// Answers by writing to the connection, which is closed afterwards.
    pub(super) fn start(answer: impl Fn(&Asked, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    /// The same over TLS.
    pub(super) fn start_tls(
        certified: &Certified,
        answer: impl Fn(&Asked, &mut dyn Wire) + Send + Sync + 'static,
    ) -> Self {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&certified.key).unwrap();
        acceptor.set_certificate(&certified.certificate).unwrap();
        Self::listen(Some(acceptor.build()), answer)
    }

    fn listen(tls: Option<SslAcceptor>, answer: impl Fn(&Asked, &mut dyn Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer, kept) = (tls.clone(), Arc::clone(&answer), Arc::clone(&kept));
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        // A client that does not trust it hangs up.
                        if let Ok(mut stream) = tls.accept(stream) {
                            serve(&mut stream, &*answer, &kept);
                            let _ = stream.shutdown();
                        }
                    }
                    None => plainly(stream, &*answer, &kept),
                });
            }
        });
        Self { port, asked }
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn plainly(mut stream: TcpStream, answer: &dyn Fn(&Asked, &mut dyn Wire), kept: &Mutex<Vec<Asked>>) {
    let mut first = [0];
    // What real servers answer to the beginning of TLS.
    if stream.peek(&mut first).is_ok() && first[0] == 0x16 {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    serve(&mut stream, answer, kept);
}

fn serve(stream: &mut dyn Wire, answer: &dyn Fn(&Asked, &mut dyn Wire), kept: &Mutex<Vec<Asked>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut line = head.lines().next().unwrap().split(' ').map(str::to_owned);
    let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
    let asked = Asked { method: line.next().unwrap(), path: line.next().unwrap(), authorization };
    kept.lock().unwrap().push(asked.clone());
    answer(&asked, stream);
}

/// Writes a whole answer. The client may have hung up by then.
pub(super) fn answer(to: &mut dyn Wire, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let _ = to.write_all(head.as_bytes()).and_then(|()| to.write_all(body));
}

/// Writes a head without a length, for bodies that have none.
pub(super) fn begin(to: &mut dyn Wire, status: &str) {
    let _ = to.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").as_bytes());
}
