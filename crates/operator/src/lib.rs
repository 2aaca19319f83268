//! The shell around the decision: it watches, gathers, performs, measures, leads and serves. It decides nothing.

mod announce;
mod answers;
pub mod args;
mod asking;
mod by_name;
mod cache;
mod client;
pub mod clock;
mod gather;
mod intern;
mod key;
mod kinds;
mod lease;
mod live;
pub mod logs;
pub mod measure;
mod memory;
mod metrics;
mod perform;
mod queue;
mod reconcile;
mod requests;
pub mod run;
mod server;
mod shelf;
mod shell;
mod templates;
mod watches;
mod work;

pub use run::run;
