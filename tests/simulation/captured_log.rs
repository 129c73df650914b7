//! The log lines of the function: every one is searched for secrets, and some have names that the coverage counts.

use std::cell::RefCell;
use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

thread_local! {
    static CAPTURED: RefCell<Vec<CapturedLine>> = const { RefCell::new(Vec::new()) };
}

/// A line of the log.
pub(crate) struct CapturedLine {
    pub(crate) text: String,
    pub(crate) kind: &'static str,
    pub(crate) occurred: Option<String>,
}

/// Runs the work with its log captured.
pub(crate) fn capture<T>(work: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(Capture);
    let done = tracing::subscriber::with_default(subscriber, work);
    CAPTURED.with_borrow_mut(Vec::clear);
    done
}

/// The lines since this was last called.
pub(crate) fn take() -> Vec<CapturedLine> {
    CAPTURED.with_borrow_mut(std::mem::take)
}

struct Capture;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (kind, occurred) = match (line.step.as_deref(), line.waiting_for, line.kind) {
            (_, Some(waiting), _) => ("waiting", Some(waiting)),
            (_, _, Some(kind)) => ("kind", Some(kind)),
            (Some(_), _, _) if line.text.contains("apply") => ("step", line.step),
            (Some(_), _, _) => ("line", line.step),
            (None, _, _) => ("line", None),
        };
        CAPTURED.with_borrow_mut(|lines| lines.push(CapturedLine { text: line.text, kind, occurred }));
    }
}

#[derive(Default)]
struct Line {
    text: String,
    step: Option<String>,
    waiting_for: Option<String>,
    kind: Option<String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "step" => self.step = Some(value.to_owned()),
            "waiting_for" => self.waiting_for = Some(value.to_owned()),
            "kind" => self.kind = Some(value.to_owned()),
            _ => {}
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.text, "{}={value:?} ", field.name()).unwrap();
    }
}
