//! The process: settings, clients, log, runtime. No logic.

// The SDK's futures nest deeper than the default allows a layout to be computed.
#![recursion_limit = "256"]

use std::collections::BTreeMap;

use github_runner_pool::handler::handle;
use github_runner_pool::live::Live;
use github_runner_pool::log;
use github_runner_pool::pool::time::Timestamp;
use github_runner_pool::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[cfg(panic = "abort")]
compile_error!("a panic must unwind, or CloudFormation waits an hour for its answer: set panic = \"unwind\"");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let settings = Settings::from_variables(&variables)?;
    log::start(settings.log_level);
    let world = Live::connect(&settings)?;
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = Timestamp::from_epoch_millis(event.context.deadline);
        let done = handle(&world, &settings, &event.payload, deadline).await;
        let calls = world.calls();
        tracing::info!(step = "end", aws_reads = calls.reads(), aws_writes = calls.writes());
        done.map_err(Error::from)
    }))
    .await
}
