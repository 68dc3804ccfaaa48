//! A module's calls seen from outside of its guests: what each costs and asks for. For `pinion check`; nothing live has one.

use std::sync::Arc;

use super::{Call, Fault, Guest, Host, Saved, Wants};
use crate::clock::mono_ns;
use crate::stopwatch;

/// What is told of a module's guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A guest came to life and `on-init` returned.
    Ready {
        /// Until the instance was there.
        instantiate_ns: u64,
        /// What `on-init` took.
        init_ns: u64,
        /// What it wants.
        wants: &'a Wants,
        /// Its linear memories, bytes.
        memory_bytes: usize,
    },
    /// A callback returned, or faulted.
    Called {
        /// Which: its name in the contract.
        callback: &'static str,
        /// What it took, wall time.
        ns: u64,
        /// Intents that it asked for.
        intents: usize,
        /// Its linear memories then.
        memory_bytes: usize,
    },
}

/// Sees what a module's guests do.
pub type Probe = Arc<dyn Fn(Seen<'_>) + Send + Sync>;

/// A guest whose calls a probe sees.
pub(super) struct Probed {
    pub(super) guest: Box<dyn Guest>,
    pub(super) probe: Probe,
    pub(super) instantiate_ns: u64,
}

impl Guest for Probed {
    fn init(&mut self, params: &[(String, String)]) -> Result<Wants, Fault> {
        let began = mono_ns();
        let wants = self.guest.init(params)?;
        let (instantiate_ns, init_ns) = (self.instantiate_ns, mono_ns() - began);
        let memory_bytes = self.guest.memory_bytes();
        (self.probe)(Seen::Ready { instantiate_ns, init_ns, wants: &wants, memory_bytes });
        Ok(wants)
    }

    fn save(&mut self) -> Result<Saved, Fault> {
        self.guest.save()
    }

    fn load(&mut self, saved: &Saved) -> Result<(), Fault> {
        self.guest.load(saved)
    }

    fn call(&mut self, call: &Call) -> Result<(), Fault> {
        let began = stopwatch::ns();
        let outcome = self.guest.call(call);
        let ns = stopwatch::ns().saturating_sub(began);
        let intents = self.guest.host().effects.len();
        let memory_bytes = self.guest.memory_bytes();
        (self.probe)(Seen::Called { callback: call.name(), ns, intents, memory_bytes });
        outcome
    }

    fn host(&mut self) -> &mut Host {
        self.guest.host()
    }

    fn memory_bytes(&self) -> usize {
        self.guest.memory_bytes()
    }
}
