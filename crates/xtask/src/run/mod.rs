//! What `test` and `prove` share: programs of tests are run, their results counted, and all is summed up at the end.

pub(crate) mod budget;
pub(crate) mod clusters;
pub(crate) mod crates;
pub(crate) mod harness;
pub(crate) mod kubernetes;
pub(crate) mod program;
mod report;
mod results;
pub(crate) mod settings;

pub(crate) use self::report::Report;
pub(crate) use self::results::{Outcome, Results};
pub(crate) use self::settings::Settings;
