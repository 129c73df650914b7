//! `Custom::GitHubRunnerPool`.

pub mod aws;
pub mod cloudformation;
pub mod github;
pub mod http;
pub mod pool;
pub mod reconcile;
pub mod settings;
