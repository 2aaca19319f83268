use anyhow::{Context, anyhow};
use bluegreen_operator::{args::Args, logs, run};
use clap::Parser;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logs::start(&args.log, args.log_format)?;
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow!("another TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.threads))
        .enable_all()
        .build()
        .context("the threads can't be started")?;
    let end = runtime.block_on(run(args));
    // Tasks that still run have nothing left to do that counts.
    runtime.shutdown_background();
    end
}
