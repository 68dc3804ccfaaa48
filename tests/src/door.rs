//! A door before an admin port: it passes everything on, but for a path that a test has closed.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A door that is open. Its address is free again when it is dropped.
#[derive(Debug)]
pub struct Door {
    at: SocketAddr,
    closed: Arc<Mutex<Option<String>>>,
    gone: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        // Wakes it, so that it looks. Where nothing listens any more there is nobody to wake.
        let _ = TcpStream::connect(self.at);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Door {
    /// Listens at one address and passes on to another.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn open(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("listen on {at}: {error}"));
        let closed = Arc::new(Mutex::new(None));
        let gone = Arc::new(AtomicBool::new(false));
        let (inside, going) = (Arc::clone(&closed), Arc::clone(&gone));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if going.load(Ordering::Acquire) {
                    return;
                }
                let closed = Arc::clone(&inside);
                // What breaks off breaks off for both sides.
                std::thread::spawn(move || drop(pass(stream, to, &closed)));
            }
        });
        Self { at, closed, gone, listening: Some(listening) }
    }

    /// From now on requests for the path are answered with 503.
    pub fn close(&self, path: &str) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// Everything passes again.
    pub fn reopen(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One request: a connection is not used again.
fn pass(mut client: TcpStream, to: SocketAddr, closed: &Mutex<Option<String>>) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4_096];
    let head = loop {
        let read = client.read(&mut piece)?;
        request.extend_from_slice(&piece[..read]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if read == 0 || request.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    while request.len() < head + 4 + length {
        let read = client.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
    }
    let path = text.split(' ').nth(1).unwrap_or_default();
    if closed.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(path) {
        return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(to)?;
    server.write_all(&request[..head])?;
    server.write_all(b"\r\nconnection: close")?;
    server.write_all(&request[head..])?;
    io::copy(&mut server, &mut client).map(drop)
}
