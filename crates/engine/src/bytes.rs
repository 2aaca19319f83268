//! How large something is as JSON, in which it is written.

use serde::Serialize;
use std::io;

struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(part.len());
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn of(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // What can't be written as JSON takes no room there.
    serde_json::to_writer(&mut counted, value).map_or(0, |()| counted.0)
}
