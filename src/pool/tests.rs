//! Decisions over observations, tested as values.

mod abandonment;
mod capacity;
mod causes;
mod convergence;
mod deletion;
mod goldens;
mod identity;
mod laws;
mod preview;
mod refusals;
mod refused_by_aws;
mod retirement;
mod runner_logs;
mod succession;
mod support;
mod task_definition;
mod warnings;
