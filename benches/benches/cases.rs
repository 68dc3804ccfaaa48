//! Times the single steps of an event's way; what they come to beside floors is the program `micro`'s.
#![allow(missing_docs, reason = "criterion_group makes a public function")]

use criterion::{Criterion, criterion_group, criterion_main};
use pinion_benches::cases;

fn steps(criterion: &mut Criterion) {
    for case in cases::all() {
        let mut step = (case.make)();
        criterion.bench_function(case.name, |bencher| bencher.iter(&mut step));
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
