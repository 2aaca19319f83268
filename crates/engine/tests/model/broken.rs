//! A promise that was broken.

/// The number of the promise in the design, and what happened.
#[derive(Clone, Debug)]
pub struct Broken {
    pub promise: u8,
    pub how: String,
}

/// Says of a promise that it is broken, unless it holds.
pub fn holds(promise: u8, holds: bool, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { promise, how: how() }) }
}
