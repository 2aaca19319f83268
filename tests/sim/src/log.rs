//! What the operators log in a story.

use bluegreen_operator::clock;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::{MakeWriter, format::Writer, time::FormatTime};

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what is logged on this thread, until the guard is dropped. `SIM_LOG=debug` makes it more.
    pub fn listen(&self) -> DefaultGuard {
        let level = std::env::var("SIM_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(tracing::Level::WARN);
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_timer(Simulated).with_max_level(level).with_writer(self.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    pub fn lines(&self) -> Vec<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(to, "{:.3}", clock::now())
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
