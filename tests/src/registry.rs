//! A real container registry, the CNCF's distribution: with TLS by an authority of its own, and passwords or tokens. Built once a
//! machine (`tests/registry/fetch.sh`), started on a free port, gone with its value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::captures::project_root;
use crate::kafka::free_port;
use crate::programs::pinion;
use crate::require::skip;
use crate::scratch::Scratch;
use crate::wait::until;
use crate::watchdog;

/// It listens after some 0.1 s.
const START: Duration = Duration::from_secs(60);
/// Who may push and pull.
pub const USER: &str = "desk";
/// With this.
pub const PASSWORD: &str = "the-password-of-the-desk";
/// The same as the registry is given it, by bcrypt at its lowest cost.
const HTPASSWD: &str = "desk:$2a$04$OxfE1CJdRGri/C6Epi28v.5ZciKyZ44vnMUM.ChhMC.W.2FHheSeq\n";

static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// How it knows its users.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// By [`USER`] and [`PASSWORD`].
    Password,
    /// By tokens from this address, signed by a key that this certificate is of.
    Token(&'a str, &'a Path),
}

/// A running registry; killed with this value.
#[derive(Debug)]
pub struct Registry {
    child: Option<(Child, Child)>,
    port: u16,
    scratch: Scratch,
}

/// What the registry's program is, built if need be; or why there is none here.
fn registry_program() -> Result<&'static Path, String> {
    let fetch = || {
        if std::env::var("PINION_REGISTRY").is_ok_and(|value| value == "off") {
            return Err("PINION_REGISTRY=off".to_owned());
        }
        let script = project_root().join("tests/registry/fetch.sh");
        let output = Command::new(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", script.display()))?;
        if !output.status.success() {
            return Err(format!("`{}` failed; what it needs is at its head", script.display()));
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    PROGRAM.get_or_init(fetch).as_deref().map_err(Clone::clone)
}

impl Registry {
    /// Starts an empty registry, or says loudly that the test is skipped.
    ///
    /// # Panics
    /// If it can be had and does not start.
    #[must_use]
    pub fn start(access: Access<'_>) -> Option<Self> {
        if let Err(why) = registry_program() {
            skip(&why);
            return None;
        }
        let (scratch, port) = (Scratch::new(), free_port());
        certificate(scratch.path(), "ca", &["basicConstraints=critical,CA:TRUE"], &[]);
        let by_authority = ["-CA", "ca.crt", "-CAkey", "ca.key"];
        certificate(scratch.path(), "server", &["subjectAltName=DNS:localhost,IP:127.0.0.1"], &by_authority);
        let path = |name: &str| scratch.path().join(name).display().to_string();
        scratch.write("htpasswd", HTPASSWD);
        let auth = match access {
            Access::Password => format!("htpasswd: {{realm: tests, path: {}}}", path("htpasswd")),
            Access::Token(realm, certificate) => format!(
                "token: {{realm: '{realm}', service: tests, issuer: tests, rootcertbundle: {}}}",
                certificate.display()
            ),
        };
        scratch.write(
            "config.yml",
            format!(
                "version: 0.1\n\
                 log: {{level: warn, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: '127.0.0.1:{port}', secret: tests, tls: {{certificate: {}, key: {}}}}}\n\
                 auth: {{{auth}}}\n",
                path("store"),
                path("server.crt"),
                path("server.key"),
            ),
        );
        let mut registry = Self { child: None, port, scratch };
        registry.up();
        Some(registry)
    }

    /// Starts its process, on the port and with the contents of the one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn up(&mut self) {
        let program = registry_program().expect("it has been built");
        let log = File::create(self.scratch.path().join("log")).expect("make a log file");
        let mut command = Command::new(program);
        command.arg("serve").arg(self.scratch.path().join("config.yml"));
        let mut child = command
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("run the registry");
        let watchdog = watchdog::watch(&child, &self.scratch.path().join("store")).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("run sh: {error}")
        });
        self.child = Some((child, watchdog));
        let log = self.scratch.path().join("log");
        until("the registry to listen", START, || {
            let (child, _) = self.child.as_mut().expect("it was started");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the registry ended ({status}):\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop)
        });
    }

    /// Ends its process: nobody listens any more.
    pub fn down(&mut self) {
        if let Some((mut child, mut watchdog)) = self.child.take() {
            // The watchdog goes first: once the process is waited for, its id may be another's.
            let _ = watchdog.kill().and_then(|()| watchdog.wait());
            let _ = child.kill().and_then(|()| child.wait());
        }
    }

    /// `host:port`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.scratch.path().join("ca.crt")
    }

    /// Docker's config.json with these credentials for it.
    #[must_use]
    pub fn docker_config(&self, user: &str, password: &str) -> String {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, self.host())
    }

    /// The flags by which it is spoken to, with the right password.
    ///
    /// # Panics
    /// If the files that they name cannot be written.
    #[must_use]
    pub fn flags(&self) -> [String; 4] {
        let config = self.scratch.write("config.json", self.docker_config(USER, PASSWORD));
        let text = |path: PathBuf| path.into_os_string().into_string().expect("a path in UTF-8");
        ["--registry-config".into(), text(config), "--registry-ca".into(), text(self.authority())]
    }

    /// `pinion push`: the reference to run.
    ///
    /// # Panics
    /// If it is not pushed.
    #[must_use]
    pub fn push(&self, module: &Path, name_and_tag: &str) -> String {
        let mut push = pinion("push");
        push.arg(module).arg(format!("{}/{name_and_tag}", self.host())).args(self.flags()).args(["--format", "json"]);
        let output = push.output().expect("run pinion push");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pushed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        pushed["reference"].as_str().expect("a reference").to_owned()
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

/// Makes `NAME.key` and `NAME.crt` in a folder, with openssl 3.
///
/// # Panics
/// If openssl does not.
pub fn certificate(folder: &Path, name: &str, extensions: &[&str], more: &[&str]) {
    // What Debian's own configuration would add makes every certificate an authority.
    std::fs::write(folder.join("openssl.cnf"), "[req]\ndistinguished_name = none\n[none]\n")
        .expect("write openssl.cnf");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-noenc", "-days", "2", "-newkey", "rsa:2048", "-config", "openssl.cnf"]);
    openssl.args(["-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
    for extension in extensions {
        openssl.args(["-addext", extension]);
    }
    let output = openssl.args(more).current_dir(folder).stdin(Stdio::null()).output().expect("run openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.down();
        if std::thread::panicking() {
            eprintln!("the registry's log:\n{}", self.log());
        }
    }
}
