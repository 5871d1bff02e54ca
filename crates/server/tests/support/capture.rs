//! A subscriber that keeps what is logged.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Registry},
};

/// Fields and their values as text.
pub(crate) type Fields = BTreeMap<String, String>;

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Fields,
    /// The spans that it was in, the innermost first.
    pub(crate) spans: Vec<(&'static str, Fields)>,
}

/// What was logged while this was the subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<Line>>>);

impl Captured {
    /// All lines of this crate so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// The first line with this message.
    pub(crate) fn find(&self, message: &str) -> Option<Line> {
        self.lines().into_iter().find(|line| line.message == message)
    }

    /// A subscriber that writes here.
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + 'static {
        Registry::default().with(self.layer())
    }

    /// A layer that writes here.
    pub(crate) fn layer(&self) -> Capture {
        Capture(self.clone())
    }
}

/// The layer.
pub(crate) struct Capture(Captured);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = Text::default();
        attributes.record(&mut text);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(text);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(text) = span.extensions_mut().get_mut::<Text>()
        {
            values.record(text);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("devp2p_server") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let spans = context.event_scope(event).into_iter().flatten();
        let spans = spans
            .map(|span| {
                let fields = span.extensions().get::<Text>().map(|text| text.fields.clone());
                (span.name(), fields.unwrap_or_default())
            })
            .collect();
        let line = Line {
            level: *event.metadata().level(),
            message: text.message,
            fields: text.fields,
            spans,
        };
        self.0.0.lock().unwrap().push(line);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: Fields,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}
