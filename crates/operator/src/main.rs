use bluegreen_operator::{args::Args, logs, run};
use clap::Parser;
use std::process::ExitCode;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logs::start(&args.log, args.log_format) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let end = match Builder::new_multi_thread().worker_threads(usize::from(args.threads)).enable_all().build() {
        Ok(runtime) => {
            let end = runtime.block_on(run(args));
            // Tasks that still run have nothing left to do that counts.
            runtime.shutdown_background();
            end
        }
        Err(error) => Err(anyhow::Error::new(error).context("starting the threads failed")),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
