//! A Kafka that asks who you are and what you may: TLS, SCRAM, OAUTHBEARER, ACLs.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use pinion_runtime::clock::wall_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::kafka::{Access, Broker, Secured, token};
use pinion_tests::programs::pinion;
use pinion_tests::runtime::{Runtime, START, is_clean, run_to_end};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{orders, read_to_end};

/// A password that nobody has, and nobody is to see.
const WRONG: &str = "hunter2";

/// A user, what they run, and the files that it takes.
struct Desk {
    kafka: &'static Secured,
    user: String,
    strategy: Strategy,
    scratch: Scratch,
}

impl Desk {
    /// A user who may do nothing yet, and an order for every quote on topics whose names begin with theirs; or a loud skip.
    fn new() -> Option<Self> {
        let kafka = Secured::shared()?;
        let user = kafka.user();
        let mut strategy = strategies::example_under(kafka.broker(), "record-only", &format!("{user}."));
        strategy.spec.params.insert("every".to_owned(), "1".to_owned());
        Some(Self { kafka, user, strategy, scratch: Scratch::new() })
    }

    fn allowed(access: Access) -> Option<Self> {
        let desk = Self::new()?;
        desk.kafka.allow(&desk.user, access, &format!("{}.", desk.user));
        Some(desk)
    }

    fn broker(&self) -> &'static Broker {
        self.kafka.broker()
    }

    fn start(&self, properties: &str) -> Runtime {
        let (file, properties) = self.files(properties);
        let args = ["--kafka-properties", properties.to_str().unwrap()];
        Runtime::start(&[&file], &self.broker().address(), &args)
    }

    fn files(&self, properties: &str) -> (PathBuf, PathBuf) {
        let properties = self.scratch.write("kafka.properties", properties);
        (strategies::write(&self.scratch, &self.strategy), properties)
    }

    /// Quotes of these sequences.
    fn quote(&self, sequences: Range<u64>) {
        let quote = |u| {
            format!(
                r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{u},"s":"BTCUSDT","b":"60000.00","B":"1.0","a":"60000.01","A":"1.0"}}}}"#
            )
        };
        self.broker().produce(&self.strategy.spec.inputs[0].topic, 0, sequences.map(quote));
    }

    /// Lets quotes through a runtime; each gives an order.
    fn trade(&self, runtime: &mut Runtime, sequences: Range<u64>) {
        let before = orders(self.broker(), &self.strategy).len();
        let count = usize::try_from(sequences.end - sequences.start).unwrap();
        self.quote(sequences);
        read_to_end(runtime, self.broker(), &self.strategy);
        assert_eq!(orders(self.broker(), &self.strategy).len(), before + count);
    }

    /// A runtime that ends by itself with this code; what it says.
    fn ends_with(&self, code: i32, properties: &str) -> String {
        let (file, properties) = self.files(properties);
        let args = ["--log-format", "text", "--kafka-properties", properties.to_str().unwrap()];
        let output = run_to_end(&[&file], &self.broker().address(), &args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains(WRONG), "{said}");
        said.lines().last().unwrap().to_owned()
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "nothing of {part:?} in: {text}");
    }
}

#[test]
fn a_runtime_with_a_password_over_tls_reads_and_sends() {
    let Some(desk) = Desk::allowed(Access::All) else { return };
    let mut runtime = desk.start(&desk.kafka.scram(&desk.user));
    desk.trade(&mut runtime, 1..101);
    assert!(is_clean(runtime.sigterm_and_wait()));
}

fn now_s() -> u64 {
    wall_ns() / 1_000_000_000
}

/// Waits until a token has ended.
fn outlive(runtime: &mut Runtime, expires_s: u64) {
    runtime.until("a token to end", Duration::from_secs(60), |_| (now_s() > expires_s).then_some(()));
}

fn status(runtime: &Runtime) -> Option<u16> {
    Some(runtime.ready()?.status)
}

#[test]
fn a_runtime_with_a_token_file_outlives_its_tokens_and_says_when_nobody_renews_them() {
    let Some(desk) = Desk::allowed(Access::All) else { return };
    let give = |seconds: u64| {
        let expires_s = now_s() + seconds;
        (desk.scratch.write("token", token(&desk.user, expires_s)), expires_s)
    };
    // Long enough to start with on a busy machine.
    let (file, first_s) = give(20);
    let mut runtime = desk.start(&desk.kafka.oauthbearer(&file));
    runtime.until("the runtime to be ready", START, |runtime| (status(runtime)? == 200).then_some(()));
    // Renewed in time, as the kubelet does: nobody notices.
    let (_, second_s) = give(40);
    desk.trade(&mut runtime, 1..101);
    outlive(&mut runtime, first_s + 1);
    desk.trade(&mut runtime, 101..201);
    let log = runtime.log();
    assert!(!log.contains("token") && !log.contains("uthentication"), "{log}");
    // Not renewed: it shows, with the file's name.
    outlive(&mut runtime, second_s);
    runtime.until("the end of the token to show", START, |runtime| {
        let said = runtime.log().contains(&format!("the token in {} expired", file.display()));
        (said && status(runtime)? == 503).then_some(())
    });
    // Renewed at last.
    let (_, _) = give(3_600);
    runtime.until("the runtime to be back", START, |runtime| (status(runtime)? == 200).then_some(()));
    desk.trade(&mut runtime, 201..301);
    assert!(is_clean(runtime.sigterm_and_wait()));
}

#[test]
fn a_wrong_password_ends_the_process_with_69_and_what_to_check_and_is_not_shown() {
    let Some(desk) = Desk::new() else { return };
    let said = desk.ends_with(69, &desk.kafka.scram_with(&desk.user, WRONG));
    says(
        &said,
        &["credentials are refused", "SCRAM-SHA-512", "check sasl.mechanism, sasl.username and sasl.password in /"],
    );
    says(&said, &["kafka.properties", &desk.broker().address()]);
}

#[test]
fn a_token_that_has_ended_ends_the_process_with_69_and_names_its_file() {
    let Some(desk) = Desk::new() else { return };
    let file = desk.scratch.write("token", token(&desk.user, now_s() - 100));
    let said = desk.ends_with(69, &desk.kafka.oauthbearer(&file));
    says(&said, &[&format!("no token: the token in {} expired 10", file.display()), "see why nobody"]);
}

#[test]
fn a_broker_of_an_unknown_authority_ends_the_process_with_69_and_what_to_set() {
    let Some(desk) = Desk::new() else { return };
    let said = desk.ends_with(69, &desk.kafka.scram_without_authority(&desk.user));
    says(&said, &["no TLS connection", "certificate verify failed", "set ssl.ca.location in /"]);
}

#[test]
fn topics_and_groups_that_may_not_be_used_end_the_process_with_69_and_what_to_grant() {
    let Some(mut desk) = Desk::new() else { return };
    let properties = desk.kafka.scram(&desk.user);
    let grant =
        |rest: &str| format!("grant it: kafka-acls --add --allow-principal User:{} --operation {rest}", desk.user);
    let [market, group, out] = ["md", "group", "orders"].map(|kind| format!("{}.{kind}", desk.user));
    says(
        &desk.ends_with(69, &properties),
        &[&format!("User:{} may not read topic {market}", desk.user), &grant(&format!("Read --topic {market}"))],
    );
    desk.kafka.allow(&desk.user, Access::Read, &market);
    says(
        &desk.ends_with(69, &properties),
        &[&format!("User:{} may not use consumer group {group}", desk.user), &grant(&format!("Read --group {group}"))],
    );
    // In a group that it may use.
    desk.strategy.spec.inputs[0].group = Some(market.clone());
    says(
        &desk.ends_with(69, &properties),
        &[&format!("User:{} may not write topic ", desk.user), "--operation Write --topic "],
    );
    desk.strategy.spec.outputs.denials = None;
    desk.strategy.spec.outputs.dead_letter = None;
    says(&desk.ends_with(69, &properties), &[&grant(&format!("Write --topic {out}"))]);
}

#[test]
fn an_orders_topic_that_may_only_be_read_halts_the_strategy_and_says_what_to_grant() {
    let Some(desk) = Desk::allowed(Access::Read) else { return };
    let mut runtime = desk.start(&desk.kafka.scram(&desk.user));
    runtime.until("the runtime to be ready", START, |runtime| (status(runtime)? == 200).then_some(()));
    desk.quote(1..2);
    let out = &desk.strategy.spec.outputs.orders.topic;
    runtime.until("the refusal to show", START, |runtime| (status(runtime)? == 503).then_some(()));
    let grant = format!("--allow-principal User:{} --operation Write --topic {out}", desk.user);
    runtime.until("the refusal to be told", START, |runtime| runtime.log().contains(&grant).then_some(()));
    let halted = [("strategy", "record-only"), ("state", "HALTED")];
    runtime.until("the strategy to be halted", START, |runtime| {
        (runtime.metric(&metrics::STRATEGY_STATE, &halted)? > 0.0).then_some(())
    });
}

#[test]
fn pinion_publish_takes_the_same_settings() {
    let Some(desk) = Desk::allowed(Access::All) else { return };
    let capture = desk.scratch.write("capture", "1000000000 {\"result\":null,\"id\":1}\n");
    let publish = |properties: &str| {
        let (_, properties) = desk.files(properties);
        let mut command = pinion("publish");
        command.arg(&capture).args(["--encoding", "binance-spot", "--topic", &desk.strategy.spec.inputs[0].topic]);
        command.args(["--brokers", &desk.broker().address(), "--kafka-properties"]).arg(properties);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let file = desk.scratch.write("token", token(&desk.user, now_s() + 600));
    for right in [desk.kafka.scram(&desk.user), desk.kafka.oauthbearer(&file)] {
        let (code, said) = publish(&right);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(desk.broker().consume_all(&desk.strategy.spec.inputs[0].topic).len(), 2);
    let (code, said) = publish(&desk.kafka.scram_with(&desk.user, WRONG));
    assert_eq!(code, Some(69), "{said}");
    says(&said, &["credentials are refused", "sasl.password"]);
    assert!(!said.contains(WRONG), "{said}");
}
