//! The programs of Kubernetes, and Helm, which Go builds while Rust is compiled: each leaves a core idle now and then, while it links or
//! waits for the network.

use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use bluegreen_cluster::binaries::{self, Binaries};
use bluegreen_cluster::{Cluster, Kind};

use super::results::Outcome;

/// A build that has begun.
pub(crate) struct Building(Option<JoinHandle<Result<Binaries>>>);

impl Building {
    /// Begins to build what clusters of this machine need; what is there already is not built again.
    pub(crate) fn begin() -> Self {
        let can = |kind| Cluster::obstacle(kind).is_none();
        let fake = can(Kind::Fake).then_some(binaries::FAKE_NODE);
        let node = can(Kind::Node).then_some(binaries::REAL_NODE);
        let own: Vec<_> = fake.into_iter().chain(node).flatten().copied().collect();
        if own.is_empty() {
            return Self(None);
        }
        let wanted = [binaries::CONTROL_PLANE, &own].concat();
        // Tests install the chart with Helm on fake nodes.
        let helm = fake.is_some();
        Self(Some(thread::spawn(move || {
            let built = Binaries::prepare(&wanted)?;
            if helm {
                binaries::helm()?;
            }
            Ok(built)
        })))
    }

    /// Waits for the end of the build.
    pub(crate) fn end(self) -> Result<Outcome> {
        let Some(build) = self.0 else { return Ok(Outcome::NotWanted) };
        build.join().map_err(|_| anyhow!("the build of Kubernetes panicked; what it said is above"))??;
        Ok(Outcome::of(true))
    }
}
