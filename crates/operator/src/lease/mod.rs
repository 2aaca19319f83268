//! Leadership by a Lease: one operator acts, the others watch.

mod step;

pub use step::Times;

use crate::clock;
use bluegreen_engine::observed::Absence;
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::time::Duration;
use step::{Record, Sighting, Step};
use tokio::{sync::watch, time::Instant};

/// Whether this process may act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leadership {
    Standby,
    Leading {
        term: i64,
        /// Nothing is begun from here on, until the lease is renewed.
        until: Instant,
        absence: Option<Absence>,
    },
    /// Leadership was lost. The process must end: only a restart gives a clean state.
    Lost,
}

impl Leadership {
    /// The term, if there is time enough to begin something.
    pub fn term(&self, now: Instant) -> Option<i64> {
        match self {
            Self::Leading { term, until, .. } if now < *until => Some(*term),
            _ => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Api(#[from] Box<kube::Error>),
    #[error("no answer within {}s", .0.as_secs_f64())]
    Timeout(Duration),
}

/// A candidate for the lease.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    me: String,
    times: Times,
    leadership: watch::Sender<Leadership>,
    sighting: Option<Sighting>,
    /// The Lease as we wrote it last.
    ours: Option<Lease>,
    /// The end of leadership, unless the lease is renewed before.
    deadline: Option<Instant>,
    /// The cause of the latest failure, logged once and not once per try.
    trouble: Option<String>,
}

impl Candidate {
    /// `client` must not retry by itself: a renewal that hangs could outlive its lease.
    pub fn new(client: Client, namespace: &str, name: &str, me: String, times: Times) -> (Self, watch::Receiver<Leadership>) {
        let (leadership, watcher) = watch::channel(Leadership::Standby);
        let leases = Api::namespaced(client, namespace);
        (Self { leases, name: name.to_owned(), me, times, leadership, sighting: None, ours: None, deadline: None, trouble: None }, watcher)
    }

    /// Runs until leadership is lost or `stop` completes; in the latter case the lease is released.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let pause = tokio::select! {
                biased;
                pause = self.round() => pause,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if *self.leadership.borrow() == Leadership::Lost {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.release().await;
    }

    /// One try, and the pause after it.
    async fn round(&mut self) -> Duration {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            tracing::error!(lease = %self.name, "the lease was not renewed in time: another operator may lead now");
            self.leadership.send_replace(Leadership::Lost);
            return Duration::ZERO;
        }
        match self.step().await {
            Ok(pause) => {
                if self.trouble.take().is_some() {
                    tracing::info!(lease = %self.name, "the lease can be read and written again");
                }
                pause
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn failed(&mut self, failure: &Failure) -> Duration {
        let why = failure.to_string();
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(lease = %self.name, error = %why, "the lease could not be read or written; retrying");
            self.trouble = Some(why);
        }
        // The state of the Lease is unknown now: read before the next write.
        self.ours = None;
        // A leader has a deadline to meet.
        let leading = matches!(*self.leadership.borrow(), Leadership::Leading { .. });
        if leading { self.times.retry / 4 } else { self.times.retry }
    }

    async fn step(&mut self) -> Result<Duration, Failure> {
        let leading = matches!(*self.leadership.borrow(), Leadership::Leading { .. });
        let current = match self.ours.clone() {
            Some(ours) if leading => Some(ours),
            _ => self.read().await?,
        };
        let now = Instant::now();
        self.sighting = current.as_ref().map(|lease| step::sighted(self.sighting.take(), record(lease), now));
        match step::next(self.sighting.as_ref(), &self.me, leading, now, &self.times) {
            Step::Acquire { .. } | Step::Wait(_) if leading => {
                tracing::error!(lease = %self.name, holder = ?self.sighting, "the lease was taken by another operator");
                self.leadership.send_replace(Leadership::Lost);
                Ok(Duration::ZERO)
            }
            Step::Wait(pause) => Ok(pause),
            Step::Renew => self.renew(current.unwrap_or_default(), now).await,
            Step::Acquire { term } => self.acquire(current, term, now).await,
        }
    }

    async fn acquire(&mut self, current: Option<Lease>, term: i64, now: Instant) -> Result<Duration, Failure> {
        let time = clock::now();
        let former = current.as_ref().map(record);
        let exists = current.is_some();
        let mut lease = current.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.me.clone());
        spec.lease_duration_seconds = i32::try_from(self.times.duration.as_secs()).ok();
        spec.acquire_time = Some(MicroTime(time));
        spec.renew_time = Some(MicroTime(time));
        spec.lease_transitions = i32::try_from(term).ok();
        let Some(written) = self.write(&lease, exists).await? else { return Ok(self.times.retry) };
        self.ours = Some(written);
        let absence = step::absence(former.as_ref(), time, &self.times);
        tracing::info!(lease = %self.name, identity = %self.me, term, "leading");
        let until = self.renewed(now);
        self.leadership.send_replace(Leadership::Leading { term, until, absence });
        Ok(self.times.retry)
    }

    async fn renew(&mut self, mut lease: Lease, now: Instant) -> Result<Duration, Failure> {
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(clock::now()));
        self.ours = self.write(&lease, true).await?;
        if self.ours.is_some() {
            let renewed = self.renewed(now);
            self.leadership.send_modify(|leadership| {
                if let Leadership::Leading { until, .. } = leadership {
                    *until = renewed;
                }
            });
        }
        Ok(if self.ours.is_some() { self.times.retry } else { Duration::ZERO })
    }

    /// The lease is good from before the call that renewed it: that is what others may count from. Answers until when to begin things.
    fn renewed(&mut self, before: Instant) -> Instant {
        let deadline = before + self.times.renew_deadline;
        self.deadline = Some(deadline);
        deadline - self.times.margin()
    }

    async fn read(&self) -> Result<Option<Lease>, Failure> {
        self.in_time(self.leases.get_opt(&self.name)).await
    }

    /// None: another operator was faster.
    async fn write(&self, lease: &Lease, exists: bool) -> Result<Option<Lease>, Failure> {
        let params = PostParams { field_manager: Some(bluegreen_api::names::FIELD_MANAGER.into()), ..PostParams::default() };
        let written = if exists {
            self.in_time(self.leases.replace(&self.name, &params, lease)).await
        } else {
            self.in_time(self.leases.create(&params, lease)).await
        };
        match written {
            Err(Failure::Api(error)) if matches!(&*error, kube::Error::Api(status) if status.code == 409) => Ok(None),
            written => written.map(Some),
        }
    }

    /// A call that hangs leaves time for two more before the deadline.
    async fn in_time<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let limit = self.times.renew_deadline / 3;
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| Failure::Api(Box::new(error))),
            Err(_) => Err(Failure::Timeout(limit)),
        }
    }

    /// Releases the lease, so that another operator need not wait until it expires.
    async fn release(mut self) {
        let Some(mut lease) = self.ours.take() else { return };
        self.leadership.send_replace(Leadership::Standby);
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(clock::now()));
        match self.write(&lease, true).await {
            Ok(_) => tracing::info!(lease = %self.name, "lease released"),
            Err(failure) => tracing::warn!(lease = %self.name, error = %failure, "the lease could not be released; it expires by itself"),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0),
        duration: seconds.map(Duration::from_secs),
        transitions: spec.lease_transitions.map_or(0, i64::from),
    }
}

#[cfg(test)]
mod tests;
