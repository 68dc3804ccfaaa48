//! Modules by digest from a real registry: pushed by `pinion push`, run on a laptop. In a cluster: [`crate::operator_registry`].

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pinion_runtime::clock::{mono_ns, wall_ns};
use pinion_runtime::sandbox::Digest;
use pinion_spec::assignment::{AssignedShard, AssignedStrategy};
use pinion_spec::strategy::{ModuleSource, Strategy, TradingState};
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::{Broker, Record};
use pinion_tests::pod::{Pod, document};
use pinion_tests::programs::pinion;
use pinion_tests::registry::{Access, PASSWORD, Registry, USER, certificate};
use pinion_tests::runtime::{Runtime, START, is_clean, run_to_end};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::json;

use crate::market::{orders, read_to_end, record_only, run_whole, topic_of, values};

/// A strategy with its module from a registry.
pub(crate) fn from_registry(strategy: &Strategy, reference: &str) -> Strategy {
    let mut strategy = strategy.clone();
    strategy.spec.module = ModuleSource { oci: Some(reference.to_owned()), ..ModuleSource::default() };
    strategy
}

/// The module that an order is stamped with.
pub(crate) fn stamp(order: &Record) -> &str {
    let stamp = order.headers.iter().find(|(name, _)| name == "pinion-module");
    std::str::from_utf8(&stamp.expect("a header pinion-module").1).unwrap()
}

pub(crate) fn module(strategy: &Strategy) -> PathBuf {
    PathBuf::from(strategy.spec.module.file.as_ref().expect("a file"))
}

/// `sha256:` and the digest of a file.
pub(crate) fn sha256(file: &Path) -> String {
    Digest::of(&std::fs::read(file).unwrap()).to_string()
}

/// The same module with a note in it: other bytes, and it does the same.
pub(crate) fn with_a_note(scratch: &Scratch, module: &Path, note: &str) -> PathBuf {
    let mut bytes = std::fs::read(module).unwrap();
    let name = b"note";
    let length = u8::try_from(1 + name.len() + note.len()).unwrap();
    assert!(length < 128, "a length of one byte");
    bytes.extend([0, length, u8::try_from(name.len()).unwrap()]);
    bytes.extend(name);
    bytes.extend(note.as_bytes());
    scratch.write(&format!("{note}.wasm"), bytes)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains(PASSWORD) && !text.contains(&STANDARD.encode(format!("{USER}:{PASSWORD}"))), "{text}");
    text
}

#[test]
fn a_module_from_a_registry_runs_on_a_laptop_with_the_orders_and_the_stamp_of_its_file() {
    let Some(mut registry) = Registry::start(Access::Password) else { return };
    let Some((broker, market)) = topic_of(&SPOT) else { return };
    let by_file = record_only(broker, market);
    run_whole(broker, &[&by_file]);
    let expected = orders(broker, &by_file);
    assert!(expected.len() > 500, "{} orders show nothing", expected.len());

    let reference = registry.push(&module(&by_file), "desk-7/record-only:1");
    let (home, flags) = (Scratch::new(), registry.flags());
    let cache = home.path().join("cache").display().to_string();
    let run = |broker: &Broker| {
        let strategy = from_registry(&record_only(broker, market), &reference);
        let file = strategies::write(&home, &strategy);
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--module-cache", &cache]).collect();
        let mut runtime = Runtime::start(&[&file], &broker.address(), &flags);
        read_to_end(&mut runtime, broker, &strategy);
        let (status, log) = runtime.sigterm_and_read();
        assert!(is_clean(status), "{log}");
        assert!(!log.contains(PASSWORD), "{log}");
        let orders = orders(broker, &strategy);
        assert_eq!(values(&orders), values(&expected));
        assert!(orders.iter().all(|order| stamp(order) == sha256(&module(&by_file))));
    };
    run(broker);
    registry.down();
    // What was pulled once is there.
    run(broker);
}

#[test]
fn a_push_is_the_same_artefact_each_time_and_every_refusal_says_what_to_do() {
    let Some(registry) = Registry::start(Access::Password) else { return };
    let module = module(&strategies::example("record-only"));
    let (first, second) = (registry.push(&module, "desk-7/record-only:1"), registry.push(&module, "desk-8/other:2"));
    assert_eq!(first.split_once('@').unwrap().1, second.split_once('@').unwrap().1);

    let home = Scratch::new();
    let push = |module: &Path, flags: &[&str]| {
        let mut push = pinion("push");
        push.arg(module).arg(format!("{}/desk-7/record-only:3", registry.host())).args(flags);
        // Nobody's own credentials.
        push.env("DOCKER_CONFIG", home.path()).stdin(Stdio::null()).output().unwrap()
    };
    let authority = registry.authority().display().to_string();
    let trusting = ["--registry-ca", authority.as_str()];
    assert!(
        refused(&push(&module, &trusting)).contains("unauthorised: ")
            && refused(&push(&module, &trusting)).contains("--registry-config")
    );
    assert!(refused(&push(&module, &[])).contains("is not trusted: "));
    let wrong = home.write("wrong.json", registry.docker_config(USER, "another-password"));
    let text = refused(&push(&module, &[&trusting[..], &["--registry-config", wrong.to_str().unwrap()]].concat()));
    assert!(text.contains("does not take those in") && !text.contains("another-password"), "{text}");
    let text = home.write("text.wasm", "no module");
    assert!(refused(&push(&text, &trusting)).contains("not WebAssembly"));
    // As `docker login` leaves it, it is found without a flag.
    home.write("config.json", registry.docker_config(USER, PASSWORD));
    let pushed = push(&module, &trusting);
    assert!(pushed.status.success(), "{pushed:?}");
    let printed = String::from_utf8_lossy(&pushed.stdout).into_owned();
    let digest = first.split_once('@').unwrap().1;
    assert!(
        printed.contains(&format!("module: {{oci: \"{}/desk-7/record-only@{digest}\"}}", registry.host())),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_pulled_ends_the_start_with_the_reason_and_the_code_that_says_whose_it_is() {
    let Some(mut registry) = Registry::start(Access::Password) else { return };
    let strategy = strategies::example("record-only");
    let reference = registry.push(&module(&strategy), "desk-7/record-only:1");
    let (home, flags) = (Scratch::new(), registry.flags());
    let cache = home.path().join("cache").display().to_string();
    let start = |reference: &str| {
        let file = strategies::write(&home, &from_registry(&strategy, reference));
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--module-cache", &cache]).collect();
        // The modules are had before Kafka is asked.
        run_to_end(&[&file], "127.0.0.1:1", &flags)
    };
    let (name, digest) = reference.split_once("@sha256:").unwrap();
    let other = format!("{name}@sha256:{}", "0".repeat(64));
    assert!(refused(&start(&other)).contains("not found: "));
    let elsewhere = format!("{}/desk-8/record-only@sha256:{digest}", registry.host());
    assert!(refused(&start(&elsewhere)).contains("not found: "));
    registry.down();
    let output = start(&reference);
    assert_eq!(output.status.code(), Some(69), "a registry that is down may be up again: {output:?}");
}

#[test]
fn a_registry_that_wants_tokens_is_pushed_to_and_pulled_from_by_those_of_its_service() {
    let home = Scratch::new();
    certificate(home.path(), "tokens", &[], &[]);
    let service = TokenService::start(home.path());
    let realm = format!("http://{}/token", service.host);
    let Some(registry) = Registry::start(Access::Token(&realm, &home.path().join("tokens.crt"))) else { return };
    let strategy = strategies::example("record-only");
    let flags = registry.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--registry-plain-http", &service.host]).collect();
    let mut push = pinion("push");
    push.arg(module(&strategy)).arg(format!("{}/desk-7/record-only:1", registry.host())).args(&flags);
    let pushed = push.args(["--format", "json"]).output().unwrap();
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let pushed: serde_json::Value = serde_json::from_slice(&pushed.stdout).unwrap();
    let file = strategies::write(&home, &from_registry(&strategy, pushed["reference"].as_str().unwrap()));
    let cache = home.path().join("cache").display().to_string();
    let output = run_to_end(&[&file], "127.0.0.1:1", &[&flags[..], &["--module-cache", &cache]].concat());
    // It gets as far as Kafka, which is not there.
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("module from a registry") && output.status.code() == Some(69), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    let scopes = service.scopes();
    assert_eq!(scopes.first().map(String::as_str), Some("repository:desk-7/record-only:pull,push"));
    assert_eq!(scopes.last().map(String::as_str), Some("repository:desk-7/record-only:pull"));
}

#[test]
fn a_registry_that_never_answers_delays_no_other_strategy_and_no_halt() {
    let Some((broker, market)) = topic_of(&SPOT) else { return };
    // It takes connections and says nothing, not even in TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let reference = format!("{}/desk-7/x@sha256:{}", silent.local_addr().unwrap(), "0".repeat(64));
    let runs = record_only(broker, market);
    let mut waits = from_registry(&record_only(broker, market), &reference);
    waits.metadata.name = "waits".into();
    let mut pod = Pod::start(broker, "p-0");
    pod.listens();
    pod.put_module(&runs);
    let mut first = document("p-0", 1, &runs, &[0]);
    first.strategies.push(AssignedStrategy {
        strategy: waits,
        module: "0".repeat(64),
        shards: vec![AssignedShard { shard: 0, worker: 0 }],
    });
    assert_eq!(pod.put(&first).status, 200);
    let said = |pod: &Pod, name: &str| pod.report()?.strategies.into_iter().find(|said| said.name == name);
    until("the other strategy to run, and the problem to be told", START, || {
        let (runs, waits) = (said(&pod, "record-only")?, said(&pod, "waits")?);
        let pulling = waits.problem.as_ref()?.contains("is being pulled") && waits.problem_kind.is_none();
        (runs.shards == [0] && runs.problem.is_none() && pulling && waits.shards.is_empty()).then_some(())
    });
    let mut halt = first.clone();
    halt.version.revision = 2;
    halt.trading_state = TradingState::Halted;
    let asked_ns = mono_ns();
    assert_eq!(pod.put(&halt).status, 200);
    let took = Duration::from_nanos(mono_ns() - asked_ns);
    println!("halted in {took:?} while a registry was waited for");
    until("the halt to be reported", START, || {
        (said(&pod, "record-only")?.trading_state == TradingState::Halted).then_some(())
    });
    // What takes longest of a wait for a registry is 10 s; this is for a machine that is busy.
    assert!(took < Duration::from_secs(3), "{took:?}");
    let problem = until("the silence to be told", START, || {
        said(&pod, "waits")?.problem.filter(|text| text.contains("lets us wait"))
    });
    assert!(problem.contains(&reference), "{problem}");
}

/// Gives tokens that the registry takes to who has the password.
struct TokenService {
    host: String,
    scopes: Arc<Mutex<Vec<String>>>,
}

impl TokenService {
    /// Signs with `tokens.key` of the folder.
    fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let scopes = Arc::new(Mutex::new(Vec::new()));
        let (asked, folder) = (Arc::clone(&scopes), folder.to_owned());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let password = STANDARD.encode(format!("{USER}:{PASSWORD}"));
                let (status, body) = match head.contains(&format!("authorization: Basic {password}\r\n")) {
                    true => {
                        let scope = head.split("scope=").nth(1).unwrap().split([' ', '&']).next().unwrap();
                        let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
                        asked.lock().unwrap().push(scope.clone());
                        ("200 OK", json!({"token": token(&folder, &scope)}).to_string())
                    }
                    false => ("401 Unauthorized", String::new()),
                };
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { host, scopes }
    }

    fn scopes(&self) -> Vec<String> {
        self.scopes.lock().unwrap().clone()
    }
}

/// A token for a scope, as the distribution's documentation describes it.
fn token(folder: &Path, scope: &str) -> String {
    let certificate = std::fs::read_to_string(folder.join("tokens.crt")).unwrap();
    let certificate: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { panic!("{scope}") };
    let now = wall_ns() / 1_000_000_000;
    let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let claims = json!({
        "iss": "tests", "sub": USER, "aud": "tests", "jti": "1", "nbf": now - 10, "iat": now, "exp": now + 300,
        "access": [{"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}],
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign", "tokens.key"]).current_dir(folder);
    let mut openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    openssl.stdin.take().unwrap().write_all(signed.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(output.stdout))
}
