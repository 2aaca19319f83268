//! The whole operator against an API server in its own process: what is told of the world, how late, in what order and what
//! goes wrong follows from a seed, and time passes only when nobody has anything to do.
//!
//! [`server`] answers as a real API server would, [`controllers`] do what else a cluster does, a [`line`] between the two and an
//! operator fails as it is told to, and [`world`] tells stories with them.

pub mod controllers;
pub mod dice;
pub mod fields;
pub mod line;
mod log;
pub mod process;
pub mod resource;
pub mod server;
pub mod store;
pub mod world;

pub use line::Faults;
pub use world::{World, run};
