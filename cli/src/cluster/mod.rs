//! The subcommands that work on a cluster, with the user's kubeconfig and rights: nothing here is done by a right of Pinion's own.
//!
//! A strategy is changed by two field managers: `pinion-cli` deploys, `pinion-halt` says what it may do. So a deployment never
//! lifts a halt, and a halt never undoes a deployment.

mod apply;
mod condition;
mod connect;
pub mod deploy;
pub mod describe;
mod failure;
pub mod halt;
pub mod list;
pub mod logs;
mod module;
mod ready;
pub mod resume;
pub mod rollback;
mod row;
mod state;
pub mod top;
mod top_view;
mod watch;

pub use connect::ClusterArgs;
