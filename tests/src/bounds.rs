//! Figures that are promised: printed in one form, checked, and added to the file that `PINION_FIGURES` names, of which `make test` makes
//! the table at its end. The harness keeps what a test that passes prints to itself.

use std::fmt::Display;
use std::time::Duration;

use crate::told::add;

/// Prints `bound: WHAT | MEASURED | BOUND`, and checks that the time is under its bound.
///
/// # Panics
/// If it is not.
pub fn takes_less(what: &str, measured: Duration, bound: Duration) {
    tell(&format!("{what} | {measured:.2?} | < {bound:?}"));
    assert!(measured < bound, "{what} took {measured:?}, bound {bound:?}");
}

/// The same for a figure, with its unit.
///
/// # Panics
/// If it is over its bound.
pub fn at_most<T: PartialOrd + Display>(what: &str, measured: T, bound: T, unit: &str) {
    tell(&format!("{what} | {measured}{unit} | <= {bound}{unit}"));
    assert!(measured <= bound, "{what}: {measured}{unit}, bound {bound}{unit}");
}

/// Prints a figure that has no bound, beside those that have.
pub fn shown(what: &str, measured: impl Display) {
    tell(&format!("{what} | {measured} | -"));
}

fn tell(figure: &str) {
    // A test's thread has its name, with its modules.
    let thread = std::thread::current();
    let of = thread.name().and_then(|name| name.split_once("::")).map(|(module, _)| format!("{module}: "));
    let figure = of.unwrap_or_default() + figure;
    println!("bound: {figure}");
    add("PINION_FIGURES", &figure);
}
