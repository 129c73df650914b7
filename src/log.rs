//! The log: each line is a flat JSON object on standard output, which Lambda sends to CloudWatch Logs.
//!
//! The fields of the request's span are at the same level as those of the line, so that a filter such as `{
//! $.logical_id = "Runners" }` finds what a request did. The formatter of `tracing-subscriber` would nest the span.

use std::fmt;
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::metrics;
use crate::pool::model::time::Timestamp;

/// Starts logging at `level` for the function of this name; `now` gives each line its time. Libraries log warnings
/// only: at finer levels an HTTP library may print headers, and a header may contain a credential. Metrics are written
/// at every level.
pub fn start(level: LevelFilter, now: fn() -> Timestamp, function: &str) {
    let ours = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target("bootstrap", level)
        .with_target(metrics::TARGET, LevelFilter::INFO);
    let write: fn(&[u8]) = |line| drop(std::io::stdout().lock().write_all(line));
    let lines = Lines { now, write, function: function.to_owned() }.with_filter(ours);
    // If logging was started before in this process, the first subscriber stays.
    drop(tracing::subscriber::set_global_default(Registry::default().with(lines)));
}

/// Turns events into lines.
struct Lines {
    now: fn() -> Timestamp,
    write: fn(&[u8]),
    function: String,
}

/// The fields of a span, kept until it closes.
struct Kept(Map<String, Value>);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Kept(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(Kept(kept)) = span.extensions_mut().get_mut()
        {
            kept.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        line.0.insert("timestamp".to_owned(), (self.now)().to_string().into());
        line.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Kept(kept)) = span.extensions().get() {
                line.0.extend(kept.clone());
            }
        }
        event.record(&mut line);
        if event.metadata().target() == metrics::TARGET {
            metrics::embed(&mut line.0, &self.function, (self.now)());
        }
        // A map with string keys always serializes.
        let mut bytes = serde_json::to_vec(&line.0).unwrap_or_default();
        bytes.push(b'\n');
        (self.write)(&bytes);
    }
}

/// The fields of a span or an event, as JSON.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn a_line_is_flat_json_with_the_requests_ids() {
        let write: fn(&[u8]) = |line| WRITTEN.with_borrow_mut(|written| written.extend_from_slice(line));
        let now = || Timestamp::from_epoch_millis(1_793_534_400_250);
        let lines = Lines { now, write, function: "github-runner-pool".to_owned() };
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            let span = tracing::info_span!("request", request_id = "r-1", physical_id = tracing::field::Empty);
            let _inside = span.enter();
            span.record("physical_id", "ghr-ci-Runners-0123456789");
            tracing::info!(step = "wait", n = 3_u64, "waiting for {}", "runners");
        });
        let line = WRITTEN.with_borrow(|written| String::from_utf8(written.clone()).unwrap());
        assert_eq!(
            line,
            concat!(
                r#"{"level":"INFO","message":"waiting for runners","n":3,"#,
                r#""physical_id":"ghr-ci-Runners-0123456789","request_id":"r-1","step":"wait","timestamp":"2026-11-01T12:00:00.250Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_metric_line_is_one_that_cloudwatch_reads() {
        let write: fn(&[u8]) = |line| WRITTEN.with_borrow_mut(|written| written.extend_from_slice(line));
        let now = || Timestamp::from_epoch_millis(1_793_534_400_250);
        let lines = Lines { now, write, function: "github-runner-pool".to_owned() };
        tracing::subscriber::with_default(Registry::default().with(lines), || {
            let online = None::<u64>;
            tracing::info!(target: metrics::TARGET, RequestType = "Create", Outcome = "SUCCESS", Requests = 1_u64, RunnersOnline = online);
        });
        let line: Value = WRITTEN.with_borrow(|written| serde_json::from_slice(written).unwrap());
        assert_eq!(line["FunctionName"], "github-runner-pool");
        assert_eq!(line["_aws"]["Timestamp"], 1_793_534_400_250_u64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "GitHubRunnerPool");
        assert_eq!(directive["Metrics"], serde_json::json!([{ "Name": "Requests", "Unit": "Count" }]));
        assert_eq!(
            directive["Dimensions"],
            serde_json::json!([
                ["FunctionName"],
                ["FunctionName", "Outcome"],
                ["FunctionName", "RequestType", "Outcome"]
            ])
        );
    }
}
