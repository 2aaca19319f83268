//! Puts everything together, and takes it apart again in the right order.

use crate::{
    announce::Announcer,
    args::Args,
    asking::Asking,
    by_name::ByName,
    cache::Cache,
    client,
    gather::Gatherer,
    lease::{Candidate, Leadership},
    measure::{Gauge, Measuring, Sources},
    memory::Memory,
    metrics::Metrics,
    perform::Performer,
    queue::Queue,
    requests::Requests,
    server::{self, Pages},
    shell::Shell,
    templates::Templates,
    work::work,
};
use anyhow::{Context, anyhow};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

/// Time for work in progress after a signal.
const FINISH: Duration = Duration::from_secs(10);

/// Runs until a signal. After an error the process should be restarted.
pub async fn run(args: Args) -> anyhow::Result<()> {
    args.times()?;
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow!("another TLS provider is installed already"))?;
    let config = kube::Config::infer().await.context("no cluster found: set KUBECONFIG, or run in a pod with a service account")?;
    let mut config = client::named(config);
    config.connect_timeout = Some(Duration::from_secs(5));
    let metrics = Metrics::default();
    let main = client::main(&config, metrics.clone()).context("creating the client for the API server failed")?;
    let gauge = Sources::new(args.allowed(), args.signer(), args.prometheus_credentials.clone(), main.clone(), metrics.clone());
    let gauge = gauge.context("creating the client for checks and metrics failed")?;
    let outside = Outside {
        main,
        watches: client::watches(&config, metrics.clone()).context("creating the client for watches failed")?,
        leases: client::lease(&config).context("creating the client for the lease failed")?,
        namespace: config.default_namespace.clone(),
        gauge: Arc::new(gauge),
    };
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("listening on {} failed", args.listen))?;
    operate(args, outside, metrics, Some(listener), told_to_stop()?).await
}

/// Everything beyond this process that the operator has to do with.
pub struct Outside {
    pub main: kube::Client,
    /// Must not try again by itself, and neither must the next.
    pub watches: kube::Client,
    pub leases: kube::Client,
    /// The operator's own.
    pub namespace: String,
    pub gauge: Arc<dyn Gauge>,
}

/// The whole operator among simulated things: it serves no pages.
pub async fn simulate(args: Args, outside: Outside, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    operate(args, outside, Metrics::default(), None, stop).await
}

async fn operate(
    args: Args,
    outside: Outside,
    metrics: Metrics,
    listener: Option<TcpListener>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let times = args.times()?;
    let Outside { main, watches: watching, leases, namespace, gauge } = outside;
    let identity = args.identity();
    let lease_namespace = args.lease_namespace.as_deref().unwrap_or(&namespace);
    let (candidate, leadership) = Candidate::new(leases, lease_namespace, &args.lease_name, identity.clone(), times);
    let mut watches = JoinSet::new();
    let (announcer, delivery) = Announcer::new(Requests::new(main.clone()), identity.clone());
    let delivery = tokio::spawn(delivery);
    let shell = Arc::new(assemble(&args, (main, watching), gauge, announcer, metrics, leadership.clone(), &mut watches)?);

    let (stop_serving, stopped_serving) = watch::channel(false);
    let (stop_work, stopped_work) = watch::channel(false);
    let (stop_leading, stopped_leading) = watch::channel(false);
    let pages = Pages {
        cache: shell.cache.clone(),
        queue: shell.queue.clone(),
        registry: Arc::new(shell.metrics.register()),
        metrics: shell.metrics.clone(),
        leadership: leadership.clone(),
    };
    let server = listener.map(|listener| tokio::spawn(server::serve(listener, pages, stopped_serving)));
    let lease = tokio::spawn(candidate.run(stopped_leading));
    let worker = tokio::spawn(lead(shell, usize::from(args.concurrency), leadership.clone(), stopped_work));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %identity, namespace = args.namespace.as_deref().unwrap_or("all"), listen = %args.listen, "started");

    let end = end(leadership, &mut watches, stop).await;
    stop_work.send_replace(true);
    if end.is_ok() {
        // Work in progress is finished while the lease is still ours; then another operator may lead at once.
        let _ = tokio::time::timeout(FINISH, worker).await;
        stop_leading.send_replace(true);
        let _ = tokio::join!(tokio::time::timeout(FINISH, lease), tokio::time::timeout(FINISH, delivery));
    }
    stop_serving.send_replace(true);
    if let Some(server) = server {
        server.abort();
    }
    end
}

fn assemble(
    args: &Args,
    (main, watching): (kube::Client, kube::Client),
    gauge: Arc<dyn Gauge>,
    announcer: Announcer,
    metrics: Metrics,
    leadership: watch::Receiver<Leadership>,
    watches: &mut JoinSet<()>,
) -> anyhow::Result<Shell> {
    let (cache, memory, queue) = (Arc::new(Cache::default()), Arc::new(Memory::default()), Arc::new(Queue::default()));
    let requests = Requests::new(main);
    cache.watch(&watching, args.namespace.as_deref(), &queue, watches);
    Ok(Shell {
        gatherer: Gatherer { cache: cache.clone(), memory: memory.clone() },
        asking: Asking::new(
            Templates::new(watching.clone(), args.namespace.clone(), queue.clone()),
            args.prometheus_address.as_ref().map(ToString::to_string),
        ),
        performer: Performer::new(requests, cache.clone(), memory.clone()),
        measuring: Measuring::new(gauge, memory.clone(), queue.clone(), metrics.clone()),
        by_name: ByName::new(watching, queue.clone()),
        announcer,
        metrics,
        cache,
        memory,
        queue,
        leadership,
    })
}

/// Waits for leadership, and for caches that were listed since it began; then works.
async fn lead(shell: Arc<Shell>, at_once: usize, mut leadership: watch::Receiver<Leadership>, mut stop: watch::Receiver<bool>) {
    let ready = async {
        let leads = |leadership: &Leadership| matches!(leadership, Leadership::Leading { .. });
        let Ok(Leadership::Leading { term, .. }) = leadership.wait_for(leads).await.map(|leadership| *leadership) else { return false };
        shell.cache.renew(term).await;
        true
    };
    let leads = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => false,
        leads = ready => leads,
    };
    if leads {
        shell.queue.add_all(shell.cache.all());
        work(shell, at_once, stop).await;
    }
}

/// Ends with a signal.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM failed")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT failed")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        }
    })
}

/// Being told to stop, or what must not go on.
async fn end(mut leadership: watch::Receiver<Leadership>, watches: &mut JoinSet<()>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = stop => {}
        lost = leadership.wait_for(|leadership| *leadership == Leadership::Lost) => {
            return Err(match lost {
                Ok(_) => anyhow!("leadership was lost: this process ends, since only a restart gives a clean state"),
                Err(_) => anyhow!("bug: the task that holds the lease has ended"),
            });
        }
        ended = watches.join_next() => return Err(anyhow!("bug: a watch has ended ({ended:?})")),
    }
    Ok(())
}
