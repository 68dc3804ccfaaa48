//! A broker that asks who you are and what you may: TLS, SASL by password (SCRAM-SHA-512) or by token (OAUTHBEARER), and ACLs.
//!
//! ```text
//! let Some(kafka) = Secured::shared() else { return };
//! let user = kafka.user();                        // may log in, and nothing else
//! kafka.allow(&user, Access::All, "desk-7.");     // topics and groups that begin so
//! let settings = kafka.scram(&user);              // for --kafka-properties
//! kafka.broker().create_topic("desk-7.md", 1);    // the harness itself is the administrator
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use super::{Broker, jars, kafka_folder, process};
use crate::require::skip;
use crate::wait::until;

/// Who may log in by password. A few for each test; they have to be known before the broker's first start.
const USERS: usize = 24;

/// The administrator, who is asked about nothing; `secured.properties` names them too.
const ADMIN: &str = "admin";

/// The administrator's settings, for Kafka's own tools.
const ADMIN_SETTINGS: &str = "admin.properties";

/// Protects the key of a broker that lives as long as a test; `secured.properties` names it too.
const STORE_PASSWORD: &str = "pinion-tests";

/// A busy machine may take a while to answer.
const GRANT: Duration = Duration::from_secs(20);

static SHARED: OnceLock<Result<Secured, String>> = OnceLock::new();

/// A broker that lets nobody in without credentials, and lets nobody do what was not granted.
#[derive(Debug)]
pub struct Secured {
    broker: Broker,
    users: AtomicUsize,
}

/// What a user is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading topics; being a member of groups and committing their offsets.
    Read,
    /// Writing topics.
    Write,
    /// Everything.
    All,
}

impl Access {
    fn operation(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::All => "All",
        }
    }
}

impl Secured {
    /// The broker that all tests of this process share, started by the first that asks (about 9 s); or a loud skip.
    ///
    /// # Panics
    /// If the broker can be had and does not start.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        let start = |jars| Self {
            broker: Broker::start_from(jars, Ipv4Addr::LOCALHOST.into(), true),
            users: AtomicUsize::new(0),
        };
        match SHARED.get_or_init(|| jars().map(start)) {
            Ok(secured) => Some(secured),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    /// The broker, as its administrator sees it.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// A user that no other test has: they may log in by password, and nothing else until they are [allowed](Self::allow).
    ///
    /// # Panics
    /// When there is none left.
    #[must_use]
    pub fn user(&self) -> String {
        let n = self.users.fetch_add(1, Ordering::Relaxed);
        assert!(n < USERS, "all {USERS} users are taken");
        user(n)
    }

    /// A user's password.
    #[must_use]
    pub fn password(user: &str) -> String {
        format!("{user}-secret")
    }

    /// Grants one of [its users](Self::user), by whatever mechanism they log in, all topics and groups whose names begin with
    /// `prefix`. In force when this returns; about 3 s.
    ///
    /// # Panics
    /// If Kafka refuses.
    pub fn allow(&self, user: &str, access: Access, prefix: &str) {
        let principal = format!("User:{user}");
        let address = self.broker.address();
        let settings = self.broker.dir.join(ADMIN_SETTINGS);
        let mut args = vec!["--bootstrap-server", &address, "--command-config"];
        args.push(settings.to_str().expect("a folder in UTF-8"));
        args.extend(["--add", "--allow-principal", &principal, "--resource-pattern-type", "prefixed"]);
        args.extend(["--topic", prefix]);
        if access != Access::Write {
            // There is no such thing as writing a group.
            args.extend(["--group", prefix]);
        }
        args.extend(["--operation", access.operation()]);
        process::tool(&self.broker.jars, "org.apache.kafka.tools.AclCommand", &args)
            .unwrap_or_else(|why| panic!("grant {principal} {access:?} on {prefix}: {why}"));
        // Kafka's controller has it; the broker that asks it for the rights of others takes it over a moment later.
        let consumer: BaseConsumer = self.client(user).create().expect("make a consumer");
        let probe = format!("{prefix}probe");
        until("a grant to be in force", GRANT, || {
            let metadata = consumer.fetch_metadata(Some(&probe), GRANT).expect("ask for metadata");
            let error = metadata.topics().first().and_then(MetadataTopic::error).map(RDKafkaErrorCode::from);
            (error != Some(RDKafkaErrorCode::TopicAuthorizationFailed)).then_some(())
        });
    }

    /// Puts Kafka's own programs for topics, users and rights into a folder, by the names under which Kafka has them, with the
    /// administrator's settings (`admin.properties`) and the certificate of the authority (`ca.pem`).
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn put_tools(&self, folder: &Path) {
        super::write_programs(&self.broker.jars, folder);
        let put = |name: &str, from: PathBuf| fs::copy(from, folder.join(name)).expect("copy a file");
        put("admin.properties", self.broker.dir.join(ADMIN_SETTINGS));
        put("ca.pem", authority(&self.broker.dir));
    }

    /// A client's configuration that logs in as `user` by password.
    pub(super) fn client(&self, user: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address()).set("log_level", "2");
        config.set("ssl.ca.location", authority(&self.broker.dir).display().to_string());
        config.extend(scram(user, &Self::password(user)).map(|(key, value)| (key.to_owned(), value)));
        config
    }

    /// The settings of a client that logs in as `user` by password: the text of a properties file.
    #[must_use]
    pub fn scram(&self, user: &str) -> String {
        self.scram_with(user, &Self::password(user))
    }

    /// The same with a password that may be wrong.
    #[must_use]
    pub fn scram_with(&self, user: &str, password: &str) -> String {
        let ca = authority(&self.broker.dir);
        text(scram(user, password).into_iter().chain([("ssl.ca.location", ca.display().to_string())]))
    }

    /// The same without the broker's certificate authority: a client that cannot know whom it talks to.
    #[must_use]
    pub fn scram_without_authority(&self, user: &str) -> String {
        text(scram(user, &Self::password(user)))
    }

    /// The settings of a client that logs in by the token in a file.
    #[must_use]
    pub fn oauthbearer(&self, token: &Path) -> String {
        text([
            ("security.protocol", "SASL_SSL".to_owned()),
            ("sasl.mechanism", "OAUTHBEARER".to_owned()),
            ("sasl.oauthbearer.token.endpoint.url", format!("file://{}", token.display())),
            ("ssl.ca.location", authority(&self.broker.dir).display().to_string()),
        ])
    }
}

fn user(n: usize) -> String {
    format!("user-{n}")
}

fn scram(user: &str, password: &str) -> [(&'static str, String); 4] {
    [
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", user.to_owned()),
        ("sasl.password", password.to_owned()),
    ]
}

fn text(settings: impl IntoIterator<Item = (&'static str, String)>) -> String {
    settings.into_iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// The certificate that signs the broker's, in PEM: its own.
fn authority(dir: &Path) -> PathBuf {
    dir.join("ca.pem")
}

/// What librdkafka is told to be the administrator.
pub(super) fn admin(dir: &Path) -> Vec<(&'static str, String)> {
    let settings = scram(ADMIN, &Secured::password(ADMIN));
    settings.into_iter().chain([("ssl.ca.location", authority(dir).display().to_string())]).collect()
}

/// Makes the broker's key and certificate, and the administrator's settings for Kafka's own tools.
pub(super) fn prepare(dir: &Path) -> Result<(), String> {
    let store = dir.join("broker.p12");
    let keytool = |args: &[&str]| {
        let mut keytool = Command::new("keytool");
        keytool.args(args).args(["-alias", "broker", "-storepass", STORE_PASSWORD, "-keystore"]).arg(&store);
        process::run(&mut keytool).map(|_| ())
    };
    keytool(
        &["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-storetype", "PKCS12"]
            .into_iter()
            .chain([
                "-validity",
                "2",
                "-dname",
                "CN=localhost",
                "-ext",
                "san=ip:127.0.0.1,dns:localhost",
                "-ext",
                "bc:c",
            ])
            .collect::<Vec<_>>(),
    )?;
    let ca = authority(dir).display().to_string();
    keytool(&["-exportcert", "-rfc", "-file", &ca])?;
    let jaas = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{ADMIN}\" password=\"{}\";",
        Secured::password(ADMIN)
    );
    let client = text([
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.jaas.config", jaas),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", ca),
    ]);
    fs::write(dir.join(ADMIN_SETTINGS), client).map_err(|error| format!("write {ADMIN_SETTINGS}: {error}"))
}

/// What the broker's own properties say besides those of every broker.
pub(super) fn properties(dir: &Path) -> String {
    let common = fs::read_to_string(kafka_folder().join("secured.properties")).expect("read secured.properties");
    let (key, ca) = (dir.join("broker.p12"), authority(dir));
    format!("{common}ssl.keystore.location={}\nssl.truststore.location={}\n", key.display(), ca.display())
}

/// The users, for the tool that prepares the data folder.
pub(super) fn credentials() -> Vec<String> {
    let scram = |name: String| {
        let password = Secured::password(&name);
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={name},password={password}]")]
    };
    (0..USERS).map(user).chain([ADMIN.to_owned()]).flat_map(scram).collect()
}

/// A token that nobody has signed, as Kafka's validator for development takes it: who it is for, and when it ends (Unix time, s).
#[must_use]
pub fn token(subject: &str, expires_s: u64) -> String {
    let claims = serde_json::json!({ "sub": subject, "iat": expires_s.saturating_sub(3_600), "exp": expires_s });
    let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.", part(&serde_json::json!({ "alg": "none" })), part(&claims))
}
