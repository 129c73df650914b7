//! The process: settings, clients, log, runtime. No logic.

// The SDK's futures nest deeper than the default allows a layout to be computed.
#![recursion_limit = "256"]

use std::collections::BTreeMap;

use github_runner_pool::clients::{Clients, SystemClock};
use github_runner_pool::handler::{Invocation, handle};
use github_runner_pool::pool::model::time::Timestamp;
use github_runner_pool::reconcile::ports::Clock as _;
use github_runner_pool::settings::Settings;
use github_runner_pool::{log, metrics};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[cfg(panic = "abort")]
compile_error!("a panic must unwind, or CloudFormation waits an hour for its response: set panic = \"unwind\"");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let settings = Settings::from_variables(&variables)?;
    log::start(settings.log_level, || SystemClock.now(), &settings.function);
    let world = Clients::connect(&settings)?;
    run(service_fn(async |event: LambdaEvent<Value>| {
        let context = &event.context;
        // Under `cargo lambda watch` the ARN is no ARN; the name always works.
        let arn = context.invoked_function_arn.starts_with("arn:").then_some(&context.invoked_function_arn);
        let invocation = Invocation {
            deadline: Timestamp::from_epoch_millis(context.deadline),
            function: arn.unwrap_or(&context.env_config.function_name).clone(),
        };
        // One allocation for an invocation, in place of a future that is copied with all of a request's memory in it.
        let done = Box::pin(handle(&world, &settings, &event.payload, &invocation)).await;
        let (reads, writes) = world.take_aws_calls();
        let (github_calls, github_remaining) = world.take_github_calls();
        tracing::info!(step = "end", aws_reads = reads, aws_writes = writes, github_calls);
        metrics::invocation(reads + writes, github_calls, github_remaining);
        done.map_err(Error::from)
    }))
    .await
}
