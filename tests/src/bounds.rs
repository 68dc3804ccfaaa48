//! Figures that are promised: printed in one form, so that a run's figures can be collected (`grep '^bound: '`), and checked.

use std::fmt::Display;
use std::time::Duration;

/// Prints `bound: WHAT | MEASURED | BOUND` and checks that the time is under its bound.
///
/// # Panics
/// If it is not.
pub fn takes_less(what: &str, measured: Duration, bound: Duration) {
    println!("bound: {what} | {measured:.2?} | < {bound:?}");
    assert!(measured < bound, "{what} took {measured:?}, bound {bound:?}");
}

/// The same for a figure, with its unit.
///
/// # Panics
/// If it is over its bound.
pub fn at_most<T: PartialOrd + Display>(what: &str, measured: T, bound: T, unit: &str) {
    println!("bound: {what} | {measured}{unit} | <= {bound}{unit}");
    assert!(measured <= bound, "{what}: {measured}{unit}, bound {bound}{unit}");
}

/// Prints a figure that has no bound, beside those that have.
pub fn shown(what: &str, measured: impl Display) {
    println!("bound: {what} | {measured} | -");
}
