//! The options of a simulated venue, the same wherever there is one.

use clap::Args;
use pinion_venue::{Fees, Latency, Model};

/// How the venue behaves.
#[derive(Debug, Clone, Args)]
pub struct VenueArgs {
    /// One way to the venue and one way back: fixed, or drawn between two
    #[arg(long, value_name = "TIME|TIME..TIME", default_value_t = Model::default().latency)]
    pub latency: Latency,
    /// Of the notional, in basis points; a rebate below zero
    #[arg(long, value_name = "MAKER,TAKER", default_value_t = Model::default().fees, allow_hyphen_values = true)]
    pub fees: Fees,
    /// What latencies are drawn from
    #[arg(long, value_name = "N", default_value_t = Model::default().seed)]
    pub seed: u64,
}

impl VenueArgs {
    pub(crate) const fn model(&self) -> Model {
        Model { latency: self.latency, fees: self.fees, seed: self.seed }
    }
}
