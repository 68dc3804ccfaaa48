//! The sandbox's promises, each over both lanes.

mod contract;
mod faults;
mod guests;
mod loading;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pinion_spec::strategy::Budget;

use super::compile::Compiler;
use super::{Call, Fault, Guest, Host, HostConfig, Lane, Sandbox, SandboxConfig};
use crate::event::{Head, Quote};
use crate::instruments::{Instrument, Instruments};

const LANES: [Lane; 2] = [Lane::Direct, Lane::Component];

const HEAD: Head = Head { instrument_id: 7, publisher_id: 3, flags: 128, ts_event: 40, ts_recv: 41, sequence: 99 };
const QUOTE: Quote = Quote { bid_price: 10, bid_size: 1, ask_price: 11, ask_size: 2, bid_count: 3, ask_count: 4 };
const ON_QUOTE: Call = Call::Quote(HEAD, QUOTE);

/// A directory of this test process's own.
fn directory(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("pinion-sandbox-{}-{name}", std::process::id()));
    // Left by an earlier process of the same number, if it is there at all.
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

/// One sandbox for all tests: its pool reserves much address space.
fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let config = SandboxConfig { cache: directory("shared"), compiler: Compiler::Here, instances: 32, kept: None };
        Sandbox::new(config).unwrap()
    })
}

fn budget() -> Budget {
    Budget { call_micros: 20_000, memory_mib: 2, intents_per_call: 4, log_bytes_per_second: 4_096 }
}

fn host() -> Host {
    let instrument = Instrument {
        id: 7,
        publisher_id: 3,
        publisher: "binance".into(),
        symbol: "BTCUSDT".into(),
        tick: 10_000_000,
        lot: 10_000,
        size_exponent: -9,
    };
    Host::new(HostConfig {
        instruments: Arc::new(Instruments::new([instrument])),
        intents_per_call: 4,
        log_bytes_per_second: 4_096,
    })
}

/// An instance of a component, not yet initialised.
fn instance(component: &[u8], lane: Lane) -> Result<Box<dyn Guest>, Fault> {
    sandbox().load_for(component, lane).unwrap().instantiate(host(), &budget())
}

/// An instance of a component that has been initialised.
fn started(component: &[u8], lane: Lane) -> Box<dyn Guest> {
    let mut guest = instance(component, lane).unwrap();
    guest.init(&[]).unwrap();
    guest
}
