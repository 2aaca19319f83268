//! Places to measure in: connections have an end, and what one team asks, or one source that hangs, takes only a part of them.

mod shares;

use crate::metrics::Metrics;
use reqwest::Url;
use shares::{Limits, Number, Share, Shares};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

const LIMITS: Limits = Limits { all: 512, namespace: 128, source: 256, both: 64 };

/// Who waits longer than this for a place has not measured, and says so.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Places {
    shares: Arc<Mutex<Shares<oneshot::Sender<Place>>>>,
    patience: Duration,
    metrics: Metrics,
}

/// One place, until it is dropped.
pub struct Place {
    places: Places,
    share: Option<Share>,
}

/// One that waits, until it is dropped.
struct Waiting<'a> {
    places: &'a Places,
    share: &'a Share,
    number: Number,
}

impl Places {
    pub fn new(metrics: Metrics) -> Self {
        Self::with(LIMITS, PATIENCE, metrics)
    }

    fn with(limits: Limits, patience: Duration, metrics: Metrics) -> Self {
        Self { shares: Arc::new(Mutex::new(Shares::new(limits))), patience, metrics }
    }

    /// A sentence when there is none for too long.
    pub async fn take(&self, share: &Share) -> Result<Place, String> {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut shares = self.shares();
            if shares.take(share) {
                return Ok(Place { places: self.clone(), share: Some(share.clone()) });
            }
            shares.wait(share, sender)
        };
        let waiting = Waiting { places: self, share, number };
        let began = Instant::now();
        self.metrics.waits_for_place(1);
        let got = timeout(self.patience, receiver).await;
        drop(waiting);
        self.metrics.waited_for_place(began.elapsed());
        match got {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => {
                let why = self.shares().told(share);
                Err(format!("not measured: waited {}s for a place: {why}", self.patience.as_secs_f64()))
            }
        }
    }

    /// Of a request to this address.
    pub async fn for_request(&self, namespace: &str, url: &Url) -> Result<Place, String> {
        let source = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        self.take(&Share { namespace: namespace.to_owned(), source }).await
    }

    #[cfg(test)]
    pub fn with_one() -> Self {
        Self::with(Limits { all: 1, namespace: 1, source: 1, both: 1 }, PATIENCE, Metrics::default())
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.shares().held()
    }

    fn shares(&self) -> MutexGuard<'_, Shares<oneshot::Sender<Place>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(share) = self.share.take() else { return };
        self.places.shares().leave(&share);
        loop {
            let next = self.places.shares().grant();
            let Some((share, ticket)) = next else { return };
            // Who gave up meanwhile gives it back.
            if let Err(mut unwanted) = ticket.send(Self { places: self.places.clone(), share: Some(share) })
                && let Some(share) = unwanted.share.take()
            {
                self.places.shares().leave(&share);
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.shares().give_up(self.share, self.number);
        self.places.metrics.waits_for_place(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(namespace: &str, source: &str) -> Share {
        Share { namespace: namespace.into(), source: source.into() }
    }

    fn places(patience: Duration) -> Places {
        Places::with(Limits { all: 2, namespace: 1, source: 2, both: 1 }, patience, Metrics::default())
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_place_ends_and_is_told() {
        let places = places(Duration::from_secs(30));
        let (held, other) = (places.take(&share("a", "x")).await.unwrap(), places.take(&share("b", "x")).await.unwrap());
        let told = places.take(&share("a", "y")).await.err().unwrap();
        assert_eq!(told, "not measured: waited 30s for a place: namespace a has 1 requests in flight, the most for one namespace");
        assert_eq!(places.shares().waiting(), 0, "who gave up waits no more");
        drop(held);
        assert!(places.take(&share("a", "y")).await.is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn a_place_that_nobody_wants_any_more_is_passed_on() {
        let places = places(Duration::from_secs(30));
        let held = places.take(&share("a", "x")).await.unwrap();
        let (first, second) = ((places.clone(), share("a", "y")), (places.clone(), share("a", "z")));
        let first = tokio::spawn(async move { first.0.take(&first.1).await.map(drop) });
        let second = tokio::spawn(async move { second.0.take(&second.1).await.map(drop) });
        while places.shares().waiting() < 2 {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!(first.await.is_err());
        drop(held);
        second.await.unwrap().unwrap();
        assert!(places.take(&share("a", "x")).await.is_ok(), "each place came back");
    }
}
