//! A way to the apiserver without TLS or a client's start: for what is timed, and for what is asked often.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use pinion_runtime::clock::mono_ns;
use serde_json::Value;

use super::Cluster;
use crate::http::{Answer, request};
use crate::scratch::Scratch;
use crate::watchdog;

/// `kubectl proxy`, as `cluster-admin`; ends with this value.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    watchdog: Child,
    _folder: Scratch,
    address: SocketAddr,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        let mut command = self.plan.kubectl();
        command.args(["proxy", "--port=0"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("run kubectl proxy");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().expect("a piped output")).read_line(&mut line);
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        let folder = Scratch::new();
        let watchdog = watchdog::watch(&child, folder.path()).expect("run sh");
        Proxy {
            child,
            watchdog,
            _folder: folder,
            address: address.unwrap_or_else(|| panic!("kubectl proxy says {line:?}")),
        }
    }
}

impl Proxy {
    /// `GET`.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[], &[]).unwrap_or_else(|error| panic!("get {path}: {error}"))
    }

    /// `POST` of a JSON body.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        let answer = request(self.address, "POST", path, &headers, body.to_string().as_bytes());
        answer.unwrap_or_else(|error| panic!("post {path}: {error}"))
    }

    /// Merges a patch into an object. Returns when the apiserver's answer was here, monotonic nanoseconds.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn merge(&self, path: &str, patch: &Value) -> u64 {
        let headers = [("content-type", "application/merge-patch+json")];
        let answer = request(self.address, "PATCH", path, &headers, patch.to_string().as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("patch {path}: {error}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        mono_ns()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
