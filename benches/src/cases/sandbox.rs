//! The crossing: `on-quote` of a guest that returns at once, in both lanes; the same with an order and its encoding.

use std::hint::black_box;
use std::path::Path;

use pinion_runtime::event::{Head, Quote};
use pinion_runtime::sandbox::{Call, Callbacks, Compiler, Guest, Host, HostConfig, Lane, Sandbox, SandboxConfig};

use super::Case;

/// A guest that does nothing: the misbehaving example `spin` without its loop.
const GUEST: &str = include_str!("../../../strategies-examples/misbehaving/spin.wat");

/// A call of `on-quote`.
pub const ON_QUOTE: Call = Call::Quote(
    Head { instrument_id: 7, publisher_id: 3, flags: 128, ts_event: 40, ts_recv: 41, sequence: 99 },
    Quote { bid_price: 10, bid_size: 1, ask_price: 11, ask_size: 2, bid_count: 3, ask_count: 4 },
);

pub(super) const CASES: &[Case] = &[
    Case { name: "call/on-quote, direct lane", make: || call(Lane::Direct) },
    Case { name: "call/on-quote, component lane", make: || call(Lane::Component) },
];

/// A component that wants these callbacks, which return at once.
///
/// # Errors
/// Where the example is none any more.
pub fn idle_component(wants: Callbacks) -> Result<Vec<u8>, String> {
    let idle = GUEST.replace("(br $forever)", "").replace(
        "(i32.store16 (i32.const 20) (i32.const 1))",
        &format!("(i32.store16 (i32.const 20) (i32.const {}))", wants.0),
    );
    pinion_cli::build::component_of_wat(Path::new("idle.wat"), &idle).map_err(|error| error.to_string())
}

/// A started guest of a component.
///
/// # Errors
/// What loading it says.
pub fn guest(sandbox: &Sandbox, component: &[u8], lane: Lane) -> Result<Box<dyn Guest>, String> {
    let module = sandbox.load_for(component, lane).map_err(|error| error.to_string())?;
    let host =
        Host::new(HostConfig { instruments: Default::default(), intents_per_call: 16, log_bytes_per_second: 1_024 });
    let mut guest = module.instantiate(host, &Default::default()).map_err(|fault| fault.to_string())?;
    guest.init(&[]).map_err(|fault| fault.to_string())?;
    // The worker says when a call begins. Here calls begin in the future, so none is ever to blame for what the thread did before: on a
    // busy machine a call that is off the CPU for two ticks would end the run in a fault, and time the fault.
    guest.host().began_ns = u64::MAX;
    Ok(guest)
}

/// A sandbox with a cache of its own, which is gone as soon as nothing is compiled any more.
fn call(lane: Lane) -> Box<dyn FnMut()> {
    let cache = std::env::temp_dir().join(format!("pinion-cases-{}", std::process::id()));
    let made = idle_component(Callbacks::QUOTE).and_then(|component| {
        let config = SandboxConfig::new(cache.clone(), Compiler::Here);
        let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
        guest(&sandbox, &component, lane)
    });
    let _ = std::fs::remove_dir_all(cache);
    let mut guest = match made {
        Ok(guest) => guest,
        Err(problem) => unreachable!("the idle guest runs: {problem}"),
    };
    Box::new(move || assert!(guest.call(black_box(&ON_QUOTE)).is_ok(), "no call has faulted"))
}
