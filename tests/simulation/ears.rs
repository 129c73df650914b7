//! What the function logs, as the simulation hears it: every line for the secrets in it, and the names in some.

use std::cell::RefCell;
use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

thread_local! {
    static HEARD: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
}

/// A line of the log.
pub(crate) struct Heard {
    pub(crate) line: String,
    pub(crate) kind: &'static str,
    pub(crate) occurred: Option<String>,
}

/// Runs with open ears.
pub(crate) fn open<T>(work: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(Ears);
    let done = tracing::subscriber::with_default(subscriber, work);
    HEARD.with_borrow_mut(Vec::clear);
    done
}

/// What was heard since this was last asked.
pub(crate) fn heard() -> Vec<Heard> {
    HEARD.with_borrow_mut(std::mem::take)
}

struct Ears;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Ears {
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
        HEARD.with_borrow_mut(|heard| heard.push(Heard { line: line.text, kind, occurred }));
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
