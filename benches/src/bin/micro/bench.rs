//! What the rows share: a sandbox, real events in memory, and a worker's path without its thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_benches::pairs::{Pairs, Plan, Took};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::egress::Outbound;
use pinion_runtime::event::{Body, Event, FLAG_LAST, Head, Origin, Quote, Stamp};
use pinion_runtime::instance::InstanceId;
use pinion_runtime::plan;
use pinion_runtime::playback::Playback;
use pinion_runtime::sandbox::{Compiler, Guest, Host, Module, Sandbox, SandboxConfig};
use pinion_runtime::wire::{self, Provenance};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Capture, project_root};
use pinion_tests::{rig, stream};
use sha2::{Digest as _, Sha256};

/// A run's means.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) sandbox: Sandbox,
    cache: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The cache was this run's own.
        let _ = std::fs::remove_dir_all(&self.cache);
    }
}

impl Bench {
    pub(crate) fn new(plan: Plan) -> Result<Self, String> {
        let cache = std::env::temp_dir().join(format!("pinion-micro-{}", std::process::id()));
        let sandbox =
            Sandbox::new(SandboxConfig::new(cache.clone(), Compiler::Here)).map_err(|error| error.to_string())?;
        Ok(Self { plan, sandbox, cache })
    }

    /// Two sides in turns.
    pub(crate) fn pairs(&self, a: &mut dyn FnMut() -> Took, b: &mut dyn FnMut() -> Took) -> Pairs {
        Pairs::measure(self.plan, a, b)
    }

    /// Where compiled modules are kept.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The module of a folder of strategies, as `pinion build` writes it there.
    pub(crate) fn module(&self, folder: &str, name: &str) -> Result<Module, String> {
        self.module_in(&self.sandbox, folder, name)
    }

    /// The same, for instances of another sandbox.
    pub(crate) fn module_in(&self, sandbox: &Sandbox, folder: &str, name: &str) -> Result<Module, String> {
        // `misbehaving/spin` lies among others in one folder.
        let path = project_root().join(folder);
        let path = if name.contains('/') { path.join(name) } else { path.join(name).join(name) }.with_extension("wasm");
        let bytes = std::fs::read(&path).map_err(|error| error.to_string());
        let loaded = bytes.and_then(|bytes| sandbox.load(&bytes).map_err(|error| error.to_string()));
        loaded.map_err(|error| format!("{}: {error}; run `make strategies`", path.display()))
    }
}

/// Records of a capture that a pass goes over: a few blocks' worth would blur the turns.
const RECORDS: usize = 20_000;

/// The events of a capture's first [`RECORDS`].
pub(crate) fn records(capture: &Capture, strategy: &Strategy) -> Result<Vec<Vec<Event>>, String> {
    let path = capture.path().ok_or("it needs the Binance captures")?;
    let mut records = Vec::new();
    stream::decoded(&path, strategy, |events| records.push(events.to_vec()));
    records.truncate(RECORDS);
    Ok(records)
}

/// One unit on both sides, a cent apart.
pub(crate) const fn quote_at(bid_price: i64) -> Quote {
    let (bid_size, ask_size) = (1_000_000_000, 1_000_000_000);
    Quote { bid_price, bid_size, ask_price: bid_price + 10_000_000, ask_size, bid_count: 0, ask_count: 0 }
}

/// A quote that always is the same, but for its sequence and its time.
pub(crate) fn quote(instrument_id: u64, sequence: u64) -> Event {
    let ts = 1_700_000_000_000_000_000 + sequence * 100_000;
    Event {
        head: Head { instrument_id, publisher_id: 1, flags: FLAG_LAST, ts_event: ts, ts_recv: ts, sequence },
        body: Body::Quote(quote_at(60_000_000_000_000)),
        origin: Origin { topic: 0, partition: 0, offset: sequence },
        stamp: Stamp::default(),
    }
}

/// Makes a guest.
pub(crate) type MakeGuest<'a> = &'a dyn Fn(Host) -> Result<Box<dyn Guest>, String>;

/// A worker's path with one instance of a strategy; without a guest the same path and nobody to call.
pub(crate) fn playback(strategy: &Strategy, guest: Option<MakeGuest<'_>>) -> Result<Playback, String> {
    let mut playback = Playback::by_hand();
    let mut feeds = plan::feeds(&[strategy]).map_err(|error| error.to_string())?;
    let declared = plan::instruments(strategy).map_err(|error| error.to_string())?;
    let feed = playback.open_feed(feeds.remove(0), declared);
    if let Some(make) = guest {
        let ready = rig::ready(make(rig::host_of(strategy))?, strategy);
        let (instance, _) = rig::instance(strategy, ready, InstanceId(0), Arc::default());
        playback.add_instance(feed, instance);
    }
    Ok(playback)
}

/// Takes what was caused: each order message and a newline, hashed.
pub(crate) fn take_orders(playback: &mut Playback, buffer: &mut Vec<u8>, stream: &mut Sha256) {
    for outbound in playback.take_outbound() {
        let Outbound::Order { order, route, origin, ts, .. } = outbound else { continue };
        buffer.clear();
        wire::encode_order(&order, &Provenance { route: &route, origin, ts }, buffer);
        buffer.push(b'\n');
        stream.update(&*buffer);
    }
}

/// One pass over a capture by a worker of its own, which is made before the clock starts; what was decided, hashed.
pub(crate) fn pass(
    strategy: &Strategy,
    guest: Option<MakeGuest<'_>>,
    records: &[Vec<Event>],
) -> Result<(Took, [u8; 32]), String> {
    let mut playback = playback(strategy, guest)?;
    let (mut buffer, mut stream) = (Vec::new(), Sha256::new());
    let began = mono_ns();
    for record in records {
        playback.present(0, record, |_, _| ());
        take_orders(&mut playback, &mut buffer, &mut stream);
    }
    let ns = mono_ns() - began;
    Ok((Took { operations: records.iter().map(Vec::len).sum::<usize>() as u64, ns }, stream.finalize().into()))
}
