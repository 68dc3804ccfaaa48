//! The guide to the loop, done as it stands.

use std::net::TcpListener;
use std::time::Duration;

use pinion_tests::guide::{Guide, Reader, give_time};
use pinion_tests::kafka::Broker;
use pinion_tests::programs::build_folder;
use pinion_tests::runtime::{START, module_cache};
use pinion_tests::wait::until;

#[test]
fn every_command_of_the_guide_to_the_loop_does_what_it_says() {
    // Its own: the project's topics have names that others may have.
    let Some(broker) = Broker::start() else { return };
    for topic in ["binance.spot.btcusdt", "executions.tick", "orders.tick"] {
        broker.create_topic(topic, 1);
    }
    // Free once it has been asked for and given back.
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut reader = Reader::new();
    reader.programs = vec![build_folder()];
    reader.variables =
        vec![("CARGO_TARGET_DIR", build_folder().join("tmp/guests")), ("PINION_MODULE_CACHE", module_cache())];
    reader.names = vec![("localhost:9092", broker.address()), ("127.0.0.1:9101", admin.to_string())];
    reader.lasting = vec!["pinion dev tick", "pinion run "];
    let file = reader.folder().join("tick/strategy.yaml");
    reader.follow(&Guide::read("dev.md"), |command| {
        give_time(&file);
        if command.starts_with("pinion run ") {
            let ready = || {
                let answer = pinion_tests::http::request(admin, "GET", "/ready", &[], b"").ok()?;
                (answer.status == 200).then_some(())
            };
            until("pinion run to be ready", START, ready);
        }
    });
    let running = pinion_tests::http::request(admin, "GET", "/strategies", &[], b"").unwrap().body;
    let running: serde_json::Value = serde_json::from_str(&running).unwrap();
    let written = std::fs::read(reader.folder().join("tick/tick.wasm")).unwrap();
    let digest = pinion_runtime::sandbox::artefact::Digest::of(&written).to_string();
    assert_eq!(running[0]["module"], digest.as_str());
    // The one that was left to watch has gone round as well.
    until("the lasting pinion dev to watch", Duration::from_secs(60), || {
        reader.said("pinion dev tick").contains("watching").then_some(())
    });
}
