//! Pages whose commands are done here, as they stand: what they call Kafka, cores and ports is called as this machine has them.

use std::process::Child;
use std::time::Duration;

use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{SPOT, USDM};
use pinion_tests::guide::{Guide, Reader, blocks};
use pinion_tests::http::request;
use pinion_tests::kafka::{Broker, free_port};
use pinion_tests::programs::build_folder;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::market::{WHOLE, topic_of};

/// A machine whose cores compile something else needs seconds to compile a module.
const START: Duration = Duration::from_secs(60);

/// Who has Pinion's programs, and the modules that other tests have compiled.
fn reader() -> Reader {
    let mut reader = Reader::new();
    reader.programs = vec![build_folder()];
    reader.variables = vec![("PINION_MODULE_CACHE", build_folder().join("tmp").join("it-modules"))];
    reader
}

/// Puts a strategy file where the reader is.
fn put(reader: &Reader, name: &str, strategy: &Strategy) {
    std::fs::write(reader.folder().join(name), serde_json::to_vec_pretty(strategy).unwrap()).unwrap();
}

/// The commands of a page, in their order.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(pinion_tests::captures::project_root().join("docs/guide").join(page)).unwrap();
    blocks(&text).iter().flat_map(|block| block.commands()).collect()
}

/// A program on its way; killed with this value.
struct Running(Child);

impl Running {
    fn start(reader: &Reader, command: &str) -> Self {
        println!("$ {command}");
        Self(reader.shell(&format!("exec {command}")).spawn().unwrap())
    }

    /// Waits for its end, which is to be a good one.
    fn wait(&mut self) {
        let status = until("the end of a command", START, || self.0.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_captures_report_is_the_one_of_the_guide() {
    let Some(path) = USDM.path() else { return };
    let mut reader = reader();
    reader.at = Some(path.parent().unwrap().to_owned());
    let mut said = 0;
    reader.follow(&Guide::read("market-data.md"), |_| said += 1);
    assert_eq!(said, 1);
}

#[test]
fn the_commands_of_the_guide_to_check_end_in_a_verdict() {
    let Some(path) = SPOT.path() else { return };
    let reader = reader();
    std::os::unix::fs::symlink(&path, reader.folder().join(path.file_name().unwrap())).unwrap();
    put(&reader, "strategy.yaml", &strategies::example("ema-cross"));
    let mut verdicts = 0;
    reader.follow_and_hear(&Guide::read("check.md"), |_, said| {
        verdicts += usize::from(said.contains("ema-cross"));
    });
    assert_eq!(verdicts, 2);
}

#[test]
fn the_commands_of_the_guide_to_running_are_taken_by_a_runtime() {
    let Some(broker) = Broker::shared() else { return };
    let page = "running.md";
    let address = format!("127.0.0.1:{}", free_port());
    let mut reader = reader();
    // This machine may have no such cores to give.
    let names =
        [("kafka:9092", broker.address()), ("127.0.0.1:9101", address.clone()), ("--pin 2,3", "--pin off".into())];
    reader.names = names.into();
    // What a command is refused with ends curl, too.
    std::fs::write(reader.folder().join(".curlrc"), "silent\nshow-error\nfail-with-body\n").unwrap();
    reader.variables.push(("CURL_HOME", reader.folder().to_owned()));

    let market = Broker::unique_topic("running");
    broker.create_topic(&market, 1);
    let own = |name: &str| strategies::example_on(broker, name, &market);
    let (mine, mut theirs) = (own("ema-cross"), own("ema-cross"));
    theirs.metadata.namespace = Some("desk-7".to_owned());
    std::fs::copy(mine.spec.module.file.as_ref().unwrap(), reader.folder().join("ema-cross.wasm")).unwrap();
    put(&reader, "mine.yaml", &mine);
    put(&reader, "theirs.yaml", &theirs);
    put(&reader, "strategy.yaml", &own("book-imbalance"));

    let commands = commands(page);
    let (run, asked) = commands.split_first().unwrap();
    assert!(run.starts_with("pinion run "), "{run}");
    let mut running = Running::start(&reader, run);
    let at = address.parse().unwrap();
    until("the runtime to be ready", START, || {
        (request(at, "GET", "/ready", &[], b"").ok()?.status == 200).then_some(())
    });
    // One shell for all: the first line names what the others use.
    let _ = reader.run(&asked.join("\n"));
    running.wait();
}

#[test]
fn the_commands_of_the_guide_to_replay_give_the_same_orders() {
    let Some((broker, market)) = topic_of(&SPOT) else { return };
    let page = "replay.md";
    let mut reader = reader();
    reader.names = vec![("localhost:9092", broker.address())];
    let strategy = strategies::example_on(broker, "record-only", market);
    put(&reader, "strategy.yaml", &strategy);
    let (end, group) = (broker.end_of(market).offset().unwrap(), strategy.group());

    let [run, replay] = &commands(page)[..] else { panic!("{page} has two commands") };
    let mut running = Running::start(&reader, run);
    until("every record to be read", WHOLE, || (broker.committed(&group, market).get(&0) == Some(&end)).then_some(()));
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    running.wait();
    let said = reader.run(replay);
    let orders = broker.consume_all(&strategy.spec.outputs.orders.topic).len();
    assert!(orders > 0 && said.contains(&orders.to_string()), "{orders}: {said}");
}
