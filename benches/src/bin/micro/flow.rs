//! Rows 6 and 7: how many events a second one thread decodes and presents.

use std::collections::BTreeMap;
use std::hint::black_box;

use pinion_benches::machine::load;
use pinion_benches::pairs::Took;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_cli::backtest::{Run, Setup};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::decode::{self, Decoder, Record, flat};
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Stamp};
use pinion_runtime::plan;
use pinion_runtime::sandbox::{Guest, Host};
use pinion_spec::strategy::{Encoding, Strategy};
use pinion_tests::captures::{self, SPOT};
use pinion_tests::native::Native;
use pinion_tests::rig;
use pinion_venue::Model;
use sha2::Sha256;

use crate::bench::{Bench, MakeGuest, playback, quote_at, records, take_orders};

/// Events of one record of row 6.
const BATCH: usize = 64;
/// Records of one pass of it.
const BATCHES: usize = 2_000;
/// Events a second of one core, trivial strategy.
const BATCHED: f64 = 8e6;
/// Events a second of a backtest from memory.
const FROM_MEMORY: f64 = 5e6;
/// What a backtest of a JSON capture keeps of the speed of decoding it.
const OF_DECODING: f64 = 0.9;

/// A record as Kafka or a file would hand it over.
struct Encoded {
    value: Vec<u8>,
    ts_recv: u64,
}

/// A file that reads flat events.
fn flat_input(mut strategy: Strategy) -> Strategy {
    strategy.spec.inputs[0].encoding = Encoding::PinionFlat;
    strategy.spec.budget.call_micros = 1_000_000;
    strategy
}

/// One pass of a single thread over records: decodes each, and does `each` with its events.
fn over(
    strategy: &Strategy,
    records: &[Encoded],
    mut each: impl FnMut(u64, &mut [Event]) -> Result<(), String>,
) -> Result<Took, String> {
    let declared = plan::instruments(strategy).map_err(|error| error.to_string())?;
    let input = &strategy.spec.inputs[0];
    let decoder = Decoder::new(input.encoding, input.publisher_name(), &declared);
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    let (mut events, mut operations): (Vec<Event>, u64) = (Vec::with_capacity(1_024), 0);
    let began = mono_ns();
    for (offset, record) in (0..).zip(records) {
        events.clear();
        let record = Record { value: &record.value, key: None, ts_recv: record.ts_recv };
        if decoder.decode(&record, &mut events).is_err() || events.is_empty() {
            continue;
        }
        operations += events.len() as u64;
        each(offset, &mut events)?;
    }
    Ok(Took { operations, ns: mono_ns() - began })
}

fn stamp(offset: u64, events: &mut [Event]) {
    decode::stamp(events, Origin { topic: 0, partition: 0, offset }, Stamp::default());
}

/// One pass that presents, and takes what was caused.
fn pass(strategy: &Strategy, guest: Option<MakeGuest<'_>>, records: &[Encoded]) -> Result<Took, String> {
    let mut playback = playback(strategy, guest)?;
    let (mut buffer, mut stream) = (Vec::new(), <Sha256 as sha2::Digest>::new());
    over(strategy, records, |offset, events| {
        stamp(offset, events);
        playback.present(0, events, |_, _| ());
        take_orders(&mut playback, &mut buffer, &mut stream);
        Ok(())
    })
}

/// One pass of a backtest: the venue that the orders go to, its account and its curve are in it.
fn backtest(setup: &Setup, records: &[Encoded]) -> Result<Took, String> {
    let mut run = Run::new(setup, &BTreeMap::new()).map_err(|error| error.to_string())?;
    over(&setup.strategy, records, |offset, events| {
        stamp(offset, events);
        run.record(events).map_err(|error| error.to_string())
    })
}

/// One pass that decodes and nothing else.
fn decode_alone(strategy: &Strategy, records: &[Encoded]) -> Result<Took, String> {
    over(strategy, records, |_, events| {
        black_box(events);
        Ok(())
    })
}

/// Whatever fails once fails before anything is measured.
fn sure(took: Result<Took, String>) -> Took {
    took.unwrap_or_else(|_| unreachable!("it has passed"))
}

pub(crate) fn flat_batches(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let mut strategy = flat_input(rig::example("ema-cross", &SPOT));
    strategy.spec.params.clear();
    let id = plan::instruments(&strategy).map_err(|error| error.to_string())?[0].id;
    let record = |n: usize| {
        let mut value = Vec::new();
        for event in 0..BATCH {
            let sequence = (n * BATCH + event + 1) as u64;
            let price = 60_000_000_000_000 + i64::from(u16::try_from(event).unwrap_or(0)) * 10_000_000;
            let flags = if event + 1 == BATCH { FLAG_LAST } else { 0 };
            let ts = 1_700_000_000_000_000_000 + sequence * 1_000;
            let head = Head { instrument_id: id, publisher_id: 1, flags, ts_event: ts, ts_recv: ts, sequence };
            assert!(flat::encode(&head, &Body::Quote(quote_at(price)), &mut value), "a quote has a flat form");
        }
        Encoded { value, ts_recv: 1_700_000_000_000_000_000 + (n as u64 + 1) * 64_000 }
    };
    let records: Vec<Encoded> = (0..BATCHES).map(record).collect();
    let module = bench.module("strategies-examples", "identity")?;
    let budget = strategy.spec.budget.clone();
    let sandboxed = move |host: Host| module.instantiate(host, &budget).map_err(|fault| fault.to_string());
    let plain = |host: Host| Ok(Box::new(Native::<example_identity::Identity>::new(host)) as Box<dyn Guest>);
    for guest in [&sandboxed as MakeGuest<'_>, &plain] {
        let took = pass(&strategy, Some(guest), &records)?;
        if took.operations != (BATCHES * BATCH) as u64 {
            return Err(format!("row 6 is void: {} events of {}", took.operations, BATCHES * BATCH));
        }
    }
    let before = load();
    let pairs = bench.pairs(&mut || sure(pass(&strategy, Some(&sandboxed), &records)), &mut || {
        sure(pass(&strategy, Some(&plain), &records))
    });
    let what = What {
        id: "6",
        name: "64 flat quotes a record, a trivial strategy, one thread",
        unit: "events/s",
        floor: "the same strategy as native code",
        shown: Shown::Speed,
    };
    results.push(Row::of_pairs(what, Goal::AtLeast(BATCHED), &pairs, before));
    Ok(())
}

/// The events of the spot capture as flat records of one event each, as an in-house feed would write them.
fn flat_capture(strategy: &Strategy) -> Result<Vec<Encoded>, String> {
    let mut all = Vec::new();
    for events in records(&SPOT, strategy)? {
        let (mut value, ts_recv) = (Vec::new(), events.first().map_or(0, |event| event.head.ts_recv));
        if events.iter().all(|event| flat::encode(&event.head, &event.body, &mut value)) && !value.is_empty() {
            all.push(Encoded { value, ts_recv });
        }
    }
    Ok(all)
}

/// The records of the spot capture as they came.
fn json_capture() -> Result<Vec<Encoded>, String> {
    let path = SPOT.path().ok_or("row 7: no capture")?;
    let frames = captures::frames(&path).into_iter();
    Ok(frames.map(|frame| Encoded { value: frame.value, ts_recv: frame.ts_recv }).collect())
}

pub(crate) fn backtests(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let json = rig::example("ema-cross", &SPOT);
    let module = bench.module("strategies-examples", "ema-cross")?;
    let setup = |mut strategy: Strategy| {
        strategy.spec.budget.call_micros = 1_000_000;
        let (module, model) = (module.clone(), Model::default());
        Setup { strategy, module, model, partitions: BTreeMap::new(), records_max: u64::MAX }
    };
    for (id, name, strategy, records, goal) in [
        (
            "7.flat",
            "a backtest of EMA cross, flat events from memory, one thread",
            flat_input(json.clone()),
            flat_capture(&json)?,
            Goal::AtLeast(FROM_MEMORY),
        ),
        (
            "7.json",
            "the same of the spot capture as it came",
            json.clone(),
            json_capture()?,
            Goal::RatioAtLeast(OF_DECODING),
        ),
    ] {
        let setup = setup(strategy);
        backtest(&setup, &records)?;
        decode_alone(&setup.strategy, &records)?;
        let before = load();
        let pairs = bench
            .pairs(&mut || sure(backtest(&setup, &records)), &mut || sure(decode_alone(&setup.strategy, &records)));
        let what = What { id, name, unit: "events/s", floor: "decoding alone", shown: Shown::Speed };
        results.push(Row::of_pairs(what, goal, &pairs, before));
    }
    Ok(())
}
