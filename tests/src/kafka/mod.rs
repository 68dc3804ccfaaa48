//! A real Apache Kafka broker for tests: fetched once, started on free ports in a folder of its own, gone with the test process.

mod client;
mod process;
mod secured;
mod user;

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

pub use client::{Committed, End, Record};
use process::Process;
pub use rdkafka::error::RDKafkaErrorCode;
pub use secured::{Access, Secured, token};
pub use user::User;

use crate::captures::project_root;
use crate::require::skip;

/// A machine whose cores compile something else takes 20 s to start a broker; a quiet one takes 5.
const START_SECONDS_MAX: u64 = 90;

/// First of the ports that brokers are given. Below the ephemeral range on purpose: there, a client that reconnects to a killed
/// broker's port may be given that very port as its own and connect to itself, and the broker cannot come back.
const PORT_FIRST: u16 = 20_000;
const PORTS: u16 = 8_000;

/// Oldest Java that runs the broker.
const JAVA_MAJOR_MIN: u32 = 17;

static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
static BROKERS: AtomicU32 = AtomicU32::new(0);
static TOPICS: AtomicU32 = AtomicU32::new(0);

/// A broker of one node, with its data.
#[derive(Debug)]
pub struct Broker {
    jars: PathBuf,
    dir: PathBuf,
    host: IpAddr,
    port: u16,
    /// Whether it asks who its clients are; see [`Secured`].
    secured: bool,
    process: Option<Process>,
}

impl Broker {
    /// Starts a broker of the test's own, or says loudly that the test is skipped. For tests that kill it; about 6 s.
    ///
    /// # Panics
    /// If the broker can be had and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// The same at another of this machine's addresses: the pods of a real node reach [`crate::kube::NODE_ADDRESS`].
    ///
    /// # Panics
    /// If the broker can be had and does not start.
    #[must_use]
    pub fn start_at(host: IpAddr) -> Option<Self> {
        match jars() {
            Ok(jars) => Some(Self::start_from(jars, host, false)),
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    /// The broker that all tests of this process share, started by the first that asks; or a loud skip.
    ///
    /// # Panics
    /// If the broker can be had and does not start.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        match SHARED.get_or_init(|| jars().map(|jars| Self::start_from(jars, Ipv4Addr::LOCALHOST.into(), false))) {
            Ok(broker) => Some(broker),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    /// `host:port`, as `bootstrap.servers` wants it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Kills the broker as a power cut would: no flush, no goodbye.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops the broker in order (SIGTERM) and waits until it is gone.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// Starts the broker again on the same data and port, and waits until it serves.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.stop();
        let process = Process::start(&self.jars, &self.properties(), &self.dir, START_SECONDS_MAX);
        self.process = Some(process.unwrap_or_else(|why| panic!("restart the broker: {why}")));
    }

    /// A topic name that no other test of this process has been given.
    #[must_use]
    pub fn unique_topic(prefix: &str) -> String {
        format!("{prefix}-{}", TOPICS.fetch_add(1, Ordering::Relaxed))
    }

    fn start_from(jars: PathBuf, host: IpAddr, secured: bool) -> Self {
        let n = BROKERS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("pinion-kafka-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("make the broker's folder");
        if secured {
            secured::prepare(&dir).unwrap_or_else(|why| panic!("make the broker's key: {why}"));
        }
        let mut broker = Self { jars, dir, host, port: 0, secured, process: None };
        // Between a port's being found free and the broker's taking it, another process may take it.
        let mut why = String::new();
        for _ in 0..3 {
            broker.port = free_port();
            broker.write_properties(free_port());
            let _ = std::fs::remove_dir_all(broker.dir.join("data"));
            let users = if secured { secured::credentials() } else { Vec::new() };
            let started = process::format(&broker.jars, &broker.properties(), &users)
                .and_then(|()| Process::start(&broker.jars, &broker.properties(), &broker.dir, START_SECONDS_MAX));
            match started {
                Ok(process) => {
                    broker.process = Some(process);
                    return broker;
                }
                Err(error) => why = error,
            }
        }
        panic!("start the broker: {why}");
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn write_properties(&self, controller_port: u16) {
        let mut common =
            std::fs::read_to_string(kafka_folder().join("server.properties")).expect("read server.properties");
        if self.secured {
            common.push_str(&secured::properties(&self.dir));
        }
        let protocol = if self.secured { "SASL_SSL" } else { "PLAINTEXT" };
        let own = format!(
            "\nlog.dirs={}/data\n\
             listeners={protocol}://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             advertised.listeners={protocol}://{host}:{port}\n\
             controller.quorum.voters=1@127.0.0.1:{controller_port}\n",
            self.dir.display(),
            host = self.host,
            port = self.port,
        );
        std::fs::write(self.properties(), common + &own).expect("write server.properties");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill9();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn kafka_folder() -> PathBuf {
    project_root().join("tests/kafka")
}

/// A port that nothing listens on, each time another.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % u32::from(PORTS)).expect("below PORTS");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < PORTS, "no free port from {PORT_FIRST} on");
        let port = PORT_FIRST + (spread + step) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Kafka's own programs, by the names under which Kafka has them.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
    ("kafka-consumer-groups.sh", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
];

/// Puts Kafka's own programs into a folder; `false`, said out loud, where they cannot be had.
///
/// # Panics
/// If they cannot be written.
#[must_use]
pub fn put_programs(folder: &Path) -> bool {
    match jars() {
        Ok(jars) => {
            write_programs(&jars, folder);
            true
        }
        Err(why) => {
            skip(&why);
            false
        }
    }
}

fn write_programs(jars: &Path, folder: &Path) {
    for (name, class) in PROGRAMS {
        process::write_tool(jars, class, &folder.join(name)).expect("write a script");
    }
}

/// The folder of the broker's jars, fetched if need be; or why it cannot be had here.
fn jars() -> Result<PathBuf, String> {
    if std::env::var("PINION_KAFKA").is_ok_and(|value| value == "off") {
        return Err("PINION_KAFKA=off".into());
    }
    java_version_is_enough()?;
    let fetch = kafka_folder().join("fetch.sh");
    let output = Command::new(&fetch).output().map_err(|error| format!("cannot run {}: {error}", fetch.display()))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("Apache Kafka cannot be fetched (needs mvn and Maven Central): {}", error.trim()));
    }
    let dir = String::from_utf8(output.stdout).map_err(|_| "fetch.sh printed no path".to_owned())?;
    Ok(Path::new(dir.trim()).to_owned())
}

fn java_version_is_enough() -> Result<(), String> {
    let output = Command::new("java").arg("--version").output().map_err(|error| format!("no java: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    let major = version.split(['.', '-']).next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= JAVA_MAJOR_MIN => Ok(()),
        _ => Err(format!("java {JAVA_MAJOR_MIN} or later is needed, `java --version` says {:?}", text.lines().next())),
    }
}
