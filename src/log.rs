//! The log: JSON lines on standard output, where Lambda picks them up.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry};

/// Starts logging at `level`. What libraries say stays at warnings: at finer levels an HTTP library may print headers,
/// and a header may be a credential.
pub fn start(level: LevelFilter) {
    let ours = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("bootstrap", level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_filter(ours);
    // A second start in one process keeps the first log.
    drop(tracing::subscriber::set_global_default(Registry::default().with(lines)));
}
