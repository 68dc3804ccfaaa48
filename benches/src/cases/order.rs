//! An approved order, written as its topic has it.

use std::hint::black_box;
use std::sync::Arc;

use pinion_runtime::event::Origin;
use pinion_runtime::instance::InstanceId;
use pinion_runtime::wire::{self, Provenance};
use pinion_spec::strategy::OrderEncoding;
use pinion_tests::captures::SPOT;
use pinion_tests::native::Native;
use pinion_tests::rig;

use super::{Case, risk};

pub(super) const CASES: &[Case] = &[
    Case { name: "order/encode json", make: || encode(OrderEncoding::Json) },
    Case { name: "order/encode flat", make: || encode(OrderEncoding::PinionFlat) },
];

fn encode(encoding: OrderEncoding) -> Box<dyn FnMut()> {
    let mut strategy = rig::example("identity", &SPOT);
    strategy.spec.outputs.orders.encoding = encoding;
    for instrument in &mut strategy.spec.instruments {
        instrument.id = Some(risk::ID);
    }
    let guest = Box::new(Native::<example_identity::Identity>::new(rig::host_of(&strategy)));
    let (_, loaded) = rig::instance(&strategy, rig::ready(guest, &strategy), InstanceId(0), Arc::default());
    let (order, mut value) = (risk::order(), Vec::with_capacity(1_024));
    Box::new(move || {
        value.clear();
        let origin = Origin { topic: 0, partition: 0, offset: 123_456 };
        let provenance = Provenance { route: &loaded.route, origin, ts: 1_700_000_000_000_000_000 };
        wire::encode_order(black_box(&order), &provenance, &mut value);
        black_box(value.len());
    })
}
