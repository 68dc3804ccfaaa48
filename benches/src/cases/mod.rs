//! The single steps of an event's way, each ready to be done over and over: timed by `cargo bench`.

mod book;
mod decode;
mod flow;
mod order;
mod risk;
pub mod sandbox;

/// One step.
#[derive(Clone, Copy)]
pub struct Case {
    /// `group/what`, stable: results and baselines name it.
    pub name: &'static str,
    /// Makes everything ready; what it returns does the step once.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All of them.
pub fn all() -> impl Iterator<Item = Case> {
    [sandbox::CASES, decode::CASES, book::CASES, risk::CASES, order::CASES, flow::CASES].into_iter().flatten().copied()
}
