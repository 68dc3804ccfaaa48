//! The fixture itself: a broker that starts, keeps what it acknowledged through a kill, and serves again on the same port.

use pinion_tests::kafka::Broker;

#[test]
fn a_shared_broker_gives_back_what_it_was_given() {
    let Some(broker) = Broker::shared() else { return };
    let topic = Broker::unique_topic("smoke");
    broker.create_topic(&topic, 2);
    broker.produce(&topic, 0, ["a", "b"]);
    broker.produce(&topic, 1, ["c"]);
    let records = broker.consume_all(&topic);
    let seen: Vec<_> = records.iter().map(|r| (r.partition, r.offset, r.payload.as_slice())).collect();
    assert_eq!(seen, [(0, 0, b"a".as_slice()), (0, 1, b"b"), (1, 0, b"c")]);
    assert!(broker.committed("nobody", &topic).is_empty());
}

#[test]
fn an_acknowledged_record_survives_a_killed_broker() {
    let Some(mut broker) = Broker::start() else { return };
    let topic = Broker::unique_topic("killed");
    broker.create_topic(&topic, 1);
    let payloads: Vec<String> = (0..1_000).map(|i| format!("record {i}")).collect();
    broker.produce(&topic, 0, &payloads);
    let address = broker.address();
    broker.kill9();
    assert!(std::net::TcpStream::connect(&address).is_err(), "the killed broker still listens");
    broker.restart();
    assert_eq!(broker.address(), address);
    let texts: Vec<_> = broker.consume_all(&topic).into_iter().map(|r| String::from_utf8(r.payload).unwrap()).collect();
    assert_eq!(texts, payloads);
    broker.stop();
    assert!(std::net::TcpStream::connect(&address).is_err(), "the stopped broker still listens");
}
